//! Operations over bags for [candle](candle_core), with gradients.
//!
//! candle has no segment reductions and no seeded dropout on the CPU, and its element-wise steps are
//! separate passes; these are the few operations of a multiple-instance model as custom ops, parallel
//! over rows, the same bits whatever the number of threads:
//!
//! | operation | value | gradient |
//! |---|---|---|
//! | [`segment_mean`] | mean of each bag's rows | yes |
//! | [`softplus`] | softplus with a sharpness `beta` | yes |
//! | [`softplus_segment_mean`] | the two above without keeping the cells x genes matrix | yes |
//! | [`bias_leaky_relu_dropout`] | the tail of a hidden layer in one pass | yes |
//!
//! [`cpu`] has the parts of a training engine for the CPU, without tensors: products, activations, losses, optimiser.
//!
//! The CPU versions here are the specification. On other devices the same functions are composed of
//! candle's own operations, with the same dropout mask.
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
