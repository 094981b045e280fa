use scellst_kernels::Dropout;
use scellst_kernels::cpu::head::{BagRows, Head, HeadGradient};
use scellst_kernels::cpu::hidden::{Activate, ActivateGrad};
use scellst_kernels::cpu::loss::BagLoss;
use scellst_kernels::cpu::panels::{LANES, padded, panels};
use scellst_kernels::cpu::product::{Left, Product};

use super::pool::Pool;
use super::{Network, SetSums};
use crate::{Pooling, TrainData};

/// Panels of genes whose sums are made, compared and sent back at a time: with the layer before they stay in the
/// second-level cache.
const GENE_PANELS: usize = 4;

/// Some whole bags of a step with all that is kept of their cells between the passes.
#[derive(Default)]
pub(crate) struct Block {
    /// Rows of the data.
    pub rows: Vec<u32>,
    pub bags: Vec<BagRows>,
    /// Cells of the step before these.
    pub first_row: usize,
    /// Inputs of every layer as panels: scaled features, then the hidden layers' outputs.
    pub inputs: Vec<Vec<f32>>,
    /// Gradient of every layer's sums, as panels.
    pub gradients: Vec<Vec<f32>>,
    /// Gradient of every layer's bias.
    pub biases: Vec<Vec<f32>>,
    /// Gradient of the genes' parameters.
    pub genes: [Vec<f64>; 2],
    /// What the pooling keeps beside.
    pub pool: Pool,
    /// Sum of the losses, not normalised.
    pub loss: f64,
}

/// What the bags of a step have in common.
pub(crate) struct Batch<'a> {
    pub data: &'a TrainData,
    pub loss: &'a BagLoss,
    pub normaliser: f64,
    /// Of each hidden layer; empty in evaluation.
    pub dropout: &'a [Dropout],
    /// Whether to go back.
    pub backward: bool,
}

impl Block {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bags.clear();
        self.loss = 0.0;
    }

    /// Room for its cells; what is there is used again.
    fn make_room(&mut self, net: &Network, backward: bool) {
        let rows = self.rows.len();
        let layout = &net.layout;
        self.inputs.resize_with(layout.chain, Vec::new);
        self.gradients.resize_with(layout.layers.len(), Vec::new);
        self.biases.resize_with(layout.layers.len(), Vec::new);
        for (l, layer) in layout.layers.iter().enumerate() {
            self.biases[l].resize(layer.bias.len(), 0.0);
            if l >= layout.chain {
                continue;
            }
            self.inputs[l].resize(rows * padded(layer.inputs), 0.0);
            // Without a way back the last layer's sums are made in one place, part by part.
            let width = match (backward, l == layout.last()) {
                (true, _) => padded(layer.outputs),
                (false, true) => padded(layer.outputs).min(GENE_PANELS * LANES),
                (false, false) => 0,
            };
            self.gradients[l].resize(rows * width, 0.0);
        }
        self.pool.make_room(net, &mut self.gradients, rows, self.bags.len());
        let genes = padded(net.shape.genes());
        let kinds = net.shape.loss().gene_parameters();
        for (k, of) in self.genes.iter_mut().enumerate() {
            of.resize(if k < kinds { genes } else { 0 }, 0.0);
        }
    }

    /// Features to the loss, and back to the gradient of every layer's sums.
    pub fn run(&mut self, net: &Network, batch: &Batch<'_>) {
        self.make_room(net, batch.backward);
        if self.rows.is_empty() {
            return;
        }
        let features = batch.data.features();
        let rows = self.rows.iter().map(|&r| features.row(r as usize).to_slice());
        net.gather(rows, self.rows.len(), &mut self.inputs[0]);
        let (count, last) = (self.rows.len(), net.layout.last());
        let mut sets = self.pool.sets(&self.bags, &mut self.gradients[net.layout.chain..]);
        net.hidden(&mut self.inputs, count, self.first_row, batch.dropout, &mut sets);
        self.pool.attend(net, &self.inputs[last], &self.bags, &mut self.gradients[net.layout.chain..]);
        self.head(net, batch);
        if batch.backward {
            self.back(net, batch);
        }
    }

    /// Gradient of a layer's sums and the inputs that it had, both of so many rows.
    pub fn operands(&self, net: &Network, layer: usize) -> (&[f32], &[f32], usize) {
        let (rows, gradient) = (self.rows.len(), &self.gradients[layer]);
        match net.shape.pooling() {
            _ if layer < net.layout.chain => (gradient, &self.inputs[layer], rows),
            Pooling::DeepSet => (gradient, &self.pool.means, self.bags.len()),
            _ => (gradient, &self.inputs[net.layout.last()], rows),
        }
    }

    /// The last layer, its loss, and the way back through it.
    fn head(&mut self, net: &Network, batch: &Batch<'_>) {
        let (rows, last) = (self.rows.len(), net.layout.last());
        let layer = &net.layout.layers[last];
        let (earlier, sums) = self.gradients.split_at_mut(last);
        for first in (0..panels(layer.outputs)).step_by(GENE_PANELS) {
            let count = GENE_PANELS.min(panels(layer.outputs) - first);
            let at = if batch.backward { first * rows * LANES } else { 0 };
            let z = &mut sums[0][at..][..count * rows * LANES];
            net.sums(last, &self.inputs[last], rows, first, z);
            let genes = first * LANES..(first + count) * LANES;
            let [a, b] = &mut self.genes;
            let part = |of: &mut Vec<f64>| if of.is_empty() { 0..0 } else { genes.clone() };
            let (a_part, b_part) = (part(a), part(b));
            let gradient = batch.backward.then(|| HeadGradient {
                bias: &mut self.biases[last][genes.clone()],
                first: &mut a[a_part],
                second: &mut b[b_part],
            });
            self.loss += Head {
                z: &mut *z,
                rows,
                first,
                bias: &net.parameters[layer.bias.clone()][genes.clone()],
                beta: net.shape.softplus_beta() as f32,
                bags: &self.bags,
                weighted: self.pool.weighted(),
                labels: batch.data.label_values(),
                genes: layer.outputs,
                loss: batch.loss,
                normaliser: batch.normaliser,
                gradient,
            }
            .run();
            if batch.backward && last > 0 {
                Product {
                    left: Left::Panels { x: z, rows },
                    right: &net.parameters[layer.weight.clone()],
                    height: padded(layer.outputs),
                    from: genes.start,
                    inner: genes.len(),
                    out: &mut earlier[last - 1],
                    add: first > 0,
                }
                .run();
            }
        }
    }

    /// Through the hidden layers.
    fn back(&mut self, net: &Network, batch: &Batch<'_>) {
        let (rows, last) = (self.rows.len(), net.layout.last());
        let (chain, side) = self.gradients.split_at_mut(net.layout.chain);
        let before_last = last.checked_sub(1).map(|l| &mut chain[l][..]);
        self.pool.attend_back(net, &self.bags, side, &mut self.biases[net.layout.chain..], before_last);
        for l in (0..last).rev() {
            let (earlier, d) = chain.split_at_mut(l);
            ActivateGrad {
                d: &mut d[0],
                y: &self.inputs[l + 1],
                rows,
                slope: net.shape.leaky_slope() as f32,
                scale: batch.dropout.get(l).map_or(1.0, Dropout::scale),
                bias: &mut self.biases[l],
            }
            .run();
            if l > 0 {
                let height = padded(net.layout.layers[l].outputs);
                Product {
                    left: Left::Panels { x: &d[0], rows },
                    right: &net.parameters[net.layout.layers[l].weight.clone()],
                    height,
                    from: 0,
                    inner: height,
                    out: &mut earlier[l - 1],
                    add: false,
                }
                .run();
            }
            if l == 1 {
                self.pool.set_back(net, &self.bags, &d[0], side, &mut earlier[0], rows);
            }
        }
    }
}

impl Network {
    /// Scaled rows of features as panels of `count` rows.
    pub fn gather<'a>(&self, rows: impl Iterator<Item = Option<&'a [f32]>>, count: usize, out: &mut [f32]) {
        let mut some: [&[f32]; 8] = [&[]; 8];
        let mut rows = rows.enumerate().peekable();
        while let Some(&(begin, _)) = rows.peek() {
            let mut n = 0;
            while n < 8 {
                let Some((_, row)) = rows.next() else { break };
                some[n] = row.unwrap_or(&[]);
                n += 1;
            }
            for (p, panel) in out.chunks_mut(count * LANES).enumerate() {
                let to = panel[begin * LANES..].chunks_mut(LANES);
                for (row, to) in some[..n].iter().zip(to) {
                    let from = &row[(p * LANES).min(row.len())..((p + 1) * LANES).min(row.len())];
                    match &self.scale {
                        None => to[..from.len()].copy_from_slice(from),
                        Some((mean, std)) => {
                            let scale = mean[p * LANES..].iter().zip(&std[p * LANES..]);
                            for ((to, x), (m, s)) in to.iter_mut().zip(from).zip(scale) {
                                *to = (x - m) / s;
                            }
                        }
                    }
                    to[from.len()..].fill(0.0);
                }
            }
        }
    }

    /// All hidden layers: `inputs[0]` to the others.
    pub fn hidden(
        &self,
        inputs: &mut [Vec<f32>],
        rows: usize,
        first_row: usize,
        dropout: &[Dropout],
        sets: &mut SetSums<'_>,
    ) {
        for l in 0..self.layout.last() {
            let (before, after) = inputs.split_at_mut(l + 1);
            self.sums(l, &before[l], rows, 0, &mut after[0]);
            if l == 1 {
                sets.add(self, &before[1], rows, &mut after[0]);
            }
            Activate {
                z: &mut after[0],
                rows,
                bias: &self.parameters[self.layout.layers[l].bias.clone()],
                slope: self.shape.leaky_slope() as f32,
                dropout: dropout.get(l).copied(),
                columns: self.layout.layers[l].outputs,
                first_row,
            }
            .run();
        }
    }

    /// A layer's sums without bias, from panel `first` of its outputs on, as many as `out` has.
    pub fn sums(&self, layer: usize, x: &[f32], rows: usize, first: usize, out: &mut [f32]) {
        let height = padded(self.layout.layers[layer].inputs);
        let right = &self.forward[layer][first * height * LANES..];
        Product { left: Left::Panels { x, rows }, right, height, from: 0, inner: height, out, add: false }.run();
    }
}
