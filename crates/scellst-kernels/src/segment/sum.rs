use candle_core::{Result, Shape, Tensor};

use super::{bags_by, check, columns, composed, each_bag, each_row};
use crate::Offsets;
use crate::cpu::{Real, add};
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// Mean of each bag's rows: `(rows, columns)` and offsets of `bags` to `(bags, columns)`; an empty bag gives 0.
/// f32 or f64. Gradients flow.
///
/// # Errors
/// candle's, if the offsets do not cover the rows, or for another type.
pub fn segment_mean(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    check(x, offsets)?;
    if !has_kernels(x.device(), x.dtype()) {
        return composed::mean(x, offsets);
    }
    apply(SegmentSum { offsets: offsets.clone(), mean: true }, &[x])
}

/// Sum of each bag's rows: `(rows, columns)` and offsets of `bags` to `(bags, columns)`; an empty bag gives 0.
/// f32 or f64. Gradients flow.
///
/// # Errors
/// As [`segment_mean`].
pub fn segment_sum(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    check(x, offsets)?;
    if !has_kernels(x.device(), x.dtype()) {
        return composed::sum(x, offsets);
    }
    apply(SegmentSum { offsets: offsets.clone(), mean: false }, &[x])
}

struct SegmentSum {
    offsets: Offsets,
    mean: bool,
}

/// What a row of a bag counts for.
fn weight<T: Real>(offsets: &Offsets, bag: usize, mean: bool) -> T {
    T::of(if mean { 1.0 / offsets.bag(bag).len().max(1) as f64 } else { 1.0 })
}

impl Operation for SegmentSum {
    fn name(&self) -> &'static str {
        if self.mean { "segment mean" } else { "segment sum" }
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(bags_by(&self.offsets, columns(inputs[0])?))
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, columns) = (inputs[0], columns(shapes[0])?);
        Ok(each_bag(&self.offsets, columns, |bag, out| {
            let rows = self.offsets.bag(bag);
            x[rows.start * columns..rows.end * columns].chunks(columns).for_each(|row| add(out, row));
            if self.mean {
                let weight = weight(&self.offsets, bag, true);
                out.iter_mut().for_each(|y| *y *= weight);
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        let plan = Plan::tiles("segment_sum", self.offsets.bags(), columns)?;
        plan.u32("columns", columns)?.u32("", self.mean.into())
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }

    fn backward(&self, _: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let op = SegmentSumGrad { offsets: self.offsets.clone(), mean: self.mean };
        Ok(vec![Some(apply_without_gradient(&op, &[grad])?)])
    }
}

/// Of the gradient of the bags.
struct SegmentSumGrad {
    offsets: Offsets,
    mean: bool,
}

impl Operation for SegmentSumGrad {
    fn name(&self) -> &'static str {
        "gradient of segment sum"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok((self.offsets.rows(), columns(inputs[0])?).into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (g, columns) = (inputs[0], columns(shapes[0])?);
        Ok(each_row(&self.offsets, columns, |bag, _, d| {
            let weight = weight::<T>(&self.offsets, bag, self.mean);
            d.iter_mut().zip(&g[bag * columns..]).for_each(|(d, &g)| *d = g * weight);
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        let plan = Plan::tiles("segment_sum_grad", self.offsets.bags(), columns)?;
        plan.u32("columns", columns)?.u32("", self.mean.into())
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }
}
