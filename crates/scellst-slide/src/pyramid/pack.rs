//! From the pixels of a row of tiles to the stored bytes of one.
//!
//! Measured on one core of a shared machine by its CPU time, tiles of 256 px of two sections
//! (`hest/wsis/C2.tif`, soft; `wsi/cmu-1-small-region.svs`, sharp), million pixels a second, bytes a pixel,
//! and for JPEG (quality 85) the mean difference from the pixels of 255:
//!
//! | encoder | C2 | CMU |
//! |---|---|---|
//! | JPEG, chroma whole: ours (`jpeg.rs`) | 195, 0.080, 0.20 | 150, 0.246, 1.55 |
//! | the crate `jpeg-encoder` with AVX2 | 97, 0.083, 0.20 | 85, 0.248, 1.55 |
//! | the crate `image` | 45, 0.082, 0.21 | 38, 0.247, 1.56 |
//! | libjpeg-turbo (C) | 300, 0.083, 0.20 | 256, 0.248, 1.55 |
//! | JPEG, chroma halved: ours | 220, 0.062, 0.23 | 185, 0.160, 3.24 |
//! | `jpeg-encoder` with AVX2 | 173, 0.064, 0.25 | 144, 0.170, 3.40 |
//! | libjpeg-turbo (C) | 510, 0.064, 0.22 | 440, 0.161, 3.24 |
//! | deflate by zlib-rs, level 1 | 145, 0.61 | 75, 1.39 |
//! | level 4 (taken) | 71, 0.41 | 35, 1.09 |
//! | level 6 | 49, 0.41 | 31, 1.08 |
//! | by miniz_oxide, level 6 | 23, 0.41 | 15, 1.09 |
//! | by libdeflate (C), level 6 | 44, 0.41 | 36, 1.09 |
//! | LZW by weezl | 26, 0.50 | 26, 1.44 |
//!
//! Whole chroma at quality 75 takes less room on CMU than halved chroma at 90 (0.190 and 0.203 bytes a
//! pixel) and is nearer (2.3 and 3.2): colour is what tells nuclei from their surroundings.

use std::io::{self, Write};

use super::jpeg::JpegEncoder;
use super::{PyramidCompression, PyramidOptions};

/// zlib's level; see the table above.
const DEFLATE_LEVEL: u32 = 4;

/// Packs tiles.
#[derive(Debug)]
pub(crate) struct Packer {
    side: u32,
    /// `None` packs without loss.
    jpeg: Option<JpegEncoder>,
}

impl Packer {
    pub(crate) fn new(options: &PyramidOptions) -> Self {
        let jpeg = match options.compression {
            PyramidCompression::Jpeg { quality } => Some(JpegEncoder::new(quality, options.chroma)),
            PyramidCompression::Deflate => None,
        };
        Self { side: options.tile, jpeg }
    }

    /// The tag JPEGTables; empty where there is no such tag.
    pub(crate) fn jpeg_tables(&self) -> &[u8] {
        self.jpeg.as_ref().map_or(&[], JpegEncoder::tables)
    }

    /// Packs the tile whose left edge is at `left` of a row of tiles `width` px wide.
    pub(crate) fn pack(&self, rows: &[u8], width: u32, left: u32) -> io::Result<Vec<u8>> {
        let mut pixels = cut(rows, width, left, self.side);
        match &self.jpeg {
            Some(jpeg) => {
                // The byte more that it asks for.
                pixels.push(0);
                Ok(jpeg.encode(&pixels, self.side as usize))
            }
            None => {
                differences(&mut pixels, self.side as usize * 3);
                deflate(&pixels)
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
    let mut out = Vec::with_capacity(side * tile as usize + 1);
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
}
