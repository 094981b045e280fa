use candle_core::{Result, Shape, Tensor};

use super::{bags_by, check, columns, composed, each_bag, each_row};
use crate::Offsets;
use crate::activation::{softplus_composed, softplus_slope, softplus_value};
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// [`segment_mean`](crate::segment_mean) of [`softplus`](crate::softplus) of `z`, without keeping the latter.
///
/// # Errors
/// As [`segment_mean`](crate::segment_mean).
pub fn softplus_segment_mean(z: &Tensor, offsets: &Offsets, beta: f64) -> Result<Tensor> {
    check(z, offsets)?;
    if !has_kernels(z.device(), z.dtype()) {
        return composed::mean(&softplus_composed(z, beta)?, offsets);
    }
    apply(SegmentSoftplus { offsets: offsets.clone(), beta }, &[z])
}

#[derive(Clone)]
struct SegmentSoftplus {
    offsets: Offsets,
    beta: f64,
}

impl Operation for SegmentSoftplus {
    fn name(&self) -> &'static str {
        "segment mean of softplus"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(bags_by(&self.offsets, columns(inputs[0])?))
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (z, columns) = (inputs[0], columns(shapes[0])?);
        let beta = T::of(self.beta);
        Ok(each_bag(&self.offsets, columns, |bag, out| {
            let rows = self.offsets.bag(bag);
            for row in z[rows.start * columns..rows.end * columns].chunks(columns) {
                out.iter_mut().zip(row).for_each(|(y, &z)| *y += softplus_value(z, beta));
            }
            let weight = T::of(1.0 / rows.len().max(1) as f64);
            out.iter_mut().for_each(|y| *y *= weight);
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let columns = columns(shapes[0])?;
        Ok(Plan::tiles("segment_softplus", self.offsets.bags(), columns)?.u32("columns", columns)?.f32(self.beta))
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.offsets)
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_without_gradient(&SegmentSoftplusGrad(self.clone()), &[inputs[0], grad])?)])
    }
}

/// Of the logits and the gradient of the bags.
struct SegmentSoftplusGrad(SegmentSoftplus);

impl Operation for SegmentSoftplusGrad {
    fn name(&self) -> &'static str {
        "gradient of segment mean of softplus"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (z, g, columns) = (inputs[0], inputs[1], columns(shapes[0])?);
        let beta = T::of(self.0.beta);
        let offsets = &self.0.offsets;
        Ok(each_row(offsets, columns, |bag, row, d| {
            let weight = T::of(1.0 / offsets.bag(bag).len() as f64);
            let (z, g) = (&z[row * columns..], &g[bag * columns..]);
            d.iter_mut().zip(g.iter().zip(z)).for_each(|(d, (&g, &z))| *d = g * weight * softplus_slope(z, beta));
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (columns, bags) = (columns(shapes[0])?, self.0.offsets.bags());
        Ok(Plan::tiles("segment_softplus_grad", bags, columns)?.u32("columns", columns)?.f32(self.0.beta))
    }

    fn offsets(&self) -> Option<&Offsets> {
        Some(&self.0.offsets)
    }
}
