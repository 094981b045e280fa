use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::Offsets;
use crate::activation::{add, softplus_composed, softplus_slope, softplus_value};
use crate::cpu::{Real, by_type, elements};

/// Mean of each bag's rows: `(rows, columns)` and offsets of `bags` to `(bags, columns)`; an empty bag gives 0.
/// f32 or f64. Gradients flow.
///
/// # Errors
/// candle's, if the offsets do not cover the rows, or for another type.
pub fn segment_mean(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    check(x, offsets)?;
    if !x.device().is_cpu() {
        return composed_mean(x, offsets);
    }
    x.contiguous()?.apply_op1(SegmentMean { offsets: offsets.clone(), softplus: None })
}

/// [`segment_mean`] of [`softplus`](crate::softplus) of `z`, without keeping the latter.
///
/// # Errors
/// As [`segment_mean`].
pub fn softplus_segment_mean(z: &Tensor, offsets: &Offsets, beta: f64) -> Result<Tensor> {
    check(z, offsets)?;
    if !z.device().is_cpu() {
        return composed_mean(&softplus_composed(z, beta)?, offsets);
    }
    z.contiguous()?.apply_op1(SegmentMean { offsets: offsets.clone(), softplus: Some(beta) })
}

fn check(x: &Tensor, offsets: &Offsets) -> Result<()> {
    let (rows, _) = x.dims2()?;
    if rows != offsets.rows() {
        bail!("bag offsets cover {} rows, the matrix has {rows}", offsets.rows());
    }
    Ok(())
}

fn composed_mean(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    let (_, columns) = x.dims2()?;
    let device = x.device();
    let bag = Tensor::from_vec(offsets.bag_of_rows(), offsets.rows(), device)?;
    let sum = Tensor::zeros((offsets.bags(), columns), x.dtype(), device)?.index_add(&bag, x, 0)?;
    let weight: Vec<f32> = (0..offsets.bags()).map(|b| 1.0 / offsets.bag(b).len().max(1) as f32).collect();
    sum.broadcast_mul(&Tensor::from_vec(weight, (offsets.bags(), 1), device)?.to_dtype(x.dtype())?)
}

/// Mean over bags, of `softplus` of the rows where a `beta` is given.
struct SegmentMean {
    offsets: Offsets,
    softplus: Option<f64>,
}

impl CustomOp1 for SegmentMean {
    fn name(&self) -> &'static str {
        "segment-mean"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(s: &CpuStorage, l: &Layout, op: &SegmentMean, columns: usize) -> Result<CpuStorage> {
            let x = elements::<T>(s, l)?;
            let mut y = vec![T::of(0.0); op.offsets.bags() * columns];
            y.par_chunks_mut(columns.max(1)).enumerate().for_each(|(bag, y)| {
                let rows = op.offsets.bag(bag);
                if rows.is_empty() {
                    return;
                }
                let weight = T::of(1.0 / rows.len() as f64);
                for row in x[rows.start * columns..rows.end * columns].chunks(columns) {
                    match op.softplus {
                        None => add(y, row),
                        Some(beta) => {
                            y.iter_mut().zip(row).for_each(|(y, &z)| *y += softplus_value(z, T::of(beta)));
                        }
                    }
                }
                y.iter_mut().for_each(|y| *y *= weight);
            });
            Ok(T::to_cpu_storage_owned(y))
        }
        let (_, columns) = l.shape().dims2()?;
        Ok((by_type!(s, run(s, l, self, columns))?, (self.offsets.bags(), columns).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let op = SegmentMeanGrad { offsets: self.offsets.clone(), softplus: self.softplus };
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &op)?))
    }
}

struct SegmentMeanGrad {
    offsets: Offsets,
    softplus: Option<f64>,
}

impl CustomOp2 for SegmentMeanGrad {
    fn name(&self) -> &'static str {
        "segment-mean-grad"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            x: &CpuStorage,
            lx: &Layout,
            g: &CpuStorage,
            lg: &Layout,
            op: &SegmentMeanGrad,
            columns: usize,
        ) -> Result<CpuStorage> {
            let (x, g) = (elements::<T>(x, lx)?, elements::<T>(g, lg)?);
            let bag_of = op.offsets.bag_of_rows();
            let mut d = vec![T::of(0.0); x.len()];
            d.par_chunks_mut(columns.max(1)).enumerate().with_min_len(8).for_each(|(row, d)| {
                let bag = bag_of[row] as usize;
                let weight = T::of(1.0 / op.offsets.bag(bag).len() as f64);
                let g = &g[bag * columns..(bag + 1) * columns];
                match op.softplus {
                    None => d.iter_mut().zip(g).for_each(|(d, &g)| *d = g * weight),
                    Some(beta) => {
                        let beta = T::of(beta);
                        let x = &x[row * columns..(row + 1) * columns];
                        d.iter_mut().zip(g.iter().zip(x)).for_each(|(d, (&g, &x))| {
                            *d = g * weight * softplus_slope(x, beta);
                        });
                    }
                }
            });
            Ok(T::to_cpu_storage_owned(d))
        }
        let (_, columns) = lx.shape().dims2()?;
        Ok((by_type!(x, run(x, lx, g, lg, self, columns))?, lx.shape().clone()))
    }
}
