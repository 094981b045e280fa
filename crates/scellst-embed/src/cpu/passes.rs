//! What is no matrix product: a few instructions a value, left to the compiler's vectors.

use std::ops::Range;

use super::conv::{Border, Shape};
use super::lanes::Isa;

/// The largest of 3 x 3 pixels every second pixel, with a border of one: ResNet's pooling.
pub(crate) fn max_pool(isa: Isa, x: &[f32], from: Shape, y: &mut [f32]) -> Shape {
    let side = |n: usize| (n - 1) / 2 + 1;
    let to = Shape::new(from.images, side(from.height), side(from.width), from.channels);
    max_pool_to(isa, (x, from), (y, to));
    to
}

/// The same into pixels of another distance.
pub(crate) fn max_pool_to(isa: Isa, (x, from): (&[f32], Shape), (y, to): (&mut [f32], Shape)) {
    isa.run(|| {
        for image in 0..to.images {
            for oy in 0..to.height {
                let rows = (2 * oy).saturating_sub(1)..(2 * oy + 2).min(from.height);
                for ox in 0..to.width {
                    let columns = (2 * ox).saturating_sub(1)..(2 * ox + 2).min(from.width);
                    let pixel = &mut y[to.at(image, oy, ox)..][..to.channels];
                    pixel.fill(f32::NEG_INFINITY);
                    for iy in rows.clone() {
                        for ix in columns.clone() {
                            let from = &x[from.at(image, iy, ix)..][..to.channels];
                            pixel.iter_mut().zip(from).for_each(|(p, v)| *p = if *v > *p { *v } else { *p });
                        }
                    }
                }
            }
        }
    });
}

/// Mean over each image's pixels: `(images, channels)`.
pub(crate) fn global_mean(isa: Isa, x: &[f32], shape: Shape, out: &mut [f32]) {
    let area = shape.height * shape.width;
    isa.run(|| {
        for (image, mean) in out.chunks_exact_mut(shape.channels).enumerate().take(shape.images) {
            mean.fill(0.0);
            for pixel in 0..area {
                let from = &x[(image * area + pixel) * shape.ld..][..shape.channels];
                mean.iter_mut().zip(from).for_each(|(m, v)| *m += v);
            }
            mean.iter_mut().for_each(|m| *m /= area as f32);
        }
    });
}

/// 3 x 3 convolution of each channel by itself.
pub(crate) struct Depthwise {
    pub isa: Isa,
    /// `(3 * 3, channels)`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub stride: usize,
    pub border: Border,
}

impl Depthwise {
    pub(crate) fn after(&self, from: Shape) -> Shape {
        let side = |n: usize| (n + self.border.before + self.border.after - 3) / self.stride + 1;
        Shape::new(from.images, side(from.height), side(from.width), from.channels)
    }

    /// `y = clamp(conv(x) + bias)`.
    pub(crate) fn run(&self, x: &[f32], from: Shape, y: &mut [f32], clamp: (f32, f32)) -> Shape {
        let to = self.after(from);
        self.isa.run(|| {
            for image in 0..to.images {
                for oy in 0..to.height {
                    let inside = self.inside(oy, from.height, 1).len() == 1;
                    let whole = if inside { self.inside(0, from.width, to.width) } else { 0..0 };
                    for ox in (0..whole.start).chain(whole.end..to.width) {
                        let pixel = &mut y[to.at(image, oy, ox)..][..to.channels];
                        self.pixel((image, oy * self.stride, ox * self.stride), x, from, pixel, clamp);
                    }
                    self.row((image, oy, whole), (x, from), (y, to), clamp);
                }
            }
        });
        to
    }

    /// Which of `count` outputs from the `first` have all three taps inside of `n` pixels.
    fn inside(&self, first: usize, n: usize, count: usize) -> Range<usize> {
        let begin = self.border.before.div_ceil(self.stride).max(first);
        let end = (n + self.border.before).checked_sub(3).map_or(0, |last| last / self.stride + 1).min(first + count);
        begin.min(end)..end
    }

    /// Outputs of a row that have all nine taps inside; the weights of sixteen channels stay in registers.
    #[inline(always)]
    fn row(
        &self,
        (image, oy, columns): (usize, usize, Range<usize>),
        (x, from): (&[f32], Shape),
        (y, to): (&mut [f32], Shape),
        clamp: (f32, f32),
    ) {
        const PIECE: usize = 16;
        if columns.is_empty() {
            return;
        }
        let channels = from.channels;
        for c in (0..channels).step_by(PIECE) {
            if channels - c < PIECE {
                for ox in columns.clone() {
                    let pixel = &mut y[to.at(image, oy, ox)..][..channels];
                    self.channels((image, oy * self.stride, ox * self.stride), (x, from), c..channels, pixel, clamp);
                }
                continue;
            }
            let mut weight = [[0.0; PIECE]; 9];
            for (k, w) in weight.iter_mut().enumerate() {
                w.copy_from_slice(&self.weight[k * channels + c..][..PIECE]);
            }
            let mut bias = [0.0; PIECE];
            bias.copy_from_slice(&self.bias[c..c + PIECE]);
            for ox in columns.clone() {
                let corner =
                    from.at(image, oy * self.stride - self.border.before, ox * self.stride - self.border.before);
                let mut sum = bias;
                for ky in 0..3 {
                    let three = &x[corner + ky * from.width * from.ld + c..][..2 * from.ld + PIECE];
                    for kx in 0..3 {
                        let (v, w) = (&three[kx * from.ld..][..PIECE], &weight[ky * 3 + kx]);
                        for i in 0..PIECE {
                            sum[i] += w[i] * v[i];
                        }
                    }
                }
                let pixel = &mut y[to.at(image, oy, ox) + c..][..PIECE];
                for (o, s) in pixel.iter_mut().zip(sum) {
                    *o = s.max(clamp.0).min(clamp.1);
                }
            }
        }
    }

    /// Channels are taken in pieces that stay in registers over the nine taps.
    #[inline(always)]
    fn pixel(
        &self,
        (image, y, x): (usize, usize, usize),
        values: &[f32],
        from: Shape,
        out: &mut [f32],
        clamp: (f32, f32),
    ) {
        const PIECE: usize = 32;
        let (channels, before) = (from.channels, self.border.before);
        let rows = before.saturating_sub(y)..(from.height + before - y).min(3);
        let columns = before.saturating_sub(x)..(from.width + before - x).min(3);
        let mut c = 0;
        while c < channels {
            let n = PIECE.min(channels - c);
            if n == PIECE {
                let mut sum = [0.0; PIECE];
                sum.copy_from_slice(&self.bias[c..c + PIECE]);
                for ky in rows.clone() {
                    for kx in columns.clone() {
                        let v = &values[from.at(image, y + ky - before, x + kx - before) + c..][..PIECE];
                        let w = &self.weight[(ky * 3 + kx) * channels + c..][..PIECE];
                        for i in 0..PIECE {
                            sum[i] += w[i] * v[i];
                        }
                    }
                }
                for (o, s) in out[c..c + PIECE].iter_mut().zip(sum) {
                    *o = s.max(clamp.0).min(clamp.1);
                }
            } else {
                self.channels((image, y, x), (values, from), c..c + n, out, clamp);
            }
            c += n;
        }
    }

    /// Some channels of a pixel, one by one.
    fn channels(
        &self,
        (image, y, x): (usize, usize, usize),
        (values, from): (&[f32], Shape),
        channels: Range<usize>,
        out: &mut [f32],
        clamp: (f32, f32),
    ) {
        let before = self.border.before;
        for i in channels {
            let mut sum = self.bias[i];
            for ky in before.saturating_sub(y)..(from.height + before - y).min(3) {
                for kx in before.saturating_sub(x)..(from.width + before - x).min(3) {
                    let v = values[from.at(image, y + ky - before, x + kx - before) + i];
                    sum += self.weight[(ky * 3 + kx) * from.channels + i] * v;
                }
            }
            out[i] = sum.max(clamp.0).min(clamp.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, of: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + 13) % of) as f32 - (of / 2) as f32).collect()
    }

    #[test]
    fn a_channel_by_itself_is_the_definition() {
        for (stride, border) in [(1, Border::even(1)), (2, Border { before: 0, after: 1 }), (2, Border::even(1))] {
            for (height, width, channels) in [(2, 2, 32), (3, 3, 16), (7, 5, 40), (4, 9, 3), (6, 6, 256)] {
                let from = Shape::new(2, height, width, channels);
                let (x, weight, bias) = (values(from.span(), 31), values(9 * channels, 11), values(channels, 7));
                for isa in Isa::available() {
                    let layer = Depthwise { isa, weight: weight.clone(), bias: bias.clone(), stride, border };
                    let to = layer.after(from);
                    let mut y = vec![f32::NAN; to.span()];
                    layer.run(&x, from, &mut y, (-300.0, 400.0));
                    for at in 0..to.pixels() * channels {
                        let (pixel, c) = (at / channels, at % channels);
                        let (image, oy) = (pixel / (to.height * to.width), pixel / to.width % to.height);
                        let ox = pixel % to.width;
                        let tap = |k: usize| {
                            let (iy, ix) = (oy * stride + k / 3, ox * stride + k % 3);
                            let (iy, ix) = (iy.checked_sub(border.before)?, ix.checked_sub(border.before)?);
                            (iy < height && ix < width)
                                .then(|| weight[k * channels + c] * x[from.at(image, iy, ix) + c])
                        };
                        // small whole numbers are exact
                        let expected = (bias[c] + (0..9).filter_map(tap).sum::<f32>()).clamp(-300.0, 400.0);
                        let found = y[to.at(image, oy, ox) + c];
                        assert_eq!(found, expected, "{isa:?} stride {stride} {height} x {width} x {channels} at {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_of_nine_and_the_mean() {
        for isa in Isa::available() {
            for (height, width) in [(1, 1), (2, 3), (5, 4)] {
                let from = Shape::new(2, height, width, 19);
                let x = values(from.span(), 101);
                let side = |n: usize| n.div_ceil(2);
                let mut y = vec![0.0; 2 * side(height) * side(width) * 19];
                let to = max_pool(isa, &x, from, &mut y);
                assert_eq!((to.height, to.width), (side(height), side(width)));
                for (image, oy, ox) in
                    (0..2).flat_map(|n| (0..to.height).flat_map(move |oy| (0..to.width).map(move |ox| (n, oy, ox))))
                {
                    let near = |o: usize, n: usize| (2 * o).saturating_sub(1)..(2 * o + 2).min(n);
                    let largest = near(oy, height)
                        .flat_map(|iy| near(ox, width).map(move |ix| (iy, ix)))
                        .map(|(iy, ix)| x[from.at(image, iy, ix) + 5])
                        .fold(f32::MIN, f32::max);
                    assert_eq!(y[to.at(image, oy, ox) + 5], largest);
                }
                let mut mean = vec![0.0; 2 * 19];
                global_mean(isa, &x, from, &mut mean);
                let expected = (0..height * width).map(|p| x[(height * width + p) * from.ld + 3]).sum::<f32>();
                assert_eq!(mean[19 + 3], expected / (height * width) as f32);
            }
        }
    }
}
