//! Steps of all parameters, on any device.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use super::Optimiser;

/// Of LARS: a step's length over the weights'.
const TRUST: f64 = 0.001;
const MOMENTUM: f64 = 0.9;
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// What an optimiser keeps of a parameter: of LARS its velocity, of AdamW the means of gradient and square.
pub(super) struct State {
    pub kind: Optimiser,
    /// In the order of the parameters.
    pub kept: Vec<Vec<Tensor>>,
}

/// How far a step goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub rate: f64,
    pub decay: f64,
    /// From 1.
    pub step: u64,
}

impl State {
    pub(super) fn new(kind: Optimiser, parameters: &[&Var]) -> Result<Self> {
        let count = match kind {
            Optimiser::Lars => 1,
            Optimiser::AdamW => 2,
        };
        let zeros = |p: &&Var| (0..count).map(|_| p.zeros_like().map(|t| t.detach())).collect();
        Ok(Self { kind, kept: parameters.iter().map(zeros).collect::<Result<_>>()? })
    }

    /// Moves every parameter that has a gradient.
    pub(super) fn step(&mut self, parameters: &[&Var], gradients: &GradStore, pace: Pace) -> Result<()> {
        let kind = self.kind;
        parameters.par_iter().zip(&mut self.kept).try_for_each(|(var, kept)| {
            let Some(gradient) = gradients.get(var.as_tensor()) else { return Ok(()) };
            let (at, gradient) = (var.as_detached_tensor(), gradient.detach().contiguous()?);
            let moved = match (kind, kept.as_mut_slice()) {
                (Optimiser::Lars, [velocity]) => lars(&at, &gradient, velocity, pace)?,
                (Optimiser::AdamW, [mean, square]) => adamw(&at, &gradient, mean, square, pace)?,
                _ => return Ok(()),
            };
            var.set(&moved)
        })
    }
}

/// Batch norms' parameters are neither decayed nor measured.
fn is_weight(parameter: &Tensor) -> bool {
    parameter.rank() > 1
}

fn lars(at: &Tensor, gradient: &Tensor, velocity: &mut Tensor, pace: Pace) -> Result<Tensor> {
    let mut change = gradient.clone();
    if is_weight(at) {
        if pace.decay > 0.0 {
            change = (change + (at * pace.decay)?)?;
        }
        let length = |t: &Tensor| t.sqr()?.sum_all()?.to_scalar::<f32>().map(|v| f64::from(v).sqrt());
        let (weights, step) = (length(at)?, length(&change)?);
        if weights > 0.0 && step > 0.0 {
            change = (change * (TRUST * weights / step))?;
        }
    }
    *velocity = ((&*velocity * MOMENTUM)? + change)?;
    at - (&*velocity * pace.rate)?
}

fn adamw(at: &Tensor, gradient: &Tensor, mean: &mut Tensor, square: &mut Tensor, pace: Pace) -> Result<Tensor> {
    let follow = |of: &Tensor, to: Tensor, beta: f64| (of * beta)? + (to * (1.0 - beta))?;
    *mean = follow(mean, gradient.clone(), BETAS[0])?;
    *square = follow(square, gradient.sqr()?, BETAS[1])?;
    let [first, second] = BETAS.map(|b| 1.0 - b.powi(i32::try_from(pace.step).unwrap_or(i32::MAX)));
    let by = ((&*square / second)?.sqrt()? + EPSILON)?;
    let step = (&*mean / first)?.div(&by)?;
    let kept = if is_weight(at) { (at * (1.0 - pace.rate * pace.decay))? } else { at.clone() };
    kept - (step * pace.rate)?
}
