//! Reductions over bags: sum, mean, weighted sum, maximum, softmax, and the mean of softplus.

mod composed;
mod max;
mod softmax;
mod softplus;
mod sum;
mod weighted;

use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::Offsets;
use crate::cpu::Real;

pub use max::segment_max;
pub use softmax::segment_softmax;
pub use softplus::softplus_segment_mean;
pub use sum::{segment_mean, segment_sum};
pub use weighted::segment_weighted_sum;

/// A matrix whose rows are those of the bags.
fn check(x: &Tensor, offsets: &Offsets) -> Result<()> {
    let (rows, _) = x.dims2()?;
    covers(offsets, rows)
}

fn covers(offsets: &Offsets, rows: usize) -> Result<()> {
    if rows != offsets.rows() {
        bail!("bag offsets cover {} rows, the matrix has {rows}", offsets.rows());
    }
    Ok(())
}

/// Columns of a matrix.
fn columns(shape: &Shape) -> Result<usize> {
    Ok(shape.dims2()?.1)
}

/// One row of results for each bag.
fn bags_by(offsets: &Offsets, columns: usize) -> Shape {
    (offsets.bags(), columns).into()
}

/// Runs `f` over the bags in parallel, with each bag's row of a new matrix `(bags, columns)` of zeros.
fn each_bag<T: Real>(offsets: &Offsets, columns: usize, f: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let mut out = vec![T::of(0.0); offsets.bags() * columns];
    out.par_chunks_mut(columns.max(1)).enumerate().for_each(|(bag, out)| f(bag, out));
    out
}

/// Runs `f` over the rows of all bags in parallel, with bag, row, and the row of a new matrix `(rows, columns)` of zeros.
fn each_row<T: Real>(offsets: &Offsets, columns: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) -> Vec<T> {
    let bag_of = offsets.bag_of_rows();
    let mut out = vec![T::of(0.0); offsets.rows() * columns];
    out.par_chunks_mut(columns.max(1))
        .enumerate()
        .with_min_len(8)
        .for_each(|(row, out)| f(bag_of[row] as usize, row, out));
    out
}

/// Runs `f` over the bags in parallel, with each bag's rows of a new matrix `(rows, columns)` of zeros.
fn each_bags_rows<T: Real>(offsets: &Offsets, columns: usize, f: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
    let mut out = vec![T::of(0.0); offsets.rows() * columns];
    let mut rest = out.as_mut_slice();
    let mut parts = Vec::with_capacity(offsets.bags());
    for bag in 0..offsets.bags() {
        let (part, after) = rest.split_at_mut(offsets.bag(bag).len() * columns);
        parts.push(part);
        rest = after;
    }
    parts.into_par_iter().enumerate().for_each(|(bag, part)| f(bag, part));
    out
}
