//! Networks on the CPU: channels last, batch norm folded, weights packed once, everything that follows a
//! convolution done before its result is stored.

mod buffer;
mod conv;
pub(crate) mod elementwise;
mod gemm;
mod half;
mod lanes;
mod passes;
mod tile;
mod transform;
mod winograd;

pub(crate) use buffer::{Buffer, padded};
pub(crate) use conv::{Border, Conv, Scratch, Shape};
pub(crate) use gemm::{After, Packed, Rows, Window, multiply};
pub(crate) use half::Half;
pub(crate) use lanes::Isa;
pub(crate) use passes::{Depthwise, global_mean, max_pool, max_pool_to};
