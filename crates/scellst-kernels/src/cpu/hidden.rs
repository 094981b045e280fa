//! The tail of a hidden layer on panels, forward and backward, in place.

use pulp::{Arch, Simd, WithSimd};

use super::panels::LANES;
use crate::Dropout;

/// `z = dropout(leaky_relu(z + bias))` on panels of `rows` rows.
pub struct Activate<'a> {
    /// Panels.
    pub z: &'a mut [f32],
    /// Rows of each.
    pub rows: usize,
    /// As long as the padded columns, zero where there is none.
    pub bias: &'a [f32],
    /// Slope of LeakyReLU below zero.
    pub slope: f32,
    /// None in evaluation.
    pub dropout: Option<Dropout>,
    /// Columns without padding and the row of the whole matrix that is the first here: dropout's place.
    pub columns: usize,
    /// See `columns`.
    pub first_row: usize,
}

impl Activate<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        assert_eq!(self.z.len(), self.bias.len() * self.rows, "a bias of another size");
        if self.rows > 0 {
            Arch::new().dispatch(self);
        }
    }
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let bias = self.bias.as_chunks::<LANES>().0;
        for (p, (z, bias)) in self.z.chunks_mut(self.rows * LANES).zip(bias).enumerate() {
            for (i, z) in z.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for (z, b) in z.iter_mut().zip(bias) {
                    let x = *z + b;
                    *z = if x > 0.0 { x } else { x * self.slope };
                }
                if let Some(dropout) = &self.dropout {
                    dropout.apply(((self.first_row + i) * self.columns + p * LANES) as u64, z);
                }
            }
        }
    }
}

/// The gradient before the activation from the one after it, in place, and added up over rows for the bias.
pub struct ActivateGrad<'a> {
    /// Panels: the gradient of the outputs, then of the sums.
    pub d: &'a mut [f32],
    /// The outputs.
    pub y: &'a [f32],
    /// Rows of each panel.
    pub rows: usize,
    /// As in [`Activate`].
    pub slope: f32,
    /// What dropout multiplies kept units with; 1 without it.
    pub scale: f32,
    /// The gradient of the bias, set here.
    pub bias: &'a mut [f32],
}

impl ActivateGrad<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        assert!(
            self.d.len() == self.y.len() && self.d.len() == self.bias.len() * self.rows,
            "gradients of another size"
        );
        if self.rows > 0 {
            Arch::new().dispatch(self);
        } else {
            self.bias.fill(0.0);
        }
    }
}

impl WithSimd for ActivateGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (above, below) = (self.scale, self.slope * self.scale);
        // Dropout leaves zeros; without it a zero is LeakyReLU's own.
        let zero = if self.scale == 1.0 { below } else { 0.0 };
        let bias = self.bias.as_chunks_mut::<LANES>().0;
        let size = self.rows * LANES;
        for ((d, y), bias) in self.d.chunks_mut(size).zip(self.y.chunks(size)).zip(bias) {
            let mut sum = [0.0; LANES];
            for (d, y) in d.as_chunks_mut::<LANES>().0.iter_mut().zip(y.as_chunks::<LANES>().0) {
                for ((d, y), sum) in d.iter_mut().zip(y).zip(&mut sum) {
                    *d *= if *y > 0.0 {
                        above
                    } else if *y < 0.0 {
                        below
                    } else {
                        zero
                    };
                    *sum += *d;
                }
            }
            *bias = sum;
        }
    }
}
