use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use ndarray::Axis;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use scellst_kernels::Offsets;
use serde::{Deserialize, Serialize};

use crate::{MilModel, ModelError, TrainConfig, TrainData};

/// The losses after one pass over the training bags.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean over the steps, with dropout.
    pub train_loss: f32,
    /// Of the validation bags, without dropout.
    pub validation_loss: f32,
    /// Whether this was the best so far.
    pub best: bool,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Epoch by epoch.
    pub history: Vec<Epoch>,
    /// The epoch (from 1) whose weights the model has now.
    pub best_epoch: usize,
    /// Its validation loss.
    pub best_loss: f32,
}

/// Fits the model by the mean squared error between bags' predictions and labels, with AdamW, and leaves in it the
/// weights of the epoch with the lowest validation loss.
///
/// `fit` and `validation` are bags of `data`; without validation bags the training loss decides. `progress` is called
/// after every epoch; false stops the training there (the best weights are kept). On the CPU the same seed gives the
/// same weights.
///
/// # Errors
/// [`ModelError::Config`], [`ModelError::Shape`] if model, data and bags do not go together,
/// [`ModelError::Diverged`] with the step at which the loss was no number.
pub fn train(
    model: &mut MilModel,
    data: &TrainData,
    fit: &[usize],
    validation: &[usize],
    config: &TrainConfig,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    config.check()?;
    crate::network::same("features of a cell", model.shape().input(), data.features().dim().1)?;
    crate::network::same("genes", model.shape().genes(), data.labels().dim().1)?;
    data.check_bags(fit)?;
    data.check_bags(validation)?;
    if fit.is_empty() {
        return Err(ModelError::Shape { what: "training bags", expected: "at least one".into(), found: "none".into() });
    }
    let vars = model.vars();
    let settings =
        ParamsAdamW { lr: config.learning_rate, weight_decay: config.weight_decay, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.clone(), settings)?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut order = fit.to_vec();
    let mut best: Option<(f32, usize, Vec<Tensor>)> = None;
    let mut history = Vec::new();
    let mut steps_done = 0u64;
    for epoch in 1..=config.max_epochs {
        order.shuffle(&mut rng);
        let steps = even_parts(&order, config.bags_per_step);
        let (mut total, count) = (0.0, steps.len());
        for (step, bags) in steps.into_iter().enumerate() {
            steps_done += 1;
            let batch = Batch::new(model, data, bags)?;
            // Another seed for each step of each training.
            let loss = batch.loss(model, Some(config.seed.wrapping_mul(0x1_0000_0001).wrapping_add(steps_done)))?;
            let value = loss.to_scalar::<f32>()?;
            if !value.is_finite() {
                return Err(ModelError::Diverged { epoch, step: step + 1, loss: value });
            }
            total += value;
            optimizer.backward_step(&loss)?;
        }
        let train_loss = total / count as f32;
        let validation_loss =
            if validation.is_empty() { train_loss } else { evaluate(model, data, validation, config)? };
        if !validation_loss.is_finite() {
            return Err(ModelError::Diverged { epoch, step: count, loss: validation_loss });
        }
        let is_best = best.as_ref().is_none_or(|b| validation_loss < b.0);
        if is_best {
            let weights = vars.iter().map(|v| v.as_tensor().copy()).collect::<Result<_, _>>()?;
            best = Some((validation_loss, epoch, weights));
        }
        let record = Epoch { epoch, train_loss, validation_loss, best: is_best };
        history.push(record);
        let waited = epoch - best.as_ref().map_or(0, |b| b.1);
        if !progress(&record) || waited >= config.patience {
            break;
        }
    }
    let Some((best_loss, best_epoch, weights)) = best else {
        return Err(ModelError::Config { setting: "the number of epochs", expected: "at least 1", found: "0".into() });
    };
    vars.iter().zip(&weights).try_for_each(|(var, w): (&Var, _)| var.set(w))?;
    Ok(Training { history, best_epoch, best_loss })
}

/// Mean squared error over bags and genes, without dropout.
fn evaluate(model: &MilModel, data: &TrainData, bags: &[usize], config: &TrainConfig) -> Result<f32, ModelError> {
    let mut sum = 0.0;
    for part in bags.chunks(config.bags_per_step) {
        let loss = Batch::new(model, data, part)?.loss(model, None)?.to_scalar::<f32>()?;
        sum += f64::from(loss) * part.len() as f64;
    }
    Ok((sum / bags.len() as f64) as f32)
}

/// The list in parts of nearly the same length, about `size` each: no tiny last step.
fn even_parts(list: &[usize], size: usize) -> Vec<&[usize]> {
    let parts = (list.len() / size).max(1);
    (0..parts).map(|i| &list[i * list.len() / parts..(i + 1) * list.len() / parts]).collect()
}

/// Some bags as tensors.
struct Batch {
    features: Tensor,
    offsets: Offsets,
    labels: Tensor,
}

impl Batch {
    fn new(model: &MilModel, data: &TrainData, bags: &[usize]) -> Result<Self, ModelError> {
        let part = data.subset(bags);
        let labels = Tensor::from_iter(part.labels().iter().copied(), model.device())?
            .reshape((bags.len(), part.labels().len_of(Axis(1))))?;
        let mut offsets = vec![0u32];
        offsets.extend((0..bags.len()).map(|i| part.bag(i).end as u32));
        Ok(Self { features: model.tensor(part.features())?, offsets: Offsets::new(offsets)?, labels })
    }

    fn loss(&self, model: &MilModel, dropout: Option<u64>) -> Result<Tensor, ModelError> {
        let predicted = model.bags(&self.features, &self.offsets, dropout)?;
        Ok(candle_nn::loss::mse(&predicted, &self.labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_whole() {
        let list: Vec<usize> = (0..300).collect();
        let parts = even_parts(&list, 128);
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [150, 150]);
        assert_eq!(parts.concat(), list);
        assert_eq!(even_parts(&list[..5], 128).len(), 1);
    }
}
