use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CudaStorage, DType, Device, InplaceOp2, Layout, MetalStorage, Result, Storage, Tensor, Var, bail,
};
use rayon::prelude::*;

use crate::cpu::Real;
use crate::plan::Plan;

/// Constants of [`AdamW`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW (Loshchilov and Hutter 2019) with one pass over each parameter: weights, gradient and both moments are read and
/// written once. f32, and f64 on the CPU.
pub struct AdamW {
    settings: AdamWSettings,
    parameters: Vec<Parameter>,
    steps: u64,
}

struct Parameter {
    weight: Var,
    /// Means of the gradient and of its square, of the weight's type and on its device.
    moments: Mutex<[Storage; 2]>,
}

impl AdamW {
    /// With moments of zero.
    ///
    /// # Errors
    /// candle's, for parameters of other types, and on a device without a kernel for it in this build
    /// (`candle_nn::AdamW` runs there).
    pub fn new(weights: Vec<Var>, settings: AdamWSettings) -> Result<Self> {
        let parameter = |weight: Var| {
            let zeros = Tensor::zeros(weight.shape(), weight.dtype(), weight.device())?;
            Parameter::new(weight, [&zeros, &zeros])
        };
        Ok(Self { settings, parameters: weights.into_iter().map(parameter).collect::<Result<_>>()?, steps: 0 })
    }

    /// As it was after `steps` steps, by [`AdamW::moments`].
    ///
    /// # Errors
    /// As [`AdamW::new`]; and for moments of other shapes or types than the weights.
    pub fn resumed(
        weights: Vec<Var>,
        settings: AdamWSettings,
        steps: u64,
        moments: &[(Tensor, Tensor)],
    ) -> Result<Self> {
        if weights.len() != moments.len() {
            bail!("AdamW: moments of {} parameters do not fit {}", moments.len(), weights.len());
        }
        let parameter = |(weight, (first, second)): (Var, &(Tensor, Tensor))| Parameter::new(weight, [first, second]);
        let parameters = weights.into_iter().zip(moments).map(parameter).collect::<Result<_>>()?;
        Ok(Self { settings, parameters, steps })
    }

    /// Steps that were done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Another step size from the next step on.
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.settings.learning_rate = rate;
    }

    /// Means of the gradient and of its square for each parameter, on the CPU.
    ///
    /// # Errors
    /// candle's, if they cannot be copied from the device.
    pub fn moments(&self) -> Result<Vec<(Tensor, Tensor)>> {
        let pair = |p: &Parameter| {
            let moments = p.moments.lock().unwrap_or_else(PoisonError::into_inner);
            let on_cpu = |s: &Storage| {
                let cpu = match s {
                    Storage::Cpu(s) => s.clone(),
                    Storage::Cuda(s) => s.to_cpu_storage()?,
                    Storage::Metal(s) => s.to_cpu_storage()?,
                };
                let none = candle_core::op::BackpropOp::none();
                Ok::<_, candle_core::Error>(Tensor::from_storage(Storage::Cpu(cpu), p.weight.shape(), none, false))
            };
            Ok((on_cpu(&moments[0])?, on_cpu(&moments[1])?))
        };
        self.parameters.iter().map(pair).collect()
    }

    /// One step along the gradients; a parameter without one stays as it is.
    ///
    /// # Errors
    /// candle's, for a gradient of another shape or type than its parameter.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        let s = &self.settings;
        let t = self.steps as f64;
        let step = Step {
            beta1: s.beta1,
            beta2: s.beta2,
            keep: 1.0 - s.learning_rate * s.weight_decay,
            step: s.learning_rate / (1.0 - s.beta1.powf(t)),
            root: (1.0 - s.beta2.powf(t)).sqrt(),
            epsilon: s.epsilon,
        };
        for parameter in &self.parameters {
            let Some(gradient) = gradients.get(&parameter.weight) else { continue };
            let weight = parameter.weight.as_tensor();
            if gradient.dims() != weight.dims() || gradient.dtype() != weight.dtype() {
                bail!("AdamW: a gradient {gradient:?} does not fit a parameter {weight:?}");
            }
            weight.inplace_op2(&gradient.contiguous()?, &InPlace { step, moments: &parameter.moments })?;
        }
        Ok(())
    }
}

impl Parameter {
    fn new(weight: Var, moments: [&Tensor; 2]) -> Result<Self> {
        let (device, dtype) = (weight.device(), weight.dtype());
        let known = match device {
            Device::Cpu => matches!(dtype, DType::F32 | DType::F64),
            _ => dtype == DType::F32 && crate::operation::has_kernels(device, dtype),
        };
        if !known {
            bail!("AdamW has no kernel for {dtype:?} on {device:?} in this build");
        }
        let copy = |t: &Tensor| {
            if t.dims() != weight.dims() || t.dtype() != dtype {
                bail!("AdamW: a moment {t:?} does not fit a parameter {:?}", weight.as_tensor());
            }
            let t = t.to_device(device)?.contiguous()?;
            let (storage, layout) = t.storage_and_layout();
            storage.try_clone(layout)
        };
        Ok(Self { moments: Mutex::new([copy(moments[0])?, copy(moments[1])?]), weight })
    }
}

/// The constants of one step, as the kernel wants them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub beta1: f64,
    pub beta2: f64,
    /// What decay leaves of a weight.
    pub keep: f64,
    /// Rate over the first moment's bias.
    pub step: f64,
    /// Root of the second moment's bias.
    pub root: f64,
    pub epsilon: f64,
}

impl Step {
    /// Its arguments are the gradient, the weights, both moments; the latter three change.
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), allow(dead_code))]
    pub fn plan(&self, n: usize) -> Result<Plan> {
        let plan = Plan::elements("adamw", n)?.u64(n as u64).f32(self.beta1).f32(self.beta2);
        Ok(plan.f32(self.keep).f32(self.step).f32(self.root).f32(self.epsilon))
    }

    pub fn cpu<T: Real>(&self, weight: &mut [T], gradient: &[T], first: &mut [T], second: &mut [T]) {
        let [beta1, beta2] = [T::of(self.beta1), T::of(self.beta2)];
        let [rest1, rest2] = [T::of(1.0) - beta1, T::of(1.0) - beta2];
        let [keep, step, root, epsilon] = [self.keep, self.step, self.root, self.epsilon].map(T::of);
        let moments = first.par_iter_mut().zip(second);
        weight.par_iter_mut().zip(gradient).zip(moments).with_min_len(4096).for_each(|((w, &g), (m, v))| {
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * (g * g);
            *w = *w * keep - step * (*m / (v.sqrt() / root + epsilon));
        });
    }
}

/// The step on a weight (changed in place) and its gradient.
struct InPlace<'a> {
    step: Step,
    moments: &'a Mutex<[Storage; 2]>,
}

/// The elements of a contiguous tensor.
fn range(layout: &Layout) -> Result<std::ops::Range<usize>> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(from..to),
        None => bail!("AdamW wants contiguous parameters, found strides {:?}", layout.stride()),
    }
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "AdamW"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, lw: &Layout, g: &CpuStorage, lg: &Layout) -> Result<()> {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (rw, rg) = (range(lw)?, range(lg)?);
        let [Storage::Cpu(m), Storage::Cpu(v)] = &mut *moments else { bail!("AdamW: moments on another device") };
        match (w, g, m, v) {
            (CpuStorage::F32(w), CpuStorage::F32(g), CpuStorage::F32(m), CpuStorage::F32(v)) => {
                self.step.cpu(&mut w[rw], &g[rg], m, v);
            }
            (CpuStorage::F64(w), CpuStorage::F64(g), CpuStorage::F64(m), CpuStorage::F64(v)) => {
                self.step.cpu(&mut w[rw], &g[rg], m, v);
            }
            _ => bail!("AdamW wants f32 or f64"),
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, w: &mut CudaStorage, lw: &Layout, g: &CudaStorage, lg: &Layout) -> Result<()> {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let [Storage::Cuda(m), Storage::Cuda(v)] = &mut *moments else { bail!("AdamW: moments on another device") };
        let (rw, rg) = (range(lw)?, range(lg)?);
        crate::cuda::adamw(&self.step.plan(rw.len())?, g, rg, w, rw, [m, v])
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda_fwd(&self, _: &mut CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<()> {
        bail!("AdamW: scellst-kernels was built without its feature `cuda`")
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, w: &mut MetalStorage, lw: &Layout, g: &MetalStorage, lg: &Layout) -> Result<()> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let [Storage::Metal(m), Storage::Metal(v)] = &*moments else { bail!("AdamW: moments on another device") };
        let (rw, rg) = (range(lw)?, range(lg)?);
        crate::metal::adamw(&self.step.plan(rw.len())?, g, rg, w, rw, [m, v])
    }

    #[cfg(not(feature = "metal"))]
    fn metal_fwd(&self, _: &mut MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<()> {
        bail!("AdamW: scellst-kernels was built without its feature `metal`")
    }
}
