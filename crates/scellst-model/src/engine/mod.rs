//! Training and prediction on the CPU without tensors.
//!
//! A step is three passes. First, block by block of whole bags and without any exchange between them: features forward
//! to the loss, and back to the gradient of every layer's sums; a bag's loss depends on its own cells only, and a
//! block's matrices stay in the second-level cache. Then the weights' gradients, each task a part of the weights with all
//! cells in order. Then the optimiser. Blocks and tasks depend on the bags only, sums run in a fixed order: the bits
//! are the same whatever the number of threads. Nothing of the size of the data is allocated after the first step.

mod block;
mod layout;
mod pool;
mod predict;

use rayon::prelude::*;
use scellst_kernels::Dropout;
use scellst_kernels::cpu::adamw::{AdamW, square_sum};
use scellst_kernels::cpu::head::BagRows;
use scellst_kernels::cpu::loss::BagLoss;
use scellst_kernels::cpu::panels::{LANES, padded, transposed_panel};
use scellst_kernels::cpu::product::OuterProduct;

use self::block::{Batch, Block};
use self::layout::Layout;
use self::pool::SetSums;
use crate::{MilModel, ModelError, ModelShape, TrainData};

/// Cells of a block, about.
const BLOCK_ROWS: usize = 256;
/// Parameters that a thread updates at a time.
const UPDATE: usize = 16_384;

/// The weights, laid out for products.
pub(crate) struct Network {
    shape: ModelShape,
    layout: Layout,
    parameters: Vec<f32>,
    /// Every layer's weights transposed: panels over the outputs.
    forward: Vec<Vec<f32>>,
    /// Mean and deviation of the features, unless they stay as they are.
    scale: Option<(Vec<f32>, Vec<f32>)>,
}

impl Network {
    pub fn new(model: &MilModel) -> Result<Self, ModelError> {
        let layout = Layout::new(model.shape());
        let forward = layout.layers.iter().map(|l| vec![0.0; padded(l.inputs) * padded(l.outputs)]).collect();
        let input = model.input();
        let as_is = input.mean.iter().all(|&m| m == 0.0) && input.std.iter().all(|&s| s == 1.0);
        let mut network = Self {
            shape: model.shape().clone(),
            parameters: vec![0.0; layout.len()],
            layout,
            forward,
            scale: (!as_is).then(|| (input.mean.clone(), input.std.clone())),
        };
        network.set(&model.values()?);
        Ok(network)
    }

    /// Takes in row-major tensors.
    pub fn set(&mut self, tensors: &[Vec<f32>]) {
        self.layout.pack(tensors, &mut self.parameters);
        self.transpose();
    }

    /// Row-major tensors.
    pub fn values(&self) -> Vec<Vec<f32>> {
        self.layout.unpack(&self.parameters)
    }

    /// The forward weights from the parameters.
    fn transpose(&mut self) {
        for (layer, forward) in self.layout.layers.iter().zip(&mut self.forward) {
            let weight = &self.parameters[layer.weight.clone()];
            let (height, panel) = (padded(layer.outputs), padded(layer.inputs) * LANES);
            let each = |(p, out): (usize, &mut [f32])| transposed_panel(weight, height, p, out);
            forward.par_chunks_mut(panel).enumerate().for_each(each);
        }
    }
}

/// A network in training.
pub(crate) struct Engine {
    network: Network,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    blocks: Vec<Block>,
    used: usize,
    loss: BagLoss,
}

impl Engine {
    pub fn new(model: &MilModel) -> Result<Self, ModelError> {
        let network = Network::new(model)?;
        let zeros = || vec![0.0; network.parameters.len()];
        let loss = BagLoss::new(network.shape.loss(), network.shape.genes());
        let (gradient, mean, square) = (zeros(), zeros(), zeros());
        Ok(Self { network, gradient, mean, square, blocks: Vec::new(), used: 0, loss })
    }

    /// Parameters as row-major tensors.
    pub fn weights(&self) -> Vec<Vec<f32>> {
        self.network.values()
    }

    /// Parameters and the optimiser's running means, as row-major tensors.
    pub fn state(&self) -> [Vec<Vec<f32>>; 3] {
        let layout = &self.network.layout;
        [self.network.values(), layout.unpack(&self.mean), layout.unpack(&self.square)]
    }

    /// Back to such a state.
    pub fn restore(&mut self, state: &[Vec<Vec<f32>>; 3]) {
        self.network.set(&state[0]);
        self.network.layout.pack(&state[1], &mut self.mean);
        self.network.layout.pack(&state[2], &mut self.square);
    }

    /// The last gradient, as row-major tensors.
    pub fn gradients(&self) -> Vec<Vec<f32>> {
        self.network.layout.unpack(&self.gradient)
    }

    /// Loss of these bags; with `backward` the gradient is left for [`Engine::update`]. `dropout` seeds it.
    pub fn loss(
        &mut self,
        data: &TrainData,
        bags: &[usize],
        dropout: Option<u64>,
        backward: bool,
    ) -> Result<f64, ModelError> {
        let masks = match dropout {
            Some(seed) => self.network.shape.dropouts(seed)?,
            None => Vec::new(),
        };
        self.divide(data, bags);
        let shape = &self.network.shape;
        self.loss.prepare(&self.network.parameters[self.network.layout.genes.clone()]);
        let normaliser = self.loss.loss().normaliser(data.importance(shape, bags), shape.genes());
        let batch = Batch { data, loss: &self.loss, normaliser, dropout: &masks, backward };
        let network = &self.network;
        self.blocks[..self.used].par_iter_mut().with_max_len(1).for_each(|block| block.run(network, &batch));
        if backward {
            self.weight_gradients();
        }
        Ok(self.blocks[..self.used].iter().map(|b| b.loss).sum::<f64>() * normaliser)
    }

    /// The step's bags in blocks of about the same number of cells, by the bags alone.
    fn divide(&mut self, data: &TrainData, bags: &[usize]) {
        let cells: usize = bags.iter().map(|&b| data.bag(b).len()).sum();
        // A multiple of four, for as many threads or fewer, unless blocks were tiny.
        let count = cells.div_ceil(BLOCK_ROWS).next_multiple_of(4).min(cells.div_ceil(BLOCK_ROWS / 4)).max(1);
        if self.blocks.len() < count {
            self.blocks.resize_with(count, Block::default);
        }
        self.used = count;
        let shape = &self.network.shape;
        self.blocks[..count].iter_mut().for_each(Block::clear);
        let mut begin = 0;
        for &bag in bags {
            let rows = data.bag(bag);
            let n = rows.len();
            let block = &mut self.blocks[((2 * begin + n) * count / (2 * cells.max(1))).min(count - 1)];
            if block.rows.is_empty() {
                block.first_row = begin;
            }
            let at = block.rows.len();
            block.rows.extend(rows.map(|r| r as u32));
            let (weight, importance) = shape.pooling().weights(shape.loss(), n);
            block.bags.push(BagRows { rows: at..at + n, weight, label: bag, size: data.size_factor(bag), importance });
            begin += n;
        }
    }

    /// All cells' part in every weight.
    fn weight_gradients(&mut self) {
        let (network, blocks) = (&self.network, &self.blocks[..self.used]);
        let layout = &network.layout;
        layout.tasks(&mut self.gradient).into_par_iter().with_max_len(1).for_each(|task| {
            let mut add = false;
            for block in blocks.iter().filter(|b| !b.rows.is_empty()) {
                let (gradients, inputs, rows) = block.operands(network, task.layer);
                let left = &gradients[task.output * rows..][..task.height * rows];
                for (i, out) in task.gradient.chunks_mut(task.height * LANES).enumerate() {
                    let right = &inputs[(task.panel + i) * rows * LANES..][..rows * LANES];
                    OuterProduct { left, right, rows, out, add }.run();
                }
                add = true;
            }
        });
        for (l, layer) in layout.layers.iter().enumerate() {
            let bias = &mut self.gradient[layer.bias.clone()];
            bias.fill(0.0);
            for block in blocks.iter().filter(|b| !b.rows.is_empty()) {
                bias.iter_mut().zip(&block.biases[l]).for_each(|(sum, b)| *sum += b);
            }
        }
        let score = &mut self.gradient[layout.score.clone()];
        score.fill(0.0);
        for block in blocks.iter().filter(|b| !b.rows.is_empty()) {
            score.iter_mut().zip(&block.pool.score).for_each(|(sum, b)| *sum += b);
        }
        let genes = &mut self.gradient[layout.genes.clone()];
        let width = padded(self.network.shape.genes());
        for (k, genes) in genes.chunks_mut(width).enumerate() {
            for (g, to) in genes.iter_mut().enumerate() {
                *to = blocks.iter().filter(|b| !b.rows.is_empty()).map(|b| b.genes[k][g]).sum::<f64>() as f32;
            }
        }
    }

    /// Length of the gradient over all parameters.
    pub fn gradient_norm(&self) -> f64 {
        let sums: Vec<f64> = self.gradient.par_chunks(UPDATE).map(square_sum).collect();
        sums.iter().sum::<f64>().sqrt()
    }

    /// One step of the optimiser.
    pub fn update(&mut self, step: &AdamW) {
        let moments = self.mean.par_chunks_mut(UPDATE).zip(self.square.par_chunks_mut(UPDATE));
        let parameters = self.network.parameters.par_chunks_mut(UPDATE).zip(self.gradient.par_chunks(UPDATE));
        parameters.zip(moments).for_each(|((p, g), (m, v))| step.apply(p, g, m, v));
        self.network.transpose();
    }
}

impl ModelShape {
    /// Dropout of every hidden layer in a step; none for a probability of 0.
    pub(crate) fn dropouts(&self, step: u64) -> Result<Vec<Dropout>, ModelError> {
        if self.dropout() == 0.0 {
            return Ok(Vec::new());
        }
        let seed = |layer: usize| step.wrapping_mul(64).wrapping_add(layer as u64);
        (0..self.layers().len() - 1).map(|l| Ok(Dropout::new(self.dropout(), seed(l))?)).collect()
    }
}
