use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::Dropout;
use crate::columns::column_sum;
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// The tail of a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationSpec {
    /// Slope of LeakyReLU below zero.
    pub slope: f64,
    /// None in evaluation.
    pub dropout: Option<Dropout>,
}

impl ActivationSpec {
    fn apply<T: Real>(&self, z: T, index: u64) -> T {
        let a = if z > T::of(0.0) { z } else { z * T::of(self.slope) };
        match &self.dropout {
            Some(d) => a * T::of(d.factor(index).into()),
            None => a,
        }
    }

    /// The derivative from the result: dropout keeps the sign and LeakyReLU keeps it too.
    fn slope<T: Real>(&self, y: T, index: u64) -> T {
        let a = if y > T::of(0.0) { T::of(1.0) } else { T::of(self.slope) };
        match &self.dropout {
            Some(d) => a * T::of(d.factor(index).into()),
            None => a,
        }
    }

    /// What a kernel wants to know: slope, seed, threshold and factor; without dropout nothing is below the threshold.
    fn describe(&self, plan: Plan) -> Result<Plan> {
        let (seed, threshold, factor) = self.dropout.map_or((0, 0, 1.0), |d| d.parts());
        plan.f32(self.slope).u64(seed).u32("", threshold as usize).map(|plan| plan.f32(factor.into()))
    }
}

/// `dropout(leaky_relu(x + bias))` of `(rows, columns)` and `(columns)`, f32 or f64. Gradients flow to both.
///
/// An element's dropout depends on the seed and on its place in the matrix only.
///
/// # Errors
/// candle's, for other shapes or types.
pub fn bias_leaky_relu_dropout(x: &Tensor, bias: &Tensor, spec: ActivationSpec) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    if bias.dims1()? != columns {
        bail!("a bias of {} does not fit rows of {columns}", bias.dims1()?);
    }
    if has_kernels(x.device(), x.dtype()) {
        return apply(BiasActivation { spec }, &[x, bias]);
    }
    let z = x.broadcast_add(bias)?;
    let y = (z.relu()? - ((z.neg()?.relu()?) * spec.slope)?)?;
    match spec.dropout {
        None => Ok(y),
        Some(d) => {
            let mask: Vec<f32> = (0..(rows * columns) as u64).map(|i| d.factor(i)).collect();
            y * Tensor::from_vec(mask, (rows, columns), x.device())?.to_dtype(x.dtype())?
        }
    }
}

struct BiasActivation {
    spec: ActivationSpec,
}

impl Operation for BiasActivation {
    fn name(&self) -> &'static str {
        "bias, LeakyReLU and dropout"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], _: &[&Shape]) -> Result<Vec<T>> {
        let (x, b) = (inputs[0], inputs[1]);
        let mut y = x.to_vec();
        if !b.is_empty() {
            y.par_chunks_mut(b.len()).enumerate().with_min_len(16).for_each(|(row, y)| {
                let first = (row * b.len()) as u64;
                for (i, (y, &b)) in (first..).zip(y.iter_mut().zip(b)) {
                    *y = self.spec.apply(*y + b, i);
                }
            });
        }
        Ok(y)
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, columns) = shapes[0].dims2()?;
        let plan = Plan::matrix("bias_activation", rows, columns)?;
        self.spec.describe(plan.u32("rows", rows)?.u32("columns", columns)?)
    }

    fn backward(&self, _: &[&Tensor], result: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dx = apply_without_gradient(&ActivationGrad { spec: self.spec }, &[result, grad])?;
        let db = column_sum(&dx)?;
        Ok(vec![Some(dx), Some(db)])
    }
}

/// Of the result and its gradient.
struct ActivationGrad {
    spec: ActivationSpec,
}

impl Operation for ActivationGrad {
    fn name(&self) -> &'static str {
        "gradient of bias, LeakyReLU and dropout"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], _: &[&Shape]) -> Result<Vec<T>> {
        let (y, g) = (inputs[0], inputs[1]);
        Ok(y.par_iter()
            .zip(g)
            .enumerate()
            .with_min_len(4096)
            .map(|(i, (&y, &g))| g * self.spec.slope(y, i as u64))
            .collect())
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let n = shapes[0].elem_count();
        self.spec.describe(Plan::elements("bias_activation_grad", n)?.u64(n as u64))
    }
}
