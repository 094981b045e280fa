use scellst_kernels::cpu::attention::{Gate, GateBack, softmax, softmax_back};
use scellst_kernels::cpu::head::{BagRows, Weighted};
use scellst_kernels::cpu::panels::{LANES, padded};
use scellst_kernels::cpu::product::{Left, Product};
use scellst_kernels::cpu::sets::{Share, to_bags, to_cells};

use super::Network;
use crate::Pooling;

/// What a block keeps for poolings that look at more than one cell; nothing of it is used for the others.
#[derive(Default)]
pub(crate) struct Pool {
    /// Deep set: means of the first hidden layer over each bag, panels of as many rows as bags.
    pub means: Vec<f32>,
    /// Gradient of those.
    by_means: Vec<f32>,
    /// Attention: each row's weight, and its gradient.
    weights: Vec<f32>,
    by_weights: Vec<f32>,
    /// Gradient of `w`.
    pub score: Vec<f32>,
    room: Vec<f32>,
}

/// Where what a set adds to the sums of the second hidden layer comes from.
pub(crate) enum SetSums<'a> {
    /// Not a deep set.
    Nothing,
    /// The means of bags, made here; `sums` is room for their product.
    OfBags { bags: &'a [BagRows], means: &'a mut [f32], sums: &'a mut [f32] },
    /// Means that each row has of its own, as panels; `sums` is room for their product.
    OfRows { means: &'a [f32], sums: &'a mut [f32] },
}

impl SetSums<'_> {
    /// Adds to the second hidden layer's sums `z`; `first` is the first hidden layer.
    pub fn add(&mut self, net: &Network, first: &[f32], rows: usize, z: &mut [f32]) {
        match self {
            Self::Nothing => {}
            Self::OfBags { bags, means, sums } => {
                // Once a bag, not once a cell: the product is as short as there are bags.
                to_bags(first, rows, bags, Share::Equal, means);
                net.sums(net.layout.chain, means, bags.len(), 0, sums);
                to_cells(sums, bags, Share::Whole, z, rows);
            }
            Self::OfRows { means, sums } => {
                net.sums(net.layout.chain, means, rows, 0, sums);
                z.iter_mut().zip(sums.iter()).for_each(|(z, s)| *z += s);
            }
        }
    }
}

impl Pool {
    /// Room for a block; `gradients` are of all layers.
    pub fn make_room(&mut self, net: &Network, gradients: &mut [Vec<f32>], rows: usize, bags: usize) {
        let (chain, side) = gradients.split_at_mut(net.layout.chain);
        debug_assert_eq!(chain.len(), net.layout.chain);
        let attends = net.shape.pooling() == Pooling::Attention;
        let side_rows = if attends { rows } else { bags };
        for (layer, gradient) in net.layout.layers[net.layout.chain..].iter().zip(side) {
            gradient.resize(side_rows * padded(layer.outputs), 0.0);
            if !attends {
                self.means.resize(bags * padded(layer.inputs), 0.0);
                self.by_means.resize(bags * padded(layer.inputs), 0.0);
            }
        }
        if attends {
            self.weights.resize(rows, 0.0);
            self.by_weights.clear();
            self.by_weights.resize(rows, 0.0);
            self.score.resize(net.layout.score.len(), 0.0);
        }
    }

    /// A deep set's bags; `side` are the gradients of the layers beside the chain, room until the way back.
    pub fn sets<'a>(&'a mut self, bags: &'a [BagRows], side: &'a mut [Vec<f32>]) -> SetSums<'a> {
        match side {
            [sums] => SetSums::OfBags { bags, means: &mut self.means, sums },
            _ => SetSums::Nothing,
        }
    }

    /// The attention's weights from the last hidden layer; the gates' values stay in `side` until the way back.
    pub fn attend(&mut self, net: &Network, hidden: &[f32], bags: &[BagRows], side: &mut [Vec<f32>]) {
        if let [tanh, sigmoid] = side {
            net.gates(hidden, tanh, sigmoid, &mut self.weights);
            softmax(&mut self.weights, bags);
        }
    }

    /// For the head, where cells have weights.
    pub fn weighted(&mut self) -> Option<Weighted<'_>> {
        let Self { weights, by_weights: gradient, room, .. } = self;
        (!weights.is_empty()).then_some(Weighted { weights, gradient, room })
    }

    /// From the weights' gradient, which the head left, to those of the gates; and to the gradient of the last hidden
    /// layer, `before`, which already has the head's part.
    pub fn attend_back(
        &mut self,
        net: &Network,
        bags: &[BagRows],
        side: &mut [Vec<f32>],
        biases: &mut [Vec<f32>],
        before: Option<&mut [f32]>,
    ) {
        let ([tanh, sigmoid], [tanh_bias, sigmoid_bias]) = (&mut *side, biases) else { return };
        softmax_back(&self.weights, &mut self.by_weights, bags);
        let score = &net.parameters[net.layout.score.clone()];
        let (gradient, score_gradient) = (&self.by_weights[..], &mut self.score[..]);
        GateBack { tanh, sigmoid, score, gradient, tanh_bias, sigmoid_bias, score_gradient }.run();
        let Some(out) = before else { return };
        for (layer, d) in net.layout.layers[net.layout.chain..].iter().zip(side) {
            let (left, inner) = (Left::Panels { x: d, rows: self.weights.len() }, padded(layer.outputs));
            let right = &net.parameters[layer.weight.clone()];
            Product { left, right, height: inner, from: 0, inner, out: &mut *out, add: true }.run();
        }
    }

    /// A deep set's way back: from the gradient `d` of the second hidden layer's sums to that of the set's layer in
    /// `side`, and what it adds to the gradient of the first hidden layer, `first`.
    pub fn set_back(
        &mut self,
        net: &Network,
        bags: &[BagRows],
        d: &[f32],
        side: &mut [Vec<f32>],
        first: &mut [f32],
        rows: usize,
    ) {
        let [gradient] = side else { return };
        to_bags(d, rows, bags, Share::Whole, gradient);
        let layer = &net.layout.layers[net.layout.chain];
        let (left, inner) = (Left::Panels { x: gradient, rows: bags.len() }, padded(layer.outputs));
        let right = &net.parameters[layer.weight.clone()];
        Product { left, right, height: inner, from: 0, inner, out: &mut self.by_means, add: false }.run();
        to_cells(&self.by_means, bags, Share::Equal, first, rows);
    }
}

impl Network {
    /// The attention's gates and scores from the last hidden layer, as many rows as scores.
    pub fn gates(&self, hidden: &[f32], tanh: &mut [f32], sigmoid: &mut [f32], scores: &mut [f32]) {
        let (first, rows) = (self.layout.chain, scores.len());
        debug_assert_eq!(tanh.len() % LANES, 0);
        self.sums(first, hidden, rows, 0, tanh);
        self.sums(first + 1, hidden, rows, 0, sigmoid);
        let bias = |l: usize| &self.parameters[self.layout.layers[l].bias.clone()];
        let (tanh_bias, sigmoid_bias) = (bias(first), bias(first + 1));
        let score = &self.parameters[self.layout.score.clone()];
        Gate { tanh, sigmoid, tanh_bias, sigmoid_bias, score, scores }.run();
    }
}
