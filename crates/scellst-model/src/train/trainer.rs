use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use scellst_kernels::cpu::adamw::AdamW;
use serde::{Deserialize, Serialize};

use super::composed::Composed;
use super::{Epoch, Training, even_parts, part};
use crate::engine::Engine;
use crate::{MilModel, ModelError, TrainConfig, TrainData};

/// A loss of so many times the first one has exploded.
const EXPLODED: f64 = 1e4;

/// A training that goes on step by step, and can be saved and taken up at any of them.
///
/// [`train`](super::train) is this in a loop. The model gets its weights with [`Trainer::finish`].
pub struct Trainer<'a> {
    pub(super) model: &'a mut MilModel,
    pub(super) data: &'a TrainData,
    pub(super) fit: Vec<usize>,
    pub(super) validation: Vec<usize>,
    pub(super) config: TrainConfig,
    pub(super) backend: Backend,
    pub(super) position: Position,
    pub(super) best: Option<Vec<Vec<f32>>>,
    /// The fitted bags in the order of this epoch, and which epoch's it is.
    order: Vec<usize>,
    ordered: usize,
}

/// Where a training is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Epochs that are over.
    pub epochs: usize,
    /// Steps of the current one.
    pub steps: usize,
    /// Steps of all.
    pub all_steps: u64,
    /// Sum of the current epoch's losses.
    #[serde(with = "bits")]
    pub loss_sum: f64,
    /// Longest gradient of the current epoch.
    #[serde(with = "bits")]
    pub longest: f64,
    /// Loss of the first step of all.
    pub first_loss: Option<f32>,
    pub best_epoch: usize,
    /// Of that epoch, once there is one.
    pub best_loss: Option<f32>,
    pub history: Vec<Epoch>,
}

/// f64 as its bits: decimal numbers in JSON may come back one unit in the last place off.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(x: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(x.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(f64::from_bits(u64::deserialize(from)?))
    }
}

pub(super) enum Backend {
    Cpu(Box<Engine>),
    Tensors(Box<Composed>),
}

impl<'a> Trainer<'a> {
    /// From the model's weights as they are.
    ///
    /// # Errors
    /// As [`train`](super::train).
    pub fn new(
        model: &'a mut MilModel,
        data: &'a TrainData,
        fit: &[usize],
        validation: &[usize],
        config: &TrainConfig,
    ) -> Result<Self, ModelError> {
        config.check()?;
        check_data(model, data, &[fit, validation])?;
        if fit.is_empty() {
            let (expected, found) = ("at least one".into(), "none".into());
            return Err(ModelError::Shape { what: "training bags", expected, found });
        }
        let backend = if model.device().is_cpu() {
            Backend::Cpu(Box::new(Engine::new(model)?))
        } else {
            Backend::Tensors(Box::new(Composed::new(model)?))
        };
        let position = Position {
            epochs: 0,
            steps: 0,
            all_steps: 0,
            loss_sum: 0.0,
            longest: 0.0,
            first_loss: None,
            best_epoch: 0,
            best_loss: None,
            history: Vec::new(),
        };
        let (fit, validation, config) = (fit.to_vec(), validation.to_vec(), config.clone());
        Ok(Self { model, data, order: fit.clone(), fit, validation, config, backend, position, best: None, ordered: 0 })
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        even_parts(self.fit.len(), self.config.bags_per_step)
    }

    /// Steps done, of all epochs.
    pub fn steps_done(&self) -> u64 {
        self.position.all_steps
    }

    /// Epoch by epoch so far.
    pub fn history(&self) -> &[Epoch] {
        &self.position.history
    }

    /// Whether all epochs are done, or too many without a better one.
    pub fn is_finished(&self) -> bool {
        let done = self.position.epochs;
        done >= self.config.max_epochs || (done > 0 && done - self.position.best_epoch >= self.config.patience)
    }

    /// One step; at the end of an epoch its losses. Nothing when finished.
    ///
    /// # Errors
    /// [`ModelError::Diverged`]; [`ModelError::Tensor`] from the device.
    pub fn step(&mut self) -> Result<Option<Epoch>, ModelError> {
        if self.is_finished() {
            return Ok(None);
        }
        let (epoch, parts) = (self.position.epochs + 1, self.steps_per_epoch());
        self.shuffle(epoch);
        let all = self.position.all_steps + 1;
        let range = part(self.order.len(), parts, self.position.steps);
        // Another seed for each step of each training.
        let seed = self.config.seed.wrapping_mul(0x1_0000_0001).wrapping_add(all);
        let loss = self.loss(range.clone(), Some(seed), true)?;
        let first = f64::from(*self.position.first_loss.get_or_insert(loss as f32));
        if !loss.is_finite() || loss > EXPLODED * first.max(1e-3) {
            let bags = self.order[range].to_vec();
            return Err(self.diverged(epoch, self.position.steps + 1, loss, &bags));
        }
        let norm = self.gradient_norm()?;
        let clip = self.config.clip_norm.filter(|c| norm > *c).map_or(1.0, |c| c / norm);
        let rate = self.config.learning_rate * self.config.schedule.factor(all, parts, self.config.max_epochs);
        let step = AdamW {
            rate,
            decay: self.config.weight_decay,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            step: all,
            scale: clip as f32,
        };
        match &mut self.backend {
            Backend::Cpu(engine) => engine.update(&step),
            Backend::Tensors(composed) => composed.update(&step)?,
        }
        let at = &mut self.position;
        at.all_steps = all;
        at.steps += 1;
        at.loss_sum += loss;
        at.longest = at.longest.max(norm);
        if at.steps < parts { Ok(None) } else { self.end_epoch(rate).map(Some) }
    }

    fn end_epoch(&mut self, rate: f64) -> Result<Epoch, ModelError> {
        let parts = self.steps_per_epoch();
        let train_loss = (self.position.loss_sum / parts as f64) as f32;
        let epoch = self.position.epochs + 1;
        let validation_loss = if self.validation.is_empty() { train_loss } else { self.evaluate()? };
        if !validation_loss.is_finite() {
            return Err(self.diverged(epoch, parts, validation_loss.into(), &self.validation.clone()));
        }
        let best = self.position.best_loss.is_none_or(|b| validation_loss < b);
        if best {
            self.best = Some(self.weights()?);
            (self.position.best_loss, self.position.best_epoch) = (Some(validation_loss), epoch);
        }
        let gradient_norm = self.position.longest as f32;
        let learning_rate = rate as f32;
        let record = Epoch { epoch, train_loss, validation_loss, best, learning_rate, gradient_norm };
        let at = &mut self.position;
        at.history.push(record);
        (at.epochs, at.steps, at.loss_sum, at.longest) = (epoch, 0, 0.0, 0.0);
        Ok(record)
    }

    /// The weights of the best epoch go to the model.
    ///
    /// # Errors
    /// [`ModelError::Config`] before the end of the first epoch.
    pub fn finish(self) -> Result<Training, ModelError> {
        let (Some(best), Some(best_loss)) = (self.best, self.position.best_loss) else {
            let setting = "the number of epochs";
            return Err(ModelError::Config { setting, expected: "at least 1", found: "0".into() });
        };
        self.model.set_values(&best)?;
        let Position { history, best_epoch, .. } = self.position;
        Ok(Training { history, best_epoch, best_loss })
    }

    /// The weights as they are now go to the model, best or not.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] from the device.
    pub fn finish_with_last(self) -> Result<Training, ModelError> {
        let weights = self.weights()?;
        self.model.set_values(&weights)?;
        let Position { history, epochs, .. } = self.position;
        let best_loss = history.last().map_or(f32::INFINITY, |e| e.validation_loss);
        Ok(Training { history, best_epoch: epochs, best_loss })
    }

    /// The order of the bags in an epoch, a function of seed and epoch.
    fn shuffle(&mut self, epoch: usize) {
        if self.ordered == epoch {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(epoch as u64);
        self.order.copy_from_slice(&self.fit);
        self.order.shuffle(&mut rng);
        self.ordered = epoch;
    }

    /// Loss of some bags of the epoch's order.
    fn loss(&mut self, range: std::ops::Range<usize>, seed: Option<u64>, backward: bool) -> Result<f64, ModelError> {
        let bags = &self.order[range];
        self.backend.loss(self.model, self.data, bags, seed, backward)
    }

    /// Mean loss over the validation bags, without dropout.
    fn evaluate(&mut self) -> Result<f32, ModelError> {
        let mut sum = 0.0;
        let importance = |bags: &[usize]| self.data.importance(self.model.shape(), bags);
        for bags in self.validation.chunks(self.config.bags_per_step) {
            sum += self.backend.loss(self.model, self.data, bags, None, false)? * importance(bags);
        }
        Ok((sum / importance(&self.validation)) as f32)
    }

    fn gradient_norm(&self) -> Result<f64, ModelError> {
        match &self.backend {
            Backend::Cpu(engine) => Ok(engine.gradient_norm()),
            Backend::Tensors(composed) => composed.gradient_norm(),
        }
    }

    /// Parameters, row-major.
    fn weights(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        match &self.backend {
            Backend::Cpu(engine) => Ok(engine.weights()),
            Backend::Tensors(composed) => composed.weights(),
        }
    }

    /// Parameters and running means.
    pub(super) fn state(&self) -> Result<[Vec<Vec<f32>>; 3], ModelError> {
        match &self.backend {
            Backend::Cpu(engine) => Ok(engine.state()),
            Backend::Tensors(composed) => composed.state(),
        }
    }

    /// What is to blame for a loss that is no number: the first tensor that is none, or the first bag.
    fn diverged(&mut self, epoch: usize, step: usize, loss: f64, bags: &[usize]) -> ModelError {
        let names = self.model.shape().parameters();
        let broken = self.weights().ok().and_then(|weights| {
            weights.iter().zip(names).find(|(w, _)| w.iter().any(|v| !v.is_finite())).map(|(_, (name, _))| name)
        });
        let culprit = match broken {
            Some(name) => format!("{name} is not finite"),
            None => {
                let mut each = bags
                    .iter()
                    .map(|&b| (b, self.backend.loss(self.model, self.data, &[b], None, false).unwrap_or(f64::NAN)));
                // The first that is no number, else the largest.
                let worst = each.try_fold((0, f64::NEG_INFINITY), |worst, (bag, loss)| {
                    if !loss.is_finite() {
                        Err((bag, loss))
                    } else {
                        Ok(if loss > worst.1 { (bag, loss) } else { worst })
                    }
                });
                let (Ok((bag, loss)) | Err((bag, loss))) = worst;
                format!("bag {bag} has a loss of {loss}")
            }
        };
        ModelError::Diverged { culprit, epoch, step, loss: loss as f32 }
    }
}

impl Backend {
    fn loss(
        &mut self,
        model: &MilModel,
        data: &TrainData,
        bags: &[usize],
        seed: Option<u64>,
        backward: bool,
    ) -> Result<f64, ModelError> {
        match self {
            Self::Cpu(engine) => engine.loss(data, bags, seed, backward),
            Self::Tensors(composed) => Ok(composed.loss(model, data, bags, seed, backward)?.0),
        }
    }
}

/// Whether model, data and bags go together.
pub(super) fn check_data(model: &MilModel, data: &TrainData, bags: &[&[usize]]) -> Result<(), ModelError> {
    crate::network::same("features of a cell", model.shape().input(), data.features().dim().1)?;
    crate::network::same("genes", model.shape().genes(), data.labels().dim().1)?;
    data.check_loss(model.shape().loss())?;
    bags.iter().try_for_each(|bags| data.check_bags(bags))
}
