use std::ops::Range;

use image::RgbImage;
use scellst_types::{Level0, MicronsPerPixel, Point, Rect, Size};
use serde::{Deserialize, Serialize};

use crate::{Slide, SlideError};

/// What counts as tissue, in micrometres and optical densities.
///
/// The defaults hold for bright-field H&E whatever the tint of the glass; they are no fit for fluorescence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TissueConfig {
    /// Pixels of the mask, um: small enough for a biopsy, large enough that array dots and nuclei do not show.
    pub pixel_um: f64,
    /// Least optical density above that of the glass (natural logarithm, green channel).
    pub min_above_glass: f32,
    /// Greatest optical density above that of the glass that the threshold may ask for. It holds where a picture
    /// is all tissue and Otsu's method would split stroma from nuclei.
    pub max_above_glass: f32,
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
            min_area_um2: 20_000.0,
            max_hole_um2: 40_000.0,
        }
    }
}

/// Where on a slide there is tissue and not glass.
///
/// The measure is the optical density of the green channel, `-ln(g / 255)`, which both haematoxylin and eosin
/// absorb, averaged over the pixels of the mask; the threshold is Otsu's (1979, doi 10.1109/TSMC.1979.4310076),
/// kept within limits above the glass's own density, which is the lightest twentieth of the picture. A tint of the
/// glass, a smear of eosin and the printed dots of an array therefore stay glass. Small islands go, small gaps
/// are filled.
#[derive(Debug, Clone, PartialEq)]
pub struct TissueMask {
    mask: Vec<bool>,
    size: Size,
    /// Level-0 pixels of a pixel of the mask, along x and y.
    step: (f64, f64),
    threshold: f32,
}

impl TissueMask {
    /// From a picture of the whole slide.
    ///
    /// `downsample` is the number of level-0 pixels to a pixel of the picture, `mpp` the micrometres of a *level-0*
    /// pixel. Best at 8 to 16 um per pixel of the picture; a finer one is averaged to [`TissueConfig::pixel_um`].
    pub fn from_thumbnail(thumbnail: &RgbImage, downsample: f64, mpp: MicronsPerPixel, config: &TissueConfig) -> Self {
        let pixel_um = mpp.mean() * downsample;
        let bin = (config.pixel_um / pixel_um).round().clamp(1.0, 1e6) as u32;
        let (density, size) = green_density(thumbnail, bin);
        let threshold = threshold(&density, config);
        let mut mask: Vec<bool> = density.iter().map(|&d| d > threshold).collect();
        let area = (pixel_um * f64::from(bin)).powi(2);
        let picture = area * mask.len() as f64;
        let island = (config.min_area_um2.min(picture / 50.0) / area).ceil() as usize;
        let hole = (config.max_hole_um2.min(picture / 50.0) / area).ceil() as usize;
        flip_small(&mut mask, size, true, island);
        flip_small(&mut mask, size, false, hole);
        let step = downsample * f64::from(bin);
        Self { mask, size, step: (step, step), threshold }
    }

    /// Of a slide, through a thumbnail of it.
    ///
    /// # Errors
    /// [`SlideError::NoMpp`] if the slide has no resolution, and what reading it finds wrong.
    pub fn of_slide(slide: &Slide, config: &TissueConfig) -> Result<Self, SlideError> {
        let mpp = slide.require_mpp()?;
        let longest = f64::from(slide.size().width.max(slide.size().height)) * mpp.mean();
        let side = (longest / config.pixel_um).ceil().clamp(64.0, 8192.0) as u32;
        let (thumbnail, downsample) = slide.thumbnail(side)?;
        Ok(Self::from_thumbnail(&thumbnail, downsample, mpp, config))
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
        Self { mask, ..self.clone() }
    }

    /// The share of the slide that is tissue, 0 to 1.
    pub fn area_share(&self) -> f64 {
        let inside = self.mask.iter().filter(|&&m| m).count();
        inside as f64 / self.mask.len().max(1) as f64
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

    /// The optical density above which a pixel counted as tissue.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    fn at(&self, x: usize, y: usize) -> bool {
        self.mask[y * self.size.width as usize + x]
    }
}

fn covered(from: f64, to: f64, step: f64, n: u32) -> Range<usize> {
    let n = f64::from(n);
    (from / step).floor().clamp(0.0, n) as usize..(to / step).ceil().clamp(0.0, n) as usize
}

/// Mean optical density of the green channel over squares of `bin` pixels (narrower at the far edges).
fn green_density(image: &RgbImage, bin: u32) -> (Vec<f32>, Size) {
    let lut: Vec<f32> = (0..256).map(|v| -((v.max(1) as f32) / 255.0).ln()).collect();
    let size = Size::new(image.width().div_ceil(bin), image.height().div_ceil(bin));
    let (w, n) = (size.width as usize, size.pixels() as usize);
    let (mut sum, mut count) = (vec![0.0f32; n], vec![0u32; n]);
    for (x, y, pixel) in image.enumerate_pixels() {
        let at = (y / bin) as usize * w + (x / bin) as usize;
        sum[at] += lut[usize::from(pixel[1])];
        count[at] += 1;
    }
    for (s, &c) in sum.iter_mut().zip(&count) {
        *s /= c.max(1) as f32;
    }
    (sum, size)
}

const BINS: usize = 512;
/// Densities of the histogram end here; ink and folds beyond count as this dark.
const DARKEST: f32 = 2.0;
/// Glass is never darker than this: a picture without any glass has no lightest twentieth that is glass.
const DARKEST_GLASS: f32 = 0.25;

fn threshold(density: &[f32], config: &TissueConfig) -> f32 {
    let mut histogram = [0u64; BINS];
    for &d in density {
        histogram[((d / DARKEST * BINS as f32) as usize).min(BINS - 1)] += 1;
    }
    let value = |bin: usize| (bin as f32 + 1.0) * DARKEST / BINS as f32;
    let twentieth = density.len() as u64 / 20;
    let mut seen = 0;
    let lightest = histogram
        .iter()
        .position(|&n| {
            seen += n;
            seen > twentieth
        })
        .unwrap_or(0);
    let glass = value(lightest).min(DARKEST_GLASS);
    let low = glass + config.min_above_glass;
    value(otsu(&histogram)).clamp(low, (glass + config.max_above_glass).max(low))
}

/// Otsu's threshold on a histogram: the last bin of the lower class that makes the variance between the two classes
/// greatest (Otsu 1979, doi 10.1109/TSMC.1979.4310076); 0 if there are no two classes.
pub fn otsu(histogram: &[u64]) -> usize {
    let total: f64 = histogram.iter().map(|&n| n as f64).sum();
    let moment: f64 = histogram.iter().enumerate().map(|(i, &n)| i as f64 * n as f64).sum();
    let (mut below, mut below_moment) = (0.0, 0.0);
    let (mut best, mut best_bin) = (0.0, 0);
    for (i, &n) in histogram.iter().enumerate() {
        below += n as f64;
        below_moment += i as f64 * n as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let gap = below_moment / below - (moment - below_moment) / above;
        let between = below * above * gap * gap;
        if between > best {
            (best, best_bin) = (between, i);
        }
    }
    best_bin
}

/// Turns over every connected patch (eight neighbours for tissue, four for gaps) of `value` under `least` pixels.
fn flip_small(mask: &mut [bool], size: Size, value: bool, least: usize) {
    let (w, h) = (size.width as usize, size.height as usize);
    let mut seen = vec![false; mask.len()];
    let (mut stack, mut patch) = (Vec::new(), Vec::new());
    for start in 0..mask.len() {
        if seen[start] || mask[start] != value {
            continue;
        }
        patch.clear();
        stack.push(start);
        seen[start] = true;
        while let Some(at) = stack.pop() {
            patch.push(at);
            let (x, y) = (at % w, at / w);
            for ny in y.saturating_sub(1)..(y + 2).min(h) {
                for nx in x.saturating_sub(1)..(x + 2).min(w) {
                    let next = ny * w + nx;
                    let diagonal = nx != x && ny != y;
                    if !seen[next] && mask[next] == value && (value || !diagonal) {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        if patch.len() < least {
            for &at in &patch {
                mask[at] = !value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn otsu_parts_two_clusters(low in 5usize..100, gap in 20usize..200, n in 1u64..1000, m in 1u64..1000) {
            let mut histogram = [0u64; 400];
            histogram[low - 1] = n;
            histogram[low] = n;
            histogram[low + gap] = m;
            let cut = otsu(&histogram);
            prop_assert!((low..low + gap).contains(&cut), "{} between {} and {}", cut, low, low + gap);
        }
    }
}
