//! Columns of a pair of matrices, gathered into contiguous memory a block at a time, in parallel.

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::MetricsError;

/// Columns of a row-major `f32` in a cache line.
const LINE: usize = 16;
/// At most so many columns at once: longer stretches of a row are better for the memory's pages.
const MOST: usize = 4 * LINE;
/// Values of a side in a block, about.
const VALUES: usize = 1 << 21;
/// Rows turned at once, so that both sides of the turn stay in the nearest cache.
const TILE: usize = 32;

/// Applies `f` to every pair of columns (the column's number, predictions, measurements, buffers of the thread), the
/// results in order of the columns. Of several errors the first column's is returned.
///
/// `rows` names the rows to take, in order; all where there is none.
pub(crate) fn map_columns<T: Send, B: Default + Send>(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    rows: Option<&[usize]>,
    f: impl Fn(usize, &[f32], &[f32], &mut B) -> Result<T, MetricsError> + Sync,
) -> Result<Vec<T>, MetricsError> {
    let (all, cols) = predicted.dim();
    let n = rows.map_or(all, <[usize]>::len);
    let for_threads = cols.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(LINE);
    let width = for_threads.min(VALUES / n.max(1) / LINE * LINE).clamp(LINE, MOST);
    let starts: Vec<usize> = (0..cols).step_by(width).collect();
    let blocks: Vec<Vec<Result<T, MetricsError>>> = starts
        .into_par_iter()
        .map_init(Default::default, |buffers: &mut (Vec<f32>, Vec<f32>, B), start| {
            let block = Slice::from(start..(start + width).min(cols));
            gather(predicted.slice_axis(Axis(1), block), rows, &mut buffers.0);
            gather(measured.slice_axis(Axis(1), block), rows, &mut buffers.1);
            let count = block.end.map_or(0, |end| end as usize) - start;
            let column = |at: usize| at * n..(at + 1) * n;
            (0..count).map(|at| f(start + at, &buffers.0[column(at)], &buffers.1[column(at)], &mut buffers.2)).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// Copies a few columns one after the other.
fn gather(block: ArrayView2<'_, f32>, rows: Option<&[usize]>, out: &mut Vec<f32>) {
    let n = rows.map_or(block.nrows(), <[usize]>::len);
    let columns = block.ncols();
    out.resize(n * columns, 0.0);
    let row_at = |at: usize| rows.map_or(at, |rows| rows[at]);
    if block.stride_of(Axis(1)) != 1 {
        for (column, values) in block.columns().into_iter().enumerate() {
            let out = &mut out[column * n..(column + 1) * n];
            out.iter_mut().enumerate().for_each(|(at, out)| *out = values[row_at(at)]);
        }
        return;
    }
    let mut tile: Vec<&[f32]> = Vec::with_capacity(TILE);
    for first in (0..n).step_by(TILE) {
        tile.clear();
        let rows = first..(first + TILE).min(n);
        tile.extend(rows.filter_map(|at| block.index_axis_move(Axis(0), row_at(at)).to_slice()));
        for column in 0..columns {
            let out = &mut out[column * n + first..][..tile.len()];
            out.iter_mut().zip(&tile).for_each(|(out, row)| *out = row[column]);
        }
    }
}

/// The first value that is infinite, or NaN where that is not allowed either.
pub(crate) fn unusable(values: &[f32], nan_allowed: bool) -> Option<(usize, f32)> {
    const EXPONENT: u32 = 0x7f80_0000;
    // Without a branch, so that it vectorises: nearly always there is none.
    let any = values.iter().fold(false, |any, value| any | (value.to_bits() & EXPONENT == EXPONENT));
    if !any {
        return None;
    }
    let bad = |value: f32| if nan_allowed { value.is_infinite() } else { !value.is_finite() };
    values.iter().position(|&value| bad(value)).map(|at| (at, values[at]))
}

pub(crate) fn refuse_not_finite(p: &[f32], m: &[f32], column: usize, genes: &[String]) -> Result<(), MetricsError> {
    for (side, values) in [("prediction", p), ("measurement", m)] {
        if let Some((row, value)) = unusable(values, false) {
            return Err(MetricsError::NotFinite { side, row, column, gene: genes[column].clone(), value });
        }
    }
    Ok(())
}

/// By comparing, not by a variance of zero: rounding gives the variance of equal values a tail.
pub(crate) fn is_constant(values: &[f32]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
