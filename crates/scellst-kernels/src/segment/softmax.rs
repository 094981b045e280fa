use candle_core::{Result, Shape, Tensor, bail};

use super::max::winners;
use super::{columns, composed, covers, each_bags_rows};
use crate::Offsets;
use crate::cpu::{Real, add};
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// Softmax over the rows of each bag, column by column: `(rows, columns)` to the same, or `(rows)` to the same; positive,
/// and a bag's rows sum to 1. f32 or f64. Gradients flow.
///
/// # Errors
/// As [`segment_mean`](crate::segment_mean).
pub fn segment_softmax(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    match x.rank() {
        1 => segment_softmax(&x.unsqueeze(1)?, offsets)?.squeeze(1),
        2 => {
            covers(offsets, x.dim(0)?)?;
            if !has_kernels(x.device(), x.dtype()) {
                return composed::softmax(x, offsets);
            }
            apply(SegmentSoftmax { offsets: offsets.clone() }, &[x])
        }
        _ => bail!("segment softmax wants (rows) or (rows, columns), found {:?}", x.dims()),
    }
}

struct SegmentSoftmax {
    offsets: Offsets,
}

impl Operation for SegmentSoftmax {
    fn name(&self) -> &'static str {
        "segment softmax"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, columns) = (inputs[0], columns(shapes[0])?);
        Ok(each_bags_rows(&self.offsets, columns, |bag, y| {
            let x = &x[self.offsets.bag(bag).start * columns..][..y.len()];
            let max: Vec<T> =
                winners(x, columns).into_iter().enumerate().map(|(c, row)| x[row * columns + c]).collect();
            let mut sum = vec![T::of(0.0); columns];
            for (y, x) in y.chunks_mut(columns.max(1)).zip(x.chunks(columns.max(1))) {
                y.iter_mut().zip(x).zip(&max).for_each(|((y, &x), &max)| *y = (x - max).exp());
                add(&mut sum, y);
            }
            for y in y.chunks_mut(columns.max(1)) {
                y.iter_mut().zip(&sum).for_each(|(y, &sum)| *y /= sum);
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Plan::tiles("segment_softmax", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }

    fn backward(&self, _: &[&Tensor], result: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let op = SegmentSoftmaxGrad { offsets: self.offsets.clone() };
        Ok(vec![Some(apply_without_gradient(&op, &[result, grad])?)])
    }
}

/// `y (g - sum of y g over the bag)`, of the result and its gradient.
struct SegmentSoftmaxGrad {
    offsets: Offsets,
}

impl Operation for SegmentSoftmaxGrad {
    fn name(&self) -> &'static str {
        "gradient of segment softmax"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (y, g, columns) = (inputs[0], inputs[1], columns(shapes[0])?);
        Ok(each_bags_rows(&self.offsets, columns, |bag, d| {
            let start = self.offsets.bag(bag).start * columns;
            let (y, g) = (&y[start..][..d.len()], &g[start..][..d.len()]);
            let mut sum = vec![T::of(0.0); columns];
            for (y, g) in y.chunks(columns.max(1)).zip(g.chunks(columns.max(1))) {
                sum.iter_mut().zip(y.iter().zip(g)).for_each(|(sum, (&y, &g))| *sum += y * g);
            }
            for (i, (d, (&y, &g))) in d.iter_mut().zip(y.iter().zip(g)).enumerate() {
                *d = y * (g - sum[i % columns]);
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Plan::tiles("segment_softmax_grad", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }
}
