//! Operations of a network in training, there and back.
//!
//! Images are channels last, `(images, height, width, channels)` f32. On the CPU they run by this crate's own kernels
//! on all threads, from slice to slice, since candle's convolution backwards is many times slower there and makes all
//! its tensors anew at every step; on a GPU they are composed of candle's operations. What comes out does not depend on
//! the number of threads: every sum has one order.

mod conv;
mod linear;
mod norm;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use conv::{Filters, WeightScratch, composed_convolve};
pub(crate) use linear::linear;
pub(crate) use norm::{Moments, Part, batch_norm, normalise, normalise_back};
pub(crate) use pool::{composed_max_pool, max_pool, max_pool_back, pooled};

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// About what a thread works on at a time, bytes: it stays in the second cache.
const PIECE_BYTES: usize = 512 << 10;

/// Values of a contiguous f32 tensor on the CPU.
pub(crate) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(values(storage, layout)?)),
        _ => bail!("a tensor on the CPU is wanted, found one on {:?}", tensor.device().location()),
    }
}

/// The same of its storage.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((begin, end)) = layout.contiguous_offsets() else { bail!("a contiguous tensor is wanted: {layout:?}") };
    Ok(&storage.as_slice::<f32>()?[begin..end])
}

/// Images that one thread takes at a time, of so many values each: whatever the threads.
fn images_at_once(values_per_image: usize) -> usize {
    (PIECE_BYTES / (values_per_image * size_of::<f32>()).max(1)).max(1)
}
