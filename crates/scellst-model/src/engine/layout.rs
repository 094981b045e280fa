use std::ops::Range;

use scellst_kernels::cpu::panels::{LANES, from_rows, padded, to_rows};

use crate::ModelShape;

/// Where a layer's weights lie in the flat parameters.
pub(crate) struct Layer {
    /// Inputs and outputs.
    pub inputs: usize,
    pub outputs: usize,
    /// Panels over the inputs, as high as the padded outputs.
    pub weight: Range<usize>,
    /// As long as the padded outputs, or empty.
    pub bias: Range<usize>,
}

/// All parameters in one run of numbers, in panels: weights and bias of each layer, the attention's `w`, then the genes'
/// parameters, row after row. Padding is zero and stays so: its gradient is zero.
pub(crate) struct Layout {
    /// The chain of layers, then those beside it that the pooling wants.
    pub layers: Vec<Layer>,
    /// How many are in the chain.
    pub chain: usize,
    /// The attention's `w`, padded; else empty.
    pub score: Range<usize>,
    /// Parameters of the loss, padded rows.
    pub genes: Range<usize>,
    /// In the order of [`ModelShape::parameters`].
    tensors: Vec<Place>,
}

/// Where a tensor lies.
enum Place {
    /// Panels over the columns, as high as the padded rows.
    Matrix { rows: usize, columns: usize, at: Range<usize> },
    /// Padded rows one after another.
    Rows { columns: usize, at: Range<usize> },
}

impl Layout {
    pub fn new(shape: &ModelShape) -> Self {
        let mut end = 0;
        let mut take = |n: usize| {
            end += n;
            end - n..end
        };
        let mut tensors = Vec::new();
        let mut layer = |inputs: usize, outputs: usize, has_bias: bool| {
            let weight = take(padded(inputs) * padded(outputs));
            let bias = take(if has_bias { padded(outputs) } else { 0 });
            tensors.push(Place::Matrix { rows: outputs, columns: inputs, at: weight.clone() });
            if has_bias {
                tensors.push(Place::Rows { columns: outputs, at: bias.clone() });
            }
            Layer { inputs, outputs, weight, bias }
        };
        let mut layers: Vec<Layer> = shape.layers().into_iter().map(|(from, to)| layer(from, to, true)).collect();
        let chain = layers.len();
        layers.extend(shape.side_layers().into_iter().map(|side| layer(side.inputs, side.outputs, side.has_bias)));
        let gates = shape.gates().unwrap_or(0);
        let score = take(padded(gates));
        let genes = take(shape.loss().gene_parameters() * padded(shape.genes()));
        for (columns, at) in [(gates, &score), (shape.genes(), &genes)] {
            if !at.is_empty() {
                tensors.push(Place::Rows { columns, at: at.clone() });
            }
        }
        Self { layers, chain, score, genes, tensors }
    }

    /// Number of parameters with padding.
    pub fn len(&self) -> usize {
        self.genes.end
    }

    /// Which layer gives the genes.
    pub fn last(&self) -> usize {
        self.chain - 1
    }

    /// From row-major tensors in the order of [`ModelShape::parameters`].
    pub fn pack(&self, tensors: &[Vec<f32>], to: &mut [f32]) {
        to.fill(0.0);
        for (place, from) in self.tensors.iter().zip(tensors) {
            match place {
                Place::Matrix { rows, columns, at } => {
                    from_rows(from, *rows, *columns, padded(*rows), &mut to[at.clone()]);
                }
                Place::Rows { columns, at } => {
                    let rows = to[at.clone()].chunks_mut(padded(*columns));
                    rows.zip(from.chunks(*columns)).for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
                }
            }
        }
    }

    /// Back to row-major tensors.
    pub fn unpack(&self, from: &[f32]) -> Vec<Vec<f32>> {
        let tensor = |place: &Place| match place {
            Place::Matrix { rows, columns, at } => {
                let mut values = vec![0.0; rows * columns];
                to_rows(&from[at.clone()], *rows, *columns, padded(*rows), &mut values);
                values
            }
            Place::Rows { columns, at } => {
                from[at.clone()].chunks(padded(*columns)).flat_map(|row| row[..*columns].iter().copied()).collect()
            }
        };
        self.tensors.iter().map(tensor).collect()
    }
}

/// A run of one layer's weights that one task makes the gradient of.
pub(crate) struct Task<'a> {
    pub layer: usize,
    /// First panel over the inputs.
    pub panel: usize,
    /// First output, a multiple of 32.
    pub output: usize,
    /// Outputs of each panel.
    pub height: usize,
    pub gradient: &'a mut [f32],
}

/// Outputs of a task at most: their gradients for a block of cells stay in the second-level cache.
const TASK_OUTPUTS: usize = 256;
/// Panels of a task.
const TASK_PANELS: usize = 4;

impl Layout {
    /// The weights' gradients in tasks, the last layer's first.
    pub fn tasks<'a>(&self, mut gradient: &'a mut [f32]) -> Vec<Task<'a>> {
        let mut tasks = Vec::with_capacity(self.layers.len() * 32);
        let mut begin = 0;
        for (l, layer) in self.layers.iter().enumerate() {
            let (_, rest) = gradient.split_at_mut(layer.weight.start - begin);
            let (weight, rest) = rest.split_at_mut(layer.weight.len());
            (gradient, begin) = (rest, layer.weight.end);
            let height = padded(layer.outputs);
            if height <= 2 * TASK_OUTPUTS {
                for (i, gradient) in weight.chunks_mut(TASK_PANELS * height * LANES).enumerate() {
                    tasks.push(Task { layer: l, panel: i * TASK_PANELS, output: 0, height, gradient });
                }
                continue;
            }
            for (panel, weight) in weight.chunks_mut(height * LANES).enumerate() {
                for (i, gradient) in weight.chunks_mut(TASK_OUTPUTS * LANES).enumerate() {
                    let height = gradient.len() / LANES;
                    tasks.push(Task { layer: l, panel, output: i * TASK_OUTPUTS, height, gradient });
                }
            }
        }
        tasks.reverse();
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pooling;
    use scellst_kernels::Loss;

    #[test]
    fn parameters_go_in_and_out_and_tasks_have_every_weight_once() {
        let shape = ModelShape::published(70, 1100).unwrap().with_hidden(vec![40, 45]).unwrap();
        for pooling in Pooling::ALL {
            check(shape.clone().with_loss(Loss::ZeroInflatedNb).with_pooling(pooling).unwrap());
        }
    }

    fn check(shape: ModelShape) {
        let layout = Layout::new(&shape);
        let mut next = 0.0;
        let mut number = || {
            next += 1.0;
            next
        };
        let tensors: Vec<Vec<f32>> =
            shape.parameters().iter().map(|(_, dims)| (0..dims.iter().product()).map(|_| number()).collect()).collect();
        let mut flat = vec![f32::NAN; layout.len()];
        layout.pack(&tensors, &mut flat);
        assert_eq!(layout.unpack(&flat), tensors);
        let tasks = layout.tasks(&mut flat);
        let weights: usize = layout.layers.iter().map(|l| l.weight.len()).sum();
        assert_eq!(tasks.iter().map(|t| t.gradient.len()).sum::<usize>(), weights);
        let of_last = tasks.iter().find(|task| task.layer == layout.last()).unwrap();
        assert_eq!((of_last.panel, of_last.output, of_last.height), (1, 1024, 96));
        // Output 1024, input 32 of the last layer.
        assert_eq!(of_last.gradient[0], tensors[4][1024 * 45 + 32]);
    }
}
