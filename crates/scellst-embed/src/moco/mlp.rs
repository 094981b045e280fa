//! The small networks behind an encoder.

use candle_core::{Device, Result, Tensor, Var};

use super::layers::{Norm, Pass, variable};
use super::parameters::{Named, Values};
use crate::grad::linear;

/// Linear layers without biases, each with a batch norm, and between them ReLUs.
pub(super) struct Mlp {
    layers: Vec<(String, Var, Norm)>,
}

impl Mlp {
    /// `<name>.0.weight`, `<name>.1.weight`, `<name>.3.weight`, ... as the places in a sequence of layer, norm and ReLU.
    pub(super) fn new(name: &str, widths: &[usize], last_affine: bool, seed: u64, device: &Device) -> Result<Self> {
        let last = widths.len().saturating_sub(2);
        let layer = |(i, w): (usize, &[usize])| {
            let (linear, norm) = (format!("{name}.{}.weight", 3 * i), format!("{name}.{}", 3 * i + 1));
            let weight = variable(seed, &linear, &[w[1], w[0]], device)?;
            Ok((linear, weight, Norm::new(norm, w[1], i < last || last_affine, seed, device)?))
        };
        Ok(Self { layers: widths.windows(2).enumerate().map(layer).collect::<Result<_>>()? })
    }

    /// `(n, in)` to `(n, out)`.
    pub(super) fn run(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, (_, weight, norm)) in self.layers.iter().enumerate() {
            x = norm.run(&linear(&x, &pass.of(weight))?, i + 1 < self.layers.len(), pass)?;
        }
        Ok(x)
    }

    pub(super) fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        for (name, weight, norm) in &self.layers {
            named.push((name.clone(), Values::Trained(weight)));
            norm.visit(named);
        }
    }
}
