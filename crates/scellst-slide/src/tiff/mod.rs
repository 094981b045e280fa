//! TIFF and its dialects.

mod dialect;
mod generic;
mod page;
mod pyramid;
mod tags;

#[cfg(feature = "dicom")]
pub(crate) use self::pyramid::same_shape;

use std::sync::Arc;

use image::RgbImage;

use self::dialect::Dialect;
use self::page::Page;
use self::tags::Directory;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Limits, OpenOptions, SlideError};

/// Opens a TIFF of whatever dialect.
pub(crate) fn open(source: Arc<Source>, options: &OpenOptions) -> Result<(Box<dyn Reader>, About), SlideError> {
    let directories = tags::read(&source, &options.limits)?;
    match dialect::of(&directories) {
        Dialect::Generic(format) => generic::open(source, &directories, format, options),
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
    associated: Vec<Directory>,
}

impl PagedSlide {
    /// `pages`: the levels, the finest first; at least one.
    fn new(
        source: Arc<Source>,
        options: &OpenOptions,
        pages: Vec<Page>,
        about: &mut About,
        associated: Vec<(AssociatedImage, Directory)>,
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
        let kept = associated.into_iter().filter(|(image, _)| !options.without_label || image.is_free_of_label());
        let (images, associated) = kept.unzip();
        about.associated = images;
        Self { source, limits: options.limits.clone(), pages, levels, associated }
    }
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

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        let directory = self.associated.get(index).ok_or_else(|| {
            SlideError::misuse("associated image", format!("below {}", self.associated.len()), index.to_string())
        })?;
        Page::new(&self.source, directory, &self.limits)?.whole(&self.source, &self.limits)
    }
}
