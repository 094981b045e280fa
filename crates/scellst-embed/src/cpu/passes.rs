//! What is no matrix product: a few instructions a value, left to the compiler's vectors.

use super::conv::{Border, Shape};
use super::lanes::Isa;

/// The largest of 3 x 3 pixels every second pixel, with a border of one: ResNet's pooling.
pub(crate) fn max_pool(isa: Isa, x: &[f32], from: Shape, y: &mut [f32]) -> Shape {
    let side = |n: usize| (n - 1) / 2 + 1;
    let to = Shape::new(from.images, side(from.height), side(from.width), from.channels);
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
    to
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
                    for ox in 0..to.width {
                        let pixel = &mut y[to.at(image, oy, ox)..][..to.channels];
                        self.pixel((image, oy * self.stride, ox * self.stride), x, from, pixel, clamp);
                    }
                }
            }
        });
        to
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
                for i in c..c + n {
                    let mut sum = self.bias[i];
                    for ky in rows.clone() {
                        for kx in columns.clone() {
                            let v = values[from.at(image, y + ky - before, x + kx - before) + i];
                            sum += self.weight[(ky * 3 + kx) * channels + i] * v;
                        }
                    }
                    out[i] = sum.max(clamp.0).min(clamp.1);
                }
            }
            c += n;
        }
    }
}
