//! What a network in training consists of.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var};

use super::parameters::{Named, Values};
use crate::grad::{Filters, Moments, batch_norm};
use crate::weights::untrained;

/// Of the running statistics, as in PyTorch: a tenth of the newest batch.
const RUNNING: f32 = 0.1;

/// Whether a pass is to be gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Gradient,
    /// Of the momentum encoder: nothing of it is kept.
    Forward,
}

impl Pass {
    pub(super) fn of(self, var: &Var) -> Tensor {
        match self {
            Self::Gradient => var.as_tensor().clone(),
            Self::Forward => var.as_detached_tensor(),
        }
    }
}

/// A convolution without a bias.
pub(super) struct Conv {
    pub name: String,
    pub weight: Var,
    pub stride: usize,
    /// Of the weight as it is, on the CPU.
    filters: Option<Filters>,
    /// Whether the weight has changed since.
    stale: bool,
}

impl Conv {
    pub(super) fn new(name: String, weight: Var, stride: usize) -> Self {
        Self { name, weight, stride, filters: None, stale: false }
    }

    /// Packs the weight if it has changed.
    pub(super) fn refresh(&mut self) -> Result<()> {
        match &mut self.filters {
            Some(filters) if self.stale => filters.refill(&self.weight)?,
            Some(_) => {}
            none => *none = Some(Filters::new(&self.weight, self.stride)?),
        }
        self.stale = false;
        Ok(())
    }

    /// The packed weight; [`Conv::refresh`] comes first.
    pub(super) fn filters(&self) -> Result<&Filters> {
        match &self.filters {
            Some(filters) if !self.stale => Ok(filters),
            _ => candle_core::bail!("{}: its weight is not packed", self.name),
        }
    }

    pub(super) fn changed(&mut self) {
        self.stale = true;
    }
}

/// A batch norm, without gamma and beta if it is the last of all.
pub(super) struct Norm {
    name: String,
    pub affine: Option<(Var, Var)>,
    /// Mean and variance of the batches before.
    running: Mutex<[Vec<f32>; 2]>,
}

impl Norm {
    pub(super) fn new(name: String, channels: usize, affine: bool, seed: u64, device: &Device) -> Result<Self> {
        let affine = affine
            .then(|| {
                let var = |part: &str| variable(seed, &format!("{name}.{part}"), &[channels], device);
                Ok::<_, candle_core::Error>((var("weight")?, var("bias")?))
            })
            .transpose()?;
        Ok(Self { name, affine, running: Mutex::new([vec![0.0; channels], vec![1.0; channels]]) })
    }

    pub(super) fn run(&self, x: &Tensor, relu: bool, pass: Pass) -> Result<Tensor> {
        let moments = Arc::new(Moments::of(x)?);
        self.follow(&moments);
        match &self.affine {
            Some((gamma, beta)) => batch_norm(x, &pass.of(gamma), &pass.of(beta), &moments, relu),
            None => {
                let channels = moments.mean.len();
                let ones = Tensor::ones(channels, DType::F32, x.device())?;
                batch_norm(x, &ones, &ones.zeros_like()?, &moments, relu)
            }
        }
    }

    /// Moves the running statistics towards a batch's.
    pub(super) fn follow(&self, moments: &Moments) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let unbiased = moments.rows as f32 / (moments.rows as f32 - 1.0);
        let [mean, variance] = &mut *running;
        let follow = |to: &mut Vec<f32>, from: &[f32], by: f32| {
            to.iter_mut().zip(from).for_each(|(t, f)| *t += RUNNING * (f * by - *t));
        };
        follow(mean, &moments.mean, 1.0);
        follow(variance, &moments.variance, unbiased);
    }

    pub(super) fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        if let Some((gamma, beta)) = &self.affine {
            named.push((format!("{}.weight", self.name), Values::Trained(gamma)));
            named.push((format!("{}.bias", self.name), Values::Trained(beta)));
        }
        named.push((format!("{}.running_mean", self.name), Values::Running(&self.running, 0)));
        named.push((format!("{}.running_var", self.name), Values::Running(&self.running, 1)));
    }
}

pub(super) fn variable(seed: u64, name: &str, dims: &[usize], device: &Device) -> Result<Var> {
    Var::from_tensor(&Tensor::from_vec(untrained(seed, name, dims), dims, device)?)
}
