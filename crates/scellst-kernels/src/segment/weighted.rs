use candle_core::{Result, Shape, Tensor, bail};

use super::{bags_by, check, columns, composed, each_bag, each_row};
use crate::Offsets;
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// Sum of each bag's rows times their weights: `(rows, columns)`, weights `(rows)` and offsets of `bags` to
/// `(bags, columns)`; an empty bag gives 0. f32 or f64. Gradients flow to the rows and to the weights.
///
/// # Errors
/// As [`segment_mean`](crate::segment_mean); and for another number of weights.
pub fn segment_weighted_sum(x: &Tensor, weights: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    check(x, offsets)?;
    if weights.dims1()? != offsets.rows() {
        bail!("{} weights do not fit a matrix of {} rows", weights.dims1()?, offsets.rows());
    }
    if !has_kernels(x.device(), x.dtype()) {
        return composed::sum(&x.broadcast_mul(&weights.unsqueeze(1)?)?, offsets);
    }
    apply(SegmentWeighted { offsets: offsets.clone() }, &[x, weights])
}

struct SegmentWeighted {
    offsets: Offsets,
}

impl Operation for SegmentWeighted {
    fn name(&self) -> &'static str {
        "weighted segment sum"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(bags_by(&self.offsets, columns(inputs[0])?))
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, w, columns) = (inputs[0], inputs[1], columns(shapes[0])?);
        Ok(each_bag(&self.offsets, columns, |bag, out| {
            for row in self.offsets.bag(bag) {
                out.iter_mut().zip(&x[row * columns..]).for_each(|(y, &x)| *y += w[row] * x);
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Plan::tiles("segment_weighted", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let by_x = SegmentWeightedByRows { offsets: self.offsets.clone() };
        let by_w = SegmentWeightedByWeights { offsets: self.offsets.clone() };
        Ok(vec![
            Some(apply_without_gradient(&by_x, &[inputs[1], grad])?),
            Some(apply_without_gradient(&by_w, &[inputs[0], grad])?),
        ])
    }
}

/// The rows' gradient, of the weights and the gradient of the bags.
struct SegmentWeightedByRows {
    offsets: Offsets,
}

impl Operation for SegmentWeightedByRows {
    fn name(&self) -> &'static str {
        "gradient of weighted segment sum by its rows"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok((self.offsets.rows(), columns(inputs[1])?).into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (w, g, columns) = (inputs[0], inputs[1], columns(shapes[1])?);
        Ok(each_row(&self.offsets, columns, |bag, row, d| {
            d.iter_mut().zip(&g[bag * columns..]).for_each(|(d, &g)| *d = w[row] * g);
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[1])?;
        Plan::tiles("segment_weighted_by_x", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }
}

/// The weights' gradient, of the rows and the gradient of the bags.
struct SegmentWeightedByWeights {
    offsets: Offsets,
}

impl Operation for SegmentWeightedByWeights {
    fn name(&self) -> &'static str {
        "gradient of weighted segment sum by its weights"
    }

    fn shape(&self, _: &[&Shape]) -> Result<Shape> {
        Ok(self.offsets.rows().into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, g, columns) = (inputs[0], inputs[1], columns(shapes[0])?);
        Ok(each_row(&self.offsets, 1, |bag, row, d: &mut [T]| {
            let (x, g) = (&x[row * columns..][..columns], &g[bag * columns..][..columns]);
            x.iter().zip(g).for_each(|(&x, &g)| d[0] += x * g);
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        // A block to a bag, whatever the columns.
        Plan::tiles("segment_weighted_by_w", self.offsets.bags(), 1)?.u32("columns", columns(shapes[0])?)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }
}
