//! 3 x 3 convolutions of stride 1 by Winograd's minimal filtering: `(m + 2)^2` products a tile of `m^2` pixels in
//! place of `9 m^2`.
#![allow(unsafe_code)] // two calls, see lanes.rs

use super::buffer::padded;
use super::conv::{Scratch, Shape};
use super::gemm::{After, Packed, Rows, Window, multiply};
use super::lanes::Isa;
use super::transform::{COLUMNS, Gather, Scatter, filters, gather_on, scatter_on};

/// What a group of tiles may take of the second cache, unless the weights take more: then as much as they,
/// so that they are read seldom.
const GROUP_BYTES: usize = 640 << 10;

/// Transformed weights, for tiles of `m` by `m`.
pub(super) struct Winograd {
    m: usize,
    /// One matrix `(in, out)` for each of the `(m + 2)^2` values of a tile.
    weights: Vec<Packed>,
}

impl Winograd {
    /// From weights `(out, in, 3, 3)`.
    pub(super) fn new(isa: Isa, m: usize, inputs: usize, outputs: usize, weight: &[f32]) -> Self {
        let values = (m + 2) * (m + 2);
        let mut winograd = Self { m, weights: (0..values).map(|_| Packed::empty(isa)).collect() };
        winograd.fill(inputs, outputs, weight);
        winograd
    }

    /// Other weights in the same place.
    pub(super) fn fill(&mut self, inputs: usize, outputs: usize, weight: &[f32]) {
        let Some(isa) = self.weights.first().map(Packed::isa) else { return };
        let width = isa.columns();
        let mut panels: Vec<&mut [f32]> = self.weights.iter_mut().map(|w| w.reshape(inputs, outputs)).collect();
        let mut taps = [[0.0; COLUMNS]; 9];
        // In the order in which they are packed, so that every matrix is written from its beginning to its end.
        for first in (0..outputs).step_by(width) {
            for i in 0..inputs {
                for j in 0..width {
                    let of_pair = (first + j < outputs).then(|| &weight[((first + j) * inputs + i) * 9..][..9]);
                    for (t, tap) in taps.iter_mut().enumerate() {
                        tap[j] = of_pair.map_or(0.0, |g| g[t]);
                    }
                }
                let transformed = filters(isa, self.m, &taps);
                let row = (first / width * inputs + i) * width;
                for (panel, values) in panels.iter_mut().zip(&transformed) {
                    panel[row..][..width].copy_from_slice(&values[..width]);
                }
            }
        }
    }

    /// Whether a convolution of these channels can be done so.
    pub(super) fn takes(inputs: usize, outputs: usize) -> bool {
        inputs.is_multiple_of(16) && outputs.is_multiple_of(16)
    }

    /// Products an image takes, times channels in and out, and what the transforms cost in the same unit.
    pub(super) fn cost(m: usize, from: Shape, outputs: usize) -> f64 {
        let tiles = from.height.div_ceil(m) * from.width.div_ceil(m);
        let values = (m + 2) * (m + 2);
        // A transform takes about as long as six products a value (measured: 4 to 8).
        (tiles * values) as f64 * ((from.channels * outputs) as f64 + 6.0 * (from.channels + outputs) as f64)
    }

    /// `x` and `y` have the same height and width; a border of zeros is around `x`.
    pub(super) fn run(
        &self,
        x: &[f32],
        from: Shape,
        y: &mut [f32],
        to: Shape,
        after: After<'_>,
        scratch: &mut Scratch,
    ) {
        let (m, a) = (self.m, self.m + 2);
        let Some(isa) = self.weights.first().map(Packed::isa) else { return };
        assert!(from.span() <= x.len() && to.span() <= y.len(), "{from:?} of {}, {to:?} of {}", x.len(), y.len());
        assert!((from.height, from.width, from.images) == (to.height, to.width, to.images), "{from:?} to {to:?}");
        assert!(Self::takes(from.channels, to.channels), "{from:?} to {to:?}");
        let (rows, columns) = (from.height.div_ceil(m), from.width.div_ceil(m));
        let tiles = from.images * rows * columns;
        let (ld_in, ld_out) = (padded(from.channels), padded(to.channels));
        let budget = self.weights.iter().map(Packed::bytes).sum::<usize>().max(GROUP_BYTES);
        let group = (budget / (a * a * (ld_in + ld_out) * size_of::<f32>())).clamp(1, tiles.max(1));
        // Groups of the same size, so that the last is none of a tile or two.
        let group = tiles.div_ceil(tiles.div_ceil(group).max(1)).max(1);

        let outside = scratch.zeros.resize(from.channels).as_ptr();
        let bias = scratch.bias.resize(to.channels);
        match after.bias {
            Some(values) => bias.copy_from_slice(values),
            None => bias.fill(0.0),
        }
        for first in (0..tiles).step_by(group) {
            let count = group.min(tiles - first);
            let inputs = scratch.inputs.resize(a * a * count * ld_in);
            for t in 0..count {
                let (image, ty, tx) = place(first + t, rows, columns);
                let mut pixels = [outside; 36];
                for (i, pixel) in pixels[..a * a].iter_mut().enumerate() {
                    // One pixel of border above and left: an index below that wraps to something huge.
                    let (py, px) = ((ty * m + i / a).wrapping_sub(1), (tx * m + i % a).wrapping_sub(1));
                    if py < from.height && px < from.width {
                        *pixel = x.as_ptr().wrapping_add(from.at(image, py, px));
                    }
                }
                let to = inputs[t * ld_in..].as_mut_ptr();
                let tile = Scatter { pixels: &pixels[..a * a], to, step: count * ld_in, channels: from.channels };
                // SAFETY: `isa` was detected where the weights were packed; every pixel is inside of `x` (`span` was
                // asserted) or the zeros, `channels` long; the last of `a * a` steps of `count` rows of `ld_in`
                // values from row `t` ends within `inputs`.
                unsafe { scatter_on(isa, m, &tile) };
            }
            let products = scratch.products.resize(a * a * count * ld_out);
            for (v, weights) in self.weights.iter().enumerate() {
                let left = &inputs[v * count * ld_in..][..count * ld_in];
                let right = &mut products[v * count * ld_out..][..count * ld_out];
                let every = Rows::Every { count, a: ld_in, c: ld_out };
                multiply(left, weights, right, every, Window::whole(from.channels), After::NOTHING);
            }
            let base = y.as_mut_ptr();
            for t in 0..count {
                let (image, ty, tx) = place(first + t, rows, columns);
                let mut pixels = [std::ptr::null_mut(); 16];
                for (i, pixel) in pixels[..m * m].iter_mut().enumerate() {
                    let (py, px) = (ty * m + i / m, tx * m + i % m);
                    if py < to.height && px < to.width {
                        *pixel = base.wrapping_add(to.at(image, py, px));
                    }
                }
                let tile = Gather {
                    from: products[t * ld_out..].as_ptr(),
                    step: count * ld_out,
                    pixels: &pixels[..m * m],
                    bias: scratch.bias.as_slice().as_ptr(),
                    add: after.add,
                    low: after.clamp.0,
                    high: after.clamp.1,
                    channels: to.channels,
                };
                // SAFETY: as above; pixels are inside of `y` or null, and no two tiles share one.
                unsafe { gather_on(isa, m, &tile) };
            }
        }
    }
}

/// Image, row and column of a tile.
fn place(tile: usize, rows: usize, columns: usize) -> (usize, usize, usize) {
    (tile / (rows * columns), tile / columns % rows, tile % columns)
}
