//! Two views of each crop that show the same cell.

use ndarray::{ArrayView3, ArrayView4, Axis};
use rayon::prelude::*;
use scellst_types::StainMatrix;
use serde::{Deserialize, Serialize};

use crate::random::Stream;
use crate::{EmbedError, PixelNorm};

/// How much views of a crop differ.
///
/// A view is turned by any angle about the crop's centre and perhaps mirrored, zoomed, shifted, stained more or less strongly,
/// and blurred. What is beyond the crop's edge is its edge again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewConfig {
    /// Side of a view, pixels. A crop of 72 holds a view of 48 at any angle up to a zoom of 1.06.
    pub side_px: usize,
    /// Crop's pixels that one of a view spans, least and most.
    pub zoom: [f32; 2],
    /// The middle of a view lies up to so far from the crop's, down and across, crop's pixels: outlines of nuclei are never
    /// quite right.
    pub shift: f32,
    /// Haematoxylin, eosin and what is neither are each multiplied with a number within so much of 1, in `[0, 1)`.
    pub stain: f32,
    /// Share of views with another stain.
    pub stain_chance: f32,
    /// Deviation of the Gaussian that blurs, least and most, view's pixels.
    pub blur: [f32; 2],
    /// Share of views that are blurred.
    pub blur_chance: f32,
}

impl Default for ViewConfig {
    fn default() -> Self {
        Self {
            side_px: 48,
            zoom: [0.9, 1.05],
            shift: 0.0,
            stain: 0.3,
            stain_chance: 0.8,
            blur: [0.2, 1.2],
            blur_chance: 0.5,
        }
    }
}

impl ViewConfig {
    /// # Errors
    /// [`EmbedError::Config`] naming the setting.
    pub(super) fn check(&self) -> Result<(), EmbedError> {
        let wrong = |setting, expected, found: String| Err(EmbedError::Config { setting, expected, found });
        if !(16..=512).contains(&self.side_px) {
            return wrong("a view's side", "16 to 512 pixels", self.side_px.to_string());
        }
        let within = |[low, high]: [f32; 2], least: f32, most: f32| least <= low && low <= high && high <= most;
        if !within(self.zoom, 0.25, 4.0) {
            return wrong("a view's zoom", "two numbers, not falling, 0.25 to 4", format!("{:?}", self.zoom));
        }
        if !(0.0..=32.0).contains(&self.shift) {
            return wrong("a view's shift", "0 to 32 pixels", self.shift.to_string());
        }
        if !within(self.blur, 0.0, 4.0) {
            return wrong("a view's blur", "two numbers, not falling, 0 to 4 pixels", format!("{:?}", self.blur));
        }
        if !(0.0..1.0).contains(&self.stain) {
            return wrong("a view's change of stain", "in [0, 1)", self.stain.to_string());
        }
        for (setting, share) in
            [("the share of stained views", self.stain_chance), ("the share of blurred views", self.blur_chance)]
        {
            if !(0.0..=1.0).contains(&share) {
                return wrong(setting, "in [0, 1]", share.to_string());
            }
        }
        Ok(())
    }

    /// The `which`th view of each crop `(n, height, width, 3)`, `(n, side, side, 3)` of f32, normalised; the same for
    /// the same step and place whatever the threads.
    pub(super) fn views(&self, crops: ArrayView4<'_, u8>, norm: PixelNorm, [seed, step, which]: [u64; 3]) -> Vec<f32> {
        let one = self.side_px * self.side_px * 3;
        let mut out = vec![0.0; crops.dim().0 * one];
        out.par_chunks_mut(one).zip(crops.axis_iter(Axis(0)).into_par_iter()).enumerate().for_each(
            |(n, (view, crop))| {
                let mut random = Stream::of(&[seed, step, which, n as u64]);
                self.view(crop, view, &mut random);
                for pixel in view.chunks_exact_mut(3) {
                    for (v, (mean, std)) in pixel.iter_mut().zip(norm.mean.iter().zip(&norm.std)) {
                        *v = (*v / 255.0 - mean) / std;
                    }
                }
            },
        );
        out
    }

    /// One view, 0..255.
    fn view(&self, crop: ArrayView3<'_, u8>, out: &mut [f32], random: &mut Stream) {
        // All are drawn whether they are used or not: one setting does not change what the others draw.
        let angle = random.between(0.0, std::f32::consts::TAU);
        let mirrored = random.chance(0.5);
        let zoom = random.between(self.zoom[0], self.zoom[1]);
        let stained = random.chance(self.stain_chance);
        let stains = [(); 3].map(|()| random.between(1.0 - self.stain, 1.0 + self.stain));
        let blurred = random.chance(self.blur_chance);
        let sigma = random.between(self.blur[0], self.blur[1]);
        let shift = [(); 2].map(|()| random.between(-self.shift, self.shift));
        self.turn(crop, out, angle, mirrored, zoom, shift);
        if stained {
            restain(out, &StainMatrix::ruifrok().scaling(stains));
        }
        if blurred && sigma > 0.0 {
            blur(out, self.side_px, sigma);
        }
    }

    fn turn(
        &self,
        crop: ArrayView3<'_, u8>,
        out: &mut [f32],
        angle: f32,
        mirrored: bool,
        zoom: f32,
        [down, across]: [f32; 2],
    ) {
        let (height, width, _) = crop.dim();
        let Some(pixels) = crop.as_slice() else { return };
        let (sin, cos) = angle.sin_cos();
        let middle = |n: usize| (n as f32 - 1.0) / 2.0;
        let (last_x, last_y) = (width as f32 - 1.0, height as f32 - 1.0);
        let side = self.side_px;
        for (i, to) in out.chunks_exact_mut(3).enumerate() {
            let u = ((i % side) as f32 - middle(side)) * if mirrored { -zoom } else { zoom };
            let v = ((i / side) as f32 - middle(side)) * zoom;
            let x = (middle(width) + across + cos * u - sin * v).clamp(0.0, last_x);
            let y = (middle(height) + down + sin * u + cos * v).clamp(0.0, last_y);
            let (x0, y0) = (x as usize, y as usize);
            let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
            let (fx, fy) = (x - x0 as f32, y - y0 as f32);
            let at = |y: usize, x: usize, c: usize| f32::from(pixels[(y * width + x) * 3 + c]);
            for (c, to) in to.iter_mut().enumerate() {
                let above = at(y0, x0, c) * (1.0 - fx) + at(y0, x1, c) * fx;
                let below = at(y1, x0, c) * (1.0 - fx) + at(y1, x1, c) * fx;
                *to = above * (1.0 - fy) + below * fy;
            }
        }
    }
}

/// Pixels 0..255 with their optical densities multiplied.
fn restain(pixels: &mut [f32], by: &[[f32; 3]; 3]) {
    for pixel in pixels.chunks_exact_mut(3) {
        let density: [f32; 3] = std::array::from_fn(|c| -((pixel[c] + 1.0) / 256.0).ln());
        for (to, row) in pixel.iter_mut().zip(by) {
            let other: f32 = row.iter().zip(density).map(|(m, d)| m * d).sum();
            *to = (256.0 * (-other).exp() - 1.0).clamp(0.0, 255.0);
        }
    }
}

/// A Gaussian, down and across, cut off at three deviations; beyond the edge is the edge.
fn blur(pixels: &mut [f32], side: usize, sigma: f32) {
    let reach = (3.0 * sigma).ceil() as usize;
    let mut weights: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    weights.iter_mut().for_each(|w| *w /= total);
    let mut line = vec![0.0; side * 3];
    for (begin, step) in (0..side).map(|y| (y * side * 3, 3)).chain((0..side).map(|x| (x * 3, side * 3))) {
        for (i, to) in line.iter_mut().enumerate() {
            let at = |place: usize| pixels[begin + place * step + i % 3];
            let place = i / 3;
            *to = weights[0] * at(place);
            for (d, w) in weights.iter().enumerate().skip(1) {
                *to += w * (at(place.saturating_sub(d)) + at((place + d).min(side - 1)));
            }
        }
        for (i, v) in line.iter().enumerate() {
            pixels[begin + (i / 3) * step + i % 3] = *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    const PLAIN: ViewConfig = ViewConfig {
        side_px: 48,
        zoom: [1.0, 1.0],
        shift: 0.0,
        stain: 0.0,
        stain_chance: 0.0,
        blur: [0.0, 0.0],
        blur_chance: 0.0,
    };

    fn crops() -> Array4<u8> {
        Array4::from_shape_fn((5, 72, 72, 3), |(n, y, x, c)| ((n * 11 + y * 3 + x * 2 + c * 40) % 256) as u8)
    }

    /// Right angles move pixels to pixels: the middle of the crop, turned.
    #[test]
    fn turns_are_about_the_middle() {
        let crops = crops();
        let crop = crops.index_axis(Axis(0), 1);
        let turned = |quarter: usize, mirrored| {
            let mut out = vec![0.0; 48 * 48 * 3];
            PLAIN.turn(crop, &mut out, quarter as f32 * std::f32::consts::FRAC_PI_2, mirrored, 1.0, [0.0; 2]);
            out
        };
        let at = |y: usize, x: usize| f32::from(crop[(12 + y, 12 + x, 1)]);
        for (y, x) in [(0, 0), (3, 40), (20, 21), (47, 47)] {
            let found = |view: &[f32]| view[(y * 48 + x) * 3 + 1];
            for (quarter, mirrored, expected) in [
                (0, false, at(y, x)),
                (0, true, at(y, 47 - x)),
                (1, false, at(x, 47 - y)),
                (2, false, at(47 - y, 47 - x)),
                (3, false, at(47 - x, y)),
            ] {
                let view = turned(quarter, mirrored);
                assert!((found(&view) - expected).abs() < 0.05, "{quarter} {mirrored} {y} {x}");
            }
        }
    }

    #[test]
    fn shifts_move_the_middle() {
        let crops = crops();
        let crop = crops.index_axis(Axis(0), 1);
        let mut out = vec![0.0; 48 * 48 * 3];
        PLAIN.turn(crop, &mut out, 0.0, false, 1.0, [-3.0, 5.0]);
        for (y, x) in [(0, 0), (3, 40), (47, 47)] {
            assert!((out[(y * 48 + x) * 3 + 1] - f32::from(crop[(y + 12 - 3, x + 12 + 5, 1)])).abs() < 0.05, "{y} {x}");
        }
        // Within what is said, and not always the same.
        let config = ViewConfig { shift: 4.0, ..PLAIN };
        assert!(
            config.views(crops.view(), PixelNorm::UNIT, [0; 3]) != PLAIN.views(crops.view(), PixelNorm::UNIT, [0; 3])
        );
    }

    #[test]
    fn stains_are_scaled_each_alone() {
        let stains = StainMatrix::ruifrok();
        let densities = |pixel: &[f32]| stains.separate_density([0, 1, 2].map(|c| -((pixel[c] + 1.0) / 256.0).ln()));
        let pixel = vec![150.0, 90.0, 160.0];
        let before = densities(&pixel);
        for by in [[1.0; 3], [1.3, 1.0, 1.0], [1.0, 0.7, 1.0]] {
            let mut other = pixel.clone();
            restain(&mut other, &stains.scaling(by));
            for (s, after) in densities(&other).into_iter().enumerate() {
                assert!((after - by[s] * before[s]).abs() < 1e-3, "{by:?}: {after} of {}", before[s]);
            }
        }
        // What is darker or lighter than any pixel stays one.
        let mut dark = vec![3.0, 2.0, 5.0];
        restain(&mut dark, &stains.scaling([1.3; 3]));
        assert!(dark.iter().all(|v| (0.0..=255.0).contains(v)));
    }

    #[test]
    fn blurs_keep_the_mean_and_spread_a_point_as_the_gaussian() {
        let side = 48;
        let mut pixels = vec![0.0; side * side * 3];
        pixels[(24 * side + 24) * 3 + 2] = 1.0;
        blur(&mut pixels, side, 1.1);
        let sum = |f: &dyn Fn(f32, f32) -> f32| -> f32 {
            (0..side * side).map(|i| pixels[i * 3 + 2] * f((i / side) as f32 - 24.0, (i % side) as f32 - 24.0)).sum()
        };
        assert!((sum(&|_, _| 1.0) - 1.0).abs() < 1e-5);
        for variance in [sum(&|y, _| y * y), sum(&|_, x| x * x)] {
            // Cut off at three deviations and on a grid.
            assert!((variance - 1.21).abs() < 0.05, "{variance}");
        }
        assert!(pixels.iter().skip(1).step_by(3).all(|v| *v == 0.0));
    }

    #[test]
    fn views_differ_by_step_and_place_and_are_the_same_again() {
        let crops = crops();
        let config = ViewConfig::default();
        let views = |step, which| config.views(crops.view(), PixelNorm::UNIT, [7, step, which]);
        let first = views(3, 0);
        assert_eq!(first, views(3, 0));
        assert!(first != views(4, 0) && first != views(3, 1));
        assert!(first.iter().all(|v| (0.0..=1.0).contains(v)));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(first, one.install(|| views(3, 0)));
    }

    #[test]
    fn settings_are_checked() {
        ViewConfig::default().check().unwrap();
        let bad = [
            ("side", ViewConfig { side_px: 8, ..ViewConfig::default() }),
            ("zoom", ViewConfig { zoom: [1.0, 0.5], ..ViewConfig::default() }),
            ("zoom", ViewConfig { zoom: [f32::NAN, 1.0], ..ViewConfig::default() }),
            ("shift", ViewConfig { shift: -1.0, ..ViewConfig::default() }),
            ("stain", ViewConfig { stain: 1.0, ..ViewConfig::default() }),
            ("blur", ViewConfig { blur: [0.0, 9.0], ..ViewConfig::default() }),
            ("stained views", ViewConfig { stain_chance: -0.1, ..ViewConfig::default() }),
        ];
        for (what, config) in bad {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }
}
