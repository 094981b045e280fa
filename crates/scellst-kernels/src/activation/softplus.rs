use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient, has_kernels};
use crate::plan::Plan;

/// Above `beta * x` of this, softplus is `x` (the threshold of PyTorch's `nn.Softplus`).
const LINEAR_ABOVE: f64 = 20.0;

/// `log(1 + exp(beta x)) / beta`.
pub(crate) fn softplus_value<T: Real>(x: T, beta: T) -> T {
    let t = beta * x;
    if t > T::of(LINEAR_ABOVE) { x } else { t.exp().ln_1p() / beta }
}

/// Its derivative, `1 / (1 + exp(-beta x))`.
pub(crate) fn softplus_slope<T: Real>(x: T, beta: T) -> T {
    let t = beta * x;
    if t > T::of(LINEAR_ABOVE) { T::of(1.0) } else { T::of(1.0) / (T::of(1.0) + (-t).exp()) }
}

/// `log(1 + exp(beta x)) / beta`, element by element; any shape, f32 or f64, positive. Gradients flow.
///
/// # Errors
/// candle's, for another type.
pub fn softplus(x: &Tensor, beta: f64) -> Result<Tensor> {
    if !has_kernels(x.device(), x.dtype()) {
        return softplus_composed(x, beta);
    }
    apply(Softplus { beta }, &[x])
}

/// The same of candle's own operations, for devices without a kernel: `max(x, 0) + log(1 + exp(-|beta x|)) / beta`.
pub(crate) fn softplus_composed(x: &Tensor, beta: f64) -> Result<Tensor> {
    let tail = ((x.abs()? * (-beta))?.exp()? + 1.0)?.log()?;
    x.relu()? + (tail / beta)?
}

struct Softplus {
    beta: f64,
}

impl Operation for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], _: &[&Shape]) -> Result<Vec<T>> {
        let beta = T::of(self.beta);
        Ok(inputs[0].par_iter().with_min_len(4096).map(|&x| softplus_value(x, beta)).collect())
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let n = shapes[0].elem_count();
        Ok(Plan::elements("softplus", n)?.u64(n as u64).f32(self.beta))
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_without_gradient(&SoftplusGrad { beta: self.beta }, &[inputs[0], grad])?)])
    }
}

/// Of the argument and the gradient of the result.
struct SoftplusGrad {
    beta: f64,
}

impl Operation for SoftplusGrad {
    fn name(&self) -> &'static str {
        "gradient of softplus"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], _: &[&Shape]) -> Result<Vec<T>> {
        let (x, g, beta) = (inputs[0], inputs[1], T::of(self.beta));
        Ok(x.par_iter().zip(g).with_min_len(4096).map(|(&x, &g)| g * softplus_slope(x, beta)).collect())
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let n = shapes[0].elem_count();
        Ok(Plan::elements("softplus_grad", n)?.u64(n as u64).f32(self.beta))
    }
}
