//! An operation on every device: what it computes on the CPU, what it asks of a GPU, and its gradient.

use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape,
    Storage, Tensor, bail,
};

use crate::Offsets;
use crate::cpu::{Real, elements};
use crate::plan::Plan;

/// The inputs of an operation have the same type and device, and are contiguous.
pub(crate) trait Operation: Send + Sync + 'static {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The result's shape, of inputs of these shapes, which have been checked.
    fn shape(&self, inputs: &[&Shape]) -> Result<Shape>;

    /// The values of the result.
    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>>;

    // (Without a GPU's feature only the tests ask for the next two.)
    /// What a GPU does for it; it writes every element of the result.
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), allow(dead_code))]
    fn plan(&self, shapes: &[&Shape]) -> Result<Plan>;

    /// The bags that the kernel works on.
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), allow(dead_code))]
    fn offsets(&self) -> Option<&Offsets> {
        None
    }

    /// The gradient of each input that has one.
    fn backward(&self, _inputs: &[&Tensor], _result: &Tensor, _grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        bail!("{} has no gradient", self.name())
    }
}

/// Whether this build has kernels for tensors of a type on a device; the CPU's refuse other types by themselves.
pub(crate) fn has_kernels(device: &Device, dtype: DType) -> bool {
    match device {
        Device::Cpu => true,
        Device::Cuda(_) => cfg!(feature = "cuda") && matches!(dtype, DType::F32 | DType::BF16),
        Device::Metal(_) => cfg!(feature = "metal") && dtype == DType::F32,
    }
}

/// The operation on up to three inputs. Gradients flow.
pub(crate) fn apply<O: Operation>(op: O, inputs: &[&Tensor]) -> Result<Tensor> {
    let inputs = ready(op.name(), inputs)?;
    match inputs.as_slice() {
        [a] => a.apply_op1(Run(op)),
        [a, b] => a.apply_op2(b, Run(op)),
        [a, b, c] => a.apply_op3(b, c, Run(op)),
        other => bail!("{} of {} inputs", op.name(), other.len()),
    }
}

/// The operation on any number of inputs. No gradient flows.
pub(crate) fn apply_without_gradient<O: Operation>(op: &O, inputs: &[&Tensor]) -> Result<Tensor> {
    let inputs = ready(op.name(), inputs)?;
    let guards: Vec<_> = inputs.iter().map(Tensor::storage_and_layout).collect();
    let layouts: Vec<&Layout> = guards.iter().map(|(_, l)| *l).collect();
    macro_rules! on {
        ($device:ident, $run:ident) => {{
            let storages: Result<Vec<_>> = guards
                .iter()
                .map(|(s, _)| match &**s {
                    Storage::$device(s) => Ok(s),
                    _ => bail!("{}: inputs on different devices", op.name()),
                })
                .collect();
            let (storage, shape) = $run(op, &storages?, &layouts)?;
            (Storage::$device(storage), shape)
        }};
    }
    let (storage, shape) = match &*guards[0].0 {
        Storage::Cpu(_) => on!(Cpu, run_cpu),
        Storage::Cuda(_) => on!(Cuda, run_cuda),
        Storage::Metal(_) => on!(Metal, run_metal),
    };
    Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
}

fn ready(name: &str, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let Some(first) = inputs.first() else { bail!("{name} without inputs") };
    for t in inputs {
        if t.dtype() != first.dtype() {
            bail!("{name} wants inputs of one type, found {:?} and {:?}", first.dtype(), t.dtype());
        }
        if !t.device().same_device(first.device()) {
            bail!("{name} wants inputs on one device, found {:?} and {:?}", first.device(), t.device());
        }
    }
    inputs.iter().map(|t| t.contiguous()).collect()
}

fn run_cpu<O: Operation>(op: &O, storages: &[&CpuStorage], layouts: &[&Layout]) -> Result<(CpuStorage, Shape)> {
    fn typed<T: Real, O: Operation>(
        op: &O,
        storages: &[&CpuStorage],
        layouts: &[&Layout],
        shapes: &[&Shape],
    ) -> Result<CpuStorage> {
        let inputs: Result<Vec<&[T]>> = storages.iter().zip(layouts).map(|(s, l)| elements::<T>(s, l)).collect();
        Ok(T::to_cpu_storage_owned(op.cpu(&inputs?, shapes)?))
    }
    let shapes = shapes(layouts);
    let shape = op.shape(&shapes)?;
    let storage = match storages[0] {
        CpuStorage::F32(_) => typed::<f32, O>(op, storages, layouts, &shapes)?,
        CpuStorage::F64(_) => typed::<f64, O>(op, storages, layouts, &shapes)?,
        other => {
            bail!(
                "{} wants f32 or f64 on the CPU, found {:?}",
                op.name(),
                candle_core::backend::BackendStorage::dtype(other)
            )
        }
    };
    #[cfg(test)]
    crate::emulated::observe(op, storages, layouts, &storage)?;
    Ok((storage, shape))
}

fn shapes<'a>(layouts: &[&'a Layout]) -> Vec<&'a Shape> {
    layouts.iter().map(|l| l.shape()).collect()
}

#[cfg(feature = "cuda")]
fn run_cuda<O: Operation>(op: &O, storages: &[&CudaStorage], layouts: &[&Layout]) -> Result<(CudaStorage, Shape)> {
    let shapes = shapes(layouts);
    let shape = op.shape(&shapes)?;
    let result = crate::cuda::run(&op.plan(&shapes)?, storages, layouts, op.offsets(), shape.elem_count())?;
    Ok((result, shape))
}

#[cfg(not(feature = "cuda"))]
fn run_cuda<O: Operation>(op: &O, _: &[&CudaStorage], _: &[&Layout]) -> Result<(CudaStorage, Shape)> {
    bail!("{}: scellst-kernels was built without its feature `cuda`", op.name())
}

#[cfg(feature = "metal")]
fn run_metal<O: Operation>(op: &O, storages: &[&MetalStorage], layouts: &[&Layout]) -> Result<(MetalStorage, Shape)> {
    let shapes = shapes(layouts);
    let shape = op.shape(&shapes)?;
    let result = crate::metal::run(&op.plan(&shapes)?, storages, layouts, op.offsets(), shape.elem_count())?;
    Ok((result, shape))
}

#[cfg(not(feature = "metal"))]
fn run_metal<O: Operation>(op: &O, _: &[&MetalStorage], _: &[&Layout]) -> Result<(MetalStorage, Shape)> {
    bail!("{}: scellst-kernels was built without its feature `metal`", op.name())
}

/// An [`Operation`] as candle's custom operation of one, two or three inputs.
struct Run<O>(O);

macro_rules! custom_op {
    ($custom:ident, $gradients:ty, $($s:ident $l:ident $t:ident $i:literal),*) => {
        impl<O: Operation> $custom for Run<O> {
            fn name(&self) -> &'static str {
                self.0.name()
            }

            fn cpu_fwd(&self, $($s: &CpuStorage, $l: &Layout),*) -> Result<(CpuStorage, Shape)> {
                run_cpu(&self.0, &[$($s),*], &[$($l),*])
            }

            fn cuda_fwd(&self, $($s: &CudaStorage, $l: &Layout),*) -> Result<(CudaStorage, Shape)> {
                run_cuda(&self.0, &[$($s),*], &[$($l),*])
            }

            fn metal_fwd(&self, $($s: &MetalStorage, $l: &Layout),*) -> Result<(MetalStorage, Shape)> {
                run_metal(&self.0, &[$($s),*], &[$($l),*])
            }

            fn bwd(&self, $($t: &Tensor,)* result: &Tensor, grad: &Tensor) -> Result<$gradients> {
                let gradients = self.0.backward(&[$($t),*], result, grad)?;
                Ok(($(gradients.get($i).cloned().flatten()),*))
            }
        }
    };
}
custom_op!(CustomOp1, Option<Tensor>, s l t 0);
custom_op!(CustomOp2, (Option<Tensor>, Option<Tensor>), s1 l1 t1 0, s2 l2 t2 1);
custom_op!(CustomOp3, (Option<Tensor>, Option<Tensor>, Option<Tensor>), s1 l1 t1 0, s2 l2 t2 1, s3 l3 t3 2);
