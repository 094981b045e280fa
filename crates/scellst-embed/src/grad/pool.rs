use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape as Dims, Tensor};
use rayon::prelude::*;

use super::{images_at_once, values, with_values};
use crate::cpu::{self, Isa, Shape};

struct MaxPool;

fn shapes(x: &Dims) -> Result<(Shape, Shape)> {
    let (images, height, width, channels) = x.dims4()?;
    let from = Shape::dense(images, height, width, channels);
    Ok((from, Shape::dense(images, height.div_ceil(2), width.div_ceil(2), channels)))
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Dims)> {
        let (from, to) = shapes(layout.shape())?;
        let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
        let images = images_at_once(one_in);
        let mut y = vec![0.0; to.span()];
        let x = values(x, layout)?;
        y.par_chunks_mut(images * one_out).zip(x.par_chunks(images * one_in)).for_each(|(y, x)| {
            let images = x.len() / one_in;
            cpu::max_pool_to(Isa::detect(), (x, Shape { images, ..from }), (y, Shape { images, ..to }));
        });
        Ok((CpuStorage::F32(y), Dims::from((to.images, to.height, to.width, to.channels))))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (from, to) = shapes(x.shape())?;
        let dy = dy.contiguous()?;
        let dx = with_values(x, |x| with_values(y, |y| with_values(&dy, |dy| back(x, y, dy, from, to))))???;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

/// The gradient of each largest value goes to the first pixel that has it, in the order of rows: as PyTorch does.
fn back(x: &[f32], y: &[f32], dy: &[f32], from: Shape, to: Shape) -> Vec<f32> {
    let mut dx = vec![0.0; from.span()];
    let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
    let isa = Isa::detect();
    dx.par_chunks_mut(one_in)
        .zip(x.par_chunks(one_in))
        .zip(y.par_chunks(one_out).zip(dy.par_chunks(one_out)))
        .for_each(|((dx, x), (y, dy))| {
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
    dx
}

/// The largest of 3 x 3 pixels every second pixel with a border of one: `(n, height, width, channels)` to half the
/// height and width, rounded up.
pub(crate) fn max_pool(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.apply_op1(MaxPool);
    }
    // candle's pooling has no gradient for windows that overlap: the largest of three, down and then across.
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
