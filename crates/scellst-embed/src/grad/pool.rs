use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::images_at_once;
use crate::cpu::{self, Isa, Shape};

/// What comes of images of that shape.
pub(crate) fn pooled(from: Shape) -> Shape {
    Shape::dense(from.images, from.height.div_ceil(2), from.width.div_ceil(2), from.channels)
}

/// The largest of 3 x 3 pixels every second pixel with a border of one, of dense images.
pub(crate) fn max_pool(x: &[f32], from: Shape, y: &mut [f32]) {
    let to = pooled(from);
    let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
    let images = images_at_once(one_in);
    y.par_chunks_mut(images * one_out).zip(x.par_chunks(images * one_in)).for_each(|(y, x)| {
        let images = x.len() / one_in;
        cpu::max_pool_to(Isa::detect(), (x, Shape { images, ..from }), (y, Shape { images, ..to }));
    });
}

/// Gradient `dx` of the pooled images `x`. That of each largest value goes to the first pixel that has it, in the order
/// of rows: as PyTorch does.
pub(crate) fn max_pool_back((x, from): (&[f32], Shape), y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let to = pooled(from);
    let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
    let isa = Isa::detect();
    dx.par_chunks_mut(one_in)
        .zip(x.par_chunks(one_in))
        .zip(y.par_chunks(one_out).zip(dy.par_chunks(one_out)))
        .for_each(|((dx, x), (y, dy))| {
            dx.fill(0.0);
            let mut left = vec![0.0f32; to.channels];
            for (oy, ox) in (0..to.height).flat_map(|oy| (0..to.width).map(move |ox| (oy, ox))) {
                let at = to.at(0, oy, ox);
                let largest = &y[at..][..to.channels];
                left.copy_from_slice(&dy[at..][..to.channels]);
                for iy in (2 * oy).saturating_sub(1)..(2 * oy + 2).min(from.height) {
                    for ix in (2 * ox).saturating_sub(1)..(2 * ox + 2).min(from.width) {
                        let at = from.at(0, iy, ix);
                        let (x, dx) = (&x[at..][..to.channels], &mut dx[at..][..to.channels]);
                        isa.run(|| {
                            for c in 0..to.channels {
                                let takes = x[c] == largest[c];
                                dx[c] += if takes { left[c] } else { 0.0 };
                                left[c] = if takes { 0.0 } else { left[c] };
                            }
                        });
                    }
                }
            }
        });
}

/// The same pooling by candle's operations, on any device.
pub(crate) fn composed_max_pool(x: &Tensor) -> Result<Tensor> {
    // candle's own has no gradient for windows that overlap: the largest of three, down and then across.
    let mut x = x.clone();
    for axis in [1, 2] {
        let n = x.dim(axis)?;
        let at = |shift: i64| {
            let last = n as i64 - 1;
            let rows: Vec<u32> = (0..n.div_ceil(2) as i64).map(|o| (2 * o + shift).clamp(0, last) as u32).collect();
            x.index_select(&Tensor::new(rows, x.device())?, axis)
        };
        x = at(-1)?.maximum(&at(0)?)?.maximum(&at(1)?)?;
    }
    Ok(x)
}
