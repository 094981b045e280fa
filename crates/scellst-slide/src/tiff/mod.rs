//! Pyramidal TIFF and its dialects.

mod page;
mod pyramid;
mod tags;

use std::sync::Arc;

use image::RgbImage;
use scellst_types::Size;

use self::page::Page;
use self::pyramid::Role;
use self::tags::Directory;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Format, Limits, Mpp, SlideError, mpp};

/// An open TIFF.
pub(crate) struct TiffSlide {
    source: Arc<Source>,
    pages: Vec<Page>,
    levels: Vec<LevelInfo>,
}

impl TiffSlide {
    pub(crate) fn open(source: Arc<Source>, limits: &Limits) -> Result<(Self, About), SlideError> {
        let directories = tags::read(&source, limits)?;
        let sizes = directories.pages.iter().map(|d| page::size(&source, d)).collect::<Result<Vec<_>, _>>()?;
        let first = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
        let format = if first.starts_with("Aperio") {
            Format::AperioSvs
        } else if first.contains("<OME") {
            Format::OmeTiff
        } else if directories.big {
            Format::BigTiff
        } else {
            Format::Tiff
        };
        let roles = pyramid::roles(&directories.pages, &sizes, format);
        let mut associated = Vec::new();
        let mut levels = Vec::new();
        for ((directory, &size), role) in directories.pages.iter().zip(&sizes).zip(&roles) {
            match role {
                Role::Level => levels.push(directory),
                Role::Associated(name) => associated.push(AssociatedImage { name: name.clone(), size }),
                Role::Other => log::debug!("{}: {} ignored", source.path().display(), directory.name),
            }
        }
        levels.sort_by_key(|d| std::cmp::Reverse(page::size(&source, d).map_or(0, Size::pixels)));
        let Some(&finest) = levels.first() else {
            return Err(SlideError::broken(source.path(), "directories", "an image", "none that is a slide's level"));
        };
        let mut pages = vec![Page::new(&source, finest, limits)?];
        for directory in levels.iter().skip(1) {
            match Page::new(&source, directory, limits) {
                Ok(page) => pages.push(page),
                // The finest level serves as well, only slower.
                Err(e @ SlideError::Unsupported { .. }) => log::warn!("level left out: {e}"),
                Err(e) => return Err(e),
            }
        }
        let about = About {
            format,
            mpp: resolution(format, &first, finest),
            objective_power: if format == Format::AperioSvs { mpp::aperio_power(&first) } else { None },
            associated,
        };
        let levels = pages
            .iter()
            .map(|page| LevelInfo {
                size: page.size,
                piece: page.piece,
                tile: page.tiled.then_some(page.piece),
                compression: page.coding.compression,
            })
            .collect();
        Ok((Self { source, pages, levels }, about))
    }
}

/// The most trusted statement of the resolution.
fn resolution(format: Format, description: &str, finest: &Directory) -> Option<Mpp> {
    let described = match format {
        Format::AperioSvs => mpp::from_aperio(description),
        Format::OmeTiff => mpp::from_ome(description),
        _ => None,
    };
    // Without a unit, TIFF means inches.
    let tags = || mpp::from_tags(finest.real(282)?, finest.real(283)?, finest.first(296).unwrap_or(2));
    described.or_else(tags)
}

impl Reader for TiffSlide {
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
}
