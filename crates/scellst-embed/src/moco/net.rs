//! A residual network in training.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, TensorId, Var};
use rayon::prelude::*;

use super::layers::{Conv, Norm, Pass, variable};
use super::parameters::{Named, Values};
use super::passes::{Gradient, Tape, Work};
use crate::ResNetDepth;
use crate::grad::{composed_convolve, composed_max_pool};

/// A convolution and its batch norm.
pub(super) type Layer = (Conv, Norm);

pub(super) struct Block {
    pub layers: Vec<Layer>,
    pub shortcut: Option<Layer>,
}

/// A residual network by torchvision's names, with the statistics of each batch.
pub(super) struct Net {
    pub stem: Layer,
    pub blocks: Vec<Block>,
    /// Of passes that are over: their space is used again.
    tapes: Vec<Tape>,
    work: Work,
}

/// What a network has made of images.
pub(super) struct Seen {
    /// `(n, dim)`.
    pub features: Tensor,
    /// What leads back from the features, on the CPU; elsewhere the features know themselves.
    tape: Option<Tape>,
}

/// Gradients of parameters.
#[derive(Default)]
pub(super) struct Gradients {
    graph: Option<GradStore>,
    encoder: HashMap<TensorId, Tensor>,
}

impl Gradients {
    pub(super) fn get(&self, of: &Var) -> Option<&Tensor> {
        self.encoder.get(&of.as_tensor().id()).or_else(|| self.graph.as_ref()?.get(of.as_tensor()))
    }
}

impl From<GradStore> for Gradients {
    fn from(graph: GradStore) -> Self {
        Self { graph: Some(graph), ..Self::default() }
    }
}

impl Net {
    /// As [`ResNet::untrained`](crate::ResNet::untrained) with that seed, to its `stage`th stage.
    pub(super) fn new(depth: ResNetDepth, stage: usize, seed: u64, device: &Device) -> Result<Self> {
        let layer = |conv: String, norm: String, [outputs, inputs, side]: [usize; 3], stride: usize| {
            let weight = variable(seed, &format!("{conv}.weight"), &[outputs, inputs, side, side], device)?;
            Ok::<_, candle_core::Error>((
                Conv::new(conv, weight, stride),
                Norm::new(norm, outputs, true, seed, device)?,
            ))
        };
        let stem = layer("conv1".into(), "bn1".into(), [64, 3, 7], 2)?;
        let mut blocks = Vec::new();
        for part in depth.parts(stage) {
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
        Ok(Self { stem, blocks, tapes: Vec::new(), work: Work::default() })
    }

    /// Images `(n, height, width, 3)`, normalised, to their features.
    pub(super) fn run(&mut self, x: &Tensor, pass: Pass) -> Result<Seen> {
        if !x.device().is_cpu() {
            return Ok(Seen { features: self.composed(x, pass)?, tape: None });
        }
        // The many weights of the last stage would otherwise be packed by one thread while the others wait.
        self.layers_mut().par_iter_mut().with_max_len(1).try_for_each(|(conv, _)| conv.refresh())?;
        let mut tape = self.tapes.pop().unwrap_or_default();
        let features = tape.record(self, x)?;
        match pass {
            // A leaf of the graph of what comes after.
            Pass::Gradient => Ok(Seen { features: Var::from_tensor(&features)?.into_inner(), tape: Some(tape) }),
            Pass::Forward => {
                self.tapes.push(tape);
                Ok(Seen { features, tape: None })
            }
        }
    }

    /// The same by candle's operations, on any device.
    pub(super) fn composed(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let through = |(conv, norm): &Layer, x: &Tensor, relu| {
            norm.run(&composed_convolve(x, &pass.of(&conv.weight), conv.stride)?, relu, pass)
        };
        let mut x = composed_max_pool(&through(&self.stem, x, true)?)?;
        for block in &self.blocks {
            let mut y = x.clone();
            for (i, layer) in block.layers.iter().enumerate() {
                y = through(layer, &y, i + 1 < block.layers.len())?;
            }
            let shortcut = match &block.shortcut {
                Some(layer) => through(layer, &x, false)?,
                None => x,
            };
            x = (y + shortcut)?.relu()?;
        }
        x.mean((1, 2))
    }

    /// Gradients of all parameters, of the network's and of what came after it, by those of the features.
    pub(super) fn back(&mut self, seen: impl IntoIterator<Item = Seen>, graph: GradStore) -> Result<Gradients> {
        let mut sums: Vec<Gradient> = Vec::new();
        for Seen { features, tape } in seen {
            let Some(tape) = tape else { continue };
            let Some(gradient) = graph.get(&features) else { continue };
            let mut work = std::mem::take(&mut self.work);
            let done = tape.back(self, &gradient.contiguous()?, &mut work, &mut sums);
            self.work = work;
            self.tapes.push(tape);
            done?;
        }
        let mut encoder = HashMap::new();
        for ((conv, norm), sum) in self.layers().zip(sums) {
            let mut keep = |var: &Var, values| {
                encoder.insert(var.as_tensor().id(), Tensor::from_vec(values, var.shape(), var.device())?);
                Ok::<_, candle_core::Error>(())
            };
            keep(&conv.weight, sum.weight)?;
            if let Some((gamma, beta)) = &norm.affine {
                keep(gamma, sum.gamma)?;
                keep(beta, sum.beta)?;
            }
        }
        Ok(Gradients { graph: Some(graph), encoder })
    }

    /// The stem, then of each block its layers and its shortcut.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.stem).chain(self.blocks.iter().flat_map(|b| b.layers.iter().chain(&b.shortcut)))
    }

    fn layers_mut(&mut self) -> Vec<&mut Layer> {
        let blocks = self.blocks.iter_mut().flat_map(|b| b.layers.iter_mut().chain(&mut b.shortcut));
        std::iter::once(&mut self.stem).chain(blocks).collect()
    }

    pub(super) fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        for (conv, norm) in self.layers() {
            named.push((format!("{}.weight", conv.name), Values::Trained(&conv.weight)));
            norm.visit(named);
        }
    }

    /// To be called after weights have changed.
    pub(super) fn changed(&mut self) {
        self.layers_mut().into_iter().for_each(|(conv, _)| conv.changed());
    }
}
