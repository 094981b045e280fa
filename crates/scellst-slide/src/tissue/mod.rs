//! Tissue against glass.

mod glass;
pub(crate) mod ground;
mod otsu;
pub(crate) mod patches;

use std::ops::Range;

use image::RgbImage;
use scellst_types::{Level0, MicronsPerPixel, Point, Rect, Size};
use serde::{Deserialize, Serialize};

use self::ground::{Ground, count, is_grey};
pub use self::otsu::otsu;
use crate::{Slide, SlideError};

/// What counts as tissue, in micrometres and optical densities.
///
/// The defaults hold for bright-field H&E whatever the tint of the glass; they are no fit for fluorescence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TissueConfig {
    /// Pixels of the mask, um: small enough for a biopsy, large enough that array dots and nuclei do not show.
    pub pixel_um: f64,
    /// Least optical density above that of the glass around (natural logarithm, green channel).
    pub min_above_glass: f32,
    /// Greatest optical density above that of the glass that the threshold may ask for. It holds where a picture
    /// is all tissue and Otsu's method would split stroma from nuclei.
    pub max_above_glass: f32,
    /// What varies less from one pixel of the mask to the next is smooth: glass, smears, what lies out of focus
    /// (standard deviation of the optical density, green channel, over 3 x 3 pixels). On the sections of
    /// HER2ST, 99 of 100 pixels of glass are below 0.013 and 99 of 100 of tissue above 0.054.
    pub min_texture: f32,
    /// Smaller islands are dust, um2 (at most a fiftieth of the picture, so that small pictures keep theirs).
    pub min_area_um2: f64,
    /// Smaller gaps belong to the tissue, um2.
    pub max_hole_um2: f64,
}

impl Default for TissueConfig {
    fn default() -> Self {
        Self {
            pixel_um: 12.0,
            min_above_glass: 0.08,
            max_above_glass: 0.20,
            min_texture: 0.03,
            min_area_um2: 20_000.0,
            max_hole_um2: 40_000.0,
        }
    }
}

/// The most pixels of a mask of a slide: a larger slide gets larger ones.
const MOST_PIXELS: f64 = 8e6;

/// Where on a slide there is tissue and not glass.
///
/// The measure is the optical density of the green channel, `-ln(g / 255)`, which both haematoxylin and eosin
/// absorb, averaged over the pixels of the mask. It counts from the density of the glass around, which is the median
/// of what is smooth and light in blocks of half a millimetre, bridged where there is tissue: a tint of the glass, a
/// smear of eosin and uneven light therefore stay glass. The threshold is Otsu's (1979,
/// doi 10.1109/TSMC.1979.4310076), kept within limits; half of it is enough where the picture is as uneven as only
/// tissue is (texture as a sign of tissue: Bug et al. 2015, "Foreground extraction for histopathological whole slide
/// imaging", doi 10.1007/978-3-662-46224-9_72). Smooth grey is no tissue (dust out of focus), nor are grey patches
/// (dust, rims of bubbles), unless all of the picture is grey. Small islands go, small gaps are filled.
#[derive(Debug, Clone, PartialEq)]
pub struct TissueMask {
    mask: Vec<bool>,
    size: Size,
    /// Level-0 pixels of a pixel of the mask, along x and y.
    step: (f64, f64),
    threshold: f32,
    white: Option<[u8; 3]>,
}

impl TissueMask {
    /// From a picture of the whole slide.
    ///
    /// `downsample` is the number of level-0 pixels to a pixel of the picture, `mpp` the micrometres of a *level-0*
    /// pixel. Best at 8 to 16 um per pixel of the picture; a finer one is averaged to [`TissueConfig::pixel_um`].
    pub fn from_thumbnail(thumbnail: &RgbImage, downsample: f64, mpp: MicronsPerPixel, config: &TissueConfig) -> Self {
        Self::from_ground(&Ground::of(thumbnail, downsample, mpp, config), config)
    }

    /// Of a slide, through a thumbnail of it.
    ///
    /// # Errors
    /// [`SlideError::NoMpp`] if the slide has no resolution, and what reading it finds wrong.
    pub fn of_slide(slide: &Slide, config: &TissueConfig) -> Result<Self, SlideError> {
        Ok(Self::from_ground(&Self::ground(slide, config)?, config))
    }

    pub(crate) fn ground(slide: &Slide, config: &TissueConfig) -> Result<Ground, SlideError> {
        let mpp = slide.require_mpp()?;
        let (width, height) = (f64::from(slide.size().width), f64::from(slide.size().height));
        let pixel_um = config.pixel_um.max((width * height / MOST_PIXELS).sqrt() * mpp.mean());
        let side = (width.max(height) * mpp.mean() / pixel_um).ceil().clamp(64.0, 65_536.0) as u32;
        let (thumbnail, downsample) = slide.thumbnail(side)?;
        Ok(Ground::of(&thumbnail, downsample, mpp, config))
    }

    pub(crate) fn from_ground(ground: &Ground, config: &TissueConfig) -> Self {
        let above = ground.otsu().min(config.max_above_glass).max(config.min_above_glass);
        let textured_above = (config.min_above_glass + above) / 2.0;
        let green = &ground.planes[1];
        let dense = |at: &usize| green[*at] > above;
        let coloured = !is_grey(ground.mean((0..green.len()).filter(dense)));
        let mut mask: Vec<bool> = (0..green.len())
            .map(|at| {
                if ground.texture[at] >= config.min_texture {
                    green[at] > textured_above
                } else {
                    dense(&at) && !(coloured && is_grey(ground.at(at)))
                }
            })
            .collect();
        // At most a fiftieth of the picture, so that small pictures keep theirs.
        let least = |um2: f64| ground.pixels(um2).min(mask.len().div_ceil(50));
        let (island, hole) = (least(config.min_area_um2), least(config.max_hole_um2));
        let size = ground.size;
        patches::flip(&mut mask, size, true, |patch| {
            patch.len() < island || (coloured && is_grey(ground.mean(patch.iter().copied())))
        });
        patches::flip(&mut mask, size, false, |patch| patch.len() < hole);
        let step = (ground.step, ground.step);
        Self { mask, size, step, threshold: ground.glass + above, white: ground.white }
    }

    /// The same place and pixels with another mask.
    pub(crate) fn with_mask(&self, mask: Vec<bool>) -> Self {
        Self { mask, ..*self }
    }

    /// Whether a place is on tissue; places outside of the slide are not.
    pub fn contains(&self, p: Point<Level0>) -> bool {
        let (x, y) = (p.x / self.step.0, p.y / self.step.1);
        // A NaN fails the comparison.
        if !(x >= 0.0 && y >= 0.0 && x < f64::from(self.size.width) && y < f64::from(self.size.height)) {
            return false;
        }
        self.at(x as usize, y as usize)
    }

    /// Whether any tissue lies in a rectangle.
    pub fn touches(&self, rect: &Rect<Level0>) -> bool {
        let columns = covered(rect.min().x, rect.max().x, self.step.0, self.size.width);
        let rows = covered(rect.min().y, rect.max().y, self.step.1, self.size.height);
        rows.into_iter().any(|y| columns.clone().any(|x| self.at(x, y)))
    }

    /// The mask grown by (about) a distance, in level-0 pixels: square neighbourhoods, whole pixels of the mask.
    pub fn dilated(&self, distance: f64) -> Self {
        let (w, h) = (self.size.width as usize, self.size.height as usize);
        let grow = |n: f64| (distance / n).ceil().clamp(0.0, 1e6) as usize;
        let (rx, ry) = (grow(self.step.0), grow(self.step.1));
        let mut wide = vec![false; w * h];
        for y in 0..h {
            for x in 0..w {
                let from = x.saturating_sub(rx);
                wide[y * w + x] = (from..(x + rx + 1).min(w)).any(|i| self.mask[y * w + i]);
            }
        }
        let mut mask = vec![false; w * h];
        for y in 0..h {
            let from = y.saturating_sub(ry);
            for x in 0..w {
                mask[y * w + x] = (from..(y + ry + 1).min(h)).any(|j| wide[j * w + x]);
            }
        }
        self.with_mask(mask)
    }

    /// The share of the slide that is tissue, 0 to 1.
    pub fn area_share(&self) -> f64 {
        count(&self.mask) as f64 / self.mask.len().max(1) as f64
    }

    /// Columns and rows of the mask.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Level-0 pixels of one pixel of the mask, along x and y.
    pub fn step(&self) -> (f64, f64) {
        self.step
    }

    /// The mask in row order, [`TissueMask::size`] pixels.
    pub fn as_slice(&self) -> &[bool] {
        &self.mask
    }

    /// The optical density above which a smooth pixel counted as tissue over the lightest glass of the picture.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Colour of the glass, 8-bit RGB: the white point that methods of stain separation ask for. The median of what
    /// is smooth and light, blank parts that were not scanned left out; `None` where the picture shows no glass.
    pub fn glass_colour(&self) -> Option<[u8; 3]> {
        self.white
    }

    fn at(&self, x: usize, y: usize) -> bool {
        self.mask[y * self.size.width as usize + x]
    }
}

fn covered(from: f64, to: f64, step: f64, n: u32) -> Range<usize> {
    let n = f64::from(n);
    (from / step).floor().clamp(0.0, n) as usize..(to / step).ceil().clamp(0.0, n) as usize
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    const GLASS: Rgb<u8> = Rgb([236, 220, 233]);
    const DOT: Rgb<u8> = Rgb([222, 206, 222]);
    const SMEAR: Rgb<u8> = Rgb([250, 200, 225]);
    const TISSUE: Rgb<u8> = Rgb([150, 110, 160]);

    /// Tinted glass with the dots of an array, a pink smear, one section with a small gap, and dust.
    fn section() -> RgbImage {
        RgbImage::from_fn(300, 300, |x, y| {
            let inside = |x0: u32, y0: u32, w: u32, h: u32| (x0..x0 + w).contains(&x) && (y0..y0 + h).contains(&y);
            if inside(130, 130, 5, 5) {
                GLASS
            } else if inside(100, 100, 80, 60) || inside(20, 20, 2, 2) {
                TISSUE
            } else if inside(200, 50, 60, 200) {
                SMEAR
            } else if x % 16 < 8 && y % 16 < 8 {
                DOT
            } else {
                GLASS
            }
        })
    }

    fn mask(image: &RgbImage) -> TissueMask {
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        TissueMask::from_thumbnail(image, 24.0, mpp, &TissueConfig::default())
    }

    #[test]
    fn tinted_glass_dots_smears_and_dust_are_no_tissue() {
        let m = mask(&section());
        assert_eq!(m.size(), Size::new(300, 300));
        let at = |x: f64, y: f64| m.contains(Point::new((x + 0.5) * 24.0, (y + 0.5) * 24.0));
        assert!(at(100.0, 100.0) && at(179.0, 159.0) && at(132.0, 132.0));
        assert!(!at(99.0, 120.0) && !at(20.0, 20.0) && !at(230.0, 100.0) && !at(1.0, 1.0));
        assert!((m.area_share() - 80.0 * 60.0 / 90_000.0).abs() < 1e-9);
        assert!(!m.contains(Point::new(f64::NAN, 1.0)) && !m.contains(Point::new(-1.0, 1.0)));
    }

    #[test]
    fn rectangles_and_growing() {
        let m = mask(&section());
        let rect = |x: f64, y: f64, side: f64| {
            Rect::centred(Point::new((x + 0.5) * 24.0, (y + 0.5) * 24.0), side * 24.0).unwrap()
        };
        assert!(m.touches(&rect(97.0, 120.0, 8.0)) && !m.touches(&rect(94.0, 120.0, 8.0)));
        assert!(!m.touches(&Rect::centred(Point::new(-500.0, -500.0), 10.0).unwrap()));
        let wide = m.dilated(3.0 * 24.0);
        assert!((wide.area_share() - 86.0 * 66.0 / 90_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_picture_all_of_tissue_and_one_all_of_glass() {
        let stripes = RgbImage::from_fn(80, 80, |x, _| if x % 8 < 3 { Rgb([70, 60, 120]) } else { TISSUE });
        assert!(mask(&stripes).area_share() > 0.99);
        let glass = RgbImage::from_fn(80, 80, |x, y| if x % 16 < 8 && y % 16 < 8 { DOT } else { GLASS });
        assert_eq!(mask(&glass).area_share(), 0.0);
        assert_eq!(mask(&RgbImage::new(0, 0)).area_share(), 0.0);
    }
}
