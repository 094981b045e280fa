//! Launches of the kernels on Apple GPUs; the sources are compiled by Metal when the first kernel is wanted.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::metal_backend::DeviceId;
use candle_core::{DType, Device, Error, Layout, MetalDevice, MetalStorage, Result, Storage, bail};
use candle_metal_kernels::metal::{Buffer, ComputeCommandEncoder, ComputePipeline, Library};
use objc2_metal::{MTLCompileOptions, MTLSize};

use crate::Offsets;
use crate::plan::{Plan, Scalar};

/// Bytes of an f32 and of a u32.
const WORD: usize = 4;

/// An array of a kernel: a buffer and where in it, in bytes.
type Array<'a> = (&'a Buffer, usize);

/// Runs a kernel over contiguous f32 inputs; a new array of `n` elements, all of which the kernel writes.
pub(crate) fn run(
    plan: &Plan,
    inputs: &[&MetalStorage],
    layouts: &[&Layout],
    offsets: Option<&Offsets>,
    n: usize,
) -> Result<MetalStorage> {
    let device = inputs[0].device().clone();
    let out: Arc<Buffer> = device.new_buffer_builder().with_size_for(n.max(1), DType::F32).build()?;
    if !plan.is_empty() {
        let mut arrays = Vec::with_capacity(inputs.len() + 1);
        for (storage, layout) in inputs.iter().zip(layouts) {
            let Some((from, _)) = layout.contiguous_offsets() else {
                bail!("{} wants contiguous tensors, found strides {:?}", plan.kernel, layout.stride())
            };
            arrays.push(array(plan, storage, from)?);
        }
        let offsets = offsets.map(|o| o.on(&Device::Metal(device.clone()))).transpose()?;
        let offsets = offsets.as_ref().map(|t| t.storage_and_layout().0);
        if let Some(Storage::Metal(s)) = offsets.as_deref() {
            arrays.push((s.buffer(), 0));
        }
        launch(&device, plan, &arrays, &[(&out, 0)])?;
    }
    Ok(MetalStorage::new(out, device, n, DType::F32))
}

/// One step of AdamW: gradient, weights and moments are f32 arrays of the same length; all but the first change.
pub(crate) fn adamw(
    plan: &Plan,
    gradient: &MetalStorage,
    of_gradient: Range<usize>,
    weight: &mut MetalStorage,
    of_weight: Range<usize>,
    [first, second]: [&MetalStorage; 2],
) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    let device = gradient.device().clone();
    let changed = [array(plan, weight, of_weight.start)?, array(plan, first, 0)?, array(plan, second, 0)?];
    launch(&device, plan, &[array(plan, gradient, of_gradient.start)?], &changed)
}

fn array<'a>(plan: &Plan, storage: &'a MetalStorage, from: usize) -> Result<Array<'a>> {
    match storage.dtype() {
        DType::F32 => Ok((storage.buffer(), from * WORD)),
        other => bail!("{} has no Metal kernel for {other:?}", plan.kernel),
    }
}

fn launch(device: &MetalDevice, plan: &Plan, read: &[Array<'_>], written: &[Array<'_>]) -> Result<()> {
    let pipeline = pipeline(device, plan.kernel)?;
    let guard = device.command_encoder()?;
    let encoder: &ComputeCommandEncoder = guard.as_ref();
    encoder.set_compute_pipeline_state(&pipeline);
    for (i, (buffer, at)) in read.iter().enumerate() {
        encoder.set_input_buffer(i, Some(buffer), *at);
    }
    for (i, (buffer, at)) in (read.len()..).zip(written) {
        encoder.set_output_buffer(i, Some(buffer), *at);
    }
    for (i, scalar) in (read.len() + written.len()..).zip(&plan.scalars) {
        match scalar {
            Scalar::U32(v) => encoder.set_bytes(i, v),
            Scalar::U64(v) => encoder.set_bytes(i, v),
            Scalar::F32(v) => encoder.set_bytes(i, v),
        }
    }
    let size = |[x, y]: [u32; 2]| MTLSize { width: x as usize, height: y as usize, depth: 1 };
    encoder.dispatch_thread_groups(size(plan.grid), size(plan.block));
    Ok(())
}

/// A compiled kernel, kept for each device.
fn pipeline(device: &MetalDevice, kernel: &'static str) -> Result<ComputePipeline> {
    struct Compiled {
        library: Library,
        pipelines: HashMap<&'static str, ComputePipeline>,
    }
    static COMPILED: Mutex<Option<HashMap<DeviceId, Compiled>>> = Mutex::new(None);
    let mut devices = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let devices = devices.get_or_insert_with(HashMap::new);
    if !devices.contains_key(&device.id()) {
        let options = MTLCompileOptions::new();
        // What is no number must stay so. (The newer setting, setMathMode, is not there before macOS 15.)
        #[allow(deprecated)]
        options.setFastMathEnabled(false);
        let library =
            device.metal_device().new_library_with_source(crate::source::METAL, Some(&options)).map_err(Error::wrap)?;
        devices.insert(device.id(), Compiled { library, pipelines: HashMap::new() });
    }
    let Some(compiled) = devices.get_mut(&device.id()) else { bail!("no Metal kernels") };
    if let Some(pipeline) = compiled.pipelines.get(kernel) {
        return Ok(pipeline.clone());
    }
    let function = compiled.library.get_function(&format!("{kernel}_f32"), None).map_err(Error::wrap)?;
    let pipeline = device.metal_device().new_compute_pipeline_state_with_function(&function).map_err(Error::wrap)?;
    compiled.pipelines.insert(kernel, pipeline.clone());
    Ok(pipeline)
}
