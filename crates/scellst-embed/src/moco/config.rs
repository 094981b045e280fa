use serde::{Deserialize, Serialize};

use super::ViewConfig;
use crate::{EmbedError, ResNetDepth};

/// How an encoder is trained without labels by MoCo v3 (Chen, Xie and He 2021, arXiv 2104.02057); the defaults are
/// those of sCellST, but for the batch, which is what two cores bear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MocoConfig {
    /// The encoder.
    pub depth: ResNetDepth,
    /// The last of its four stages: what is compared, and what the written encoder ends at. Without the later ones a
    /// step takes less time.
    #[serde(default = "all_stages")]
    pub stage: usize,
    /// Crops of a step, of one section.
    pub batch: usize,
    /// Passes over all crops; the schedules run over them.
    pub epochs: usize,
    /// What similarities are divided by.
    pub temperature: f64,
    /// How much of itself the momentum encoder keeps in a step.
    pub momentum: f64,
    /// Whether that rises to 1 by half a cosine.
    pub momentum_rises: bool,
    /// What makes steps of gradients.
    pub optimiser: Optimiser,
    /// Of 256 crops: times the batch over 256.
    pub learning_rate: f64,
    /// Of weights, not of batch norms.
    pub weight_decay: f64,
    /// Epochs in which the rate rises from 0, before it falls by half a cosine.
    pub warm_up_epochs: f64,
    /// Units of the projector's and the predictor's hidden layer.
    pub hidden: usize,
    /// What crops are compared in.
    pub dim: usize,
    /// Share of crops whose second view is of a crop nearby in place of themselves ([`Moco::with_neighbours`]): what
    /// cells of one place have in common then counts for more than what tells them apart. Not in the published method,
    /// where it is 0.
    ///
    /// [`Moco::with_neighbours`]: super::Moco::with_neighbours
    #[serde(default)]
    pub neighbours: f32,
    /// How far away those are at most, um, where it is known. Neighbours are given by the caller: nothing here depends on
    /// it but that another training's checkpoint is told from this one's.
    #[serde(default)]
    pub reach_um: Option<f64>,
    /// Resolution of the crops, um/px, where it is known: with it the encoder's file says what it is for.
    #[serde(default)]
    pub crop_mpp: Option<f64>,
    /// What is done to crops.
    pub views: ViewConfig,
    /// Of weights, views and order.
    pub seed: u64,
}

/// What makes steps of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// Steps as long as a thousandth of each layer's weights, of momentum 0.9 (You, Gitman and Ginsburg 2017, arXiv
    /// 1708.03888).
    Lars,
    /// Of betas 0.9 and 0.999 (Loshchilov and Hutter 2019, arXiv 1711.05101).
    AdamW,
}

impl MocoConfig {
    /// The published settings for that encoder.
    pub fn published(depth: ResNetDepth) -> Self {
        Self {
            depth,
            stage: all_stages(),
            batch: 256,
            epochs: 150,
            temperature: 1.0,
            momentum: 0.99,
            momentum_rises: true,
            optimiser: Optimiser::Lars,
            learning_rate: 0.6,
            weight_decay: 1e-6,
            warm_up_epochs: 10.0,
            hidden: 4096,
            dim: 256,
            neighbours: 0.0,
            reach_um: None,
            crop_mpp: None,
            views: ViewConfig::default(),
            seed: 0,
        }
    }

    /// # Errors
    /// [`EmbedError::Config`] naming the setting that is out of range.
    pub(super) fn check(&self) -> Result<(), EmbedError> {
        let check = |setting, expected, found: String, ok| {
            if ok { Ok(()) } else { Err(EmbedError::Config { setting, expected, found }) }
        };
        check("the last stage", "1 to 4", self.stage.to_string(), (1..=4).contains(&self.stage))?;
        let share = self.neighbours;
        check("the share of neighbours", "in [0, 1]", share.to_string(), (0.0..=1.0).contains(&share))?;
        let mpp = self.crop_mpp.unwrap_or(1.0);
        check("the crops' resolution", "0.01 to 100 um/px", mpp.to_string(), (0.01..=100.0).contains(&mpp))?;
        let positive = |v: f64| v.is_finite() && v > 0.0;
        check("the batch", "2 to 65536 crops", self.batch.to_string(), (2..=65536).contains(&self.batch))?;
        check("the number of epochs", "at least 1", self.epochs.to_string(), self.epochs > 0)?;
        check("the temperature", "positive", self.temperature.to_string(), positive(self.temperature))?;
        check("the momentum", "in [0, 1]", self.momentum.to_string(), (0.0..=1.0).contains(&self.momentum))?;
        check("the learning rate", "positive", self.learning_rate.to_string(), positive(self.learning_rate))?;
        let decay = self.weight_decay;
        check("the weight decay", "at least 0", decay.to_string(), decay.is_finite() && decay >= 0.0)?;
        let warm = self.warm_up_epochs;
        check(
            "the warm-up",
            "0 to the number of epochs",
            warm.to_string(),
            (0.0..=self.epochs as f64).contains(&warm),
        )?;
        for (setting, n) in [("hidden units", self.hidden), ("the compared dimensions", self.dim)] {
            check(setting, "1 to 65536", n.to_string(), (1..=65536).contains(&n))?;
        }
        self.views.check()
    }

    /// Resolution of the views' middle zoom, um/px, if the crops' is known.
    pub fn view_mpp(&self) -> Option<f64> {
        let [least, most] = self.views.zoom.map(f64::from);
        self.crop_mpp.map(|mpp| mpp * (least + most) / 2.0)
    }

    /// The learning rate after so many epochs.
    pub fn learning_rate_at(&self, epoch: f64) -> f64 {
        let full = self.learning_rate * self.batch as f64 / 256.0;
        if epoch < self.warm_up_epochs {
            return full * epoch / self.warm_up_epochs;
        }
        let rest = (self.epochs as f64 - self.warm_up_epochs).max(f64::MIN_POSITIVE);
        full * half_cosine((epoch - self.warm_up_epochs) / rest)
    }

    /// How much the momentum encoder keeps after so many epochs.
    pub fn momentum_at(&self, epoch: f64) -> f64 {
        if !self.momentum_rises {
            return self.momentum;
        }
        1.0 - (1.0 - self.momentum) * half_cosine(epoch / self.epochs as f64)
    }
}

fn all_stages() -> usize {
    4
}

/// From 1 down to 0.
fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done.clamp(0.0, 1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_rise_and_fall() {
        let config = MocoConfig { batch: 512, epochs: 110, ..MocoConfig::published(ResNetDepth::R18) };
        let rate = |e| config.learning_rate_at(e);
        assert_eq!((rate(0.0), rate(5.0), rate(10.0)), (0.0, 0.6, 1.2));
        assert!((rate(60.0) - 0.6).abs() < 1e-9 && rate(110.0).abs() < 1e-9);
        assert_eq!(config.momentum_at(0.0), 0.99);
        assert!((config.momentum_at(55.0) - 0.995).abs() < 1e-9 && config.momentum_at(110.0) == 1.0);
        assert_eq!(MocoConfig { momentum_rises: false, ..config }.momentum_at(100.0), 0.99);
    }

    #[test]
    fn views_have_a_resolution_if_crops_have() {
        let views = ViewConfig { zoom: [1.4, 1.6], ..ViewConfig::default() };
        let config = MocoConfig { views, ..MocoConfig::published(ResNetDepth::R18) };
        assert_eq!(config.view_mpp(), None);
        let known = MocoConfig { crop_mpp: Some(0.25), ..config };
        assert!(known.view_mpp().is_some_and(|mpp| (mpp - 0.375).abs() < 1e-6));
    }

    #[test]
    fn settings_are_checked_and_stored() {
        let good = MocoConfig::published(ResNetDepth::R50);
        good.check().unwrap();
        let json = serde_json::to_string(&good).unwrap();
        assert!(json.contains("\"resnet50\"") && json.contains("\"lars\""), "{json}");
        assert_eq!(serde_json::from_str::<MocoConfig>(&json).unwrap(), good);
        // Files of before stages and neighbours could be chosen.
        let older =
            json.replace("\"stage\":4,", "").replace("\"neighbours\":0.0,\"reach_um\":null,\"crop_mpp\":null,", "");
        assert!(older.len() < json.len() - 40);
        assert_eq!(serde_json::from_str::<MocoConfig>(&older).unwrap(), good);
        for (what, bad) in [
            ("batch", MocoConfig { batch: 1, ..good.clone() }),
            ("temperature", MocoConfig { temperature: 0.0, ..good.clone() }),
            ("momentum", MocoConfig { momentum: 1.5, ..good.clone() }),
            ("rate", MocoConfig { learning_rate: f64::NAN, ..good.clone() }),
            ("warm-up", MocoConfig { warm_up_epochs: 151.0, ..good.clone() }),
            ("hidden", MocoConfig { hidden: 0, ..good.clone() }),
            ("resolution", MocoConfig { crop_mpp: Some(0.0), ..good.clone() }),
            ("last stage", MocoConfig { stage: 5, ..good.clone() }),
            ("neighbours", MocoConfig { neighbours: 1.1, ..good.clone() }),
        ] {
            let message = bad.check().unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }
}
