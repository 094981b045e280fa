use scellst_model::Loss;
use scellst_sim::study::{Degradation, Scenario};
use serde::{Deserialize, Serialize};

use super::StudyGenes;
use crate::PipelineError;

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learner {
    /// The multiple-instance model: embeddings of cells, labels of spots.
    Mil,
    /// The same network on the true expression of the training cells: what spots could teach at best.
    Supervised,
    /// The multiple-instance model on the cells' types instead of their embeddings: what embeddings could say at best.
    OneHot,
    /// Ridge regression on the spots' mean embeddings.
    Ridge,
}

/// What is minimised; labels are scaled log-normalised counts for the first, raw counts for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyLoss {
    /// Mean squared error.
    #[default]
    Mse,
    /// Negative binomial, the network giving the mean.
    NbMean,
    /// Negative binomial, the network giving the total count.
    NbTotal,
}

impl From<StudyLoss> for Loss {
    fn from(loss: StudyLoss) -> Self {
        match loss {
            StudyLoss::Mse => Self::Mse,
            StudyLoss::NbMean => Self::NbMean,
            StudyLoss::NbTotal => Self::NbTotal,
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Test spots: the mean of their cells against their counts.
    Bag,
    /// Test cells, each alone.
    Cell,
}

/// One training of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyCase {
    /// What expression cells have.
    pub scenario: Scenario,
    /// Which genes.
    pub genes: StudyGenes,
    /// What learns.
    pub learner: Learner,
    /// What is minimised; of no account for [`Learner::Ridge`].
    pub loss: StudyLoss,
    /// AdamW's step; likewise.
    pub learning_rate: f64,
    /// What goes wrong.
    pub degradation: Degradation,
    /// Training spots.
    pub spots: usize,
    /// Cells in each.
    pub cells_per_spot: usize,
    /// Of cells, spots, weights: another seed is another study.
    pub seed: u64,
}

macro_rules! named {
    ($type:ty, $what:literal, $($value:path => $name:literal),+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($value => $name),+ })
            }
        }

        impl std::str::FromStr for $type {
            type Err = PipelineError;
            fn from_str(text: &str) -> Result<Self, PipelineError> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(PipelineError::Misuse(format!(
                        concat!("the study knows no ", $what, " '{}': expected one of", $(" ", $name),+),
                        text
                    ))),
                }
            }
        }
    };
}

named!(
    Learner,
    "learner",
    Self::Mil => "mil",
    Self::Supervised => "supervised",
    Self::OneHot => "onehot",
    Self::Ridge => "ridge"
);
named!(StudyLoss, "loss", Self::Mse => "mse", Self::NbMean => "nb-mean", Self::NbTotal => "nb-total");
named!(Level, "level", Self::Bag => "bag", Self::Cell => "cell");
