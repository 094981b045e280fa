use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use scellst_kernels::cpu::head::Outputs;
use scellst_kernels::cpu::hidden::Activate;
use scellst_kernels::cpu::panels::{LANES, from_rows, padded, panels, to_rows};

use super::pool::SetSums;
use super::{BLOCK_ROWS, Network};

/// As in training.
const GENE_PANELS: usize = 4;

/// What a thread uses again from block to block.
struct Room {
    inputs: Vec<Vec<f32>>,
    z: Vec<f32>,
    sets: [Vec<f32>; 2],
}

impl Network {
    /// Outputs of every cell: `(cells, features)` to `(cells, genes)`; of a deep set each with the mean of its set.
    pub fn predict(&self, features: ArrayView2<'_, f32>, sets: Option<ArrayView2<'_, f32>>) -> Array2<f32> {
        let genes = self.shape.genes();
        let sets = sets.map(|sets| sets.as_standard_layout().into_owned());
        self.blocks(features, genes, |room, begin, rows, out| {
            let mut sums = SetSums::Nothing;
            let Room { inputs, z, sets: [means, product] } = room;
            if let Some(sets) = sets.as_ref().and_then(|s| s.as_slice()) {
                let layer = &self.layout.layers[self.layout.chain];
                means.resize(rows * padded(layer.inputs), 0.0);
                product.resize(rows * padded(layer.outputs), 0.0);
                let part = &sets[begin * layer.inputs..][..rows * layer.inputs];
                from_rows(part, rows, layer.inputs, rows, means);
                sums = SetSums::OfRows { means, sums: product };
            }
            self.hidden(inputs, rows, 0, &[], &mut sums);
            self.outputs(&inputs[self.layout.last()], rows, z, out);
        })
    }

    /// The first hidden layer, `(cells, width)`.
    pub fn first_hidden(&self, features: ArrayView2<'_, f32>) -> Array2<f32> {
        let layer = &self.layout.layers[0];
        self.blocks(features, layer.outputs, |Room { inputs, z, .. }, _, rows, out| {
            z.resize(rows * padded(layer.outputs), 0.0);
            self.sums(0, &inputs[0], rows, 0, z);
            let (bias, slope) = (&self.parameters[layer.bias.clone()], self.shape.leaky_slope() as f32);
            Activate { z, rows, bias, slope, dropout: None, columns: layer.outputs, first_row: 0 }.run();
            to_rows(z, rows, layer.outputs, rows, out);
        })
    }

    /// The attention's score of every cell.
    pub fn scores(&self, features: ArrayView2<'_, f32>) -> Vec<f32> {
        let gates = padded(self.layout.layers[self.layout.chain].outputs);
        let scores = self.blocks(features, 1, |Room { inputs, sets: [tanh, sigmoid], .. }, _, rows, out| {
            self.hidden(inputs, rows, 0, &[], &mut SetSums::Nothing);
            tanh.resize(rows * gates, 0.0);
            sigmoid.resize(rows * gates, 0.0);
            self.gates(&inputs[self.layout.last()], tanh, sigmoid, out);
        });
        scores.into_iter().collect()
    }

    /// Blocks of cells whose scaled features are in `inputs[0]` to rows of the output; told the first row and how many.
    fn blocks(
        &self,
        features: ArrayView2<'_, f32>,
        columns: usize,
        run: impl Fn(&mut Room, usize, usize, &mut [f32]) + Sync,
    ) -> Array2<f32> {
        let mut out = Array2::zeros((features.dim().0, columns));
        let parts = features.axis_chunks_iter(Axis(0), BLOCK_ROWS).into_par_iter().enumerate();
        let room = || Room { inputs: vec![Vec::new(); self.layout.chain], z: Vec::new(), sets: Default::default() };
        let parts = parts.zip(out.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS));
        parts.for_each_init(room, |room, ((block, x), mut out)| {
            let (x, rows) = (x.as_standard_layout(), x.dim().0);
            for (input, layer) in room.inputs.iter_mut().zip(&self.layout.layers) {
                input.resize(rows * padded(layer.inputs), 0.0);
            }
            self.gather(x.rows().into_iter().map(|r| r.to_slice()), rows, &mut room.inputs[0]);
            if let Some(out) = out.as_slice_mut() {
                run(room, block * BLOCK_ROWS, rows, out);
            }
        });
        out
    }

    /// The last layer and softplus.
    fn outputs(&self, hidden: &[f32], rows: usize, z: &mut Vec<f32>, out: &mut [f32]) {
        let last = self.layout.last();
        let layer = &self.layout.layers[last];
        for first in (0..panels(layer.outputs)).step_by(GENE_PANELS) {
            let count = GENE_PANELS.min(panels(layer.outputs) - first);
            z.resize(count * rows * LANES, 0.0);
            self.sums(last, hidden, rows, first, z);
            let bias = &self.parameters[layer.bias.clone()][first * LANES..][..count * LANES];
            let beta = self.shape.softplus_beta() as f32;
            Outputs { z, rows, first, bias, beta, out: &mut *out, genes: layer.outputs }.run();
        }
    }
}
