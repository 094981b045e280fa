//! Element-wise steps of a network: softplus, and the tail of a hidden layer.

mod hidden;
mod softplus;

pub use hidden::{ActivationSpec, bias_leaky_relu_dropout};
pub use softplus::softplus;
pub(crate) use softplus::{softplus_composed, softplus_slope, softplus_value};
