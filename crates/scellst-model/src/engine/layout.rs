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
    /// As long as the padded outputs.
    pub bias: Range<usize>,
}

/// All parameters in one run of numbers, in panels: weights and bias of each layer, then the genes' parameters, row
/// after row. Padding is zero and stays so: its gradient is zero.
pub(crate) struct Layout {
    pub layers: Vec<Layer>,
    /// Parameters of the loss, padded rows.
    pub genes: Range<usize>,
    /// Genes without padding.
    outputs: usize,
}

impl Layout {
    pub fn new(shape: &ModelShape) -> Self {
        let mut end = 0;
        let mut take = |n: usize| {
            end += n;
            end - n..end
        };
        let layer = |(inputs, outputs)| Layer {
            inputs,
            outputs,
            weight: take(padded(inputs) * padded(outputs)),
            bias: take(padded(outputs)),
        };
        let layers = shape.layers().into_iter().map(layer).collect();
        let genes = take(shape.loss().gene_parameters() * padded(shape.genes()));
        Self { layers, genes, outputs: shape.genes() }
    }

    /// Number of parameters with padding.
    pub fn len(&self) -> usize {
        self.genes.end
    }

    /// From row-major tensors in the order of [`ModelShape::parameters`].
    pub fn pack(&self, tensors: &[Vec<f32>], to: &mut [f32]) {
        to.fill(0.0);
        for (layer, pair) in self.layers.iter().zip(tensors.chunks(2)) {
            let [weight, bias] = pair else { continue };
            let height = padded(layer.outputs);
            from_rows(weight, layer.outputs, layer.inputs, height, &mut to[layer.weight.clone()]);
            to[layer.bias.clone()][..layer.outputs].copy_from_slice(bias);
        }
        if let Some(genes) = tensors.get(2 * self.layers.len()) {
            let rows = to[self.genes.clone()].chunks_mut(padded(self.outputs));
            rows.zip(genes.chunks(self.outputs)).for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
        }
    }

    /// Back to row-major tensors.
    pub fn unpack(&self, from: &[f32]) -> Vec<Vec<f32>> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            let mut weight = vec![0.0; layer.inputs * layer.outputs];
            to_rows(&from[layer.weight.clone()], layer.outputs, layer.inputs, padded(layer.outputs), &mut weight);
            tensors.push(weight);
            tensors.push(from[layer.bias.clone()][..layer.outputs].to_vec());
        }
        if !self.genes.is_empty() {
            let rows = from[self.genes.clone()].chunks(padded(self.outputs));
            tensors.push(rows.flat_map(|row| row[..self.outputs].iter().copied()).collect());
        }
        tensors
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
    use scellst_kernels::Loss;

    #[test]
    fn parameters_go_in_and_out_and_tasks_have_every_weight_once() {
        let shape = ModelShape::published(70, 1100).unwrap().with_hidden(vec![40]).unwrap();
        let shape = shape.with_loss(Loss::ZeroInflatedNb);
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
        let Task { layer, panel, output, height, gradient } = &tasks[0];
        assert_eq!((*layer, *panel, *output, *height), (1, 1, 1024, 96));
        // Output 1024, input 32 of the last layer.
        assert_eq!(gradient[0], tensors[2][1024 * 40 + 32]);
    }
}
