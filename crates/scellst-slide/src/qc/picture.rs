//! A picture of what was found.

use image::{Rgb, RgbImage};
use scellst_types::{Level0, Point};

use super::{QcFlag, SlideQc};
use crate::{Slide, SlideError, TissueMask};

const OUTLINE: Rgb<u8> = Rgb([0, 160, 60]);

impl QcFlag {
    /// Its colour in [`SlideQc::picture`]: blurred orange, pen cyan, fold yellow.
    pub fn colour(self) -> [u8; 3] {
        match self {
            Self::Blurred => [255, 120, 0],
            Self::Pen => [0, 200, 255],
            Self::Fold => [255, 230, 0],
        }
    }
}

impl SlideQc {
    /// The slide with what was found: the outline of the tissue green, flagged parts tinted and outlined in
    /// [`QcFlag::colour`]. The longer side has at most `max_side` pixels.
    ///
    /// # Errors
    /// As [`Slide::thumbnail`].
    pub fn picture(&self, slide: &Slide, max_side: u32) -> Result<RgbImage, SlideError> {
        let (mut image, downsample) = slide.thumbnail(max_side)?;
        outline(&mut image, downsample, self.tissue(), OUTLINE);
        for flag in QcFlag::ALL {
            let (mask, colour) = (self.mask(flag), flag.colour());
            for (x, y, pixel) in image.enumerate_pixels_mut() {
                if mask.contains(place(i64::from(x), i64::from(y), downsample)) {
                    for (value, tint) in pixel.0.iter_mut().zip(colour) {
                        *value = ((u16::from(*value) * 2 + u16::from(tint)) / 3) as u8;
                    }
                }
            }
            outline(&mut image, downsample, mask, Rgb(colour));
        }
        Ok(image)
    }
}

/// Level-0 place of a pixel's centre.
fn place(x: i64, y: i64, downsample: f64) -> Point<Level0> {
    Point::new((x as f64 + 0.5) * downsample, (y as f64 + 0.5) * downsample)
}

/// Marks the pixels of the mask of which one within two pixels is not in it.
fn outline(image: &mut RgbImage, downsample: f64, mask: &TissueMask, colour: Rgb<u8>) {
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (i64::from(x), i64::from(y));
        let inside = |dx: i64, dy: i64| mask.contains(place(x + dx, y + dy, downsample));
        if inside(0, 0) && [(-2, 0), (2, 0), (0, -2), (0, 2)].iter().any(|&(dx, dy)| !inside(dx, dy)) {
            *pixel = colour;
        }
    }
}
