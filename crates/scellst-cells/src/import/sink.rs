use std::collections::BTreeMap;
use std::path::Path;

use scellst_types::Point;

use super::crossing::crosses_itself;
use super::rings::Shape;
use super::{Flaw, Format, ImportOptions, Imported, Placement};
use crate::cells::on_slide;
use crate::{Cell, Cells, CellsError, place};

/// Where all readers put what they find; turns it into cells on the slide and keeps count of the rest.
pub(crate) struct Sink<'a> {
    pub(crate) path: &'a Path,
    pub(crate) options: &'a ImportOptions,
    /// From the file's coordinates to level-0 px; `None` if they are that.
    placement: Option<Placement>,
    /// um2 for each square unit of the file, if known.
    um2: Option<f64>,
    /// Names that the file has for its numbers of classes.
    pub(crate) class_names: BTreeMap<i64, String>,
    cells: Cells,
    pub(crate) passed_over: usize,
    pub(crate) few_corners: usize,
    pub(crate) not_finite: usize,
    self_crossing: usize,
    parts_left: usize,
}

/// One cell as a file has it; coordinates are the file's.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) id: Option<String>,
    pub(crate) shape: Option<Shape<'a>>,
    /// Where there is a shape, it counts only if it lies within the shape's bounds.
    pub(crate) centroid: Option<[f64; 2]>,
    /// As measured by whoever wrote the file.
    pub(crate) area_um2: Option<f64>,
    pub(crate) score: Option<f64>,
    pub(crate) class: Option<Class>,
}

#[derive(Debug, Clone)]
pub(crate) enum Class {
    Name(String),
    /// Named at the end, when the whole file is known.
    Code(i64),
}

/// Goes before a code that stands in for a name until the end.
const CODE: char = '\u{1}';

/// PanNuke's classes, which CellViT and HoVer-Net share; 0 is the background. Source: Gamper et al. 2020.
const PANNUKE: [&str; 5] = ["neoplastic", "inflammatory", "connective", "dead", "epithelial"];

impl<'a> Sink<'a> {
    /// For coordinates in px.
    pub(crate) fn new(path: &'a Path, options: &'a ImportOptions) -> Self {
        let mut sink = Self {
            path,
            options,
            placement: None,
            um2: None,
            class_names: BTreeMap::new(),
            cells: Cells::new(),
            passed_over: 0,
            few_corners: 0,
            not_finite: 0,
            self_crossing: 0,
            parts_left: 0,
        };
        sink.place(options.placement);
        sink
    }

    /// For coordinates in um.
    pub(crate) fn microns(path: &'a Path, options: &'a ImportOptions) -> Result<Self, CellsError> {
        let placement = options.placement.or_else(|| options.mpp.map(Placement::microns));
        if placement.is_none() {
            let found = format!("neither, and {} is in um", path.display());
            return Err(CellsError::misuse("import options", "an mpp or a placement", found));
        }
        let mut sink = Self::new(path, options);
        sink.place(placement);
        sink.um2 = Some(1.0);
        Ok(sink)
    }

    /// Where the file's px lie, where only the file tells.
    pub(crate) fn place(&mut self, placement: Option<Placement>) {
        self.placement = placement;
        let px2 = placement.map_or(1.0, |p| p.area_factor());
        self.um2 = self.options.mpp.map(|mpp| px2 * mpp.x() * mpp.y());
    }

    /// The file's own pixel size, um; the options' goes first.
    pub(crate) fn file_mpp(&mut self, mpp: f64) {
        if self.um2.is_none() && self.placement.is_none() && mpp.is_finite() && mpp > 0.0 {
            self.um2 = Some(mpp * mpp);
        }
    }

    /// Counts a geometry that is none of a cell.
    pub(crate) fn flaw(&mut self, flaw: Flaw) {
        match flaw {
            Flaw::Corners => self.few_corners += 1,
            Flaw::NotFinite => self.not_finite += 1,
        }
    }

    /// Adds what was found at the given place in the file.
    pub(crate) fn add(&mut self, found: Found<'_>, at: impl Fn() -> String) -> Result<(), CellsError> {
        let centroid = match (&found.shape, found.centroid) {
            (Some(shape), Some(measured)) if spans(shape.ring, measured) => measured,
            (Some(shape), _) => shape.centroid,
            (None, Some(centroid)) => centroid,
            (None, None) => {
                self.passed_over += 1;
                return Ok(());
            }
        };
        let to_slide = |p: [f64; 2]| self.placement.map_or(p, |m| m.apply(p));
        let [x, y] = to_slide(centroid);
        let ring = found.shape.as_ref().map_or(&[][..], |s| s.ring);
        let corners: Vec<_> = ring.iter().map(|&p| to_slide(p).map(|v| v as f32)).collect();
        let finite = |v: f64| (v as f32).is_finite();
        if !(finite(x) && finite(y) && corners.iter().flatten().all(|v| v.is_finite())) {
            self.not_finite += 1;
            return Ok(());
        }
        self.self_crossing += usize::from(crosses_itself(&corners));
        self.parts_left += found.shape.as_ref().map_or(0, |s| s.parts_left);
        let known = |v: Option<f64>| v.filter(|v| !v.is_nan());
        let area = known(found.area_um2).or_else(|| Some(found.shape.as_ref()?.area * self.um2?));
        let cell = Cell {
            id: found.id.filter(|id| !id.is_empty()),
            centroid: Point::new(x, y),
            outline: corners,
            area_um2: area.map_or(f32::NAN, |a| a as f32),
            score: known(found.score).map_or(1.0, |s| s as f32),
            class: found.class.and_then(|class| match class {
                Class::Name(name) => Some(name).filter(|n| !n.is_empty()),
                Class::Code(code) => Some(format!("{CODE}{code}")),
            }),
        };
        self.cells.push(cell).map(|_| ()).map_err(|error| match error {
            CellsError::Misuse { what, expected, found } => {
                CellsError::broken(self.path, format!("{}: {what}", at()), expected, found)
            }
            other => other,
        })
    }

    /// Whether the format, now that it is known, is one that the caller accepts.
    pub(crate) fn accept(&self, format: Format) -> Result<(), CellsError> {
        match self.options.format.filter(|&wanted| wanted != format) {
            None => Ok(()),
            Some(wanted) => Err(CellsError::Unsupported {
                path: self.path.to_owned(),
                place: "the file".into(),
                found: format!("{format}, where {wanted} is wanted"),
                hint: "let the format be told by the content (`format: None`)".into(),
            }),
        }
    }

    /// Names the classes, checks the places and says what was left behind.
    pub(crate) fn finish(self, format: Format) -> Result<Imported, CellsError> {
        let Self { path, options, mut cells, class_names, .. } = self;
        let Self { passed_over, few_corners, not_finite, self_crossing, parts_left, .. } = self;
        if cells.is_empty() {
            let found = format!(
                "none ({few_corners} with under three corners, {not_finite} not finite, {passed_over} passed over)"
            );
            return Err(CellsError::broken(path, "the file", "at least one polygon or point", found));
        }
        cells.rename_classes(|name| name_of(name, &[&options.class_names, &class_names], format));
        let mut outside = 0;
        if let Some(size) = options.slide_size {
            outside = cells.centroids().iter().filter(|p| !on_slide(size)(p)).count();
            if outside * 10 > cells.len() {
                return Err(place::elsewhere(cells.centroids(), size, options.mpp));
            }
            if !options.corner {
                place::check_corner(cells.centroids(), size, options.mpp)?;
            }
            if outside > 0 {
                cells.retain(on_slide(size));
            }
        }
        let duplicate_ids = cells.duplicate_ids();
        let warnings = [
            (outside, "lie outside of the slide and are dropped"),
            (few_corners, "have under three corners and are dropped"),
            (not_finite, "have coordinates that are missing or not finite and are dropped"),
            (passed_over, "are neither polygon nor point and are passed over"),
            (self_crossing, "have outlines that cross themselves"),
            (duplicate_ids, "have the id of an earlier cell"),
        ];
        for (n, what) in warnings.into_iter().filter(|w| w.0 > 0) {
            log::warn!("{}: {n} cells {what}", path.display());
        }
        Ok(Imported {
            cells,
            format,
            outside,
            few_corners,
            not_finite,
            passed_over,
            self_crossing,
            duplicate_ids,
            parts_left,
        })
    }
}

/// Whether a place lies within the bounds of a ring.
fn spans(ring: &[[f64; 2]], place: [f64; 2]) -> bool {
    (0..2).all(|k| {
        // As the outline holds them: what was written from it must be found to lie within it.
        let values = || ring.iter().map(|p| f64::from(p[k] as f32));
        values().fold(f64::INFINITY, f64::min) <= place[k] && place[k] <= values().fold(f64::NEG_INFINITY, f64::max)
    })
}

/// The name that stands for a code: the caller's, the file's, the format's. A table's number stays one.
fn name_of(name: &str, names: &[&BTreeMap<i64, String>], format: Format) -> Option<String> {
    let Some(code) = name.strip_prefix(CODE).and_then(|code| code.parse::<i64>().ok()) else {
        return Some(name.to_owned());
    };
    if let Some(given) = names.iter().find_map(|map| map.get(&code)) {
        return Some(given.clone());
    }
    if !matches!(format, Format::CellVit | Format::HoverNet) {
        return Some(code.to_string());
    }
    let file_has_names = names.iter().skip(1).any(|map| !map.is_empty());
    match code {
        0 => None,
        1..=5 if !file_has_names => PANNUKE.get(code as usize - 1).map(|&n| n.to_owned()),
        _ => Some(format!("class_{code}")),
    }
}
