//! From the stored bytes of a tile or strip to 8-bit RGB.

pub(crate) mod jpeg;

use std::io::Read;
use std::path::Path;

use image::RgbImage;
use scellst_types::Size;

use crate::source::{Source, zeroed};
use crate::{Compression, SlideError};

/// The most that a byte of deflate can become: 258 bytes for two bits, and room for rounding.
pub(crate) const DEFLATE_MOST: u64 = 1040;
/// The most that a byte of LZW can become: a string as long as there are codes, for a code of 9 to 12 bits.
const LZW_MOST: u64 = 3640;

/// How the samples of an image are stored.
#[derive(Debug)]
pub(crate) struct Coding {
    pub(crate) compression: Compression,
    /// 3, or 4 with an alpha channel that is dropped.
    pub(crate) samples: usize,
    /// Whether rows hold differences from the pixel to the left.
    pub(crate) predictor: bool,
    /// Whether the image is said to be RGB (else YCbCr, of JPEG only).
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
    if coding.compression == Compression::Jpeg {
        let prefix = jpeg::prefix(coding);
        let bytes = source.read(&prefix, offset, len, place)?;
        let pixels = jpeg::decode_piece(bytes, &prefix, coding.rgb, (stored, needed));
        return pixels.map_err(|(expected, found)| SlideError::broken(path, place, expected, found));
    }
    let expected = stored.pixels() * coding.samples as u64;
    let bytes = source.read(&[], offset, len, place)?;
    let short = |found: usize| {
        let what = format!("{expected} bytes of pixels ({} compression)", coding.compression);
        SlideError::broken(path, place, what, format!("{found} bytes"))
    };
    let corrupt = |found: String| SlideError::broken(path, place, format!("{} data", coding.compression), found);
    // Nothing is allocated for what the bytes cannot hold.
    let most = match coding.compression {
        Compression::Deflate => DEFLATE_MOST,
        Compression::Lzw => LZW_MOST,
        Compression::None | Compression::Jpeg | Compression::Jpeg2000 | Compression::Rle => 1,
    };
    if expected / most > len {
        return Err(short(len as usize));
    }
    let mut samples = match coding.compression {
        Compression::None => {
            let mut bytes = bytes;
            if (bytes.len() as u64) < expected {
                return Err(short(bytes.len()));
            }
            bytes.truncate(expected as usize);
            bytes
        }
        Compression::Deflate => {
            let mut out = zeroed(path, place, expected)?;
            let n =
                fill(&mut flate2::read::ZlibDecoder::new(&bytes[..]), &mut out).map_err(|e| corrupt(e.to_string()))?;
            if n < out.len() {
                return Err(short(n));
            }
            out
        }
        Compression::Lzw => {
            let mut out = zeroed(path, place, expected)?;
            let n = lzw(&bytes, &mut out).map_err(corrupt)?;
            if n < out.len() {
                return Err(short(n));
            }
            out
        }
        // Decoded elsewhere.
        other @ (Compression::Jpeg | Compression::Jpeg2000 | Compression::Rle) => {
            return Err(corrupt(format!("{other} data")));
        }
    };
    if coding.predictor {
        undo_differences(&mut samples, stored.width as usize * coding.samples, coding.samples);
    }
    if coding.samples == 4 {
        drop_alpha(&mut samples);
    }
    rgb(path, place, stored, samples)
}

/// A white piece, for a tile that a sparse file leaves out.
pub(crate) fn white(path: &Path, place: &str, size: Size) -> Result<RgbImage, SlideError> {
    let mut pixels = zeroed(path, place, size.pixels() * 3)?;
    pixels.fill(255);
    rgb(path, place, size, pixels)
}

fn rgb(path: &Path, place: &str, size: Size, pixels: Vec<u8>) -> Result<RgbImage, SlideError> {
    let found = pixels.len();
    RgbImage::from_raw(size.width, size.height, pixels)
        .ok_or_else(|| SlideError::broken(path, place, format!("RGB pixels of {size}"), format!("{found} bytes")))
}

/// Reads until the buffer is full or the data ends; how much was read.
fn fill(from: &mut impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < out.len() {
        match from.read(&mut out[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// TIFF's LZW: most significant bit first, code size switched one code early. How much was written.
fn lzw(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&bytes[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status.map_err(|e| e.to_string())? {
            weezl::LzwStatus::Ok if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(written)
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

    #[test]
    fn lzw_stops_where_it_should() {
        let data: Vec<u8> = (0..4000_u32).map(|i| (i * i % 251) as u8).collect();
        let packed = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&data).unwrap();
        let mut out = vec![0; 4000];
        assert_eq!(lzw(&packed, &mut out), Ok(4000));
        assert_eq!(out, data);
        assert_eq!(lzw(&packed, &mut out[..100]), Ok(100));
        assert!(lzw(&packed[..50], &mut out).unwrap() < 4000);
        assert_eq!(lzw(&[], &mut out), Ok(0));
    }
}
