//! DICOM whole-slide images: the levels of a slide are instances (files) of one series.
//!
//! By PS3.3, A.32.8 and C.8.12 (the image), C.7.6.17 (tiles), and PS3.5, A.4 (frames in items).

mod dataset;
mod folder;
mod frames;
mod instance;
mod syntax;
mod tiles;

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use scellst_types::Size;

use self::instance::Instance;
use self::tiles::TiledImage;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::tiff::same_shape;
use crate::whole::whole;
use crate::{AssociatedImage, Format, Limits, Mpp, MppSource, OpenOptions, SlideError, mpp};

/// Opens the slide that a file is an instance of, or whose instances lie in a folder.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<(Box<dyn Reader>, About), SlideError> {
    let limits = &options.limits;
    let mut levels: Vec<Vec<Instance>> = Vec::new();
    let mut associated = Vec::new();
    for instances in images(folder::instances(path, limits)?) {
        let name = match instances[0].flavour.as_str() {
            "VOLUME" => {
                levels.push(instances);
                continue;
            }
            "THUMBNAIL" => "thumbnail",
            "LABEL" => "label",
            // As it was called before 2010.
            "OVERVIEW" | "LOCALIZER" => "macro",
            other => {
                log::debug!("{}: an image of type {other} ignored", instances[0].source.path().display());
                continue;
            }
        };
        let image = AssociatedImage { name: name.to_owned(), size: instances[0].size };
        if options.without_label && !image.is_free_of_label() {
            continue;
        }
        associated.push((image, instances));
    }
    let levels = pyramid(path, levels)?;
    let finest = &levels[0][0];
    let (images, associated) = associated.into_iter().unzip();
    let about = About {
        format: Format::Dicom,
        mpp: resolutions(finest),
        objective_power: finest.objective_power,
        associated: images,
    };
    let mut tiled = Vec::new();
    for (i, instances) in levels.iter().enumerate() {
        match TiledImage::new(instances, limits) {
            Ok(image) => tiled.push(image),
            // The finest level serves as well, only slower.
            Err(e @ SlideError::Unsupported { .. }) if i > 0 => log::warn!("level left out: {e}"),
            Err(e) => return Err(e),
        }
    }
    let infos = tiled.iter().map(|image| image.info.clone()).collect();
    let slide = DicomSlide { limits: limits.clone(), infos, levels: tiled, associated };
    Ok((Box::new(slide), about))
}

/// Instances put together to images: the parts of a concatenation are one, in their order.
fn images(instances: Vec<Instance>) -> Vec<Vec<Instance>> {
    let mut images: Vec<Vec<Instance>> = Vec::new();
    for instance in instances {
        let same = |image: &&mut Vec<Instance>| {
            !instance.concatenation.is_empty() && image[0].concatenation == instance.concatenation
        };
        match images.iter_mut().find(same) {
            Some(image) => image.push(instance),
            None => images.push(vec![instance]),
        }
    }
    for image in &mut images {
        image.sort_by_key(|instance| instance.part);
    }
    images
}

/// The levels, the finest first: of different sizes, one shape and one frame of reference.
fn pyramid(path: &Path, mut levels: Vec<Vec<Instance>>) -> Result<Vec<Vec<Instance>>, SlideError> {
    levels.sort_by_key(|image| std::cmp::Reverse((image[0].size.pixels(), image[0].size.width)));
    let Some(finest) = levels.first().map(|image| &image[0]) else {
        let expected = "an instance whose Image Type has VOLUME";
        return Err(SlideError::broken(path, "the series", expected, "none (is a file missing?)"));
    };
    let full = finest.size;
    for pair in levels.windows(2) {
        let (larger, image) = (&pair[0][0], &pair[1][0]);
        let found = if image.size == larger.size {
            format!("the size of {}: focal planes or stains apart", larger.source.path().display())
        } else if image.frame_of_reference != finest.frame_of_reference {
            format!("another frame of reference than that of {}", finest.source.path().display())
        } else if !same_shape(full, image.size) {
            format!("another shape than that of {}, {full} px", finest.source.path().display())
        } else {
            continue;
        };
        let place = format!("level of {} px", image.size);
        let hint = "leave the instances of one image only in the folder";
        return Err(SlideError::unsupported(image.source.path(), place, found, hint));
    }
    Ok(levels)
}

/// What an instance says of its resolution: the distance of pixels, and the size of the whole.
fn resolutions(instance: &Instance) -> Vec<Mpp> {
    let spacing = instance.spacing.and_then(|(x, y)| mpp::plausible(x * 1e3, y * 1e3, MppSource::Dicom));
    let Size { width, height } = instance.size;
    let volume = match instance.volume {
        (Some(x), Some(y)) => {
            mpp::plausible(x * 1e3 / f64::from(width), y * 1e3 / f64::from(height), MppSource::DicomVolume)
        }
        _ => None,
    };
    spacing.into_iter().chain(volume).collect()
}

/// A slide of which each level is an image of tiles.
struct DicomSlide {
    limits: Limits,
    infos: Vec<LevelInfo>,
    levels: Vec<TiledImage>,
    /// In the order of [`About::associated`]. Understood when they are read: a strange label must not
    /// keep a slide from being opened.
    associated: Vec<Vec<Instance>>,
}

impl Reader for DicomSlide {
    fn levels(&self) -> &[LevelInfo] {
        &self.infos
    }

    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let image = self
            .levels
            .get(level)
            .ok_or_else(|| SlideError::misuse("level", format!("below {}", self.levels.len()), level.to_string()))?;
        image.decode(index)
    }

    fn reduced(&self, level: usize, index: u64, halvings: u32) -> Option<Result<RgbImage, SlideError>> {
        self.levels.get(level)?.reduced(index, halvings)
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        let instances = self.associated.get(index).ok_or_else(|| {
            SlideError::misuse("associated image", format!("below {}", self.associated.len()), index.to_string())
        })?;
        let image = TiledImage::new(instances, &self.limits)?;
        let path = instances[0].source.path();
        whole(path, "the image", (image.info.size, image.info.piece), &self.limits, |tile| image.decode(tile))
    }
}
