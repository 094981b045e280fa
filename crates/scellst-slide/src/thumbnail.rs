//! The whole slide as one small picture.

use image::RgbImage;
use rayon::prelude::*;
use scellst_types::Size;

use crate::resample::{Window, resample};
use crate::shrink::shrunk_tile;
use crate::source::zeroed;
use crate::{Level, LevelRegion, Slide, SlideError};

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
    let tile = level.info.step();
    let divides = |factor: u32| tile.width.is_multiple_of(factor) && tile.height.is_multiple_of(factor);
    // A single column of tiles begins at 0 whatever its width.
    let single = tile.width >= level.size().width;
    let mut factor = 1_u32;
    while factor < 1024
        && f64::from(factor * 2) <= at_most
        && (divides(factor * 2) || (single && tile.height.is_multiple_of(factor * 2)))
    {
        factor *= 2;
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
    let rows_of_tiles = level.tiles().chunk_by(|a, b| a.y() == b.y()).map(<[_]>::to_vec).collect::<Vec<_>>();
    let bands: Vec<(Vec<LevelRegion>, &mut [u8])> = {
        let band_bytes = (tile.height / factor) as usize * stride;
        rows_of_tiles.into_iter().zip(pixels.chunks_mut(band_bytes)).collect()
    };
    bands.into_par_iter().try_for_each(|(tiles, band)| {
        for tile in tiles {
            let small = shrunk_tile(slide, level, &tile, factor)?;
            let left = tile.x() as usize / factor as usize * 3;
            let width = small.width() as usize * 3;
            for (line, out) in small.as_raw().chunks_exact(width).zip(band.chunks_exact_mut(stride)) {
                out[left..left + width].copy_from_slice(line);
            }
        }
        Ok(())
    })?;
    let image = RgbImage::from_raw(size.width, size.height, pixels)
        .ok_or_else(|| SlideError::misuse("thumbnail", "a buffer of its size", place))?;
    Ok(Shrunk { image, factor })
}
