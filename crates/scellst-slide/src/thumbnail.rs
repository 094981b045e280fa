//! The whole slide as one small picture.

use image::RgbImage;
use rayon::prelude::*;
use scellst_types::Size;

use crate::resample::{Window, resample};
use crate::shrink::shrunk_tile;
use crate::source::zeroed;
use crate::{Level, Slide, SlideError};

/// Bytes of decoded tiles that are in memory at once, as far as one tile is not more.
const IN_FLIGHT: u64 = 1 << 26;

/// See [`Slide::thumbnail`].
///
/// Two steps: every tile is shrunk by a power of two that divides the tile (a mean over squares, or
/// what a JPEG 2000 stream holds of that size),
/// as far as possible without going below the wanted size; then the whole is resampled.
pub(crate) fn thumbnail(slide: &Slide, max_side: u32) -> Result<(RgbImage, f64), SlideError> {
    if max_side == 0 {
        return Err(SlideError::misuse("max_side", "at least 1 px", "0"));
    }
    let size = slide.size();
    let downsample = (f64::from(size.width.max(size.height)) / f64::from(max_side)).max(1.0);
    let side = |n: u32| (f64::from(n) / downsample).round().max(1.0) as u32;
    let out = Size::new(side(size.width), side(size.height));
    let level = slide.level_for_downsample(downsample);
    let small = shrunk(slide, &level, downsample / level.downsample())?;
    // The last column and row of the shrunk picture may stand for fewer pixels than the others.
    let window = Window {
        x0: 0.0,
        y0: 0.0,
        x1: f64::from(level.size().width) / f64::from(small.factor),
        y1: f64::from(level.size().height) / f64::from(small.factor),
    };
    Ok((resample(&small.image, window, out), downsample))
}

struct Shrunk {
    image: RgbImage,
    /// Pixels of the level along one side of a pixel.
    factor: u32,
}

/// The level shrunk by the largest power of two up to `at_most` that its tiles can be divided by.
fn shrunk(slide: &Slide, level: &Level<'_>, at_most: f64) -> Result<Shrunk, SlideError> {
    let mut tile = level.step();
    let divides = |factor: u32| tile.width.is_multiple_of(factor) && tile.height.is_multiple_of(factor);
    // Bands of strips may be cut anywhere: strips that two of them share are decoded twice.
    let bands = level.tile_size().is_none() && tile.width >= level.size().width;
    let fits = |factor: u32| if bands { factor <= tile.height } else { divides(factor) };
    let mut factor = 1_u32;
    while factor < 1024 && f64::from(factor * 2) <= at_most && fits(factor * 2) {
        factor *= 2;
    }
    if bands && tile.height < level.size().height {
        tile.height = tile.height / factor * factor;
    }
    let size = Size::new(level.size().width.div_ceil(factor), level.size().height.div_ceil(factor));
    let (bytes, limit) = (size.pixels().saturating_mul(3), slide.limits().max_image_bytes);
    let place = format!("level {}, picture of {size} px", level.index());
    if bytes > limit {
        let hint = "raise Limits::max_image_bytes";
        return Err(SlideError::over_limit(slide.path(), place, "bytes", (bytes, limit), hint));
    }
    let mut pixels = zeroed(slide.path(), &place, bytes)?;
    let stride = size.width as usize * 3;
    let mut bands: Vec<(u32, &mut [u8])> =
        (0..).zip(pixels.chunks_mut(tile.height.div_ceil(factor) as usize * stride)).collect();
    // A band has one tile in memory at a time, however many threads there are.
    let at_once = (IN_FLIGHT / (tile.pixels() * 3)).max(1) as usize;
    for bands in bands.chunks_mut(at_once) {
        bands.par_iter_mut().try_for_each(|(row, band)| {
            band.fill(255);
            for tile in level.row_of(tile, *row).filter(|tile| !level.is_blank(tile)) {
                let small = shrunk_tile(slide, level, &tile, factor)?;
                let left = tile.x() as usize / factor as usize * 3;
                let width = small.width() as usize * 3;
                for (line, out) in small.as_raw().chunks_exact(width).zip(band.chunks_exact_mut(stride)) {
                    out[left..left + width].copy_from_slice(line);
                }
            }
            Ok(())
        })?;
    }
    let image = RgbImage::from_raw(size.width, size.height, pixels)
        .ok_or_else(|| SlideError::misuse("thumbnail", "a buffer of its size", place))?;
    Ok(Shrunk { image, factor })
}
