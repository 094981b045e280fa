//! Steps of all parameters, on any device.

use candle_core::{Result, Tensor, Var};

use super::Optimiser;
use super::inplace::{each, each_of, sum_of};
use super::net::Gradients;

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
    pub(super) fn step(&mut self, parameters: &[&Var], gradients: &Gradients, pace: Pace) -> Result<()> {
        for (var, kept) in parameters.iter().zip(&mut self.kept) {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = gradient.detach().contiguous()?;
            match (self.kind, kept.as_mut_slice(), var.device().is_cpu()) {
                (Optimiser::Lars, [velocity], true) => lars(var, &gradient, velocity, pace)?,
                (Optimiser::Lars, [velocity], false) => composed_lars(var, &gradient, velocity, pace)?,
                (Optimiser::AdamW, [mean, square], true) => adamw(var, &gradient, mean, square, pace)?,
                (Optimiser::AdamW, [mean, square], false) => composed_adamw(var, &gradient, mean, square, pace)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// `to = keep to + (1 - keep) from`.
pub(super) fn follow(to: &Var, from: &Tensor, keep: f64) -> Result<()> {
    if to.device().is_cpu() {
        let (keep, take) = (keep as f32, (1.0 - keep) as f32);
        return each(to, from, |t, f| keep * t + take * f);
    }
    to.set(&((to.as_detached_tensor() * keep)? + (from * (1.0 - keep))?)?)
}

/// Batch norms' parameters are neither decayed nor measured.
fn is_weight(parameter: &Tensor) -> bool {
    parameter.rank() > 1
}

/// What LARS multiplies a gradient with, by the lengths of weights and change.
fn trust(weights: f64, change: f64) -> f64 {
    if weights > 0.0 && change > 0.0 { TRUST * weights / change } else { 1.0 }
}

fn lars(at: &Var, gradient: &Tensor, velocity: &Tensor, pace: Pace) -> Result<()> {
    let (mut decay, mut by) = (0.0, 1.0);
    if is_weight(at) {
        decay = pace.decay as f32;
        let weights = sum_of(at, at, |p, _| p * p)?;
        let change = sum_of(at, gradient, |p, g| (g + decay * p) * (g + decay * p))?;
        by = trust(weights.sqrt(), change.sqrt()) as f32;
    }
    let (momentum, rate) = (MOMENTUM as f32, pace.rate as f32);
    each_of(velocity, gradient, at, |v, g, p| momentum * v + by * (g + decay * p))?;
    each(at, velocity, |p, v| p - rate * v)
}

fn composed_lars(at: &Var, gradient: &Tensor, velocity: &mut Tensor, pace: Pace) -> Result<()> {
    let (from, mut change) = (at.as_detached_tensor(), gradient.clone());
    if is_weight(at) {
        change = (change + (&from * pace.decay)?)?;
        let length = |t: &Tensor| t.sqr()?.sum_all()?.to_scalar::<f32>().map(|v| f64::from(v).sqrt());
        change = (&change * trust(length(&from)?, length(&change)?))?;
    }
    *velocity = ((&*velocity * MOMENTUM)? + change)?;
    at.set(&(from - (&*velocity * pace.rate)?)?)
}

/// What makes up for means that began at zero.
fn corrections(step: u64) -> [f64; 2] {
    BETAS.map(|b| 1.0 - b.powi(i32::try_from(step).unwrap_or(i32::MAX)))
}

fn adamw(at: &Var, gradient: &Tensor, mean: &Tensor, square: &Tensor, pace: Pace) -> Result<()> {
    let [first, second] = BETAS.map(|b| b as f32);
    each(mean, gradient, |m, g| first * m + (1.0 - first) * g)?;
    each(square, gradient, |s, g| second * s + (1.0 - second) * g * g)?;
    let kept = if is_weight(at) { (1.0 - pace.rate * pace.decay) as f32 } else { 1.0 };
    let [by_mean, by_square] = corrections(pace.step).map(|c| (1.0 / c) as f32);
    let (rate, epsilon) = (pace.rate as f32, EPSILON as f32);
    each_of(at, mean, square, |p, m, s| kept * p - rate * (m * by_mean) / ((s * by_square).sqrt() + epsilon))
}

fn composed_adamw(at: &Var, gradient: &Tensor, mean: &mut Tensor, square: &mut Tensor, pace: Pace) -> Result<()> {
    let follow = |of: &Tensor, to: Tensor, beta: f64| (of * beta)? + (to * (1.0 - beta))?;
    *mean = follow(mean, gradient.clone(), BETAS[0])?;
    *square = follow(square, gradient.sqr()?, BETAS[1])?;
    let [first, second] = corrections(pace.step);
    let step = (&*mean / first)?.div(&((&*square / second)?.sqrt()? + EPSILON)?)?;
    let kept = if is_weight(at) { 1.0 - pace.rate * pace.decay } else { 1.0 };
    at.set(&((at.as_detached_tensor() * kept)? - (step * pace.rate)?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// What a GPU runs, on the CPU: the same steps.
    #[test]
    fn composed_steps_are_those_in_place() {
        let tensor = |dims: &[usize], of: usize| {
            let values: Vec<f32> =
                (0..dims.iter().product()).map(|i| ((i * 7919 + 13) % of) as f32 / of as f32 - 0.5).collect();
            Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
        };
        for dims in [&[40, 30][..], &[70]] {
            let var = || Var::from_tensor(&tensor(dims, 97)).unwrap();
            let zeros = || [(); 3].map(|()| tensor(dims, 97).zeros_like().unwrap());
            let (a, b, c, d) = (var(), var(), var(), var());
            let ([v, m, s], [mut w, mut n, mut t]) = (zeros(), zeros());
            for step in 1..4 {
                let (gradient, pace) = (tensor(dims, 31 + step as usize), Pace { rate: 0.05, decay: 0.1, step });
                lars(&a, &gradient, &v, pace).unwrap();
                composed_lars(&b, &gradient, &mut w, pace).unwrap();
                adamw(&c, &gradient, &m, &s, pace).unwrap();
                composed_adamw(&d, &gradient, &mut n, &mut t, pace).unwrap();
            }
            for (x, y) in [(&a, &b), (&c, &d)] {
                let list = |t: &Var| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let begin = tensor(dims, 97).flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let moved = list(x).iter().zip(&begin).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let apart = list(x).iter().zip(list(y)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(moved > 1e-5 && apart < 1e-5 * (1.0 + moved), "{dims:?}: {apart} of {moved}");
            }
        }
    }
}
