//! TIFF and its dialects.

mod dialect;
mod generic;
mod leica;
mod ndpi;
mod ome;
mod page;
mod philips;
mod pyramid;
mod tags;
mod ventana;
mod xml;

#[cfg(feature = "dicom")]
pub(crate) use self::pyramid::same_shape;

use std::sync::Arc;

use image::RgbImage;

use self::dialect::Dialect;
use self::page::Page;
use self::tags::Directory;
use crate::codec::jpeg;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Limits, OpenOptions, SlideError};

/// Opens a TIFF of whatever dialect.
pub(crate) fn open(source: Arc<Source>, options: &OpenOptions) -> Result<(Box<dyn Reader>, About), SlideError> {
    // Before the others: its offsets have 64 bits where theirs have 32.
    if let Some(first) = ndpi::recognise(&source)? {
        return ndpi::open(source, first, options);
    }
    let directories = tags::read(&source, &options.limits)?;
    match dialect::of(&directories) {
        Dialect::Generic(format) => generic::open(source, &directories, format, options),
        Dialect::Ome => ome::open(source, &directories, options),
        Dialect::Philips => philips::open(source, &directories, options),
        Dialect::Leica => leica::open(source, &directories, options),
        Dialect::Ventana => ventana::open(source, &directories, options),
        Dialect::Trestle => Err(SlideError::unsupported(
            source.path(),
            "the file",
            "a Trestle slide (MedScan), whose tiles overlap",
            "read it through OpenSlide (the feature `openslide`), or convert it, for example with \
             `vips tiffsave --tile --pyramid --bigtiff`",
        )),
    }
}

/// A pyramid whose levels are pages of tiles or strips: what most dialects come to.
struct PagedSlide {
    source: Arc<Source>,
    limits: Limits,
    pages: Vec<Page>,
    levels: Vec<LevelInfo>,
    /// In the order of [`About::associated`]. Understood when they are read: a strange label must not
    /// keep a slide from being opened.
    associated: Vec<Picture>,
    channels: Vec<String>,
}

/// Where the pixels of an associated image are.
enum Picture {
    Directory(Box<Directory>),
    /// Red, green and blue apart.
    Planes(Box<[Directory; 3]>),
    /// A whole JPEG stream out of the XML.
    Jpeg(Vec<u8>),
}

impl From<&Directory> for Picture {
    fn from(directory: &Directory) -> Self {
        Self::Directory(Box::new(directory.clone()))
    }
}

impl Picture {
    fn decode(&self, source: &Source, limits: &Limits) -> Result<RgbImage, SlideError> {
        match self {
            Self::Directory(directory) => Page::new(source, directory, limits)?.whole(source, limits),
            Self::Planes(planes) => {
                let [r, g, b] = &**planes;
                Page::of_planes(source, [r, g, b], limits)?.whole(source, limits)
            }
            Self::Jpeg(bytes) => {
                let broken = |(expected, found): (String, String)| {
                    SlideError::broken(source.path(), "XML, associated image", expected, found)
                };
                let size = jpeg::header(bytes).map_err(broken)?.size;
                let (needed, limit) = (size.pixels().saturating_mul(3), limits.max_image_bytes);
                if needed > limit {
                    let place = format!("XML, associated image of {size} px");
                    let hint = "raise Limits::max_image_bytes";
                    return Err(SlideError::over_limit(source.path(), place, "bytes", (needed, limit), hint));
                }
                jpeg::decode(bytes, size).map_err(broken)
            }
        }
    }
}

impl PagedSlide {
    /// `pages`: the levels, the finest first; at least one.
    fn new(
        source: Arc<Source>,
        options: &OpenOptions,
        pages: Vec<Page>,
        about: &mut About,
        associated: Vec<(AssociatedImage, Picture)>,
    ) -> Self {
        let levels = pages
            .iter()
            .map(|page| LevelInfo {
                size: page.size,
                piece: page.piece,
                tile: page.tiled.then_some(page.piece),
                compression: page.coding.compression,
            })
            .collect();
        let associated = keep_associated(about, options, associated);
        Self { source, limits: options.limits.clone(), pages, levels, associated, channels: Vec::new() }
    }
}

/// Puts the associated images that the caller may see into `about`; their pictures in the same order.
fn keep_associated(
    about: &mut About,
    options: &OpenOptions,
    associated: Vec<(AssociatedImage, Picture)>,
) -> Vec<Picture> {
    let kept = associated.into_iter().filter(|(image, _)| !options.without_label || image.is_free_of_label());
    let (images, pictures) = kept.unzip();
    about.associated = images;
    pictures
}

impl Reader for PagedSlide {
    fn levels(&self) -> &[LevelInfo] {
        &self.levels
    }

    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let page = self
            .pages
            .get(level)
            .ok_or_else(|| SlideError::misuse("level", format!("below {}", self.pages.len()), level.to_string()))?;
        page.decode(&self.source, index)
    }

    fn reduced(&self, level: usize, index: u64, halvings: u32) -> Option<Result<RgbImage, SlideError>> {
        self.pages.get(level)?.reduced(&self.source, index, halvings)
    }

    fn is_blank(&self, level: usize, index: u64) -> bool {
        self.pages.get(level).is_some_and(|page| page.is_blank(index))
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        picture(&self.associated, index)?.decode(&self.source, &self.limits)
    }

    fn channels(&self) -> &[String] {
        &self.channels
    }
}

fn picture(pictures: &[Picture], index: usize) -> Result<&Picture, SlideError> {
    pictures
        .get(index)
        .ok_or_else(|| SlideError::misuse("associated image", format!("below {}", pictures.len()), index.to_string()))
}
