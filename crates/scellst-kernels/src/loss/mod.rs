//! Losses of bags: one number for each bag, in one pass, with the gradient in another.

mod negative_binomial;
mod squared;

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::Real;
use crate::operation::has_kernels;

pub use negative_binomial::negative_binomial;
pub use squared::squared_error;

/// Whether a loss has a kernel: on a GPU for f32 only.
fn has_losses(x: &Tensor) -> bool {
    has_kernels(x.device(), x.dtype()) && (x.device().is_cpu() || x.dtype() == DType::F32)
}

fn same_matrix(what: &str, predicted: &Tensor, other: &Tensor) -> Result<()> {
    let (_, genes) = predicted.dims2()?;
    if predicted.dims() != other.dims() || genes == 0 {
        bail!("{what} of {:?} do not fit predictions of {:?}", other.dims(), predicted.dims());
    }
    Ok(())
}

/// A value of each row.
fn each_row_value<T: Real>(rows: usize, f: impl Fn(usize) -> f64 + Sync + Send) -> Vec<T> {
    (0..rows).into_par_iter().map(|row| T::of(f(row))).collect()
}

/// A value of each element, by row and column.
fn each_element<T: Real>(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64 + Sync + Send) -> Vec<T> {
    let mut out = vec![T::of(0.0); rows * columns];
    out.par_chunks_mut(columns.max(1)).enumerate().for_each(|(row, out)| {
        out.iter_mut().enumerate().for_each(|(column, d)| *d = T::of(f(row, column)));
    });
    out
}
