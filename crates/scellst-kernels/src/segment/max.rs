use candle_core::{Result, Shape, Tensor};

use super::{bags_by, check, columns, composed, each_bag, each_bags_rows};
use crate::Offsets;
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// Maximum of each bag's rows, column by column: `(rows, columns)` and offsets of `bags` to `(bags, columns)`; an empty
/// bag gives 0, and a bag with a NaN gives NaN. f32 or f64.
///
/// The gradient flows to one row for each bag and column: the first of those with the maximum.
///
/// # Errors
/// As [`segment_mean`](crate::segment_mean).
pub fn segment_max(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    check(x, offsets)?;
    if !has_kernels(x.device(), x.dtype()) {
        return composed::max(x, offsets);
    }
    apply(SegmentMax { offsets: offsets.clone() }, &[x])
}

/// For each column the row of its maximum: a NaN above all, the first of equals. Nothing without rows.
pub(super) fn winners<T: Real>(x: &[T], columns: usize) -> Vec<usize> {
    let is_nan = |x: T| x.partial_cmp(&x).is_none();
    let mut rows = x.chunks(columns.max(1)).enumerate();
    let Some((_, first)) = rows.next() else { return Vec::new() };
    let mut best = first.to_vec();
    let mut winner = vec![0; columns];
    for (row, values) in rows {
        for ((best, winner), &value) in best.iter_mut().zip(&mut winner).zip(values) {
            if !is_nan(*best) && (is_nan(value) || value > *best) {
                (*best, *winner) = (value, row);
            }
        }
    }
    winner
}

struct SegmentMax {
    offsets: Offsets,
}

impl Operation for SegmentMax {
    fn name(&self) -> &'static str {
        "segment maximum"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(bags_by(&self.offsets, columns(inputs[0])?))
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, columns) = (inputs[0], columns(shapes[0])?);
        Ok(each_bag(&self.offsets, columns, |bag, out| {
            let rows = self.offsets.bag(bag);
            let x = &x[rows.start * columns..rows.end * columns];
            for (column, row) in winners(x, columns).into_iter().enumerate() {
                out[column] = x[row * columns + column];
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Plan::tiles("segment_max", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let op = SegmentMaxGrad { offsets: self.offsets.clone() };
        Ok(vec![Some(apply_without_gradient(&op, &[inputs[0], grad])?)])
    }
}

/// Of the rows, in which the maximum is looked for again, and the gradient of the bags.
struct SegmentMaxGrad {
    offsets: Offsets,
}

impl Operation for SegmentMaxGrad {
    fn name(&self) -> &'static str {
        "gradient of segment maximum"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (x, g, columns) = (inputs[0], inputs[1], columns(shapes[0])?);
        Ok(each_bags_rows(&self.offsets, columns, |bag, d| {
            let x = &x[self.offsets.bag(bag).start * columns..][..d.len()];
            for (column, row) in winners(x, columns).into_iter().enumerate() {
                d[row * columns + column] = g[bag * columns + column];
            }
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Plan::tiles("segment_max_grad", self.offsets.bags(), columns)?.u32("columns", columns)
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::winners;

    #[test]
    fn first_of_equals_and_no_numbers_above_all() {
        assert!(winners::<f64>(&[], 3).is_empty());
        assert_eq!(winners(&[1.0, 5.0, 3.0, 4.0, 3.0, 3.0], 2), [1, 0]);
        assert_eq!(winners(&[0.0, -0.0], 1), [0]);
        assert_eq!(winners(&[f64::NEG_INFINITY; 2], 1), [0]);
        assert_eq!(winners(&[9.0, f64::NAN, f64::INFINITY, f64::NAN], 1), [1]);
    }
}
