use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::Dropout;
use crate::cpu::{Real, by_type, elements};

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
    if !x.device().is_cpu() {
        return softplus_composed(x, beta);
    }
    x.contiguous()?.apply_op1(Softplus { beta })
}

/// The same of candle's own operations, for devices without a kernel: `max(x, 0) + log(1 + exp(-|beta x|)) / beta`.
pub(crate) fn softplus_composed(x: &Tensor, beta: f64) -> Result<Tensor> {
    let tail = ((x.abs()? * (-beta))?.exp()? + 1.0)?.log()?;
    x.relu()? + (tail / beta)?
}

struct Softplus {
    beta: f64,
}

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(s: &CpuStorage, l: &Layout, beta: f64) -> Result<CpuStorage> {
            let beta = T::of(beta);
            let y: Vec<T> =
                elements::<T>(s, l)?.par_iter().with_min_len(4096).map(|&x| softplus_value(x, beta)).collect();
            Ok(T::to_cpu_storage_owned(y))
        }
        Ok((by_type!(s, run(s, l, self.beta))?, l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &SoftplusGrad { beta: self.beta })?))
    }
}

struct SoftplusGrad {
    beta: f64,
}

impl CustomOp2 for SoftplusGrad {
    fn name(&self) -> &'static str {
        "softplus-grad"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout, beta: f64) -> Result<CpuStorage> {
            let beta = T::of(beta);
            let (x, g) = (elements::<T>(x, lx)?, elements::<T>(g, lg)?);
            let d: Vec<T> =
                x.par_iter().zip(g).with_min_len(4096).map(|(&x, &g)| g * softplus_slope(x, beta)).collect();
            Ok(T::to_cpu_storage_owned(d))
        }
        Ok((by_type!(x, run(x, lx, g, lg, self.beta))?, lx.shape().clone()))
    }
}

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
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2(&bias.contiguous()?, BiasActivation { spec });
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

impl CustomOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias-leaky-relu-dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            x: &CpuStorage,
            lx: &Layout,
            b: &CpuStorage,
            lb: &Layout,
            spec: &ActivationSpec,
        ) -> Result<CpuStorage> {
            let (x, b) = (elements::<T>(x, lx)?, elements::<T>(b, lb)?);
            let mut y = x.to_vec();
            if !b.is_empty() {
                y.par_chunks_mut(b.len()).enumerate().with_min_len(16).for_each(|(row, y)| {
                    let first = (row * b.len()) as u64;
                    for (i, (y, &b)) in (first..).zip(y.iter_mut().zip(b)) {
                        *y = spec.apply(*y + b, i);
                    }
                });
            }
            Ok(T::to_cpu_storage_owned(y))
        }
        Ok((by_type!(x, run(x, lx, b, lb, &self.spec))?, lx.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _b: &Tensor, y: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = y.apply_op2_no_bwd(&grad.contiguous()?, &ActivationGrad { spec: self.spec })?;
        let db = dx.apply_op1_no_bwd(&ColumnSum)?;
        Ok((Some(dx), Some(db)))
    }
}

struct ActivationGrad {
    spec: ActivationSpec,
}

impl CustomOp2 for ActivationGrad {
    fn name(&self) -> &'static str {
        "bias-leaky-relu-dropout-grad"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, g: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(
            y: &CpuStorage,
            ly: &Layout,
            g: &CpuStorage,
            lg: &Layout,
            spec: &ActivationSpec,
        ) -> Result<CpuStorage> {
            let (y, g) = (elements::<T>(y, ly)?, elements::<T>(g, lg)?);
            let d: Vec<T> = y
                .par_iter()
                .zip(g)
                .enumerate()
                .with_min_len(4096)
                .map(|(i, (&y, &g))| g * spec.slope(y, i as u64))
                .collect();
            Ok(T::to_cpu_storage_owned(d))
        }
        Ok((by_type!(y, run(y, ly, g, lg, &self.spec))?, ly.shape().clone()))
    }
}

/// The sum of each column, added up in blocks of a fixed number of rows so that threads do not matter.
struct ColumnSum;

const SUM_BLOCK_ROWS: usize = 128;

impl CustomOp1 for ColumnSum {
    fn name(&self) -> &'static str {
        "column-sum"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(s: &CpuStorage, l: &Layout, columns: usize) -> Result<CpuStorage> {
            let mut total = vec![T::of(0.0); columns];
            if columns > 0 {
                let blocks: Vec<Vec<T>> = elements::<T>(s, l)?
                    .par_chunks(SUM_BLOCK_ROWS * columns)
                    .map(|block| {
                        let mut sum = vec![T::of(0.0); columns];
                        block.chunks(columns).for_each(|row| add(&mut sum, row));
                        sum
                    })
                    .collect();
                blocks.iter().for_each(|b| add(&mut total, b));
            }
            Ok(T::to_cpu_storage_owned(total))
        }
        let (_, columns) = l.shape().dims2()?;
        Ok((by_type!(s, run(s, l, columns))?, columns.into()))
    }
}

pub(crate) fn add<T: Real>(sum: &mut [T], row: &[T]) {
    for (s, &r) in sum.iter_mut().zip(row) {
        *s += r;
    }
}
