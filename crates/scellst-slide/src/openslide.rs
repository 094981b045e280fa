//! Slides that the system's OpenSlide library reads (feature `openslide`).
//!
//! Pixels are the library's: on a level whose downsampling is no whole number it mixes neighbouring
//! pixels, by up to half a level-0 pixel (C2.tif, level 1, 2.0002: 1.8 of 255 on average in tissue).

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use openslide_rs::errors::OpenSlideError;
use openslide_rs::{Address, OpenSlide, Region};
use scellst_types::Size;

use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::zeroed;
use crate::{AssociatedImage, Compression, Format, Limits, MppSource, OpenOptions, SlideError, mpp};

/// Side of a piece where the library does not name a tile's size, or an unusual one, px.
const PIECE: u32 = 512;

/// The names that OpenSlide has for vendors.
const VENDORS: [&str; 12] = [
    "aperio",
    "dicom",
    "generic-tiff",
    "hamamatsu",
    "leica",
    "mirax",
    "philips",
    "sakura",
    "synthetic",
    "trestle",
    "ventana",
    "zeiss",
];

/// A slide behind the library. It may be read by many threads; once it has failed, it fails for ever.
struct LibrarySlide {
    slide: OpenSlide,
    path: std::path::PathBuf,
    limits: Limits,
    levels: Vec<LevelInfo>,
    /// In the order of [`About::associated`].
    associated: Vec<AssociatedImage>,
}

/// Opens a slide by the library; [`SlideError::Unsupported`] where it does not know it either.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<(Box<dyn Reader>, About), SlideError> {
    let fault = |e: OpenSlideError| fault(path, "opening", e);
    let slide = OpenSlide::new(path).map_err(fault)?;
    let count = u64::from(slide.level_count());
    if count == 0 || count > u64::from(options.limits.max_directories) {
        let expected = format!("1 to {} levels", options.limits.max_directories);
        return Err(SlideError::broken(path, "the file, by OpenSlide", expected, count.to_string()));
    }
    let levels = (0..slide.level_count())
        .map(|level| level_info(path, &slide, level))
        .collect::<Result<Vec<LevelInfo>, SlideError>>()?;

    let mut associated = Vec::new();
    for name in slide.associated_image_names().map_err(fault)? {
        let size = slide.associated_image_dimensions(&name).map_err(fault)?;
        let image = AssociatedImage { name, size: Size::new(size.w, size.h) };
        if !options.without_label || image.is_free_of_label() {
            associated.push(image);
        }
    }

    // As text: the binding's own numbers have single precision.
    let text = |name: &str| slide.property_value(name).ok();
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
    let vendor = text("openslide.vendor").unwrap_or_default();
    let said = number("openslide.mpp-x").zip(number("openslide.mpp-y"));
    // Before version 4 the library leaves a plain TIFF's tags to be worked out.
    let unit = match text("tiff.ResolutionUnit").as_deref() {
        Some("inch") => 2,
        Some("centimeter") => 3,
        _ => 1,
    };
    let tags = number("tiff.XResolution").zip(number("tiff.YResolution"));
    let mpp = [
        said.and_then(|(x, y)| mpp::plausible(x, y, MppSource::OpenSlide)),
        tags.and_then(|(x, y)| mpp::from_tags(x, y, unit)),
    ];
    let about = About {
        format: Format::OpenSlide(VENDORS.into_iter().find(|v| *v == vendor).unwrap_or("another vendor")),
        mpp: mpp.into_iter().flatten().collect(),
        objective_power: number("openslide.objective-power"),
        associated: associated.clone(),
    };
    let reader = LibrarySlide { slide, path: path.to_owned(), limits: options.limits.clone(), levels, associated };
    Ok((Box::new(reader), about))
}

fn level_info(path: &Path, slide: &OpenSlide, level: u32) -> Result<LevelInfo, SlideError> {
    let size = slide.level_dimensions(level).map_err(|e| fault(path, "opening", e))?;
    let size = Size::new(size.w, size.h);
    if size.pixels() == 0 {
        let place = format!("level {level}, by OpenSlide");
        return Err(SlideError::broken(path, place, "at least 1 x 1 px", size.to_string()));
    }
    let side = |axis: &str| {
        let value = slide.property_value(&format!("openslide.level[{level}].tile-{axis}")).ok()?;
        value.parse::<u32>().ok().filter(|n| (64..=2048).contains(n))
    };
    let tile = side("width").zip(side("height")).map(|(width, height)| Size::new(width, height));
    let piece = tile.unwrap_or(Size::new(PIECE, PIECE));
    Ok(LevelInfo { size, piece, tile: Some(piece), compression: Compression::Unknown })
}

/// Premultiplied ARGB words in the machine's byte order, laid on white.
fn on_white(path: &Path, place: &str, size: Size, words: &[u8]) -> Result<RgbImage, SlideError> {
    let mut pixels = zeroed(path, place, size.pixels() * 3)?;
    for (pixel, word) in pixels.chunks_exact_mut(3).zip(words.chunks_exact(4)) {
        let [alpha, red, green, blue] = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]).to_be_bytes();
        let white = 255 - alpha;
        pixel.copy_from_slice(&[red.saturating_add(white), green.saturating_add(white), blue.saturating_add(white)]);
    }
    let found = pixels.len();
    RgbImage::from_raw(size.width, size.height, pixels)
        .ok_or_else(|| SlideError::broken(path, place, format!("RGB pixels of {size}"), format!("{found} bytes")))
}

fn fault(path: &Path, doing: &str, error: OpenSlideError) -> SlideError {
    let place = format!("{doing} by OpenSlide");
    match error {
        OpenSlideError::UnsupportedFile(_) => SlideError::unsupported(
            path,
            place,
            "a file that the OpenSlide library does not know",
            "convert it to a pyramidal TIFF with the maker's software, Bio-Formats or vips",
        ),
        OpenSlideError::OutOfMemory { bytes } => {
            let hint = "there is not that much memory: read smaller regions";
            SlideError::over_limit(path, place, "bytes", (bytes as u64, isize::MAX as u64), hint)
        }
        other => SlideError::broken(path, place, "a slide that it can read", other.to_string()),
    }
}

impl Reader for LibrarySlide {
    fn levels(&self) -> &[LevelInfo] {
        &self.levels
    }

    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let info = self
            .levels
            .get(level)
            .ok_or_else(|| SlideError::misuse("level", format!("below {}", self.levels.len()), level.to_string()))?;
        let across = u64::from(info.across());
        let down = u64::from(info.size.height.div_ceil(info.piece.height));
        if index >= across * down {
            return Err(SlideError::misuse("tile", format!("below {}", across * down), index.to_string()));
        }
        let (left, top) = ((index % across) as u32 * info.piece.width, (index / across) as u32 * info.piece.height);
        let size =
            Size::new(info.piece.width.min(info.size.width - left), info.piece.height.min(info.size.height - top));
        let number = level as u32;
        let place = format!("level {level}, tile {index}");
        let fault = |e: OpenSlideError| fault(&self.path, &place, e);
        // The library wants level-0 pixels and divides them by its own downsampling: where that is no
        // whole number, the nearest level-0 pixel is up to half of one off.
        let scale = self.slide.level_downsample(number).map_err(fault)?;
        let address = |n: u32| (f64::from(n) * scale).round() as u32;
        let region = Region {
            address: Address { x: address(left), y: address(top) },
            level: number,
            size: openslide_rs::Size { w: size.width, h: size.height },
        };
        let words = self.slide.read_region(&region).map_err(fault)?;
        on_white(&self.path, &place, size, &words).map(Arc::new)
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        let image = self.associated.get(index).ok_or_else(|| {
            SlideError::misuse("associated image", format!("below {}", self.associated.len()), index.to_string())
        })?;
        let place = format!("associated image {}", image.name);
        let (bytes, limit) = (image.size.pixels().saturating_mul(4), self.limits.max_image_bytes);
        if bytes > limit {
            let hint = "raise Limits::max_image_bytes";
            return Err(SlideError::over_limit(&self.path, place, "bytes", (bytes, limit), hint));
        }
        let (size, words) = self.slide.read_associated_buffer(&image.name).map_err(|e| fault(&self.path, &place, e))?;
        on_white(&self.path, &place, Size::new(size.w, size.h), &words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transparent_is_white() {
        let words: Vec<u8> = [0xff0a_141e_u32, 0, 0x8080_0000].iter().flat_map(|w| w.to_ne_bytes()).collect();
        let image = on_white(Path::new("x"), "here", Size::new(3, 1), &words).unwrap();
        assert_eq!(*image.as_raw(), [10, 20, 30, 255, 255, 255, 255, 127, 127]);
    }
}
