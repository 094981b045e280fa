//! Fitting a model.

mod checkpoint;
mod composed;
mod ensemble;
mod log;
mod trainer;

use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use self::ensemble::{Ensemble, train_ensemble};
use self::log::Log;
pub use self::log::LogLine;
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

/// Where a training leaves what it can be taken up from.
#[derive(Debug, Clone)]
pub struct TrainingFiles {
    /// The checkpoint, written after every epoch.
    pub checkpoint: PathBuf,
    /// A [`LogLine`] for every epoch, if wanted; members of an ensemble may share it. Whatever the interruptions, it has
    /// each epoch once.
    pub log: Option<PathBuf>,
    /// Which member of an ensemble this is, from 0; for the log.
    pub member: usize,
}

impl TrainingFiles {
    /// A checkpoint alone.
    pub fn checkpoint(path: &Path) -> Self {
        Self { checkpoint: path.to_owned(), log: None, member: 0 }
    }
}

/// As [`train`], with a checkpoint after every epoch and a log; goes on from the checkpoint where there is one. The result has the same bits as
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
    files: &TrainingFiles,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    let mut trainer = Trainer::new(model, data, fit, validation, config)?;
    if files.checkpoint.try_exists().is_ok_and(|there| there) {
        trainer.restore(&files.checkpoint)?;
    }
    run(trainer, Some(files), progress)
}

fn run(
    mut trainer: Trainer<'_>,
    files: Option<&TrainingFiles>,
    progress: &mut dyn FnMut(&Epoch) -> bool,
) -> Result<Training, ModelError> {
    let done = trainer.history().len();
    let log = files.and_then(|files| Some((files.log.as_ref()?, files.member)));
    let mut log = log.map(|(path, member)| Log::open(path, member, done)).transpose()?;
    while !trainer.is_finished() {
        if let Some(epoch) = trainer.step()? {
            // The line first: one without its checkpoint is cut off again, one that is missing would stay so.
            if let Some(log) = &mut log {
                log.write(&epoch)?;
            }
            if let Some(files) = files {
                trainer.save(&files.checkpoint)?;
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

/// A file whole or not at all: what was there stays until the new one is on the disk.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
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
