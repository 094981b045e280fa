use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{values, with_values};
use crate::cpu::{After, Isa, Packed, Rows, Window, multiply};

/// Rows that a thread multiplies at a time.
const ROWS: usize = 28;
/// Columns that are packed at a time.
const COLUMNS: usize = 256;

/// `c = a b` of `a` in rows of `k` and `b` of `n` columns, packed piece by piece by `pack(first column, columns)`.
fn product(a: &[f32], k: usize, n: usize, pack: impl Fn(usize, usize) -> Packed + Sync) -> Vec<f32> {
    let firsts: Vec<usize> = (0..n).step_by(COLUMNS).collect();
    let packed: Vec<Packed> = firsts.par_iter().map(|&first| pack(first, COLUMNS.min(n - first))).collect();
    let mut c = vec![0.0; a.len() / k * n];
    c.par_chunks_mut(ROWS * n).zip(a.par_chunks(ROWS * k)).for_each(|(c, a)| {
        for (first, b) in firsts.iter().zip(&packed) {
            let rows = Rows::Every { count: a.len() / k, a: k, c: n };
            multiply(a, b, &mut c[*first..], rows, Window::whole(k), After::NOTHING);
        }
    });
    c
}

/// Rows and columns for columns and rows.
fn transposed(a: &[f32], columns: usize) -> Vec<f32> {
    let rows = a.len() / columns;
    let mut t = vec![0.0; a.len()];
    t.par_chunks_mut(rows).enumerate().for_each(|(c, to)| {
        to.iter_mut().zip(a[c..].iter().step_by(columns)).for_each(|(to, v)| *to = *v);
    });
    t
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, inputs), (outputs, _)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        let (x, w, isa) = (values(x, lx)?, values(w, lw)?, Isa::detect());
        let pack = |first, columns| Packed::new(isa, inputs, columns, |i, o| w[(first + o) * inputs + i]);
        Ok((CpuStorage::F32(product(x, inputs, outputs, pack)), Shape::from((rows, outputs))))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, inputs), (outputs, _)) = (x.dims2()?, w.dims2()?);
        let (dy, isa) = (dy.contiguous()?, Isa::detect());
        let to_input = |w: &[f32], dy: &[f32]| {
            let pack = |first, columns| Packed::new(isa, outputs, columns, |o, i| w[o * inputs + first + i]);
            product(dy, outputs, inputs, pack)
        };
        let to_weight = |x: &[f32], dy: &[f32]| {
            let pack = |first, columns| Packed::new(isa, rows, columns, |r, i| x[r * inputs + first + i]);
            product(&transposed(dy, outputs), rows, inputs, pack)
        };
        let dx = with_values(w, |w| with_values(&dy, |dy| to_input(w, dy)))??;
        let dw = with_values(x, |x| with_values(&dy, |dy| to_weight(x, dy)))??;
        let (dx, dw) = (Tensor::from_vec(dx, x.shape(), x.device())?, Tensor::from_vec(dw, w.shape(), x.device())?);
        Ok((Some(dx), Some(dw)))
    }
}

/// Rows `(n, in)` by a weight `(out, in)`: `(n, out)`.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x.matmul(&weight.t()?);
    }
    if x.rank() != 2 || weight.rank() != 2 || x.dim(1)? != weight.dim(1)? || x.elem_count() == 0 {
        bail!("rows {:?} by a weight {:?}", x.dims(), weight.dims());
    }
    x.contiguous()?.apply_op2(&weight.contiguous()?, Linear)
}
