//! Values of CPU tensors changed where they are, on all threads: candle's own operations make a new tensor each.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::grad::{values, with_values};

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 14;

struct Each<F>(F);

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((begin, end))) => Ok(&mut values[begin..end]),
        _ => bail!("a contiguous f32 tensor is wanted: {layout:?}"),
    }
}

impl<F: Fn(f32, f32) -> f32 + Sync> InplaceOp2 for Each<F> {
    fn name(&self) -> &'static str {
        "each-of-two"
    }

    fn cpu_fwd(&self, to: &mut CpuStorage, lt: &Layout, a: &CpuStorage, la: &Layout) -> Result<()> {
        let (to, a) = (values_mut(to, lt)?, values(a, la)?);
        to.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).for_each(|(to, a)| {
            to.iter_mut().zip(a).for_each(|(to, a)| *to = self.0(*to, *a));
        });
        Ok(())
    }
}

impl<F: Fn(f32, f32, f32) -> f32 + Sync> InplaceOp3 for Each<F> {
    fn name(&self) -> &'static str {
        "each-of-three"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        lt: &Layout,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<()> {
        let (to, a, b) = (values_mut(to, lt)?, values(a, la)?, values(b, lb)?);
        to.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(to, (a, b))| {
            to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = self.0(*to, *a, *b));
        });
        Ok(())
    }
}

fn same_shape(to: &Tensor, from: &[&Tensor]) -> Result<()> {
    match from.iter().find(|t| t.dims() != to.dims()) {
        None => Ok(()),
        Some(t) => bail!("{:?} changed by {:?}", to.dims(), t.dims()),
    }
}

/// `to = f(to, a)`, value by value.
pub(super) fn each(to: &Tensor, a: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> Result<()> {
    same_shape(to, &[a])?;
    to.inplace_op2(a, &Each(f))
}

/// `to = f(to, a, b)`, value by value.
pub(super) fn each_of(to: &Tensor, a: &Tensor, b: &Tensor, f: impl Fn(f32, f32, f32) -> f32 + Sync) -> Result<()> {
    same_shape(to, &[a, b])?;
    to.inplace_op3(a, b, &Each(f))
}

/// Sum of `f(a, b)` over all values, in an order that threads do not change.
pub(super) fn sum_of(a: &Tensor, b: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> Result<f64> {
    same_shape(a, &[b])?;
    with_values(a, |a| {
        with_values(b, |b| {
            let piece = |(a, b): (&[f32], &[f32])| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(f(*a, *b))).sum() };
            let parts: Vec<f64> = a.par_chunks(PIECE).zip(b.par_chunks(PIECE)).map(piece).collect();
            parts.iter().sum()
        })
    })?
}
