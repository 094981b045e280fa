//! From samples that are not interleaved RGB to 8-bit RGB.

use image::RgbImage;
use scellst_types::Size;

use super::rgb;
use crate::SlideError;
use crate::source::{Source, zeroed};

/// What the samples of a pixel mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Three channels (or YCbCr, which the codec turns into RGB).
    Rgb,
    /// One, 0 is black.
    Grey,
    /// One, 0 is white.
    GreyInverted,
    /// One, an index into 256 colours.
    Palette(Box<[[u8; 3]; 256]>),
}

impl Colour {
    /// A palette from TIFF's ColorMap: 256 reds, greens and blues of 16 bits, of which the higher 8 are
    /// kept; where all are below 256 the writer took them for 8 bits, and so they are.
    pub(crate) fn palette(map: &[u64]) -> Option<Self> {
        if map.len() != 3 * 256 || map.iter().any(|&v| v > 0xffff) {
            return None;
        }
        let shift = if map.iter().all(|&v| v < 256) { 0 } else { 8 };
        let mut colours = Box::new([[0; 3]; 256]);
        for (i, colour) in colours.iter_mut().enumerate() {
            *colour = [0, 1, 2].map(|c| (map[c * 256 + i] >> shift) as u8);
        }
        Some(Self::Palette(colours))
    }

    /// One sample a pixel as RGB: grey goes into all three channels.
    pub(crate) fn convert(
        &self,
        source: &Source,
        place: &str,
        size: Size,
        samples: &[u8],
    ) -> Result<RgbImage, SlideError> {
        let mut pixels = zeroed(source.path(), place, size.pixels() * 3)?;
        for (pixel, &v) in pixels.chunks_exact_mut(3).zip(samples) {
            pixel.copy_from_slice(&match self {
                Self::Rgb | Self::Grey => [v; 3],
                Self::GreyInverted => [255 - v; 3],
                Self::Palette(colours) => colours[usize::from(v)],
            });
        }
        rgb(source.path(), place, size, pixels)
    }
}

/// Three planes as RGB.
pub(crate) fn interleave(
    source: &Source,
    place: &str,
    size: Size,
    planes: &[Vec<u8>; 3],
) -> Result<RgbImage, SlideError> {
    let mut pixels = zeroed(source.path(), place, size.pixels() * 3)?;
    let [r, g, b] = planes;
    for (pixel, ((&r, &g), &b)) in pixels.chunks_exact_mut(3).zip(r.iter().zip(g).zip(b)) {
        pixel.copy_from_slice(&[r, g, b]);
    }
    rgb(source.path(), place, size, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palettes_of_16_and_of_8_bits() {
        let map: Vec<u64> = (0..768).map(|i| (i % 256) * 257).collect();
        let Some(Colour::Palette(colours)) = Colour::palette(&map) else { panic!() };
        assert!(colours.iter().enumerate().all(|(i, c)| *c == [i as u8; 3]));
        let map: Vec<u64> = (0..768).map(|i| if i < 256 { i } else { 7 }).collect();
        let Some(Colour::Palette(colours)) = Colour::palette(&map) else { panic!() };
        assert_eq!(colours[200], [200, 7, 7]);
        assert_eq!(Colour::palette(&map[1..]), None);
    }
}
