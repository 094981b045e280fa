//! Every score of one pair of columns.

use serde::{Deserialize, Serialize};

use crate::blocks::{is_constant, unusable};
use crate::classify::ranking;
use crate::kendall::{self, kendall};
use crate::moments::{Moments, finite};
use crate::ranks::{Sorter, spearman, weighted_ranks};
use crate::{Metric, MetricsError};

/// Pairs that a correlation needs: through two points every line is perfect.
pub(crate) const LEAST_PAIRS: usize = 3;

/// What to do with a value that is NaN. Infinite values are always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// An error that names the first one.
    #[default]
    Refuse,
    /// Leave out the pair and count it ([`Agreement::missing`]).
    Skip,
}

/// How to compare two columns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairOptions<'a> {
    /// A weight for each row, finite and not negative: with whole numbers every score is that of the data in which each
    /// row is repeated so often. A row of weight 0 is left out. All 1 where there is none.
    pub weights: Option<&'a [f64]>,
    /// NaN.
    pub missing: Missing,
    /// Also [`Agreement::kendall`], which costs as much as all else.
    pub kendall: bool,
    /// Also [`Agreement::auroc`] and [`Agreement::average_precision`], a measurement above this being positive.
    pub positive_above: Option<f32>,
}

/// How well predictions agree with measurements. `None` where a score does not exist: see each.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Agreement {
    /// Pairs that were compared.
    pub pairs: usize,
    /// Pairs left out since a side is NaN.
    pub missing: usize,
    /// The predictions are all equal.
    pub constant_predicted: bool,
    /// The measurements are all equal.
    pub constant_measured: bool,
    /// Pearson correlation, -1 to 1. None for fewer than 3 pairs or a constant side; so for the next two.
    pub pearson: Option<f64>,
    /// Spearman correlation, -1 to 1, equal values at their mean rank.
    pub spearman: Option<f64>,
    /// Kendall's tau-b, -1 to 1; if asked for.
    pub kendall: Option<f64>,
    /// Mean squared error, in the square of the values' unit. None without a pair; so for the next two.
    pub mse: Option<f64>,
    /// Its square root, in the values' unit.
    pub rmse: Option<f64>,
    /// Mean absolute error, in the values' unit.
    pub mae: Option<f64>,
    /// Coefficient of determination, 1 at most: 1 less the squared error over the measurements' squared deviation. None
    /// if the measurements are constant (scikit-learn: 1 or 0).
    pub r2: Option<f64>,
    /// Lin's concordance correlation, -1 to 1 (Lin 1989, variances over n): Pearson, less for a shift or another scale.
    /// None if both sides are constant.
    pub concordance: Option<f64>,
    /// Cosine between predictions and measurements, -1 to 1. None if a side is all 0.
    pub cosine: Option<f64>,
    /// Area under the ROC curve, 0 to 1; if asked for. None if all are positive or none is.
    pub auroc: Option<f64>,
    /// Average precision, 0 to 1; if asked for. None if none is positive.
    pub average_precision: Option<f64>,
}

impl Agreement {
    /// Compares one pair of columns.
    ///
    /// ```
    /// use scellst_metrics::{Agreement, PairOptions};
    ///
    /// let agreement = Agreement::of(&[1.0, 2.0, 4.0], &[2.0, 3.0, 5.0], &PairOptions::default())?;
    /// assert_eq!((agreement.pearson, agreement.mae), (Some(1.0), Some(1.0)));
    /// assert!(agreement.concordance.is_some_and(|c| c < 0.8)); // off by one
    /// # Ok::<(), scellst_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for other lengths, [`MetricsError::Weight`], [`MetricsError::Value`] for an infinite
    /// value, or for NaN where [`Missing::Refuse`] is set.
    pub fn of(predicted: &[f32], measured: &[f32], options: &PairOptions<'_>) -> Result<Self, MetricsError> {
        MetricsError::same_length("measurements beside the predictions", predicted.len(), measured.len())?;
        check_weights(options.weights, predicted.len())?;
        for (what, values) in [("prediction", predicted), ("measurement", measured)] {
            if let Some((at, value)) = unusable(values, options.missing == Missing::Skip) {
                return Err(MetricsError::Value { what, at, value: f64::from(value) });
            }
        }
        Ok(compare(predicted, measured, options.weights, options, &mut Scratch::default()))
    }

    /// One of the scores.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Pearson => self.pearson,
            Metric::Spearman => self.spearman,
            Metric::Kendall => self.kendall,
            Metric::Mse => self.mse,
            Metric::Rmse => self.rmse,
            Metric::Mae => self.mae,
            Metric::R2 => self.r2,
            Metric::Concordance => self.concordance,
            Metric::Cosine => self.cosine,
            Metric::Auroc => self.auroc,
            Metric::AveragePrecision => self.average_precision,
        }
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    pub sorter: Sorter,
    pub ranks: Vec<i32>,
    weighted: [Vec<f64>; 2],
    kendall: kendall::Scratch,
    kept: (Vec<f32>, Vec<f32>, Vec<f64>),
}

/// As [`Agreement::of`], what is needed having been checked; `weights` apart, since `options` hold for all columns.
pub(crate) fn compare(
    p: &[f32],
    m: &[f32],
    weights: Option<&[f64]>,
    options: &PairOptions<'_>,
    scratch: &mut Scratch,
) -> Agreement {
    let out_of_use = |at: usize| p[at].is_nan() || m[at].is_nan() || weights.is_some_and(|weights| weights[at] == 0.0);
    if !(0..p.len()).any(out_of_use) {
        return complete(p, m, weights, options, scratch);
    }
    let mut kept = std::mem::take(&mut scratch.kept);
    kept.0.clear();
    kept.1.clear();
    kept.2.clear();
    for at in (0..p.len()).filter(|&at| !out_of_use(at)) {
        kept.0.push(p[at]);
        kept.1.push(m[at]);
        kept.2.extend(weights.map(|weights| weights[at]));
    }
    let mut agreement = complete(&kept.0, &kept.1, weights.map(|_| &kept.2[..]), options, scratch);
    agreement.missing = p.iter().zip(m).filter(|(p, m)| p.is_nan() || m.is_nan()).count();
    scratch.kept = kept;
    agreement
}

/// Without NaN and without weights of 0.
fn complete(
    p: &[f32],
    m: &[f32],
    weights: Option<&[f64]>,
    options: &PairOptions<'_>,
    scratch: &mut Scratch,
) -> Agreement {
    if p.is_empty() {
        return Agreement::default();
    }
    let moments = Moments::of(p, m, weights);
    let (constant_predicted, constant_measured) = (is_constant(p), is_constant(m));
    let mse = moments.mse();
    let mut agreement = Agreement {
        pairs: p.len(),
        constant_predicted,
        constant_measured,
        mse,
        rmse: mse.map(f64::sqrt),
        mae: moments.mae(),
        r2: if constant_measured { None } else { moments.r2() },
        concordance: if constant_predicted && constant_measured { None } else { moments.concordance() },
        cosine: moments.cosine(),
        ..Agreement::default()
    };
    if let Some(threshold) = options.positive_above {
        (agreement.auroc, agreement.average_precision) =
            ranking(p, |at| m[at] > threshold, weights, &mut scratch.sorter);
    }
    if p.len() < LEAST_PAIRS || constant_predicted || constant_measured {
        return agreement;
    }
    agreement.pearson = moments.pearson();
    agreement.spearman = match weights {
        None => spearman(p, m, &mut scratch.sorter, &mut scratch.ranks),
        Some(weights) => weighted_spearman(p, m, weights, scratch),
    };
    if options.kendall {
        agreement.kendall = kendall(p, m, weights, &mut scratch.kendall);
    }
    agreement
}

fn weighted_spearman(p: &[f32], m: &[f32], weights: &[f64], scratch: &mut Scratch) -> Option<f64> {
    let [a, b] = &mut scratch.weighted;
    weighted_ranks(p, weights, &mut scratch.sorter, a);
    weighted_ranks(m, weights, &mut scratch.sorter, b);
    // The weighted mean of these ranks is half of the total weight, for any ties.
    let half = weights.iter().sum::<f64>() / 2.0;
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for ((a, b), w) in a.iter().zip(b.iter()).zip(weights) {
        let (a, b) = (a - half, b - half);
        aa += w * a * a;
        bb += w * b * b;
        ab += w * a * b;
    }
    finite(ab / aa.sqrt() / bb.sqrt()).map(|r| r.clamp(-1.0, 1.0))
}

pub(crate) fn check_weights(weights: Option<&[f64]>, rows: usize) -> Result<(), MetricsError> {
    let Some(weights) = weights else { return Ok(()) };
    MetricsError::same_length("weights, one a row", rows, weights.len())?;
    match weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        Some(row) => Err(MetricsError::Weight { row, weight: weights[row] }),
        None => Ok(()),
    }
}
