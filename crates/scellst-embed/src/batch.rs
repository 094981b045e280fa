//! Many crops on many threads.

use std::sync::Mutex;

use candle_core::{DType, Device};
use ndarray::{Array2, ArrayView4, Axis};
use rayon::prelude::*;

use crate::{EmbedError, PixelNorm};

/// Workspaces that wait for a thread.
pub(crate) struct Pool<W>(Mutex<Vec<W>>);

impl<W> Default for Pool<W> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<W: Default> Pool<W> {
    /// With a workspace of its own.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut W) -> T) -> T {
        // A workspace holds nothing that a panic elsewhere could leave half done.
        let lock = || self.0.lock().unwrap_or_else(|e| e.into_inner());
        let mut workspace = lock().pop().unwrap_or_default();
        let result = f(&mut workspace);
        lock().push(workspace);
        result
    }
}

/// Rows of features of all crops: `f` gets some crops, their rows and a workspace, on one thread, never more than
/// `most` crops, and shares that are as even as can be.
pub(crate) fn embed<W: Default + Send>(
    crops: ArrayView4<'_, u8>,
    dim: usize,
    most: usize,
    pool: &Pool<W>,
    f: impl Fn(ArrayView4<'_, u8>, &mut [f32], &mut W) + Sync,
) -> Array2<f32> {
    let n = crops.dim().0;
    let mut out = Array2::zeros((n, dim));
    if n == 0 {
        return out;
    }
    let threads = rayon::current_num_threads().max(1);
    let share = n.div_ceil(threads * n.div_ceil(threads * most.max(1)));
    out.axis_chunks_iter_mut(Axis(0), share).into_par_iter().zip(crops.axis_chunks_iter(Axis(0), share)).for_each(
        |(mut rows, crops)| {
            // Whole rows of a row-major matrix are one slice.
            if let Some(rows) = rows.as_slice_mut() {
                pool.with(|workspace| f(crops, rows, workspace));
            }
        },
    );
    out
}

impl PixelNorm {
    /// Crops as numbers, in the order of their axes.
    pub(crate) fn apply(&self, crops: ArrayView4<'_, u8>, out: &mut [f32]) {
        let scale = self.std.map(|s| 1.0 / (255.0 * s));
        let shift: [f32; 3] = std::array::from_fn(|c| -self.mean[c] / self.std[c]);
        let number = |v: u8, c: usize| f32::from(v) * scale[c] + shift[c];
        match crops.as_slice() {
            Some(values) => {
                for (to, from) in out.chunks_exact_mut(3).zip(values.chunks_exact(3)) {
                    for c in 0..3 {
                        to[c] = number(from[c], c);
                    }
                }
            }
            None => {
                for (i, (to, from)) in out.iter_mut().zip(crops).enumerate() {
                    *to = number(*from, i % 3);
                }
            }
        }
    }
}

/// What a network by candle's operations holds. Candle's convolutions on the CPU know no bfloat16: there, where they are
/// but a reference, the other type of 16 bits stands in.
pub(crate) fn device_type(bf16: bool, device: &Device) -> DType {
    match (bf16, device.is_cpu()) {
        (false, _) => DType::F32,
        (true, false) => DType::BF16,
        (true, true) => DType::F16,
    }
}

pub(crate) fn device_error(encoder: &'static str, device: &Device, e: &candle_core::Error) -> EmbedError {
    EmbedError::Device { encoder, device: format!("{:?}", device.location()), reason: e.to_string() }
}
