//! What one instance (a file) says of its image, without its pixels.

use std::collections::BTreeMap;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use scellst_types::Size;

use super::dataset::{Budget, Element, Encoding, Walker};
use crate::format::dicom_start;
use crate::source::Source;
use crate::{Limits, SlideError};

/// Retired, but still met.
pub(super) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Enough of an instance to know which slide it belongs to.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) sop_class: String,
    pub(super) series: String,
    pub(super) transfer_syntax: String,
    /// Where its data set begins.
    at: u64,
}

impl Identity {
    /// Reads the start of a file; `None` if it is no DICOM file (PS3.10, 7.1).
    pub(super) fn read(source: &Source, limits: &Limits) -> Result<Option<Self>, SlideError> {
        // One a file, since a folder may hold many of other slides.
        let budget = &mut Budget::new(limits.max_tag_bytes);
        let Some(start) = dicom_start(&source.head(132)?) else { return Ok(None) };
        let mut meta = Walker::new(source, budget, start, Encoding::ExplicitLittle);
        let (mut sop_class, mut transfer_syntax) = (String::new(), String::new());
        while meta.peek()? == Some([2, 0]) {
            let Some(element) = meta.next(|_| false)? else { break };
            match element.tag {
                tags::MEDIA_STORAGE_SOP_CLASS_UID => sop_class = meta.text(&element)?,
                tags::TRANSFER_SYNTAX_UID => transfer_syntax = meta.text(&element)?,
                _ => {}
            }
        }
        let at = meta.position();
        let mut identity = Self { sop_class, series: String::new(), transfer_syntax, at };
        if identity.sop_class == uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE {
            let mut walker = Walker::new(source, budget, at, identity.encoding(source)?);
            while let Some(element) = walker.next(|_| false)? {
                if element.tag == tags::SERIES_INSTANCE_UID && walker.path().is_empty() {
                    identity.series = walker.text(&element)?;
                }
                if element.tag >= tags::SERIES_INSTANCE_UID && walker.path().is_empty() {
                    break;
                }
            }
        }
        Ok(Some(identity))
    }

    /// How the data set is written.
    fn encoding(&self, source: &Source) -> Result<Encoding, SlideError> {
        match self.transfer_syntax.as_str() {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Ok(Encoding::ImplicitLittle),
            EXPLICIT_VR_BIG_ENDIAN => Ok(Encoding::ExplicitBig),
            uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => {
                let hint = "rewrite it with a JPEG or JPEG 2000 transfer syntax";
                Err(SlideError::unsupported(source.path(), "the file", "DICOM as one deflated stream", hint))
            }
            _ => Ok(Encoding::ExplicitLittle),
        }
    }
}

/// Where a frame of a sparse image lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramePlace {
    /// Left and upper edge, px of the total pixel matrix, from 1.
    pub(super) column: f64,
    pub(super) row: f64,
    /// Height of its focal plane over the slide, um.
    pub(super) z: f64,
    /// Index into [`Instance::paths`], where they are named.
    pub(super) path: usize,
}

const NOWHERE: FramePlace = FramePlace { column: f64::NAN, row: f64::NAN, z: 0.0, path: 0 };

/// An instance of the whole-slide kind. Text is empty and numbers are `None` where there is none.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) source: Arc<Source>,
    pub(super) transfer_syntax: String,
    /// Whether numbers, and words of pixels, have their high byte first.
    pub(super) big_endian: bool,
    pub(super) uid: String,
    pub(super) frame_of_reference: String,
    /// The third value of Image Type: `VOLUME`, `LABEL`, `OVERVIEW`, `THUMBNAIL`.
    pub(super) flavour: String,
    pub(super) concatenation: String,
    /// Which part of the concatenation it is, from 1.
    pub(super) part: Option<u64>,
    /// How many parts there are.
    pub(super) parts: Option<u64>,
    pub(super) first_frame: u64,
    pub(super) frames: u64,
    /// Of a frame.
    pub(super) tile: Size,
    /// Of the image.
    pub(super) size: Size,
    pub(super) samples: Option<u64>,
    pub(super) bits: (Option<u64>, Option<u64>),
    pub(super) photometric: String,
    pub(super) planar: bool,
    pub(super) organization: String,
    pub(super) focal_planes: u64,
    pub(super) optical_paths: u64,
    /// Distance of pixels along x and y, mm.
    pub(super) spacing: Option<(f64, f64)>,
    /// Width and height of the whole, mm.
    pub(super) volume: (Option<f64>, Option<f64>),
    pub(super) objective_power: Option<f64>,
    /// One a frame where the image is not [tiled fully](Instance::is_full).
    pub(super) places: Vec<FramePlace>,
    /// Names of the optical paths of the frames.
    pub(super) paths: Vec<String>,
    pub(super) pixels: Element,
    pub(super) extended_offsets: Option<Element>,
    pub(super) extended_lengths: Option<Element>,
}

/// What comes of the elements, one by one.
#[derive(Debug, Default)]
struct Draft {
    text: BTreeMap<Tag, String>,
    numbers: BTreeMap<Tag, f64>,
    spacing: Option<(f64, f64)>,
    places: Vec<FramePlace>,
    /// Names of optical paths.
    paths: Vec<String>,
    offsets: Option<Element>,
    lengths: Option<Element>,
}

/// More stains there are not on one slide.
const MOST_PATHS: usize = 64;

/// Attributes of text, and the sequence that they lie in.
const TEXTS: [(&[Tag], Tag); 7] = [
    (&[], tags::SOP_INSTANCE_UID),
    (&[], tags::FRAME_OF_REFERENCE_UID),
    (&[], tags::IMAGE_TYPE),
    (&[], tags::CONCATENATION_UID),
    (&[], tags::PHOTOMETRIC_INTERPRETATION),
    (&[], tags::DIMENSION_ORGANIZATION_TYPE),
    (&[tags::OPTICAL_PATH_SEQUENCE], tags::OBJECTIVE_LENS_POWER),
];

/// Attributes of one number, of the data set itself.
const NUMBERS: [Tag; 16] = [
    tags::IN_CONCATENATION_NUMBER,
    tags::IN_CONCATENATION_TOTAL_NUMBER,
    tags::CONCATENATION_FRAME_OFFSET_NUMBER,
    tags::NUMBER_OF_FRAMES,
    tags::COLUMNS,
    tags::ROWS,
    tags::TOTAL_PIXEL_MATRIX_COLUMNS,
    tags::TOTAL_PIXEL_MATRIX_ROWS,
    tags::SAMPLES_PER_PIXEL,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::PLANAR_CONFIGURATION,
    tags::TOTAL_PIXEL_MATRIX_FOCAL_PLANES,
    tags::NUMBER_OF_OPTICAL_PATHS,
    tags::IMAGED_VOLUME_WIDTH,
    tags::IMAGED_VOLUME_HEIGHT,
];

/// Sequences with something for us, besides that of the places of frames.
const WANTED: [Tag; 5] = [
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PLANE_POSITION_SLIDE_SEQUENCE,
    tags::OPTICAL_PATH_IDENTIFICATION_SEQUENCE,
    tags::OPTICAL_PATH_SEQUENCE,
];

const FULL: &str = "TILED_FULL";
const SPARSE: &str = "TILED_SPARSE";

/// An attribute's keyword, for messages.
fn name(tag: Tag) -> String {
    StandardDataDictionary.by_tag(tag).map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}

impl Instance {
    /// Reads the whole header.
    pub(super) fn read(source: Arc<Source>, identity: &Identity, budget: &mut Budget) -> Result<Self, SlideError> {
        let encoding = identity.encoding(&source)?;
        let mut walker = Walker::new(&source, budget, identity.at, encoding);
        let mut draft = Draft::default();
        let pixels = loop {
            // The places of the frames of a full image follow from their order; there may be many.
            let skip_places = draft.is_full() && draft.spacing.is_some();
            let wanted = |tag: Tag| match tag {
                tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => !skip_places,
                _ => WANTED.contains(&tag),
            };
            match walker.next(wanted)? {
                Some(element) if element.tag == tags::PIXEL_DATA && walker.path().is_empty() => break element,
                Some(element) => draft.take(&mut walker, &element)?,
                None => {
                    let expected = "pixel data (7FE0,0010)";
                    return Err(SlideError::broken(source.path(), "the data set", expected, "none"));
                }
            }
        };
        draft.finish(source, identity.transfer_syntax.clone(), encoding, pixels)
    }

    /// Whether the frames are all there and lie row by row.
    pub(super) fn is_full(&self) -> bool {
        self.organization == FULL || self.places.is_empty()
    }
}

impl Draft {
    fn is_full(&self) -> bool {
        self.text.get(&tags::DIMENSION_ORGANIZATION_TYPE).is_some_and(|kind| kind == FULL)
    }

    fn take(&mut self, walker: &mut Walker<'_>, element: &Element) -> Result<(), SlideError> {
        let path = walker.path();
        if TEXTS.iter().any(|&(at, tag)| tag == element.tag && at == path) {
            let text = walker.text(element)?;
            // Of several optical paths, the first.
            self.text.entry(element.tag).or_insert(text);
            return Ok(());
        }
        match *path {
            [] => self.take_outer(walker, element),
            [_, tags::PIXEL_MEASURES_SEQUENCE] if element.tag == tags::PIXEL_SPACING && self.spacing.is_none() => {
                // Between rows, which is along y, first (PS3.3, 10.7.1.3).
                if let [y, x] = walker.numbers(element)?[..] {
                    self.spacing = Some((x, y));
                }
                Ok(())
            }
            [tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, inner] if !self.is_full() => {
                self.take_place(walker, element, inner)
            }
            _ => Ok(()),
        }
    }

    fn take_outer(&mut self, walker: &mut Walker<'_>, element: &Element) -> Result<(), SlideError> {
        match element.tag {
            tags::EXTENDED_OFFSET_TABLE => self.offsets = Some(*element),
            tags::EXTENDED_OFFSET_TABLE_LENGTHS => self.lengths = Some(*element),
            tag if NUMBERS.contains(&tag) => {
                if let Some(&number) = walker.numbers(element)?.first() {
                    self.numbers.insert(tag, number);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_place(&mut self, walker: &mut Walker<'_>, element: &Element, inner: Tag) -> Result<(), SlideError> {
        let frame = walker.outer_item().unwrap_or(0) as usize;
        let known = match (inner, element.tag) {
            (tags::PLANE_POSITION_SLIDE_SEQUENCE, tags::COLUMN_POSITION_IN_TOTAL_IMAGE_PIXEL_MATRIX) => 0,
            (tags::PLANE_POSITION_SLIDE_SEQUENCE, tags::ROW_POSITION_IN_TOTAL_IMAGE_PIXEL_MATRIX) => 1,
            (tags::PLANE_POSITION_SLIDE_SEQUENCE, tags::Z_OFFSET_IN_SLIDE_COORDINATE_SYSTEM) => 2,
            (tags::OPTICAL_PATH_IDENTIFICATION_SEQUENCE, tags::OPTICAL_PATH_IDENTIFIER) => 3,
            _ => return Ok(()),
        };
        while self.places.len() <= frame {
            walker.charge(size_of::<FramePlace>() as u64)?;
            self.places.push(NOWHERE);
        }
        if known == 3 {
            let name = walker.text(element)?;
            // As many as there are stains: few. Of more, the rest are as good as the last.
            let path = self.paths.iter().position(|p| *p == name).unwrap_or(self.paths.len()).min(MOST_PATHS);
            if path == self.paths.len() {
                self.paths.push(name);
            }
            self.places[frame].path = path;
            return Ok(());
        }
        if let Some(&value) = walker.numbers(element)?.first().filter(|value| value.is_finite()) {
            let place = &mut self.places[frame];
            match known {
                0 => place.column = value,
                1 => place.row = value,
                _ => place.z = value,
            }
        }
        Ok(())
    }

    fn finish(
        self,
        source: Arc<Source>,
        transfer_syntax: String,
        encoding: Encoding,
        pixels: Element,
    ) -> Result<Instance, SlideError> {
        let bad = |expected: String, found: String| SlideError::broken(source.path(), "the data set", expected, found);
        let number = |tag: Tag| self.numbers.get(&tag).copied();
        let text = |tag: Tag| self.text.get(&tag).cloned().unwrap_or_default();
        let count = |tag: Tag| -> Result<Option<u64>, SlideError> {
            match number(tag) {
                None => Ok(None),
                Some(n) if n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&n) => Ok(Some(n as u64)),
                Some(n) => Err(bad(format!("a count in {}", name(tag)), n.to_string())),
            }
        };
        let side = |tag: Tag| match count(tag)? {
            Some(n @ 1..) if n <= i32::MAX as u64 => Ok(n as u32),
            Some(n) => Err(bad(format!("{} from 1 to {}", name(tag), i32::MAX), n.to_string())),
            None => Err(bad(name(tag), "none".to_owned())),
        };
        let frames = count(tags::NUMBER_OF_FRAMES)?.unwrap_or(1);
        let organization = text(tags::DIMENSION_ORGANIZATION_TYPE);
        if ![FULL, SPARSE, ""].contains(&organization.as_str()) {
            let hint = "TILED_FULL and TILED_SPARSE are read";
            let found = format!("frames organized as {organization}");
            return Err(SlideError::unsupported(source.path(), "the data set", found, hint));
        }
        if frames == 0 {
            return Err(bad("at least one frame".to_owned(), "0".to_owned()));
        }
        let placed = organization == SPARSE || (organization.is_empty() && !self.places.is_empty());
        if placed && self.places.len() as u64 != frames {
            return Err(bad(format!("positions of {frames} frames"), self.places.len().to_string()));
        }
        let power = text(tags::OBJECTIVE_LENS_POWER).parse().ok();
        Ok(Instance {
            transfer_syntax,
            big_endian: encoding == Encoding::ExplicitBig,
            uid: text(tags::SOP_INSTANCE_UID),
            frame_of_reference: text(tags::FRAME_OF_REFERENCE_UID),
            flavour: text(tags::IMAGE_TYPE).split('\\').nth(2).unwrap_or_default().trim().to_owned(),
            concatenation: text(tags::CONCATENATION_UID),
            part: count(tags::IN_CONCATENATION_NUMBER)?,
            parts: count(tags::IN_CONCATENATION_TOTAL_NUMBER)?,
            first_frame: count(tags::CONCATENATION_FRAME_OFFSET_NUMBER)?.unwrap_or(0),
            frames,
            tile: Size::new(side(tags::COLUMNS)?, side(tags::ROWS)?),
            size: Size::new(side(tags::TOTAL_PIXEL_MATRIX_COLUMNS)?, side(tags::TOTAL_PIXEL_MATRIX_ROWS)?),
            samples: count(tags::SAMPLES_PER_PIXEL)?,
            bits: (count(tags::BITS_ALLOCATED)?, count(tags::BITS_STORED)?),
            photometric: text(tags::PHOTOMETRIC_INTERPRETATION),
            planar: count(tags::PLANAR_CONFIGURATION)? == Some(1),
            organization,
            focal_planes: count(tags::TOTAL_PIXEL_MATRIX_FOCAL_PLANES)?.unwrap_or(1).max(1),
            optical_paths: count(tags::NUMBER_OF_OPTICAL_PATHS)?.unwrap_or(1).max(1),
            spacing: self.spacing,
            volume: (number(tags::IMAGED_VOLUME_WIDTH), number(tags::IMAGED_VOLUME_HEIGHT)),
            objective_power: power.filter(|p: &f64| p.is_finite() && *p > 0.0),
            places: self.places,
            paths: self.paths,
            pixels,
            extended_offsets: self.offsets,
            extended_lengths: self.lengths,
            source,
        })
    }
}
