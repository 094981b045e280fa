//! A residual network on the CPU, there and back, in space that is kept from step to step: at hundreds of megabytes a
//! step the system would otherwise spend more time on handing out pages than some layers take.

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::layers::Norm;
use super::net::{Layer, Net};
use crate::cpu::{Isa, Shape, global_mean};
use crate::grad::{
    Moments, Part, WeightScratch, max_pool, max_pool_back, normalise, normalise_back, pooled, with_values,
};

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 15;

/// What a pass keeps to be gone back.
#[derive(Default)]
pub(super) struct Tape {
    images: Option<Tensor>,
    stem: Kept,
    pooled: Vec<f32>,
    blocks: Vec<KeptBlock>,
}

/// Of a layer.
#[derive(Default)]
struct Kept {
    from: Shape,
    to: Shape,
    /// Between the convolution and its batch norm.
    between: Vec<f32>,
    moments: Moments,
    /// Behind batch norm and ReLU; not of a block's last layer.
    after: Vec<f32>,
}

#[derive(Default)]
struct KeptBlock {
    layers: Vec<Kept>,
    shortcut: Kept,
    out: Vec<f32>,
}

/// Space for gradients of what lies between layers.
#[derive(Default)]
pub(super) struct Work {
    /// Of a block's result, then of what came into it.
    whole: Vec<f32>,
    /// Of what came into a block with a shortcut of its own.
    input: Vec<f32>,
    /// Of what lies between a convolution and its batch norm.
    between: Vec<f32>,
    /// Of what lies behind a layer within a block.
    after: Vec<f32>,
    weights: WeightScratch,
}

/// Of a layer's parameters, over all passes.
#[derive(Default)]
pub(super) struct Gradient {
    pub weight: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// So many values, whatever they are.
fn room(values: &mut Vec<f32>, n: usize) -> &mut [f32] {
    values.resize(n, 0.0);
    values
}

fn list(var: &Var) -> Result<Vec<f32>> {
    with_values(var, <[f32]>::to_vec)
}

fn add(to: &mut Vec<f32>, values: &[f32]) {
    room(to, values.len()).iter_mut().zip(values).for_each(|(t, v)| *t += v);
}

/// Gamma and beta.
fn affine(norm: &Norm) -> Result<[Vec<f32>; 2]> {
    match &norm.affine {
        Some((gamma, beta)) => Ok([list(gamma)?, list(beta)?]),
        None => bail!("a batch norm of a network without gamma and beta"),
    }
}

impl Kept {
    /// The convolution, and the moments of what comes of it.
    fn convolve(&mut self, (conv, norm): &Layer, x: &[f32], from: Shape) -> Result<()> {
        let filters = conv.filters()?;
        (self.from, self.to) = (from, filters.after(from));
        if self.to.pixels() < 2 {
            bail!("{}: a batch norm in training wants two pixels at least, found {}", conv.name, self.to.pixels());
        }
        let channels = self.to.channels;
        let between = (room(&mut self.between, self.to.span()), self.to);
        let parts = filters.forward((x, from), between, |y| Part::of(y, channels));
        self.moments = Moments::merge(&parts);
        norm.follow(&self.moments);
        Ok(())
    }

    /// Batch norm, and what comes after it.
    fn finish(&self, layer: &Layer, residual: Option<&[f32]>, relu: bool, y: &mut Vec<f32>) -> Result<()> {
        let [gamma, beta] = affine(&layer.1)?;
        let y = room(y, self.to.span());
        normalise(&self.between, &self.moments, [&gamma, &beta], residual, relu, y);
        Ok(())
    }

    fn run(&mut self, layer: &Layer, x: &[f32], from: Shape, relu: bool) -> Result<()> {
        self.convolve(layer, x, from)?;
        let mut after = std::mem::take(&mut self.after);
        self.finish(layer, None, relu, &mut after)?;
        self.after = after;
        Ok(())
    }

    /// The layer's gradients by `dy`, which a ReLU still has to be gone back through if `relu`; that of what lies
    /// between convolution and batch norm goes to `between`.
    fn back(
        &self,
        (conv, norm): &Layer,
        x: &[f32],
        (dy, relu): (&[f32], bool),
        between: &mut Vec<f32>,
        scratch: &mut WeightScratch,
        sum: &mut Gradient,
    ) -> Result<()> {
        let [gamma, _] = affine(norm)?;
        let between = room(between, self.to.span());
        let y = relu.then_some(self.after.as_slice());
        let [dgamma, dbeta] = normalise_back(&self.between, &self.moments, &gamma, y, dy, between);
        add(&mut sum.gamma, &dgamma);
        add(&mut sum.beta, &dbeta);
        let weight = room(&mut sum.weight, conv.weight.elem_count());
        conv.filters()?.to_weight((x, self.from), (between, self.to), weight, scratch);
        Ok(())
    }
}

impl Tape {
    /// Runs the network, whose weights are packed, over images `(n, height, width, 3)`: `(n, dim)`.
    pub(super) fn record(&mut self, net: &Net, images: &Tensor) -> Result<Tensor> {
        let images = images.contiguous()?;
        let (n, height, width, channels) = images.dims4()?;
        let from = Shape::dense(n, height, width, channels);
        with_values(&images, |x| self.stem.run(&net.stem, x, from, true))??;
        let mut shape = pooled(self.stem.to);
        max_pool(&self.stem.after, self.stem.to, room(&mut self.pooled, shape.span()));
        self.images = Some(images);
        self.blocks.resize_with(net.blocks.len(), KeptBlock::default);
        let mut x = &self.pooled;
        for (block, kept) in net.blocks.iter().zip(&mut self.blocks) {
            kept.layers.resize_with(block.layers.len(), Kept::default);
            let Some((last, rest)) = block.layers.split_last() else { bail!("a block without layers") };
            let Some((kept_last, kept_rest)) = kept.layers.split_last_mut() else { bail!("a block without layers") };
            let (mut y, mut from) = (x, shape);
            for (layer, kept) in rest.iter().zip(kept_rest) {
                kept.run(layer, y, from, true)?;
                (y, from) = (&kept.after, kept.to);
            }
            kept_last.convolve(last, y, from)?;
            let residual = match &block.shortcut {
                Some(layer) => {
                    kept.shortcut.run(layer, x, shape, false)?;
                    &kept.shortcut.after
                }
                None => x,
            };
            kept_last.finish(last, Some(residual), true, &mut kept.out)?;
            (x, shape) = (&kept.out, kept_last.to);
        }
        let mut features = vec![0.0; shape.images * shape.channels];
        global_mean(Isa::detect(), x, shape, &mut features);
        Tensor::from_vec(features, (shape.images, shape.channels), &candle_core::Device::Cpu)
    }

    /// Adds the gradients of all layers' parameters, in the order of [`Net::layers`], by that of the features.
    pub(super) fn back(&self, net: &Net, gradient: &Tensor, work: &mut Work, sums: &mut Vec<Gradient>) -> Result<()> {
        sums.resize_with(net.layers().count(), Gradient::default);
        let Work { whole, input, between, after, weights } = work;
        let last = self.blocks.last().and_then(|b| b.layers.last()).map_or(self.stem.to, |k| k.to);
        let area = last.height * last.width;
        with_values(gradient, |gradient| {
            let images = room(whole, last.span()).par_chunks_mut(area * last.channels);
            images.zip(gradient.par_chunks(last.channels)).for_each(|(pixels, of_image)| {
                for pixel in pixels.chunks_exact_mut(last.channels) {
                    pixel.iter_mut().zip(of_image).for_each(|(to, g)| *to = g / area as f32);
                }
            });
        })?;
        let mut end = sums.len();
        for (b, (block, kept)) in net.blocks.iter().zip(&self.blocks).enumerate().rev() {
            let x = if b == 0 { &self.pooled } else { &self.blocks[b - 1].out };
            let count = block.layers.len() + usize::from(block.shortcut.is_some());
            let (of_layers, of_shortcut) = sums[end - count..end].split_at_mut(block.layers.len());
            end -= count;
            whole.par_chunks_mut(PIECE).zip(kept.out.par_chunks(PIECE)).for_each(|(d, y)| {
                d.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
            });
            if let (Some(layer), Some(sum)) = (&block.shortcut, of_shortcut.first_mut()) {
                let kept = &kept.shortcut;
                kept.back(layer, x, (whole, false), between, weights, sum)?;
                let input = (room(input, kept.from.span()), kept.from);
                layer.0.filters()?.to_input((between, kept.to), input, false);
            }
            for (i, (layer, sum)) in block.layers.iter().zip(of_layers).enumerate().rev() {
                let (kept, relu) = (&kept.layers[i], i + 1 < block.layers.len());
                let came = if i == 0 { x } else { &self.blocks[b].layers[i - 1].after };
                kept.back(layer, came, (if relu { after } else { whole }, relu), between, weights, sum)?;
                let (to, add) = match (i, &block.shortcut) {
                    (0, None) => (&mut *whole, true),
                    (0, Some(_)) => (&mut *input, true),
                    _ => (&mut *after, false),
                };
                let to = (room(to, kept.from.span()), kept.from);
                layer.0.filters()?.to_input((between, kept.to), to, add);
            }
            if block.shortcut.is_some() {
                std::mem::swap(whole, input);
            }
        }
        let (Some(images), Some(sum)) = (&self.images, sums.first_mut()) else { bail!("no pass to go back") };
        let after = room(after, self.stem.to.span());
        max_pool_back((&self.stem.after, self.stem.to), &self.pooled, whole, after);
        with_values(images, |x| self.stem.back(&net.stem, x, (after, true), between, weights, sum))?
    }
}
