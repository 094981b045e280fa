//! A residual network and the small networks behind it, in training.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var};

use super::parameters::{Named, Values};
use crate::ResNetDepth;
use crate::grad::{Filters, Moments, add_relu, batch_norm, composed_convolve, convolve, max_pool};
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
    fn of(self, var: &Var) -> Tensor {
        match self {
            Self::Gradient => var.as_tensor().clone(),
            Self::Forward => var.as_detached_tensor(),
        }
    }
}

/// A convolution without a bias.
struct Conv {
    name: String,
    weight: Var,
    stride: usize,
    /// Of the weight as it is, on the CPU; made again after it has changed.
    filters: Mutex<Option<Arc<Filters>>>,
    /// Whether something before it is trained.
    input_grad: bool,
}

impl Conv {
    fn run(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let weight = pass.of(&self.weight);
        if !x.device().is_cpu() {
            return composed_convolve(x, &weight, self.stride);
        }
        let filters = {
            let mut kept = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
            match &*kept {
                Some(filters) => Arc::clone(filters),
                None => Arc::clone(kept.insert(Arc::new(Filters::new(&weight, self.stride)?))),
            }
        };
        convolve(x, &weight, &filters, self.input_grad && pass == Pass::Gradient)
    }

    fn changed(&self) {
        *self.filters.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A batch norm, without gamma and beta if it is the last of all.
struct Norm {
    name: String,
    affine: Option<(Var, Var)>,
    /// Mean and variance of the batches before.
    running: Mutex<[Vec<f32>; 2]>,
}

impl Norm {
    fn new(name: String, channels: usize, affine: bool, seed: u64, device: &Device) -> Result<Self> {
        let affine = affine
            .then(|| {
                let var = |part: &str| variable(seed, &format!("{name}.{part}"), &[channels], device);
                Ok::<_, candle_core::Error>((var("weight")?, var("bias")?))
            })
            .transpose()?;
        Ok(Self { name, affine, running: Mutex::new([vec![0.0; channels], vec![1.0; channels]]) })
    }

    fn run(&self, x: &Tensor, relu: bool, pass: Pass) -> Result<Tensor> {
        let moments = Arc::new(Moments::of(x)?);
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let unbiased = moments.rows as f32 / (moments.rows as f32 - 1.0);
            let [mean, variance] = &mut *running;
            let follow = |to: &mut Vec<f32>, from: &[f32], by: f32| {
                to.iter_mut().zip(from).for_each(|(t, f)| *t += RUNNING * (f * by - *t));
            };
            follow(mean, &moments.mean, 1.0);
            follow(variance, &moments.variance, unbiased);
        }
        match &self.affine {
            Some((gamma, beta)) => batch_norm(x, &pass.of(gamma), &pass.of(beta), &moments, relu),
            None => {
                let channels = moments.mean.len();
                let ones = Tensor::ones(channels, DType::F32, x.device())?;
                batch_norm(x, &ones, &ones.zeros_like()?, &moments, relu)
            }
        }
    }

    fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        if let Some((gamma, beta)) = &self.affine {
            named.push((format!("{}.weight", self.name), Values::Trained(gamma)));
            named.push((format!("{}.bias", self.name), Values::Trained(beta)));
        }
        named.push((format!("{}.running_mean", self.name), Values::Running(&self.running, 0)));
        named.push((format!("{}.running_var", self.name), Values::Running(&self.running, 1)));
    }
}

fn variable(seed: u64, name: &str, dims: &[usize], device: &Device) -> Result<Var> {
    Var::from_tensor(&Tensor::from_vec(untrained(seed, name, dims), dims, device)?)
}

struct Block {
    layers: Vec<(Conv, Norm)>,
    shortcut: Option<(Conv, Norm)>,
}

/// A residual network by torchvision's names, with the statistics of each batch.
pub(super) struct Net {
    stem: (Conv, Norm),
    blocks: Vec<Block>,
}

impl Net {
    /// As [`ResNet::untrained`](crate::ResNet::untrained) with that seed.
    pub(super) fn new(depth: ResNetDepth, seed: u64, device: &Device) -> Result<Self> {
        let layer = |conv: String, norm: String, [outputs, inputs, side]: [usize; 3], stride: usize| {
            let weight = variable(seed, &format!("{conv}.weight"), &[outputs, inputs, side, side], device)?;
            let input_grad = conv != "conv1";
            let conv = Conv { name: conv, weight, stride, filters: Mutex::new(None), input_grad };
            Ok::<_, candle_core::Error>((conv, Norm::new(norm, outputs, true, seed, device)?))
        };
        let stem = layer("conv1".into(), "bn1".into(), [64, 3, 7], 2)?;
        let mut blocks = Vec::new();
        for part in depth.parts() {
            let at = |name: &str| format!("{}.{name}", part.name);
            let mut layers = Vec::new();
            for (i, &(shape, stride)) in part.convs.iter().enumerate() {
                layers.push(layer(at(&format!("conv{}", i + 1)), at(&format!("bn{}", i + 1)), shape, stride)?);
            }
            let shortcut = part
                .shortcut
                .map(|(shape, stride)| layer(at("downsample.0"), at("downsample.1"), shape, stride))
                .transpose()?;
            blocks.push(Block { layers, shortcut });
        }
        Ok(Self { stem, blocks })
    }

    /// Images `(n, height, width, 3)`, normalised, to `(n, dim)`.
    pub(super) fn run(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let through = |(conv, norm): &(Conv, Norm), x: &Tensor, relu| norm.run(&conv.run(x, pass)?, relu, pass);
        let mut x = max_pool(&through(&self.stem, x, true)?)?;
        for block in &self.blocks {
            let mut y = x.clone();
            for (i, layer) in block.layers.iter().enumerate() {
                y = through(layer, &y, i + 1 < block.layers.len())?;
            }
            let shortcut = match &block.shortcut {
                Some(layer) => through(layer, &x, false)?,
                None => x,
            };
            x = add_relu(&y, &shortcut)?;
        }
        x.mean((1, 2))
    }

    fn layers(&self) -> impl Iterator<Item = &(Conv, Norm)> {
        std::iter::once(&self.stem).chain(self.blocks.iter().flat_map(|b| b.layers.iter().chain(&b.shortcut)))
    }

    pub(super) fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        for (conv, norm) in self.layers() {
            named.push((format!("{}.weight", conv.name), Values::Trained(&conv.weight)));
            norm.visit(named);
        }
    }

    /// To be called after weights have changed.
    pub(super) fn changed(&self) {
        self.layers().for_each(|(conv, _)| conv.changed());
    }
}

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
            x = norm.run(&x.matmul(&pass.of(weight).t()?)?, i + 1 < self.layers.len(), pass)?;
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
