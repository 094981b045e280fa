//! Launches of the kernels on NVIDIA GPUs.
//!
//! The sources are compiled by NVRTC, which candle links anyway, when the first kernel is wanted (a fraction of a second
//! in each process): this crate's build needs no nvcc of its own, and the code is made for the GPU that is there.
//!
//! `unsafe` is for two things: memory that a kernel is about to fill is not cleared first, and a launch trusts its
//! arguments. Both rest on [`Plan`]: kernels get the arrays and scalars in the order written there and write every
//! element of their result, which the emulator checks with the same plans, between guard pages and over poisoned memory.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Device, Error, Layout, Result, Storage, bail};

use crate::Offsets;
use crate::plan::{Plan, Scalar};

/// The name that candle keeps the compiled kernels by.
const MODULE: &str = "scellst-kernels";

/// Runs a kernel over contiguous inputs of one type; a new array of `n` elements.
pub(crate) fn run(
    plan: &Plan,
    inputs: &[&CudaStorage],
    layouts: &[&Layout],
    offsets: Option<&Offsets>,
    n: usize,
) -> Result<CudaStorage> {
    match inputs[0].dtype() {
        DType::F32 => typed::<f32>(plan, "f32", inputs, layouts, offsets, n),
        DType::BF16 => typed::<half::bf16>(plan, "bf16", inputs, layouts, offsets, n),
        other => bail!("{} has no CUDA kernel for {other:?}", plan.kernel),
    }
}

fn typed<T: CudaDType + DeviceRepr>(
    plan: &Plan,
    suffix: &str,
    inputs: &[&CudaStorage],
    layouts: &[&Layout],
    offsets: Option<&Offsets>,
    n: usize,
) -> Result<CudaStorage> {
    let device = inputs[0].device().clone();
    // SAFETY: the kernel writes every element (above); an array of nothing is never read.
    let mut out = unsafe { device.alloc::<T>(n.max(1)) }?;
    if !plan.is_empty() {
        let views: Vec<CudaView<'_, T>> =
            inputs.iter().zip(layouts).map(|(s, l)| view(plan, s, l)).collect::<Result<_>>()?;
        let offsets = offsets.map(|o| o.on(&Device::Cuda(device.clone()))).transpose()?;
        let offsets = offsets.as_ref().map(|t| t.storage_and_layout().0);
        let offsets: Option<&CudaSlice<u32>> = match offsets.as_deref() {
            Some(Storage::Cuda(s)) => Some(s.as_cuda_slice()?),
            _ => None,
        };
        let function = device.get_or_load_custom_func(&format!("{}_{suffix}", plan.kernel), MODULE, ptx(&device)?)?;
        let mut args = function.builder();
        for view in &views {
            args.arg(view);
        }
        if let Some(offsets) = offsets {
            args.arg(offsets);
        }
        args.arg(&mut out);
        launch(args, plan)?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// One step of AdamW: gradient, weights and moments are f32 arrays of the same length; all but the first change.
pub(crate) fn adamw(
    plan: &Plan,
    gradient: &CudaStorage,
    of_gradient: Range<usize>,
    weight: &mut CudaStorage,
    of_weight: Range<usize>,
    [first, second]: [&mut CudaStorage; 2],
) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    let device = gradient.device().clone();
    let function = device.get_or_load_custom_func(&format!("{}_f32", plan.kernel), MODULE, ptx(&device)?)?;
    let gradient = gradient.as_cuda_slice::<f32>()?.slice(of_gradient);
    let mut weight = weight.as_cuda_slice_mut::<f32>()?.slice_mut(of_weight);
    let mut args = function.builder();
    args.arg(&gradient).arg(&mut weight);
    args.arg(first.as_cuda_slice_mut::<f32>()?).arg(second.as_cuda_slice_mut::<f32>()?);
    launch(args, plan)
}

fn view<'a, T: CudaDType>(plan: &Plan, storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(storage.as_cuda_slice::<T>()?.slice(from..to)),
        None => bail!("{} wants contiguous tensors, found strides {:?}", plan.kernel, layout.stride()),
    }
}

fn launch<'a>(mut args: LaunchArgs<'a>, plan: &'a Plan) -> Result<()> {
    for scalar in &plan.scalars {
        match scalar {
            Scalar::U32(v) => args.arg(v),
            Scalar::U64(v) => args.arg(v),
            Scalar::F32(v) => args.arg(v),
        };
    }
    let ([gx, gy], [bx, by]) = (plan.grid, plan.block);
    let config = LaunchConfig { grid_dim: (gx, gy, 1), block_dim: (bx, by, 1), shared_mem_bytes: 0 };
    // SAFETY: arrays and scalars are those of the kernel, in its order (above); offsets cover the rows by construction.
    unsafe { args.launch(config) }.w()?;
    Ok(())
}

/// The kernels for the GPU: PTX of Ampere, which the driver turns into code for it and all later ones; or of what is
/// older.
fn ptx(device: &CudaDevice) -> Result<&'static str> {
    static COMPILED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let (major, minor) = device.cuda_stream().context().compute_capability().map_err(|e| e.to_string())?;
        compile((10 * major + minor).min(80))
    });
    compiled.as_deref().map_err(|e| Error::Msg(format!("cannot compile the CUDA kernels: {e}")))
}

/// The kernels in PTX for a compute capability, 80 for 8.0.
fn compile(capability: i32) -> std::result::Result<String, String> {
    let options = CompileOptions {
        options: vec![format!("--gpu-architecture=compute_{capability}"), "--std=c++17".into()],
        name: Some("scellst-kernels.cu".into()),
        ..CompileOptions::default()
    };
    compile_ptx_with_opts(SOURCE, options).map(|ptx| ptx.to_src()).map_err(|e| e.to_string())
}

const SOURCE: &str = crate::source::CUDA;

#[cfg(test)]
mod tests {
    use super::*;

    /// NVRTC needs no GPU, only its library; without that candle's own CUDA code cannot run either.
    #[test]
    fn nvrtc_compiles_the_kernels() {
        let found = std::panic::catch_unwind(|| compile(80));
        let Ok(compiled) = found else { return eprintln!("skipped: no libnvrtc") };
        let ptx = compiled.unwrap();
        for name in crate::source::kernels(crate::source::Dialect::Cuda) {
            assert!(ptx.contains(&format!(".entry {name}(")), "{name}");
        }
    }
}
