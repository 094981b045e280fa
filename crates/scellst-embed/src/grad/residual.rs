use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{values, with_values};

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 15;

struct AddRelu;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add-relu"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (values(a, la)?, values(b, lb)?);
        let mut y = vec![0.0; a.len()];
        y.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(y, (a, b))| {
            for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                let sum = a + b;
                *y = if sum < 0.0 { 0.0 } else { sum };
            }
        });
        Ok((CpuStorage::F32(y), la.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let back = |y: &[f32], dy: &[f32]| {
            let mut d = vec![0.0; y.len()];
            d.par_chunks_mut(PIECE).zip(y.par_chunks(PIECE).zip(dy.par_chunks(PIECE))).for_each(|(d, (y, dy))| {
                d.iter_mut().zip(y.iter().zip(dy)).for_each(|(d, (y, dy))| *d = if *y > 0.0 { *dy } else { 0.0 });
            });
            d
        };
        let d = with_values(y, |y| with_values(&dy, |dy| back(y, dy)))??;
        let d = Tensor::from_vec(d, y.shape(), y.device())?;
        Ok((Some(d.clone()), Some(d)))
    }
}

/// `relu(a + b)` of two tensors of one shape.
pub(crate) fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !a.device().is_cpu() {
        return (a + b)?.relu();
    }
    if a.dims() != b.dims() {
        candle_core::bail!("a residual of {:?} to {:?}", b.dims(), a.dims());
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu)
}
