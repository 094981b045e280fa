//! The CPU's side: what the custom ops share (typed access to storage, the real numbers that they are written for), and
//! the parts of a training engine without tensors, on panels of 32 columns, fused and vectorised by [`pulp`].
//!
//! | module | what |
//! |---|---|
//! | [`panels`] | the layout |
//! | [`product`] | the three products of a linear layer |
//! | [`hidden`] | bias, LeakyReLU, dropout and back |
//! | [`head`] | softplus, bag means, loss and back in one pass |
//! | [`attention`] | gated attention over a bag's cells, and back |
//! | [`sets`] | from rows of cells to rows of bags, and back |
//! | [`loss`] | squared error and likelihoods of counts with gradients |
//! | [`adamw`] | the optimiser |
//! | [`math`] | exponentials, logarithms, log-gamma and digamma |
//!
//! Sums run in a fixed order; what is split over threads is for the caller to decide, and does not change a bit.

pub mod adamw;
pub mod attention;
pub mod head;
pub mod hidden;
pub mod loss;
pub mod math;
pub mod panels;
pub mod product;
pub mod sets;

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};

/// f32, and f64 for checking gradients.
pub(crate) trait Real: WithDType + num::Float + Send + Sync {
    fn of(x: f64) -> Self;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
}

/// The few functions that are wanted of a number, without a crate for them.
pub(crate) mod num {
    use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

    pub(crate) trait Float:
        Copy
        + PartialOrd
        + Add<Output = Self>
        + AddAssign
        + Sub<Output = Self>
        + Mul<Output = Self>
        + Div<Output = Self>
        + Neg<Output = Self>
    {
        fn exp(self) -> Self;
        fn ln_1p(self) -> Self;
        fn sqrt(self) -> Self;
    }

    macro_rules! float {
        ($t:ty) => {
            impl Float for $t {
                fn exp(self) -> Self {
                    <$t>::exp(self)
                }
                fn ln_1p(self) -> Self {
                    <$t>::ln_1p(self)
                }
                fn sqrt(self) -> Self {
                    <$t>::sqrt(self)
                }
            }
        };
    }
    float!(f32);
    float!(f64);
}

/// The elements of a contiguous tensor in row order.
pub(crate) fn elements<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<T>()?[from..to]),
        None => bail!("this operation wants a contiguous tensor, found strides {:?}", layout.stride()),
    }
}

/// Adds a row to a sum.
pub(crate) fn add<T: Real>(sum: &mut [T], row: &[T]) {
    for (s, &r) in sum.iter_mut().zip(row) {
        *s += r;
    }
}
