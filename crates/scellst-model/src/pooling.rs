use std::fmt;
use std::str::FromStr;

use scellst_kernels::Loss;
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// How a bag comes from its cells. Whatever it is, a cell keeps a prediction of its own.
///
/// With `e_i` the prediction of cell `i` and `n` the bag's number of cells, a bag is
///
/// | pooling | squared error of scaled logs | counts, times the size factor |
/// |---|---|---|
/// | `mean` | mean of `e_i` | mean of `e_i` |
/// | `sum` | mean of `e_i`, the bag counts for `n` bags | sum of `e_i` |
/// | `attention` | sum of `a_i e_i`, the `a_i` of a bag add up to 1 | the same |
/// | `deep-set` | mean of `e_i`, each of which has seen the bag | the same |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The published one.
    #[default]
    Mean,
    /// A spot's counts are the sum of its cells' counts, so that more cells and larger cells explain a larger total.
    ///
    /// For losses of counts the outputs are then counts of one cell, and the size factor must not say the same again: it
    /// is the section's depth only, not the spot's total. Labels of [`Loss::Mse`] are of counts divided by the spot's
    /// total: the number of cells is no longer in them, and a sum of logarithms is the logarithm of nothing that was
    /// measured. What is left of the sum is how sure a label is: an error of a sum of `n` cells that err independently
    /// has a variance of `n`, so that squared errors of sums divided by their variance are `n (mean - label)^2`.
    Sum,
    /// Gated attention (Ilse, Tomczak and Welling 2018, equation 9) on the last hidden layer says how much a cell counts
    /// in its bag: [`MilModel::attention`](crate::MilModel::attention). Half as many gates as that layer has units.
    Attention,
    /// The mean of the first hidden layer over the set that a cell is in is joined to the cell's own before the second
    /// (Zaheer et al. 2017, with a member's own part kept): a learnt neighbourhood. In training the set is the bag; at
    /// prediction it is what the caller takes as the cell's neighbourhood
    /// ([`MilModel::predict_with_sets`](crate::MilModel::predict_with_sets)).
    DeepSet,
}

impl Pooling {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Sum, Self::Attention, Self::DeepSet];

    /// What each of a bag's `cells` is multiplied with in its sum (attention aside), and what the bag's loss counts for.
    pub(crate) fn weights(self, loss: Loss, cells: usize) -> (f32, f32) {
        let n = cells as f32;
        match self {
            Self::Mean | Self::DeepSet => (1.0 / n, 1.0),
            Self::Sum if loss.of_counts() => (1.0, 1.0),
            Self::Sum => (1.0 / n, n),
            Self::Attention => (1.0, 1.0),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Attention => "attention",
            Self::DeepSet => "deep-set",
        })
    }
}

impl FromStr for Pooling {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        let known = Self::ALL.into_iter().find(|pooling| pooling.to_string() == name);
        known.ok_or_else(|| ModelError::Config {
            setting: "the pooling",
            expected: "mean, sum, attention or deep-set",
            found: name.to_owned(),
        })
    }
}
