use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Sizes and constants of the network; checked when made, and when read from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawShape", into = "RawShape")]
pub struct ModelShape {
    raw: RawShape,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RawShape {
    input: usize,
    hidden: Vec<usize>,
    genes: usize,
    leaky_slope: f64,
    dropout: f32,
    softplus_beta: f64,
}

impl ModelShape {
    /// The published network: three hidden layers of 256, LeakyReLU 0.01, dropout 0.1, softplus of beta 20.
    ///
    /// # Errors
    /// [`ModelError::Config`] without an input feature or a gene.
    pub fn published(input: usize, genes: usize) -> Result<Self, ModelError> {
        let hidden = vec![256, 256, 256];
        RawShape { input, hidden, genes, leaky_slope: 0.01, dropout: 0.1, softplus_beta: 20.0 }.try_into()
    }

    /// The same with another dropout, in `[0, 1)`.
    ///
    /// # Errors
    /// [`ModelError::Config`] outside of it.
    pub fn with_dropout(mut self, dropout: f32) -> Result<Self, ModelError> {
        self.raw.dropout = dropout;
        self.raw.try_into()
    }

    /// The same with other hidden layers.
    ///
    /// # Errors
    /// [`ModelError::Config`] if one has no units.
    pub fn with_hidden(mut self, hidden: Vec<usize>) -> Result<Self, ModelError> {
        self.raw.hidden = hidden;
        self.raw.try_into()
    }

    /// Features of a cell.
    pub fn input(&self) -> usize {
        self.raw.input
    }

    /// Genes predicted.
    pub fn genes(&self) -> usize {
        self.raw.genes
    }

    /// Slope of LeakyReLU below zero.
    pub fn leaky_slope(&self) -> f64 {
        self.raw.leaky_slope
    }

    /// Share of hidden units dropped in training.
    pub fn dropout(&self) -> f32 {
        self.raw.dropout
    }

    /// Sharpness of the final softplus.
    pub fn softplus_beta(&self) -> f64 {
        self.raw.softplus_beta
    }

    /// Width of every layer's input and output, in turn.
    pub(crate) fn layers(&self) -> Vec<(usize, usize)> {
        let widths: Vec<usize> =
            std::iter::once(self.raw.input).chain(self.raw.hidden.iter().copied()).chain([self.raw.genes]).collect();
        widths.windows(2).map(|w| (w[0], w[1])).collect()
    }
}

impl TryFrom<RawShape> for ModelShape {
    type Error = ModelError;
    fn try_from(raw: RawShape) -> Result<Self, ModelError> {
        /// More units than this in a layer is a mistake or an attack, not a model.
        const MAX_WIDTH: usize = 1 << 20;
        let width = |setting, n: usize| check(setting, "1 to 1048576", n, (1..=MAX_WIDTH).contains(&n));
        width("the number of features", raw.input)?;
        width("the number of genes", raw.genes)?;
        raw.hidden.iter().try_for_each(|&n| width("a hidden layer's width", n))?;
        check("the number of hidden layers", "at most 64", raw.hidden.len(), raw.hidden.len() <= 64)?;
        check("dropout", "in [0, 1)", raw.dropout, (0.0..1.0).contains(&raw.dropout))?;
        check("the slope of LeakyReLU", "in (0, 1]", raw.leaky_slope, raw.leaky_slope > 0.0 && raw.leaky_slope <= 1.0)?;
        let beta = raw.softplus_beta;
        check("softplus beta", "positive and finite", beta, beta > 0.0 && beta.is_finite())?;
        Ok(Self { raw })
    }
}

impl From<ModelShape> for RawShape {
    fn from(shape: ModelShape) -> Self {
        shape.raw
    }
}

/// How to train; the defaults are the published ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// AdamW's step.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Bags whose gradients are averaged in a step.
    pub bags_per_step: usize,
    /// At most so many passes over the training bags.
    pub max_epochs: usize,
    /// Stop after so many epochs without a lower validation loss.
    pub patience: usize,
    /// Of weights, order of the bags and dropout: the same seed gives the same model, whatever the threads.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-4, weight_decay: 0.01, bags_per_step: 128, max_epochs: 400, patience: 20, seed: 0 }
    }
}

impl TrainConfig {
    /// # Errors
    /// [`ModelError::Config`] naming the setting that is out of range.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        check("the learning rate", "positive and finite", self.learning_rate, positive(self.learning_rate))?;
        let decay = self.weight_decay;
        check("the weight decay", "at least 0 and finite", decay, decay.is_finite() && decay >= 0.0)?;
        check("bags per step", "at least 1", self.bags_per_step, self.bags_per_step > 0)?;
        check("the number of epochs", "at least 1", self.max_epochs, self.max_epochs > 0)?;
        check("patience", "at least 1", self.patience, self.patience > 0)
    }
}

fn check(
    setting: &'static str,
    expected: &'static str,
    found: impl std::fmt::Display,
    ok: bool,
) -> Result<(), ModelError> {
    if ok { Ok(()) } else { Err(ModelError::Config { setting, expected, found: found.to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked_when_made_and_when_read() {
        assert!(ModelShape::published(0, 3).is_err());
        assert!(ModelShape::published(3, 0).is_err());
        let shape = ModelShape::published(512, 1000).unwrap();
        assert_eq!(shape.layers(), [(512, 256), (256, 256), (256, 256), (256, 1000)]);
        assert!(shape.clone().with_dropout(1.0).is_err());
        assert!(shape.clone().with_hidden(vec![16, 0]).is_err());
        let json = serde_json::to_string(&shape).unwrap();
        assert_eq!(serde_json::from_str::<ModelShape>(&json).unwrap(), shape);
        assert!(serde_json::from_str::<ModelShape>(&json.replace("\"dropout\":0.1", "\"dropout\":2.0")).is_err());
    }

    #[test]
    fn training_settings_are_checked() {
        let bad = TrainConfig { learning_rate: f64::NAN, ..Default::default() };
        assert!(bad.check().unwrap_err().to_string().contains("learning rate"));
        assert!(TrainConfig { bags_per_step: 0, ..Default::default() }.check().is_err());
        assert!(TrainConfig::default().check().is_ok());
    }
}
