//! Fitting a model.

mod checkpoint;
mod composed;
mod ensemble;
mod trainer;

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use self::ensemble::{Ensemble, train_ensemble};
pub use self::trainer::Trainer;
use crate::engine::Engine;
use crate::{MilModel, ModelError, TrainConfig, TrainData};

/// The losses after one pass over the training bags; a line of a JSON log.
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
    /// At the last step.
    #[serde(default)]
    pub learning_rate: f32,
    /// The longest gradient of a step, before any clipping.
    #[serde(default)]
    pub gradient_norm: f32,
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

/// Fits the model to the labels of bags by its shape's loss, with AdamW, and leaves in it the weights of the epoch with
/// the lowest validation loss.
///
/// `fit` and `validation` are bags of `data`; without validation bags the training loss decides. `progress` is called
/// after every epoch; false stops the training there (the best weights are kept). On the CPU the same seed gives the
/// same weights, whatever the number of threads. For more say in it there is [`Trainer`].
///
/// # Errors
/// [`ModelError::Config`], [`ModelError::Shape`] or [`ModelError::Label`] if model, data and bags do not go together,
/// [`ModelError::Diverged`] with the step at which the loss was no number or thousands of times the first.
pub fn train(
    model: &mut MilModel,
    data: &TrainData,
    fit: &[usize],
    validation: &[usize],
    config: &TrainConfig,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    let trainer = Trainer::new(model, data, fit, validation, config)?;
    run(trainer, None, progress)
}

/// As [`train`], with a checkpoint after every epoch; goes on from it where there is one. The result has the same bits as
/// without interruption (on the CPU). The checkpoint stays when training ends: the same call then gives the result again.
///
/// # Errors
/// As [`train`]; [`ModelError::File`] if the checkpoint cannot be written or is damaged, [`ModelError::Checkpoint`] if it
/// is of another training.
pub fn train_resumable(
    model: &mut MilModel,
    data: &TrainData,
    fit: &[usize],
    validation: &[usize],
    config: &TrainConfig,
    checkpoint: &Path,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    let mut trainer = Trainer::new(model, data, fit, validation, config)?;
    if checkpoint.try_exists().is_ok_and(|there| there) {
        trainer.restore(checkpoint)?;
    }
    run(trainer, Some(checkpoint), progress)
}

fn run(
    mut trainer: Trainer<'_>,
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    while !trainer.is_finished() {
        if let Some(epoch) = trainer.step()? {
            if let Some(path) = checkpoint {
                trainer.save(path)?;
            }
            if !progress(&epoch) {
                break;
            }
        }
    }
    trainer.finish()
}

impl MilModel {
    /// Loss of some bags of `data` without dropout, and its gradient by the name of the tensor (as
    /// [`crate::ModelShape::parameters`]).
    ///
    /// # Errors
    /// As [`train`].
    pub fn loss_and_gradients(
        &self,
        data: &TrainData,
        bags: &[usize],
    ) -> Result<(f64, std::collections::HashMap<String, Tensor>), ModelError> {
        trainer::check_data(self, data, &[bags])?;
        let (loss, gradients) = if self.device().is_cpu() {
            let mut engine = Engine::new(self)?;
            (engine.loss(data, bags, None, true)?, engine.gradients())
        } else {
            let mut composed = composed::Composed::new(self)?;
            composed.loss(self, data, bags, None, true)?
        };
        let mut named = std::collections::HashMap::new();
        for ((name, dims), values) in self.shape().parameters().into_iter().zip(gradients) {
            named.insert(name, Tensor::from_vec(values, dims, &Device::Cpu)?);
        }
        Ok((loss, named))
    }
}

/// The list in parts of nearly the same length, about `size` each: no tiny last step.
pub(crate) fn even_parts(n: usize, size: usize) -> usize {
    (n / size).max(1)
}

/// Which of `n` are part `i` of `parts`.
pub(crate) fn part(n: usize, parts: usize, i: usize) -> std::ops::Range<usize> {
    i * n / parts..(i + 1) * n / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_whole() {
        assert_eq!(even_parts(300, 128), 2);
        assert_eq!((part(300, 2, 0), part(300, 2, 1)), (0..150, 150..300));
        assert_eq!(even_parts(5, 128), 1);
        assert_eq!((0..7).map(|i| part(100, 7, i).len()).sum::<usize>(), 100);
    }
}
