//! Pyramids of pages and sub-images: plain TIFF, Aperio SVS.

use std::sync::Arc;

use scellst_types::Size;

use super::PagedSlide;
use super::page::{self, Page};
use super::pyramid::{self, Role};
use super::tags::{Directories, Directory};
use crate::reader::Reader;
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Format, Mpp, OpenOptions, SlideError, mpp};

pub(crate) fn open(
    source: Arc<Source>,
    directories: &Directories,
    format: Format,
    options: &OpenOptions,
) -> Result<(Box<dyn Reader>, About), SlideError> {
    let sizes = directories.pages.iter().map(|d| page::size(&source, d)).collect::<Result<Vec<_>, _>>()?;
    let description = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
    let roles = pyramid::roles(&directories.pages, &sizes, format);
    let mut associated = Vec::new();
    let mut levels = Vec::new();
    for ((directory, &size), role) in directories.pages.iter().zip(&sizes).zip(roles) {
        match role {
            Role::Level => levels.push(directory),
            Role::Associated(name) => associated.push((AssociatedImage { name, size }, directory.into())),
            Role::Other => log::debug!("{}: {} ignored", source.path().display(), directory.name),
        }
    }
    levels.sort_by_key(|d| std::cmp::Reverse(page::size(&source, d).map_or(0, Size::pixels)));
    let Some(&finest) = levels.first() else {
        return Err(SlideError::broken(source.path(), "directories", "an image", "none that is a slide's level"));
    };
    let pages = usable(levels.iter().map(|directory| Page::new(&source, directory, &options.limits)))?;
    let mut about = About {
        format,
        mpp: resolutions(format, &description, finest),
        objective_power: if format == Format::AperioSvs { mpp::aperio_power(&description) } else { None },
        associated: Vec::new(),
    };
    let slide = PagedSlide::new(source, options, pages, &mut about, associated);
    Ok((Box::new(slide), about))
}

/// The pages of a pyramid, the finest first, of which coarser ones may be of a kind that is not read.
pub(crate) fn usable(pages: impl Iterator<Item = Result<Page, SlideError>>) -> Result<Vec<Page>, SlideError> {
    let mut usable = Vec::new();
    for page in pages {
        match page {
            Ok(page) => usable.push(page),
            // The finest level serves as well, only slower.
            Err(e @ SlideError::Unsupported { .. }) if !usable.is_empty() => log::warn!("level left out: {e}"),
            Err(e) => return Err(e),
        }
    }
    Ok(usable)
}

/// All statements of the resolution, the most trusted first.
fn resolutions(format: Format, description: &str, finest: &Directory) -> Vec<Mpp> {
    let described = match format {
        Format::AperioSvs => mpp::from_aperio(description),
        _ => None,
    };
    described.into_iter().chain(finest.resolution()).collect()
}
