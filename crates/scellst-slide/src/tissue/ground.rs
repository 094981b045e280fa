//! What a mask is made from: how much darker than the glass each of its pixels is, and how uneven.

use image::RgbImage;
use scellst_types::{MicronsPerPixel, Size, density};

use super::TissueConfig;
use super::glass::{Glass, median};

const BINS: usize = 512;
/// Densities of the histogram end here; ink and folds beyond count as this dark.
const DARKEST: f32 = 2.0;
/// Glass is never darker than this: a picture without any glass has no lightest twentieth that is glass.
const DARKEST_GLASS: f32 = 0.25;
/// Fewer pixels than this share of the picture do not speak for the glass.
const LEAST_GLASS: f64 = 0.005;
/// The least spread of the channels' densities, as a share of their mean, that is a colour: 99 of 100 pixels of H&E
/// are above 0.3 (the slides of `qc::pen`), grey dust is at 0.07.
const LEAST_CHROMA: f32 = 0.25;

/// The pixels of a mask before it is decided what they are.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// Optical density above that of the glass around, red, green and blue.
    pub(crate) planes: [Vec<f32>; 3],
    /// Standard deviation of the green density over 3 x 3 pixels.
    pub(crate) texture: Vec<f32>,
    pub(crate) size: Size,
    /// Level-0 pixels of a pixel.
    pub(crate) step: f64,
    /// Side of a pixel, um.
    pub(crate) pixel_um: f64,
    /// Green density of the lightest glass.
    pub(crate) glass: f32,
    /// Colour of the glass.
    pub(crate) white: Option<[u8; 3]>,
}

impl Ground {
    pub(crate) fn of(thumbnail: &RgbImage, downsample: f64, mpp: MicronsPerPixel, config: &TissueConfig) -> Self {
        let pixel_um = mpp.mean() * downsample;
        // A NaN becomes 0.
        let bin = ((config.pixel_um / pixel_um).round().clamp(1.0, 1e6) as u32).max(1);
        let (mut planes, size) = densities(thumbnail, bin);
        let texture = texture(&planes[1], size);
        let smooth: Vec<bool> = texture.iter().map(|&t| t < config.min_texture).collect();
        let blank: Vec<bool> = (0..texture.len()).map(|at| planes.iter().all(|plane| plane[at] == 0.0)).collect();

        let glass = lightest(&planes[1], &smooth, &blank);
        let most = glass + config.max_above_glass;
        let mut candidates: Vec<bool> =
            (0..texture.len()).map(|at| smooth[at] && !blank[at] && planes[1][at] < most).collect();
        let enough = |mask: &[bool]| count(mask) as f64 > LEAST_GLASS * mask.len() as f64;
        let mut white = None;
        if enough(&candidates) {
            let mut pixels: Vec<usize> = (0..candidates.len()).filter(|&at| candidates[at]).collect();
            white = Some(median(&planes, &mut pixels).map(|od| (255.0 * (-od).exp()).round() as u8));
        } else if enough(&blank) {
            // Nothing but tissue was scanned, or it was cut out.
            candidates = blank;
            white = Some([255; 3]);
        }
        let local = Glass::of(&planes, size, &candidates);
        let w = size.width as usize;
        for at in 0..texture.len() {
            let glass = local.as_ref().map_or([glass; 3], |local| local.at(at % w, at / w));
            for (plane, glass) in planes.iter_mut().zip(glass) {
                plane[at] -= glass;
            }
        }
        let bin = f64::from(bin);
        Self { planes, texture, size, step: downsample * bin, pixel_um: pixel_um * bin, glass, white }
    }

    /// Otsu's threshold on the green density above the glass.
    pub(crate) fn otsu(&self) -> f32 {
        let mut histogram = [0u64; BINS];
        self.planes[1].iter().for_each(|&d| histogram[bin_of(d)] += 1);
        top_of(super::otsu(&histogram))
    }

    /// Density above the glass of one pixel.
    pub(crate) fn at(&self, at: usize) -> [f32; 3] {
        std::array::from_fn(|k| self.planes[k][at])
    }

    /// Mean density above the glass over some pixels.
    pub(crate) fn mean(&self, pixels: impl Iterator<Item = usize>) -> [f32; 3] {
        let (mut sum, mut n) = ([0.0_f64; 3], 0.0);
        for at in pixels {
            n += 1.0;
            sum.iter_mut().zip(self.at(at)).for_each(|(s, d)| *s += f64::from(d));
        }
        sum.map(|s| (s / f64::max(n, 1.0)) as f32)
    }

    /// Pixels of the mask to an area, um2, at least 1.
    pub(crate) fn pixels(&self, um2: f64) -> usize {
        ((um2 / (self.pixel_um * self.pixel_um)).ceil().clamp(1.0, 1e15) as usize).max(1)
    }
}

/// Whether a colour, as density above the glass, is grey.
pub(crate) fn is_grey(od: [f32; 3]) -> bool {
    let (low, high) = od.iter().fold((f32::MAX, f32::MIN), |(l, h), &d| (l.min(d), h.max(d)));
    high - low < LEAST_CHROMA * (od.iter().sum::<f32>() / 3.0)
}

pub(crate) fn count(mask: &[bool]) -> usize {
    mask.iter().filter(|&&m| m).count()
}

/// Mean optical density of the channels over squares of `bin` pixels (narrower at the far edges).
fn densities(image: &RgbImage, bin: u32) -> ([Vec<f32>; 3], Size) {
    let lut: [f32; 256] = std::array::from_fn(|v| density(v as u8));
    let size = Size::new(image.width().div_ceil(bin), image.height().div_ceil(bin));
    let (w, n) = (size.width as usize, size.pixels() as usize);
    let mut planes = std::array::from_fn(|_| vec![0.0f32; n]);
    for (x, y, pixel) in image.enumerate_pixels() {
        let at = (y / bin) as usize * w + (x / bin) as usize;
        for (plane, &value) in planes.iter_mut().zip(&pixel.0) {
            plane[at] += lut[usize::from(value)];
        }
    }
    for y in 0..size.height {
        let rows = bin.min(image.height() - y * bin);
        for x in 0..size.width {
            let pixels = (rows * bin.min(image.width() - x * bin)) as f32;
            planes.iter_mut().for_each(|plane| plane[y as usize * w + x as usize] /= pixels);
        }
    }
    (planes, size)
}

/// Standard deviation over 3 x 3 pixels, fewer at the edges.
fn texture(plane: &[f32], size: Size) -> Vec<f32> {
    let (w, h) = (size.width as usize, size.height as usize);
    let mut out = Vec::with_capacity(plane.len());
    for y in 0..h {
        let rows = y.saturating_sub(1)..(y + 2).min(h);
        for x in 0..w {
            let columns = x.saturating_sub(1)..(x + 2).min(w);
            let around = || rows.clone().flat_map(|y| plane[y * w..][columns.clone()].iter());
            let n = (rows.len() * columns.len()) as f32;
            let mean = around().sum::<f32>() / n;
            out.push((around().map(|&d| (d - mean) * (d - mean)).sum::<f32>() / n).sqrt());
        }
    }
    out
}

/// Density of the lightest twentieth of what is smooth and was scanned; where that is next to nothing, 0 if part of
/// the picture is blank, else that of the lightest twentieth of all.
fn lightest(green: &[f32], smooth: &[bool], blank: &[bool]) -> f32 {
    let twentieth = |counts: &dyn Fn(usize) -> bool| {
        let mut histogram = [0u64; BINS];
        (0..green.len()).filter(|&at| counts(at)).for_each(|at| histogram[bin_of(green[at])] += 1);
        let (total, mut seen) = (histogram.iter().sum::<u64>(), 0);
        let bin = histogram.iter().position(|&n| {
            seen += n;
            seen > total / 20
        });
        (total, top_of(bin.unwrap_or(0)).min(DARKEST_GLASS))
    };
    let (scanned, density) = twentieth(&|at| smooth[at] && !blank[at]);
    if scanned as f64 > LEAST_GLASS * green.len() as f64 {
        density
    } else if blank.contains(&true) {
        0.0
    } else {
        twentieth(&|_| true).1
    }
}

fn bin_of(density: f32) -> usize {
    // Less than nothing counts as nothing.
    ((density / DARKEST * BINS as f32) as usize).min(BINS - 1)
}

fn top_of(bin: usize) -> f32 {
    (bin as f32 + 1.0) * DARKEST / BINS as f32
}
