//! A small image as a whole, put together from the pieces that it is stored in.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use scellst_types::Size;

use crate::{Limits, SlideError, codec};

/// Reads all pieces of an image, in row order, into one picture. `piece` is their size; `name` for
/// messages.
pub(crate) fn whole(
    path: &Path,
    name: &str,
    (size, piece): (Size, Size),
    limits: &Limits,
    decode: impl Fn(u64) -> Result<Arc<RgbImage>, SlideError>,
) -> Result<RgbImage, SlideError> {
    let (bytes, limit) = (size.pixels().saturating_mul(3), limits.max_image_bytes);
    if bytes > limit {
        let hint = "raise Limits::max_image_bytes";
        return Err(SlideError::over_limit(path, format!("{name}, image of {size} px"), "bytes", (bytes, limit), hint));
    }
    let mut image = codec::white(path, name, size)?;
    let mut index = 0;
    for top in (0..size.height).step_by(piece.height as usize) {
        for left in (0..size.width).step_by(piece.width as usize) {
            let pixels = decode(index)?;
            index += 1;
            let (width, height) = (pixels.width().min(size.width - left), pixels.height().min(size.height - top));
            let part = image::imageops::crop_imm(&*pixels, 0, 0, width, height);
            image::imageops::replace(&mut image, &*part, i64::from(left), i64::from(top));
        }
    }
    Ok(image)
}
