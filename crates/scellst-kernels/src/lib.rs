//! Operations over bags for [candle](candle_core), with gradients.
//!
//! candle has no segment reductions and no seeded dropout on the CPU, and its element-wise steps are
//! separate passes; these are the few operations of a multiple-instance model as custom ops, parallel
//! over rows, the same bits whatever the number of threads:
//!
//! | operation | value | CPU | CUDA | Metal |
//! |---|---|---|---|---|
//! | [`segment_mean`], [`segment_sum`] | mean, sum of each bag's rows | f32, f64 | f32, bf16 | f32 |
//! | [`segment_weighted_sum`] | of rows times weights; gradients for both | f32, f64 | f32, bf16 | f32 |
//! | [`segment_max`] | the gradient goes to the first of equals | f32, f64 | f32, bf16 | f32 |
//! | [`segment_softmax`] | over each bag's rows | f32, f64 | f32, bf16 | f32 |
//! | [`softplus`] | softplus with a sharpness `beta` | f32, f64 | f32, bf16 | f32 |
//! | [`softplus_segment_mean`] | without keeping the cells x genes matrix | f32, f64 | f32, bf16 | f32 |
//! | [`bias_leaky_relu_dropout`] | the tail of a hidden layer in one pass | f32, f64 | f32, bf16 | f32 |
//! | [`squared_error`] | of bags, mean over genes | f32, f64 | f32 | f32 |
//! | [`negative_binomial`] | minus log-likelihood of bags' counts | f32, f64 | f32 | f32 |
//! | [`AdamW`] | one pass over each parameter | f32, f64 | f32 | f32 |
//!
//! All have gradients (AdamW aside), on every device. bf16 is storage: sums are kept in f32.
//!
//! The CPU versions are the specification. The CUDA and Metal kernels are in `kernels/`, built in with the features
//! `cuda` and `metal`; on a device or for a type without a kernel the same functions are composed of candle's own
//! operations ([`negative_binomial`] and [`AdamW`] are errors there). Dropout takes the same elements on all of them.
//!
//! What has run where:
//!
//! | what | how it was checked |
//! |---|---|
//! | CPU | formulas, central differences in f64 |
//! | CUDA and Metal kernels | the sources themselves, compiled as C++ and emulated on the CPU, in every test run |
//! | CUDA kernels | compiled to PTX for sm_80 by nvcc 13.0 (`scripts/check-gpu.sh`) |
//! | CUDA and Metal host code | type-checked on Linux (`scripts/check-gpu.sh`) |
//! | on a GPU | **not yet**: `tests/devices.rs` waits for one and says "skipped" |
//!
//! Emulation finds wrong indices, missing barriers, reads and writes out of bounds and results that depend on the order
//! of threads. It cannot find what differs in a real compiler or driver, and says nothing about speed.
//!
//! [`cpu`] has the parts of a training engine for the CPU, without tensors: products, activations, losses, optimiser.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use scellst_kernels::{Offsets, segment_mean};
//!
//! let cells = Tensor::new(&[[1f32, 0.], [3., 4.], [5., 6.]], &Device::Cpu)?;
//! let bags = Offsets::new(vec![0, 2, 3])?; // the first two cells, then the third
//! assert_eq!(segment_mean(&cells, &bags)?.to_vec2::<f32>()?, [[2., 2.], [5., 6.]]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod activation;
mod adamw;
mod columns;
pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod emulated;
mod loss;
#[cfg(feature = "metal")]
mod metal;
mod offsets;
mod operation;
mod plan;
mod random;
mod segment;
#[cfg(any(feature = "cuda", feature = "metal", test))]
mod source;
mod special;

pub use activation::{ActivationSpec, bias_leaky_relu_dropout, softplus};
pub use adamw::{AdamW, AdamWSettings};
pub use cpu::loss::Loss;
pub use loss::{negative_binomial, squared_error};
pub use offsets::{KernelError, Offsets};
pub use random::Dropout;
pub use segment::{
    segment_max, segment_mean, segment_softmax, segment_sum, segment_weighted_sum, softplus_segment_mean,
};
