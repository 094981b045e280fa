use candle_core::{Tensor, Var};
use ndarray::Axis;
use scellst_kernels::Offsets;
use scellst_kernels::cpu::adamw::AdamW;
use scellst_kernels::cpu::loss::{BagLoss, Gradient};
use scellst_kernels::cpu::panels::{LANES, padded, panels};

use crate::{MilModel, ModelError, TrainData};

/// Training by candle's tensors, for devices other than the CPU: the network and its gradient there, losses of the bags'
/// predictions (a small matrix) here.
pub(crate) struct Composed {
    vars: Vec<Var>,
    mean: Vec<Tensor>,
    square: Vec<Tensor>,
    gradients: Vec<Tensor>,
    loss: BagLoss,
}

impl Composed {
    pub fn new(model: &MilModel) -> Result<Self, ModelError> {
        let vars = model.vars();
        let zeros = || vars.iter().map(|v| Ok(v.zeros_like()?)).collect::<Result<Vec<_>, ModelError>>();
        let loss = BagLoss::new(model.shape().loss(), model.shape().genes());
        Ok(Self { mean: zeros()?, square: zeros()?, gradients: zeros()?, vars, loss })
    }

    /// Loss of these bags and, asked for, its gradient, which is also left for [`Composed::update`].
    pub fn loss(
        &mut self,
        model: &MilModel,
        data: &TrainData,
        bags: &[usize],
        dropout: Option<u64>,
        backward: bool,
    ) -> Result<(f64, Vec<Vec<f32>>), ModelError> {
        let part = data.subset(bags);
        let mut offsets = vec![0u32];
        offsets.extend((0..bags.len()).map(|i| part.bag(i).end as u32));
        let features = model.tensor(part.features())?;
        let predicted = model.bags(&features, &Offsets::new(offsets)?, dropout)?;
        let values = predicted.detach().flatten_all()?.to_vec1::<f32>()?;
        let (loss, by_bag, by_gene) = self.bag_losses(model, &part, &values)?;
        if !backward || !loss.is_finite() {
            return Ok((loss, Vec::new()));
        }
        // A function whose gradient by the predictions is the loss's.
        let weights = Tensor::from_vec(by_bag, predicted.dims(), model.device())?;
        let found = (predicted * weights)?.sum_all()?.backward()?;
        let network = self.vars.len() - usize::from(!by_gene.is_empty());
        for (var, to) in self.vars[..network].iter().zip(&mut self.gradients) {
            *to = match found.get(var) {
                Some(g) => g.contiguous()?,
                None => var.zeros_like()?,
            };
        }
        if let Some(var) = self.vars[network..].first() {
            self.gradients[network] = Tensor::from_vec(by_gene, var.dims(), model.device())?;
        }
        let values = self.gradients.iter().map(|g| Ok(g.flatten_all()?.to_vec1::<f32>()?));
        Ok((loss, values.collect::<Result<_, ModelError>>()?))
    }

    /// Loss and its gradients by the bags' predictions and by the genes' parameters, both row-major.
    fn bag_losses(
        &mut self,
        model: &MilModel,
        part: &TrainData,
        predicted: &[f32],
    ) -> Result<(f64, Vec<f32>, Vec<f32>), ModelError> {
        let genes = model.shape().genes();
        let kinds = self.loss.loss().gene_parameters();
        let mut parameters = Vec::new();
        if let Some(var) = self.vars.last().filter(|_| kinds > 0) {
            for mut row in var.to_vec2::<f32>()? {
                row.resize(padded(genes), 0.0);
                parameters.extend(row);
            }
        }
        self.loss.prepare(&parameters);
        let shape = model.shape();
        let all: Vec<usize> = (0..part.bags()).collect();
        let normaliser = self.loss.loss().normaliser(part.importance(shape, &all), genes);
        let (mut total, mut by_bag, mut by_gene) = (0.0, vec![0.0; predicted.len()], vec![0.0; kinds * genes]);
        for (bag, labels) in part.labels().axis_iter(Axis(0)).enumerate() {
            let importance = part.importance(shape, &[bag]);
            for p in 0..panels(genes) {
                let at = p * LANES..genes.min((p + 1) * LANES);
                let (mut mean, mut label) = ([0.0; LANES], [0.0; LANES]);
                for (j, g) in at.clone().enumerate() {
                    (mean[j], label[j]) = (predicted[bag * genes + g].into(), labels[g].into());
                }
                let mut d = Gradient::default();
                let losses = self.loss.bag(p, &mean, &label, part.size_factor(bag).into(), &mut d);
                for (j, g) in at.enumerate() {
                    total += importance * losses[j];
                    by_bag[bag * genes + g] = (d.mean[j] * normaliser * importance) as f32;
                    for (k, of) in d.parameters[..kinds].iter().enumerate() {
                        by_gene[k * genes + g] += (of[j] * normaliser * importance) as f32;
                    }
                }
            }
        }
        Ok((total * normaliser, by_bag, by_gene))
    }

    /// Length of the gradient over all parameters.
    pub fn gradient_norm(&self) -> Result<f64, ModelError> {
        let mut sum = 0.0;
        for g in &self.gradients {
            sum += f64::from(g.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        Ok(sum.sqrt())
    }

    /// One step of the optimiser; as the CPU's, composed of candle's operations.
    pub fn update(&mut self, step: &AdamW) -> Result<(), ModelError> {
        let power = |beta: f64| 1.0 - beta.powf(step.step as f64);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((var, g), (m, v)) in self.vars.iter().zip(&self.gradients).zip(moments) {
            let g = (g * f64::from(step.scale))?;
            *m = ((&*m * step.betas.0)? + (&g * (1.0 - step.betas.0))?)?;
            *v = ((&*v * step.betas.1)? + (g.sqr()? * (1.0 - step.betas.1))?)?;
            let root = ((v.sqrt()? * (1.0 / power(step.betas.1).sqrt()))? + step.epsilon)?;
            let change = ((&*m * (step.rate / power(step.betas.0)))? / root)?;
            var.set(&((var.as_tensor() * (1.0 - step.rate * step.decay))? - change)?)?;
        }
        Ok(())
    }

    /// Parameters, row-major.
    pub fn weights(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        self.vars.iter().map(|v| Ok(v.flatten_all()?.to_vec1::<f32>()?)).collect()
    }

    /// Parameters and running means, row-major.
    pub fn state(&self) -> Result<[Vec<Vec<f32>>; 3], ModelError> {
        let values = |of: &[Tensor]| {
            of.iter().map(|t| Ok(t.flatten_all()?.to_vec1::<f32>()?)).collect::<Result<Vec<_>, ModelError>>()
        };
        Ok([self.weights()?, values(&self.mean)?, values(&self.square)?])
    }

    /// Back to such a state.
    pub fn restore(&mut self, state: &[Vec<Vec<f32>>; 3]) -> Result<(), ModelError> {
        for (i, var) in self.vars.iter().enumerate() {
            let tensor = |values: &[f32]| Tensor::from_slice(values, var.dims(), var.device());
            var.set(&tensor(&state[0][i])?)?;
            (self.mean[i], self.square[i]) = (tensor(&state[1][i])?, tensor(&state[2][i])?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::{InputScale, Loss, ModelShape, Pooling};
    use candle_core::Device;
    use ndarray::Array2;

    /// The engine and candle's tensors are two ways to the same numbers, dropout included.
    #[test]
    fn the_engine_agrees_with_composed_tensors() {
        let (input, genes, bags) = (37, 45, 23);
        let number = |i: usize| ((i * 7919) % 1013) as f32 / 506.0 - 1.0;
        let mut offsets = vec![0u32];
        // One bag has more cells than a block.
        (0..bags).for_each(|b| offsets.push(offsets[b] + if b == 4 { 700 } else { 1 + (b as u32 * 5) % 17 }));
        let cells = offsets[bags] as usize;
        let features = Array2::from_shape_fn((cells, input), |(i, j)| number(i * input + j) + j as f32);
        let counts = Array2::from_shape_fn((bags, genes), |(i, j)| ((i * 31 + j * 17) % 11) as f32);
        let data = TrainData::new(features, offsets, counts).unwrap();
        let data = data.with_size_factors((0..bags).map(|b| 0.5 + b as f32 / 20.0).collect()).unwrap();
        let some: Vec<usize> = (0..bags).rev().filter(|b| b % 7 != 3).collect();
        let (mean, sum) = (Pooling::Mean, Pooling::Sum);
        for (loss, hidden, pooling) in [
            (Loss::Mse, vec![70, 33], mean),
            (Loss::NbMean, vec![64], mean),
            (Loss::NbTotal, vec![20, 40, 20], mean),
            (Loss::Poisson, vec![], mean),
            (Loss::ZeroInflatedNb, vec![32], mean),
            (Loss::Mse, vec![70, 33], sum),
            (Loss::NbMean, vec![64], sum),
            (Loss::Mse, vec![70, 90], Pooling::Attention),
            (Loss::NbTotal, vec![], Pooling::Attention),
            (Loss::Mse, vec![70, 90, 20], Pooling::DeepSet),
            (Loss::Poisson, vec![33, 64], Pooling::DeepSet),
        ] {
            let shape = ModelShape::published(input, genes).unwrap().with_hidden(hidden).unwrap().with_loss(loss);
            let shape = shape.with_pooling(pooling).unwrap();
            let model = MilModel::new(shape, 3, &Device::Cpu).unwrap();
            let model = model.with_input(InputScale::standardising(data.features())).unwrap();
            let (mut engine, mut composed) = (Engine::new(&model).unwrap(), Composed::new(&model).unwrap());
            for dropout in [None, Some(77)] {
                let found = engine.loss(&data, &some, dropout, true).unwrap();
                let (expected, gradients) = composed.loss(&model, &data, &some, dropout, true).unwrap();
                assert!((found - expected).abs() < 1e-6 * expected, "{loss} {pooling}: {found} against {expected}");
                for (i, (f, e)) in engine.gradients().iter().zip(&gradients).enumerate() {
                    let size = e.iter().fold(0f32, |m, v| m.max(v.abs()));
                    let error = f.iter().zip(e).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
                    // Sums in another order; of up to 800 cells. A softmax has differences of such sums, which the engine
                    // takes before it adds up, and tensors after: against PyTorch in f64 it is within 1e-5.
                    let tolerance = if pooling == Pooling::Attention { 4e-5 } else { 1e-5 };
                    assert!(error < tolerance * size, "{loss} {pooling}, tensor {i}: {error} of {size}");
                }
                assert!((engine.gradient_norm() / composed.gradient_norm().unwrap() - 1.0).abs() < 1e-5);
            }
            let step = AdamW { rate: 1e-3, decay: 0.01, betas: (0.9, 0.999), epsilon: 1e-8, step: 1, scale: 0.7 };
            engine.update(&step);
            composed.update(&step).unwrap();
            let (found, expected) = (engine.state(), composed.state().unwrap());
            for (f, e) in found.iter().flatten().zip(expected.iter().flatten()) {
                let size = e.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
                f.iter().zip(e).for_each(|(f, e)| assert!((f - e).abs() < 2e-3 * size, "{loss}: {f} against {e}"));
            }
        }
    }
}
