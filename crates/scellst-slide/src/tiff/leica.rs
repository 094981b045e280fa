//! Leica SCN: areas of a glass, each a pyramid, in one frame.
//!
//! The XML (namespaces scn/2010/03/10 and 2010/10/01) gives every image a view on the collection in
//! nanometres and, for every resolution, a page. The image that covers the collection is the macro
//! picture. The others are put where they lie in the frame of the whole collection, white between
//! them, so that coordinates are those of OpenSlide (openslide.org/formats/leica); they must be of one
//! resolution. A place between two pixels is rounded to the nearest.

use std::sync::Arc;

use image::RgbImage;
use roxmltree::Node;
use scellst_types::Size;

use super::page::{self, Page};
use super::tags::Directories;
use super::{Picture, keep_associated, picture, xml};
use crate::cache::PieceCache;
use crate::codec;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Format, Limits, MppSource, OpenOptions, SlideError, mpp};

const PLACE: &str = "page 0, Leica XML";

pub(crate) fn open(
    source: Arc<Source>,
    directories: &Directories,
    options: &OpenOptions,
) -> Result<(Box<dyn Reader>, About), SlideError> {
    let text = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
    let document = xml::parse(&source, PLACE, &text)?;
    let collection = xml::child(document.root_element(), "collection")
        .ok_or_else(|| SlideError::broken(source.path(), PLACE, "a collection", "none"))?;
    let whole = View::of(&source, collection)?;
    let mut areas = Vec::new();
    let mut associated = Vec::new();
    let mut channels = 0;
    for node in xml::children(collection, "image") {
        let area = Area::read(&source, node)?;
        let Some(finest) = area.dimensions.first() else { continue };
        if !area.brightfield {
            channels += area.channels;
        } else if area.view == whole {
            let directory = finest.directory(&source, directories)?;
            let name = if associated.is_empty() { "macro".to_owned() } else { directory.name.clone() };
            let size = page::size(&source, directory)?;
            associated.push((AssociatedImage { name, size }, Picture::from(directory)));
        } else {
            areas.push(area);
        }
    }
    for node in xml::children(collection, "supplementalImage") {
        let Some(number) = xml::number(&source, node, "ifd")? else { continue };
        let Some(directory) = directories.page(number) else { continue };
        let name = node.attribute("type").unwrap_or(&directory.name).to_lowercase();
        associated.push((AssociatedImage { name, size: page::size(&source, directory)? }, Picture::from(directory)));
    }
    let Some(first) = areas.first() else {
        let found = match channels {
            0 => "a slide without an area that was scanned in brightfield".to_owned(),
            n => format!("a fluorescence slide of {n} channels"),
        };
        let hint = "RGB is read: make an RGB picture of the channels you mean, for example with QuPath or Fiji";
        return Err(SlideError::unsupported(source.path(), PLACE, found, hint));
    };
    let objective_power = first.power;
    let levels = levels(&source, directories, &whole, &areas, options)?;
    let (finest, scale) = levels
        .first()
        .map(|level| (level, level.scale))
        .ok_or_else(|| SlideError::broken(source.path(), PLACE, "a resolution", "none"))?;
    let stated = mpp::plausible(scale.0 / 1e3, scale.1 / 1e3, MppSource::LeicaXml);
    let tags = first.dimensions[0].directory(&source, directories)?.resolution();
    log::debug!("{}: {} areas in {} px", source.path().display(), areas.len(), finest.info.size);
    let mut about = About {
        format: Format::LeicaScn,
        mpp: stated.into_iter().chain(tags).collect(),
        objective_power,
        associated: Vec::new(),
    };
    let associated = keep_associated(&mut about, options, associated);
    let infos = levels.iter().map(|level| level.info.clone()).collect();
    let cache = PieceCache::new(options.cache_bytes);
    let limits = options.limits.clone();
    Ok((Box::new(Composite { source, limits, levels, infos, associated, cache }), about))
}

/// A rectangle of the glass, nanometres.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

impl View {
    fn of(source: &Source, node: Node<'_, '_>) -> Result<Self, SlideError> {
        let offset = |name: &str| Ok(xml::number::<i64>(source, node, name)?.unwrap_or(0));
        let view = Self {
            x: offset("offsetX")?,
            y: offset("offsetY")?,
            width: xml::required(source, node, "sizeX")?,
            height: xml::required(source, node, "sizeY")?,
        };
        // A metre is more than any stage goes.
        let size = 1..=1_000_000_000;
        let place = -1_000_000_000..=1_000_000_000;
        let sizes = [view.width, view.height].iter().all(|n| size.contains(n));
        if !sizes || ![view.x, view.y].iter().all(|n| place.contains(n)) {
            let expected = "a view of 1 nm to 1 m a side, within a metre";
            return Err(SlideError::broken(source.path(), PLACE, expected, format!("{view:?}")));
        }
        Ok(view)
    }
}

/// An `image` element: first focal plane, first channel.
struct Area {
    view: View,
    brightfield: bool,
    objective: String,
    power: Option<f64>,
    channels: u64,
    /// The finest first.
    dimensions: Vec<Dimension>,
}

#[derive(Debug, Clone, Copy)]
struct Dimension {
    size: Size,
    page: u64,
}

impl Dimension {
    fn directory<'d>(&self, source: &Source, directories: &'d Directories) -> Result<&'d super::Directory, SlideError> {
        directories.page(self.page).ok_or_else(|| {
            let expected = format!("images in the {} pages that there are", directories.pages.len());
            SlideError::broken(source.path(), PLACE, expected, format!("one in page {}", self.page))
        })
    }
}

impl Area {
    fn read(source: &Source, node: Node<'_, '_>) -> Result<Self, SlideError> {
        let view = xml::child(node, "view")
            .ok_or_else(|| SlideError::broken(source.path(), PLACE, "a view of every image", "none"))?;
        let text = |path: [&'static str; 3]| {
            let found = path.into_iter().try_fold(node, xml::child)?;
            found.text().map(|text| text.trim().to_owned())
        };
        let light = text(["scanSettings", "illuminationSettings", "illuminationSource"]);
        let objective = text(["scanSettings", "objectiveSettings", "objective"]).unwrap_or_default();
        let mut dimensions = Vec::new();
        let mut channels = 1;
        for dimension in xml::children(node, "pixels").flat_map(|pixels| xml::children(pixels, "dimension")) {
            let channel: u64 = xml::number(source, dimension, "c")?.unwrap_or(0);
            channels = channels.max(channel.saturating_add(1));
            if xml::number::<u64>(source, dimension, "z")?.unwrap_or(0) > 0 {
                log::warn!("{}: focal planes other than the first are left out", source.path().display());
                continue;
            }
            let side = |name: &str| {
                let n: u32 = xml::required(source, dimension, name)?;
                if n == 0 || n > i32::MAX as u32 {
                    return Err(SlideError::broken(source.path(), PLACE, "sizes above 0", n.to_string()));
                }
                Ok(n)
            };
            let size = Size::new(side("sizeX")?, side("sizeY")?);
            if channel == 0 {
                dimensions.push(Dimension { size, page: xml::required(source, dimension, "ifd")? });
            }
        }
        dimensions.sort_by_key(|d| std::cmp::Reverse(d.size.pixels()));
        let power = objective.parse().ok().filter(|p: &f64| p.is_finite() && *p > 0.0);
        Ok(Self {
            view: View::of(source, view)?,
            // Old files do not say; they know no other light.
            brightfield: channels == 1 && light.is_none_or(|light| light == "brightfield"),
            objective,
            power,
            channels,
            dimensions,
        })
    }
}

/// A level of the frame.
struct Level {
    info: LevelInfo,
    /// Nanometres a pixel along x and y.
    scale: (f64, f64),
    parts: Vec<Part>,
}

/// An area's page, and where it lies in the level.
struct Part {
    page: Page,
    x: i64,
    y: i64,
}

fn levels(
    source: &Source,
    directories: &Directories,
    whole: &View,
    areas: &[Area],
    options: &OpenOptions,
) -> Result<Vec<Level>, SlideError> {
    let differ = |what: String| {
        let hint = "areas of one resolution are read: convert each by itself, for example with QuPath or Bio-Formats";
        SlideError::unsupported(source.path(), PLACE, what, hint)
    };
    let first = &areas[0];
    for area in areas {
        if area.objective != first.objective || area.dimensions.len() != first.dimensions.len() {
            return Err(differ(format!(
                "areas scanned differently (objectives {} and {}, {} and {} levels)",
                first.objective,
                area.objective,
                first.dimensions.len(),
                area.dimensions.len()
            )));
        }
    }
    let mut levels: Vec<Level> = Vec::new();
    for i in 0..first.dimensions.len() {
        let scales: Vec<(f64, f64)> = areas
            .iter()
            .map(|area| (area.view, area.dimensions[i].size))
            .map(|(v, s)| (v.width as f64 / f64::from(s.width), v.height as f64 / f64::from(s.height)))
            .collect();
        let alike = |a: f64, b: f64| (a / b - 1.0).abs() < 0.02;
        if let Some(other) = scales.iter().find(|s| !alike(s.0, scales[0].0) || !alike(s.1, scales[0].1)) {
            return Err(differ(format!("areas of {} and {} nm a pixel in level {i}", scales[0].0, other.0)));
        }
        // The finest, so that no area is larger than its place; they differ by rounding only.
        let scale = scales.iter().fold((f64::MAX, f64::MAX), |a, b| (a.0.min(b.0), a.1.min(b.1)));
        let side = |nanometres: i64, scale: f64| {
            let pixels = (nanometres as f64 / scale).ceil();
            if pixels >= 1.0 && pixels <= f64::from(i32::MAX) { Ok(pixels as u32) } else { Err(pixels) }
        };
        let (Ok(width), Ok(height)) = (side(whole.width, scale.0), side(whole.height, scale.1)) else {
            let expected = format!("a collection of 1 to {} px a side", i32::MAX);
            return Err(SlideError::broken(source.path(), PLACE, expected, format!("{whole:?} at {scale:?} nm/px")));
        };
        let mut parts: Vec<Part> = Vec::new();
        for area in areas {
            let dimension = area.dimensions[i];
            let directory = dimension.directory(source, directories)?;
            let mut page = Page::new(source, directory, &options.limits)?;
            if dimension.size.width > page.size.width || dimension.size.height > page.size.height {
                let expected = format!("{} of at least {} px", directory.name, dimension.size);
                return Err(SlideError::broken(source.path(), PLACE, expected, format!("{} px", page.size)));
            }
            page.crop(dimension.size);
            let at = |nanometres: i64, scale: f64| (nanometres as f64 / scale).round() as i64;
            parts.push(Part { page, x: at(area.view.x, scale.0), y: at(area.view.y, scale.1) });
        }
        let size = Size::new(width, height);
        let page = &parts[0].page;
        // Strips would be as wide as the area and fall into many pieces of the frame.
        let piece = if page.tiled { page.piece } else { Size::new(512, 512) };
        let piece = Size::new(piece.width.min(width), piece.height.min(height));
        let count = u64::from(width.div_ceil(piece.width)) * u64::from(height.div_ceil(piece.height));
        // As many as a list of tiles may have: a small file must not ask for years of white.
        let most = options.limits.max_tag_bytes / 16;
        if count > most {
            let place = format!("{PLACE}, collection of {size} px in pieces of {piece} px");
            return Err(SlideError::over_limit(
                source.path(),
                place,
                "pieces",
                (count, most),
                "raise Limits::max_tag_bytes",
            ));
        }
        if levels.last().is_some_and(|last| last.info.size.pixels() <= size.pixels()) {
            let expected = "levels that become smaller";
            return Err(SlideError::broken(source.path(), PLACE, expected, format!("level {i} of {size} px")));
        }
        let info = LevelInfo { size, piece, tile: Some(piece), compression: page.coding.compression };
        levels.push(Level { info, scale, parts });
    }
    Ok(levels)
}

/// Areas in one frame.
struct Composite {
    source: Arc<Source>,
    limits: Limits,
    levels: Vec<Level>,
    infos: Vec<LevelInfo>,
    associated: Vec<Picture>,
    /// The areas' own tiles. Those of the frame lie across them and are put together at every read, so
    /// that this takes the place of the slide's cache.
    cache: PieceCache,
}

impl Composite {
    /// A stored tile of an area.
    fn tile(&self, level: usize, part: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let parts = &self.levels[level].parts;
        // A level has far fewer areas and tiles than there are numbers.
        let key = (level * parts.len() + part, index);
        if let Some(tile) = self.cache.get(key) {
            return Ok(tile);
        }
        let tile = parts[part].page.decode(&self.source, index)?;
        self.cache.put(key, &tile);
        Ok(tile)
    }
}

impl Reader for Composite {
    fn levels(&self) -> &[LevelInfo] {
        &self.infos
    }

    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let found = self
            .levels
            .get(level)
            .ok_or_else(|| SlideError::misuse("level", format!("below {}", self.levels.len()), level.to_string()))?;
        let (piece, across) = (found.info.piece, u64::from(found.info.across()));
        let left = (index % across * u64::from(piece.width)) as i64;
        let top = (index / across * u64::from(piece.height)) as i64;
        let mut pixels = codec::white(self.source.path(), &format!("level {level}, piece {index}"), piece)?;
        for (i, part) in found.parts.iter().enumerate() {
            let (size, side) = (part.page.size, part.page.piece);
            // The part of the area that the piece shows, in the area's pixels.
            let span = |start: i64, len: u32, end: u32| {
                let low = start.clamp(0, i64::from(end));
                (low as u32, (start + i64::from(len)).clamp(low, i64::from(end)) as u32)
            };
            let (x0, x1) = span(left - part.x, piece.width, size.width);
            let (y0, y1) = span(top - part.y, piece.height, size.height);
            if x0 == x1 || y0 == y1 {
                continue;
            }
            let columns = u64::from(size.width.div_ceil(side.width));
            for row in y0 / side.height..=(y1 - 1) / side.height {
                for column in x0 / side.width..=(x1 - 1) / side.width {
                    let tile = self.tile(level, i, u64::from(row) * columns + u64::from(column))?;
                    // Of the tile, what lies in the area; the rest of it is filling.
                    let (tx, ty) = (column * side.width, row * side.height);
                    let (width, height) = (tile.width().min(size.width - tx), tile.height().min(size.height - ty));
                    let shown = image::imageops::crop_imm(&*tile, 0, 0, width, height);
                    let (x, y) = (part.x + i64::from(tx) - left, part.y + i64::from(ty) - top);
                    image::imageops::replace(&mut pixels, &*shown, x, y);
                }
            }
        }
        Ok(Arc::new(pixels))
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        picture(&self.associated, index)?.decode(&self.source, &self.limits)
    }

    fn in_memory(&self) -> bool {
        true
    }
}
