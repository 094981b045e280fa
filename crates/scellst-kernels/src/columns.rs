use candle_core::{DType, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::cpu::{Real, add};
use crate::operation::{Operation, apply_without_gradient};
use crate::plan::Plan;

/// Rows that are added up together, on the CPU and on a GPU.
const CPU_CHUNK: usize = 128;
const GPU_CHUNK: usize = 256;

/// The sum of each column, added up in blocks of a fixed number of rows so that threads do not matter:
/// `(rows, columns)` to `(columns)`. No gradient flows.
pub(crate) fn column_sum(x: &Tensor) -> Result<Tensor> {
    let (rows, _) = x.dims2()?;
    // The sums of chunks are not rounded to 16 bits.
    if x.device().is_cpu() || rows <= GPU_CHUNK || x.dtype() == DType::BF16 {
        return apply_without_gradient(&ColumnSums { chunk: rows }, &[x])?.squeeze(0);
    }
    let chunks = apply_without_gradient(&ColumnSums { chunk: GPU_CHUNK }, &[x])?;
    apply_without_gradient(&ColumnSums { chunk: chunks.dim(0)? }, &[&chunks])?.squeeze(0)
}

/// The sum of each column in each chunk of rows: `(chunks, columns)`; one chunk of nothing where there are no rows.
pub(crate) struct ColumnSums {
    pub chunk: usize,
}

impl ColumnSums {
    fn chunks(&self, rows: usize) -> usize {
        rows.div_ceil(self.chunk.max(1)).max(1)
    }
}

impl Operation for ColumnSums {
    fn name(&self) -> &'static str {
        "sum of columns"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let (rows, columns) = inputs[0].dims2()?;
        Ok((self.chunks(rows), columns).into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (rows, columns) = shapes[0].dims2()?;
        let mut total = vec![T::of(0.0); self.chunks(rows) * columns];
        if columns == 0 {
            return Ok(total);
        }
        for (total, chunk) in total.chunks_mut(columns).zip(inputs[0].chunks(self.chunk.max(1) * columns)) {
            let blocks: Vec<Vec<T>> = chunk
                .par_chunks(CPU_CHUNK * columns)
                .map(|block| {
                    let mut sum = vec![T::of(0.0); columns];
                    block.chunks(columns).for_each(|row| add(&mut sum, row));
                    sum
                })
                .collect();
            blocks.iter().for_each(|b| add(total, b));
        }
        Ok(total)
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, columns) = shapes[0].dims2()?;
        let plan = Plan::tiles("column_sum", self.chunks(rows), columns)?;
        plan.u32("rows", rows)?.u32("columns", columns)?.u32("rows", self.chunk)
    }
}
