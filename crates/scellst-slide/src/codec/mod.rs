//! From the stored bytes of a tile or strip to 8-bit RGB.

pub(crate) mod colour;
pub(crate) mod jpeg;
pub(crate) mod jpeg2000;
mod lossless;
mod webp;

use std::path::Path;

use image::RgbImage;
use scellst_types::Size;

use self::jpeg2000::Components;
pub(crate) use self::lossless::DEFLATE_MOST;
#[cfg(feature = "dicom")]
pub(crate) use self::lossless::pack_bits;
use crate::source::{Source, zeroed};
use crate::{Compression, SlideError};

/// What was expected and what was found.
pub(crate) type Fault = (String, String);

/// How the samples of an image are stored.
#[derive(Debug)]
pub(crate) struct Coding {
    pub(crate) compression: Compression,
    /// 3, or 4 with an alpha channel that is dropped; 1 where a page has another
    /// [`Colour`](colour::Colour) or a plane a channel.
    pub(crate) samples: usize,
    /// Whether rows hold differences from the pixel to the left.
    pub(crate) predictor: bool,
    /// Whether the image is said to be RGB (else YCbCr, of JPEG and JPEG 2000 only).
    pub(crate) rgb: bool,
    /// The tables that all JPEG streams share, without their start and end markers.
    pub(crate) jpeg_tables: Vec<u8>,
}

/// Reads and decodes a piece.
///
/// `stored` is the size that the directory gives; `needed`, at most as large, is what must be there.
pub(crate) fn decode(
    source: &Source,
    (offset, len): (u64, u64),
    coding: &Coding,
    (stored, needed): (Size, Size),
    place: &str,
) -> Result<RgbImage, SlideError> {
    let path = source.path();
    if matches!(coding.compression, Compression::Jpeg2000 | Compression::WebP) {
        let bytes = source.read(&[], offset, len, place)?;
        return decode_picture(&bytes, coding, (stored, needed), 0)
            .map_err(|(expected, found)| SlideError::broken(path, place, expected, found));
    }
    if coding.compression == Compression::Jpeg {
        let prefix = jpeg::prefix(coding);
        let bytes = source.read(&prefix, offset, len, place)?;
        let pixels = jpeg::decode_piece(bytes, &prefix, coding.rgb, (stored, needed));
        return pixels.map_err(|(expected, found)| SlideError::broken(path, place, expected, found));
    }
    let mut samples = samples(source, (offset, len), coding, stored, place)?;
    if coding.samples == 4 {
        drop_alpha(&mut samples);
    }
    rgb(path, place, stored, samples)
}

/// The samples of a piece whose compression knows nothing of colours, as the file has them.
pub(crate) fn samples(
    source: &Source,
    (offset, len): (u64, u64),
    coding: &Coding,
    stored: Size,
    place: &str,
) -> Result<Vec<u8>, SlideError> {
    let path = source.path();
    let expected = stored.pixels() * coding.samples as u64;
    let mut bytes = source.read(&[], offset, len, place)?;
    let short = |found: usize| {
        let what = format!("{expected} bytes of pixels ({} compression)", coding.compression);
        SlideError::broken(path, place, what, format!("{found} bytes"))
    };
    let corrupt = |found: String| SlideError::broken(path, place, format!("{} data", coding.compression), found);
    if expected / lossless::most(coding.compression) > len {
        return Err(short(len as usize));
    }
    let mut samples = if coding.compression == Compression::None {
        if (bytes.len() as u64) < expected {
            return Err(short(bytes.len()));
        }
        bytes.truncate(expected as usize);
        bytes
    } else {
        let mut out = zeroed(path, place, expected)?;
        let n = lossless::unpack(coding.compression, &mut bytes, &mut out).map_err(corrupt)?;
        if n < out.len() {
            return Err(short(n));
        }
        out
    };
    if coding.predictor {
        undo_differences(&mut samples, stored.width as usize * coding.samples, coding.samples);
    }
    Ok(samples)
}

/// Reads and decodes a piece `halvings` times shrunk by two (each side rounded up), for less work than
/// decoding it whole; `None` where its codec cannot.
pub(crate) fn decode_reduced(
    source: &Source,
    (offset, len): (u64, u64),
    coding: &Coding,
    size: Size,
    halvings: u32,
    place: &str,
) -> Option<Result<RgbImage, SlideError>> {
    let path = source.path();
    (coding.compression == Compression::Jpeg2000 && halvings > jpeg2000::BY_MEANS).then(|| {
        let bytes = source.read(&[], offset, len, place)?;
        decode_picture(&bytes, coding, (size, size), halvings)
            .map_err(|(expected, found)| SlideError::broken(path, place, expected, found))
    })
}

/// A stream that makes its pixels RGB by itself.
fn decode_picture(bytes: &[u8], coding: &Coding, sizes: (Size, Size), halvings: u32) -> Result<RgbImage, Fault> {
    if coding.compression == Compression::WebP {
        return webp::decode_piece(bytes, sizes);
    }
    let components = if coding.rgb { Components::Rgb } else { Components::YCbCr };
    jpeg2000::decode_piece(bytes, components, sizes, halvings)
}

/// A white piece, for a tile that a sparse file leaves out.
pub(crate) fn white(path: &Path, place: &str, size: Size) -> Result<RgbImage, SlideError> {
    let mut pixels = zeroed(path, place, size.pixels() * 3)?;
    pixels.fill(255);
    rgb(path, place, size, pixels)
}

pub(crate) fn rgb(path: &Path, place: &str, size: Size, pixels: Vec<u8>) -> Result<RgbImage, SlideError> {
    let found = pixels.len();
    RgbImage::from_raw(size.width, size.height, pixels)
        .ok_or_else(|| SlideError::broken(path, place, format!("RGB pixels of {size}"), format!("{found} bytes")))
}

/// Undoes predictor 2: every sample is stored as its difference from the pixel to the left.
fn undo_differences(samples: &mut [u8], row: usize, step: usize) {
    for row in samples.chunks_exact_mut(row) {
        for i in step..row.len() {
            row[i] = row[i].wrapping_add(row[i - step]);
        }
    }
}

/// RGBA to RGB in place.
pub(crate) fn drop_alpha(samples: &mut Vec<u8>) {
    let pixels = samples.len() / 4;
    for i in 0..pixels {
        samples.copy_within(i * 4..i * 4 + 3, i * 3);
    }
    samples.truncate(pixels * 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_alpha() {
        let mut row = vec![10, 20, 30, 1, 255, 2, 0, 0, 0, 5, 5, 5];
        undo_differences(&mut row, 6, 3);
        assert_eq!(row, [10, 20, 30, 11, 19, 32, 0, 0, 0, 5, 5, 5]);
        let mut rgba = vec![1, 2, 3, 4, 5, 6, 7, 8];
        drop_alpha(&mut rgba);
        assert_eq!(rgba, [1, 2, 3, 5, 6, 7]);
    }
}
