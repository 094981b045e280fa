//! Hamamatsu NDPI: one JPEG stream a level, however large, that is read by its restart markers.

mod directory;
mod grid;
mod header;
mod level;
mod restarts;

use std::sync::Arc;

use image::RgbImage;

use self::directory::{LENS, Page, Z_OFFSET};
use self::level::Level;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::Source;
use crate::tiff::page;
use crate::{AssociatedImage, Compression, Format, Limits, OpenOptions, SlideError};

pub(super) use self::directory::recognise;

/// A slide of one focal plane.
struct Ndpi {
    source: Arc<Source>,
    limits: Limits,
    images: Vec<Level>,
    levels: Vec<LevelInfo>,
    /// In the order of [`About::associated`]. Understood when they are read.
    associated: Vec<Page>,
}

/// Opens an NDPI whose first directory is at an offset. Of several focal planes the one in the
/// middle is read.
pub(super) fn open(
    source: Arc<Source>,
    first: u64,
    options: &OpenOptions,
) -> Result<(Box<dyn Reader>, About), SlideError> {
    let mut planes = Vec::new();
    let mut about = About { format: Format::Ndpi, mpp: Vec::new(), objective_power: None, associated: Vec::new() };
    let mut associated = Vec::new();
    for page in directory::read(&source, first, &options.limits)? {
        let name = &page.directory.name;
        match page.directory.real(LENS) {
            Some(lens) if lens > 0.0 && lens.is_finite() => planes.push(page),
            Some(-1.0) => {
                let image = AssociatedImage { name: "macro".to_owned(), size: page::size(&source, &page.directory)? };
                if !options.without_label || image.is_free_of_label() {
                    about.associated.push(image);
                    associated.push(page);
                }
            }
            // -2 is a grey map of what was scanned.
            lens => log::debug!("{}: {name} ignored (lens {lens:?})", source.path().display()),
        }
    }
    let pages = middle_plane(planes);
    let mut images: Vec<Level> = Vec::new();
    // The finest first.
    for page in &pages {
        match Level::new(&source, page, &options.limits) {
            Ok(level) if images.last().is_some_and(|last| last.size.pixels() <= level.size.pixels()) => {
                log::warn!(
                    "{}: {} left out: not smaller than the one before",
                    source.path().display(),
                    page.directory.name
                );
            }
            Ok(level) => images.push(level),
            // The finest level serves as well, only slower.
            Err(e @ SlideError::Unsupported { .. }) if !images.is_empty() => log::warn!("level left out: {e}"),
            Err(e) => return Err(e),
        }
    }
    let Some(finest) = pages.first() else {
        let expected = "an image with an objective (tag 65421)";
        return Err(SlideError::broken(source.path(), "directories", expected, "none"));
    };
    about.mpp.extend(finest.directory.resolution());
    about.objective_power = finest.directory.real(LENS);
    let levels = images.iter().map(info).collect();
    Ok((Box::new(Ndpi { source, limits: options.limits.clone(), images, levels, associated }), about))
}

/// The pages of the focal plane that is nearest to 0, the largest first.
fn middle_plane(mut pages: Vec<Page>) -> Vec<Page> {
    let distance = |page: &Page| page.directory.real(Z_OFFSET).map_or(0.0, f64::abs);
    let nearest = pages.iter().map(distance).fold(f64::INFINITY, f64::min);
    pages.retain(|page| distance(page) <= nearest);
    let pixels = |page: &Page| {
        let side = |tag| page.directory.first(tag).unwrap_or(0);
        u128::from(side(256)) * u128::from(side(257))
    };
    pages.sort_by_key(|page| std::cmp::Reverse(pixels(page)));
    pages
}

/// Pieces stand for tiles: they are what is cheapest to read one by one.
fn info(level: &Level) -> LevelInfo {
    LevelInfo { size: level.size, piece: level.piece, tile: Some(level.piece), compression: Compression::Jpeg }
}

impl Reader for Ndpi {
    fn levels(&self) -> &[LevelInfo] {
        &self.levels
    }

    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let image = self
            .images
            .get(level)
            .ok_or_else(|| SlideError::misuse("level", format!("below {}", self.images.len()), level.to_string()))?;
        image.piece(&self.source, index)
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        let page = self.associated.get(index).ok_or_else(|| {
            SlideError::misuse("associated image", format!("below {}", self.associated.len()), index.to_string())
        })?;
        Level::read_whole(&self.source, page, &self.limits)
    }
}
