use serde::{Deserialize, Serialize};

use scellst_kernels::Loss;

use crate::{ModelError, Pooling};

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
    /// Absent in files from before there was a choice.
    #[serde(default, skip_serializing_if = "is_default")]
    loss: Loss,
    /// The same.
    #[serde(default, skip_serializing_if = "is_default")]
    pooling: Pooling,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ModelShape {
    /// The published network: three hidden layers of 256, LeakyReLU 0.01, dropout 0.1, softplus of beta 20.
    ///
    /// # Errors
    /// [`ModelError::Config`] without an input feature or a gene.
    pub fn published(input: usize, genes: usize) -> Result<Self, ModelError> {
        let hidden = vec![256, 256, 256];
        let (loss, pooling) = (Loss::Mse, Pooling::Mean);
        RawShape { input, hidden, genes, leaky_slope: 0.01, dropout: 0.1, softplus_beta: 20.0, loss, pooling }
            .try_into()
    }

    /// The same with another way from cells to bags.
    ///
    /// # Errors
    /// [`ModelError::Config`] for [`Pooling::DeepSet`] with fewer than two hidden layers.
    pub fn with_pooling(mut self, pooling: Pooling) -> Result<Self, ModelError> {
        self.raw.pooling = pooling;
        self.raw.try_into()
    }

    /// The same for another loss: some have parameters of their own.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.raw.loss = loss;
        self
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

    /// What bags are compared with their labels by.
    pub fn loss(&self) -> Loss {
        self.raw.loss
    }

    /// How a bag comes from its cells.
    pub fn pooling(&self) -> Pooling {
        self.raw.pooling
    }

    /// Name and sizes of everything that is trained, in order: `layers.<i>.weight` (out, in), `layers.<i>.bias` (out);
    /// for attention `attention.tanh.weight` (gates, in), its `.bias` (gates), the same of `attention.sigmoid`, and
    /// `attention.score.weight` (1, gates); for a deep set `set.weight` (second hidden layer, first); and for losses with
    /// parameters of genes `genes.parameters` (parameters, genes).
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        for (i, (from, to)) in self.layers().into_iter().enumerate() {
            all.push((format!("layers.{i}.weight"), vec![to, from]));
            all.push((format!("layers.{i}.bias"), vec![to]));
        }
        all.extend(self.side_parameters());
        match self.raw.loss.gene_parameters() {
            0 => {}
            n => all.push(("genes.parameters".into(), vec![n, self.raw.genes])),
        }
        all
    }

    /// Linear layers beside the chain, which the pooling wants.
    pub(crate) fn side_layers(&self) -> Vec<SideLayer> {
        match self.raw.pooling {
            Pooling::Mean | Pooling::Sum => Vec::new(),
            Pooling::Attention => {
                let (inputs, outputs) = (self.last_width(), self.gates().unwrap_or(1));
                let side = |name| SideLayer { name, inputs, outputs, has_bias: true };
                vec![side("attention.tanh"), side("attention.sigmoid")]
            }
            Pooling::DeepSet => {
                let (inputs, outputs) = (self.raw.hidden[0], self.raw.hidden[1]);
                vec![SideLayer { name: "set", inputs, outputs, has_bias: false }]
            }
        }
    }

    /// Those of the pooling among [`ModelShape::parameters`].
    pub(crate) fn side_parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        for side in self.side_layers() {
            all.push((format!("{}.weight", side.name), vec![side.outputs, side.inputs]));
            if side.has_bias {
                all.push((format!("{}.bias", side.name), vec![side.outputs]));
            }
        }
        all.extend(self.gates().map(|gates| ("attention.score.weight".into(), vec![1, gates])));
        all
    }

    /// Gates of the attention, if there is one.
    pub(crate) fn gates(&self) -> Option<usize> {
        (self.raw.pooling == Pooling::Attention).then(|| (self.last_width() / 2).max(1))
    }

    /// What the last layer, and the attention, is given.
    fn last_width(&self) -> usize {
        self.raw.hidden.last().copied().unwrap_or(self.raw.input)
    }

    /// Width of every layer's input and output, in turn.
    pub(crate) fn layers(&self) -> Vec<(usize, usize)> {
        let widths: Vec<usize> =
            std::iter::once(self.raw.input).chain(self.raw.hidden.iter().copied()).chain([self.raw.genes]).collect();
        widths.windows(2).map(|w| (w[0], w[1])).collect()
    }
}

/// A linear layer beside the chain of layers.
pub(crate) struct SideLayer {
    pub name: &'static str,
    pub inputs: usize,
    pub outputs: usize,
    pub has_bias: bool,
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
        let deep = raw.pooling != Pooling::DeepSet || raw.hidden.len() >= 2;
        check("the number of hidden layers of a deep set", "at least 2", raw.hidden.len(), deep)?;
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
    /// How the step changes while training.
    #[serde(default)]
    pub schedule: Schedule,
    /// Gradients longer than this, over all parameters, are shortened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
}

/// What the learning rate is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// Up from 0 in a straight line over the first epochs, then half a cosine down to 0 at the last epoch.
    Cosine {
        /// May be 0.
        warm_up_epochs: usize,
    },
}

impl Schedule {
    /// At a step, counted from 1 over all epochs.
    pub fn factor(self, step: u64, steps_per_epoch: usize, epochs: usize) -> f64 {
        let Self::Cosine { warm_up_epochs } = self else { return 1.0 };
        let at = step as f64 / steps_per_epoch.max(1) as f64;
        let warm = warm_up_epochs as f64;
        if at <= warm {
            return at / warm;
        }
        // The first step of all has the whole rate, the last one the least above nothing.
        let done = (at - warm - 1.0 / steps_per_epoch.max(1) as f64) / (epochs as f64 - warm).max(1.0);
        0.5 * (1.0 + (std::f64::consts::PI * done.clamp(0.0, 1.0)).cos())
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            weight_decay: 0.01,
            bags_per_step: 128,
            max_epochs: 400,
            patience: 20,
            seed: 0,
            schedule: Schedule::Constant,
            clip_norm: None,
        }
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
        check("patience", "at least 1", self.patience, self.patience > 0)?;
        match self.clip_norm {
            Some(norm) => check("the gradients' length", "positive and finite", norm, positive(norm)),
            None => Ok(()),
        }
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
    fn losses_are_part_of_the_shape_and_old_files_have_none() {
        let shape = ModelShape::published(5, 7).unwrap();
        let old = serde_json::to_string(&shape).unwrap();
        assert!(!old.contains("loss"));
        let nb = shape.with_loss(Loss::NbMean);
        let json = serde_json::to_string(&nb).unwrap();
        assert!(json.contains("\"loss\":\"nb-mean\""), "{json}");
        assert_eq!(serde_json::from_str::<ModelShape>(&json).unwrap(), nb);
        assert_eq!(nb.parameters().last().unwrap(), &("genes.parameters".to_owned(), vec![1, 7]));
    }

    #[test]
    fn poolings_are_part_of_the_shape_and_unknown_ones_are_named() {
        let shape = ModelShape::published(5, 7).unwrap();
        assert!(!serde_json::to_string(&shape).unwrap().contains("pooling"));
        for pooling in Pooling::ALL {
            assert_eq!(pooling.to_string().parse::<Pooling>().unwrap(), pooling);
            let shape = shape.clone().with_pooling(pooling).unwrap();
            let json = serde_json::to_string(&shape).unwrap();
            assert_eq!(serde_json::from_str::<ModelShape>(&json).unwrap(), shape);
        }
        let deep = shape.clone().with_pooling(Pooling::DeepSet).unwrap();
        let json = serde_json::to_string(&deep).unwrap();
        let e = serde_json::from_str::<ModelShape>(&json.replace("deep-set", "median")).unwrap_err().to_string();
        assert!(e.contains("`median`") && e.contains("`attention`"), "{e}");
        assert!("median".parse::<Pooling>().unwrap_err().to_string().contains("attention or deep-set, found median"));
        assert!(deep.with_hidden(vec![9]).unwrap_err().to_string().contains("deep set must be at least 2, found 1"));
        let attention = shape.with_pooling(Pooling::Attention).unwrap().with_hidden(vec![]).unwrap();
        let names: Vec<String> = attention.parameters().into_iter().map(|(n, d)| format!("{n} {d:?}")).collect();
        assert_eq!(
            names[2..],
            [
                "attention.tanh.weight [2, 5]",
                "attention.tanh.bias [2]",
                "attention.sigmoid.weight [2, 5]",
                "attention.sigmoid.bias [2]",
                "attention.score.weight [1, 2]"
            ]
        );
    }

    #[test]
    fn the_rate_goes_up_and_down() {
        let cosine = Schedule::Cosine { warm_up_epochs: 2 };
        let at = |step| cosine.factor(step, 10, 12);
        assert_eq!((at(1), at(10), at(20), at(21)), (0.05, 0.5, 1.0, 1.0));
        assert!((at(71) - 0.5).abs() < 1e-12 && at(120) < 0.01 && at(120) > 0.0);
        assert_eq!(Schedule::Constant.factor(7, 10, 12), 1.0);
        assert_eq!(Schedule::Cosine { warm_up_epochs: 0 }.factor(1, 10, 12), 1.0);
    }

    #[test]
    fn training_settings_are_checked() {
        let bad = TrainConfig { learning_rate: f64::NAN, ..Default::default() };
        assert!(bad.check().unwrap_err().to_string().contains("learning rate"));
        assert!(TrainConfig { bags_per_step: 0, ..Default::default() }.check().is_err());
        assert!(TrainConfig::default().check().is_ok());
    }
}
