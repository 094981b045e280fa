//! From the pixels of a row of tiles to the stored bytes of one.
//!
//! Measured on one core of a shared machine, tiles of 256 px of two sections (`hest/wsis/C2.tif`, soft;
//! `wsi/cmu-1-small-region.svs`, sharp), million pixels a second, bytes a pixel, and for JPEG (quality
//! 85) the mean difference from the pixels of 255:
//!
//! | encoder | C2 | CMU |
//! |---|---|---|
//! | `image`'s JPEG, chroma whole | 45, 0.082, 0.21 | 38, 0.247, 1.56 |
//! | `jpeg-encoder`, chroma whole (taken) | 104, 0.083, 0.20 | 89, 0.248, 1.55 |
//! | `jpeg-encoder`, chroma halved (on request) | 185, 0.064, 0.25 | 159, 0.170, 3.40 |
//! | libjpeg-turbo (C), chroma whole | 314, 0.083, 0.20 | 258, 0.248, 1.55 |
//! | libjpeg-turbo (C), chroma halved | 540, 0.064, 0.22 | 449, 0.161, 3.24 |
//! | deflate by zlib-rs, level 1 | 145, 0.61 | 75, 1.39 |
//! | deflate by zlib-rs, level 4 (taken) | 71, 0.41 | 35, 1.09 |
//! | deflate by zlib-rs, level 6 | 49, 0.41 | 31, 1.08 |
//! | deflate by miniz_oxide, level 6 | 23, 0.41 | 15, 1.09 |
//! | deflate by libdeflate (C), level 6 | 44, 0.41 | 36, 1.09 |
//! | LZW by weezl | 26, 0.50 | 26, 1.44 |
//!
//! Whole chroma at quality 75 takes less room on CMU than halved chroma at 90 (0.190 and 0.203 bytes a
//! pixel) and is nearer (2.3 and 3.2): colour is what tells nuclei from their surroundings.

use std::io::{self, Write};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::{Chroma, PyramidCompression, PyramidOptions};

/// zlib's level; see the table above.
const DEFLATE_LEVEL: u32 = 4;

/// Packs tiles, all with the same tables.
#[derive(Debug)]
pub(crate) struct Packer {
    side: u32,
    compression: PyramidCompression,
    chroma: Chroma,
    /// Of JPEG: the quantisation and Huffman tables, as the TIFF tag JPEGTables has them.
    tables: Vec<u8>,
}

impl Packer {
    pub(crate) fn new(options: &PyramidOptions) -> io::Result<Self> {
        let (side, compression, chroma) = (options.tile, options.compression, options.chroma);
        let tables = match compression {
            PyramidCompression::Jpeg { quality } => {
                let stream = jpeg(&[0; 16 * 16 * 3], 16, quality, chroma)?;
                let (tables, _) = tables_apart(&stream).ok_or_else(strange_stream)?;
                tables
            }
            PyramidCompression::Deflate => Vec::new(),
        };
        Ok(Self { side, compression, chroma, tables })
    }

    /// The tag JPEGTables; empty where there is no such tag.
    pub(crate) fn jpeg_tables(&self) -> &[u8] {
        &self.tables
    }

    /// Packs the tile whose left edge is at `left` of a row of tiles `width` px wide.
    pub(crate) fn pack(&self, rows: &[u8], width: u32, left: u32) -> io::Result<Vec<u8>> {
        let mut pixels = cut(rows, width, left, self.side);
        match self.compression {
            PyramidCompression::Deflate => {
                differences(&mut pixels, self.side as usize * 3);
                deflate(&pixels)
            }
            PyramidCompression::Jpeg { quality } => {
                let stream = jpeg(&pixels, self.side, quality, self.chroma)?;
                let (tables, rest) = tables_apart(&stream).ok_or_else(strange_stream)?;
                // The same for every tile of a quality; a stream with tables of its own would stay valid.
                Ok(if tables == self.tables { rest } else { stream })
            }
        }
    }
}

/// An RGB image as one strip: deflate over horizontal differences.
pub(crate) fn lossless(pixels: &[u8], width: u32) -> io::Result<Vec<u8>> {
    let mut pixels = pixels.to_vec();
    differences(&mut pixels, width as usize * 3);
    deflate(&pixels)
}

/// A tile out of a row of tiles, the picture's edge repeated where the tile reaches beyond.
fn cut(rows: &[u8], width: u32, left: u32, tile: u32) -> Vec<u8> {
    let left = left as usize * 3;
    let side = tile as usize * 3;
    let mut out = Vec::with_capacity(side * tile as usize);
    for line in rows.chunks_exact(width as usize * 3) {
        let part = &line[left..line.len().min(left + side)];
        out.extend_from_slice(part);
        let last = [part[part.len() - 3], part[part.len() - 2], part[part.len() - 1]];
        for _ in 0..(side - part.len()) / 3 {
            out.extend_from_slice(&last);
        }
    }
    while out.len() < side * tile as usize {
        out.extend_from_within(out.len() - side..);
    }
    out
}

/// TIFF's predictor 2: every sample as its difference from the pixel to the left.
fn differences(pixels: &mut [u8], stride: usize) {
    for line in pixels.chunks_exact_mut(stride) {
        for i in (3..line.len()).rev() {
            line[i] = line[i].wrapping_sub(line[i - 3]);
        }
    }
}

fn deflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(DEFLATE_LEVEL));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn jpeg(pixels: &[u8], side: u32, quality: u8, chroma: Chroma) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(match chroma {
        Chroma::Full => SamplingFactor::F_1_1,
        Chroma::Halved => SamplingFactor::F_2_2,
    });
    // Tiles have at most 4096 px a side.
    encoder.encode(pixels, side as u16, side as u16, ColorType::Rgb).map_err(io::Error::other)?;
    Ok(bytes)
}

fn strange_stream() -> io::Error {
    io::Error::other("the JPEG encoder gave a stream that is not understood")
}

/// A JPEG stream as its tables (a stream of their own) and the rest, which is no JFIF file any longer:
/// what it is says the TIFF.
fn tables_apart(stream: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const START: [u8; 2] = [0xff, 0xd8];
    const END: [u8; 2] = [0xff, 0xd9];
    let (mut tables, mut rest) = (START.to_vec(), START.to_vec());
    let mut at = stream.strip_prefix(&START)?;
    loop {
        let &[0xff, marker, high, low, ..] = at else { return None };
        let (segment, next) = at.split_at_checked(2 + usize::from(u16::from_be_bytes([high, low])))?;
        match marker {
            0xdb | 0xc4 => tables.extend(segment), // quantisation, Huffman
            0xe0 => {}                             // JFIF
            0xda => break,                         // the scan, to the end
            _ => rest.extend(segment),
        }
        at = next;
    }
    rest.extend(at);
    tables.extend(END);
    Some((tables, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_repeated() {
        let rows: Vec<u8> = (0..2 * 5 * 3).collect();
        let tile = cut(&rows, 5, 4, 3);
        assert_eq!(tile, [[12, 13, 14].repeat(3), [27, 28, 29].repeat(3), [27, 28, 29].repeat(3)].concat());
        assert_eq!(cut(&rows, 5, 1, 2), [&rows[3..9], &rows[18..24]].concat());
    }

    #[test]
    fn every_tile_has_the_same_tables() {
        let noise: Vec<u8> = (0..64 * 64 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for chroma in [Chroma::Full, Chroma::Halved] {
            for quality in [1, 50, 100] {
                let compression = PyramidCompression::Jpeg { quality };
                let options = PyramidOptions { tile: 64, compression, chroma, ..PyramidOptions::default() };
                let packer = Packer::new(&options).unwrap();
                let packed = packer.pack(&noise, 64, 0).unwrap();
                assert!(!packed.windows(2).any(|w| w == [0xff, 0xdb]), "tables in a tile");
                assert!(packer.jpeg_tables().len() > 100);
            }
        }
    }
}
