//! All values of a network by name.

use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result, Tensor, Var};

/// A name and where its values are.
pub(super) type Named<'a> = (String, Values<'a>);

/// What a network consists of.
pub(super) enum Values<'a> {
    /// By gradients.
    Trained(&'a Var),
    /// By the statistics of the batches: mean or variance.
    Running(&'a Mutex<[Vec<f32>; 2]>, usize),
}

impl Values<'_> {
    /// Shape and values.
    pub(super) fn get(&self) -> Result<(Vec<usize>, Vec<f32>)> {
        match self {
            Self::Trained(var) => Ok((var.dims().to_vec(), var.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)),
            Self::Running(values, which) => {
                let values = values.lock().unwrap_or_else(PoisonError::into_inner)[*which].clone();
                Ok((vec![values.len()], values))
            }
        }
    }

    pub(super) fn set(&self, values: &[f32]) -> Result<()> {
        match self {
            Self::Trained(var) => var.set(&Tensor::from_slice(values, var.dims(), var.device())?),
            Self::Running(running, which) => {
                running.lock().unwrap_or_else(PoisonError::into_inner)[*which].copy_from_slice(values);
                Ok(())
            }
        }
    }

    pub(super) fn dims(&self) -> Vec<usize> {
        match self {
            Self::Trained(var) => var.dims().to_vec(),
            Self::Running(values, which) => {
                vec![values.lock().unwrap_or_else(PoisonError::into_inner)[*which].len()]
            }
        }
    }
}
