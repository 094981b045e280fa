//! Convolutions on the CPU as MobileNet needs them: images are `(height, width, channels)` one after another,
//! batch norm is folded into weights and bias, and ReLU6 is part of the same pass.

use crate::matmul::matmul;

/// A batch of images, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Shape {
    pub(crate) fn pixels(self) -> usize {
        self.images * self.height * self.width
    }

    pub(crate) fn len(self) -> usize {
        self.pixels() * self.channels
    }

    /// After a 3 x 3 convolution: stride 1 pads a pixel all around, stride 2 one at the bottom and right.
    pub(crate) fn after(self, stride: usize, channels: usize) -> Self {
        // floor((h + 2 - 3) / 1) + 1 = h, and floor((h + 1 - 3) / 2) + 1.
        let side = |n: usize| if stride == 1 { n } else { (n - 2) / 2 + 1 };
        Self { height: side(self.height), width: side(self.width), channels, ..self }
    }
}

/// How many pixels above and left of the first the 3 x 3 window begins.
fn margin(stride: usize) -> usize {
    usize::from(stride == 1)
}

fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

fn add_bias_relu6(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (v, b) in row.iter_mut().zip(bias) {
            *v = relu6(*v + b);
        }
    }
}

/// 3 x 3 convolution over all channels; `weight` is `(3 * 3 * channels, out)`.
pub(crate) struct Conv3x3 {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub stride: usize,
}

impl Conv3x3 {
    pub(crate) fn run(&self, x: &[f32], shape: Shape, patches: &mut Vec<f32>, out: &mut Vec<f32>) -> Shape {
        let to = shape.after(self.stride, self.bias.len());
        let row = 9 * shape.channels;
        patches.clear();
        patches.resize(to.pixels() * row, 0.0);
        let mut rows = patches.chunks_exact_mut(row);
        for image in x.chunks_exact(shape.height * shape.width * shape.channels) {
            for oy in 0..to.height {
                for ox in 0..to.width {
                    let Some(patch) = rows.next() else { return to };
                    for (k, cell) in patch.chunks_exact_mut(shape.channels).enumerate() {
                        if let Some(from) = tap(k, oy, ox, self.stride, shape) {
                            cell.copy_from_slice(&image[from..from + shape.channels]);
                        }
                    }
                }
            }
        }
        out.clear();
        out.resize(to.len(), 0.0);
        matmul(to.pixels(), row, to.channels, patches, &self.weight, out);
        add_bias_relu6(out, &self.bias);
        to
    }
}

/// Where the `k`th of the nine taps of an output pixel lies in its image, if inside.
fn tap(k: usize, oy: usize, ox: usize, stride: usize, shape: Shape) -> Option<usize> {
    let y = (oy * stride + k / 3).checked_sub(margin(stride)).filter(|&y| y < shape.height)?;
    let x = (ox * stride + k % 3).checked_sub(margin(stride)).filter(|&x| x < shape.width)?;
    Some((y * shape.width + x) * shape.channels)
}

/// 3 x 3 convolution of each channel by itself; `weight` is `(3 * 3, channels)`.
pub(crate) struct Depthwise3x3 {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub stride: usize,
}

impl Depthwise3x3 {
    pub(crate) fn run(&self, x: &[f32], shape: Shape, out: &mut Vec<f32>) -> Shape {
        let channels = shape.channels;
        let to = shape.after(self.stride, channels);
        out.clear();
        out.resize(to.len(), 0.0);
        let mut pixels = out.chunks_exact_mut(channels);
        for image in x.chunks_exact(shape.height * shape.width * channels) {
            for oy in 0..to.height {
                for ox in 0..to.width {
                    let Some(pixel) = pixels.next() else { return to };
                    pixel.copy_from_slice(&self.bias);
                    for (k, weight) in self.weight.chunks_exact(channels).enumerate() {
                        if let Some(from) = tap(k, oy, ox, self.stride, shape) {
                            for ((p, w), v) in pixel.iter_mut().zip(weight).zip(&image[from..from + channels]) {
                                *p += w * v;
                            }
                        }
                    }
                    pixel.iter_mut().for_each(|p| *p = relu6(*p));
                }
            }
        }
        to
    }
}

/// A matrix on each pixel's channels; `weight` is `(channels, out)`.
pub(crate) struct Pointwise {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Pointwise {
    pub(crate) fn run(&self, x: &[f32], shape: Shape, out: &mut Vec<f32>) -> Shape {
        let to = Shape { channels: self.bias.len(), ..shape };
        out.clear();
        out.resize(to.len(), 0.0);
        matmul(shape.pixels(), shape.channels, to.channels, x, &self.weight, out);
        add_bias_relu6(out, &self.bias);
        to
    }
}

/// Mean over each image's pixels: `(images, channels)`.
pub(crate) fn global_mean(x: &[f32], shape: Shape, out: &mut [f32]) {
    let area = shape.height * shape.width;
    for (image, mean) in x.chunks_exact(area * shape.channels).zip(out.chunks_exact_mut(shape.channels)) {
        mean.fill(0.0);
        for pixel in image.chunks_exact(shape.channels) {
            mean.iter_mut().zip(pixel).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut().for_each(|m| *m /= area as f32);
    }
}
