//! Ranking of positives above negatives.

use crate::MetricsError;
use crate::pairs::check_weights;
use crate::ranks::{Sorter, row_of};

/// Area under the ROC curve: how often a positive scores higher than a negative, equal scores counting half.
///
/// As scikit-learn's `roc_auc_score`. `None` without a positive or without a negative.
///
/// ```
/// use scellst_metrics::auroc;
///
/// assert_eq!(auroc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true], None)?, Some(0.75));
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
///
/// # Errors
/// [`MetricsError::Shape`], [`MetricsError::Value`] for a score that is not finite, [`MetricsError::Weight`].
pub fn auroc(scores: &[f32], positive: &[bool], weights: Option<&[f64]>) -> Result<Option<f64>, MetricsError> {
    check(scores, positive, weights)?;
    Ok(ranking(scores, |at| positive[at], weights, &mut Sorter::default()).0)
}

/// Average precision: the mean of the precision at each positive, from the highest score down; equal scores enter at
/// once.
///
/// As scikit-learn's `average_precision_score`, without interpolation. `None` without a positive (scikit-learn: 0).
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(
    scores: &[f32],
    positive: &[bool],
    weights: Option<&[f64]>,
) -> Result<Option<f64>, MetricsError> {
    check(scores, positive, weights)?;
    Ok(ranking(scores, |at| positive[at], weights, &mut Sorter::default()).1)
}

fn check(scores: &[f32], positive: &[bool], weights: Option<&[f64]>) -> Result<(), MetricsError> {
    MetricsError::same_length("labels beside the scores", scores.len(), positive.len())?;
    MetricsError::finite("score", scores)?;
    check_weights(weights, scores.len())
}

/// Area under the ROC curve and average precision.
pub(crate) fn ranking(
    scores: &[f32],
    positive: impl Fn(usize) -> bool,
    weights: Option<&[f64]>,
    sorter: &mut Sorter,
) -> (Option<f64>, Option<f64>) {
    let (mut positives, mut negatives) = (0.0, 0.0);
    let (mut above, mut precisions) = (0.0, 0.0);
    for run in sorter.runs(scores).rev() {
        let (mut here, mut others) = (0.0, 0.0);
        for row in run.iter().map(|&key| row_of(key)) {
            let weight = weights.map_or(1.0, |weights| weights[row]);
            if positive(row) { here += weight } else { others += weight }
        }
        above += others * (positives + here / 2.0);
        positives += here;
        negatives += others;
        if here > 0.0 {
            precisions += here * positives / (positives + negatives);
        }
    }
    let area = (positives > 0.0 && negatives > 0.0).then(|| above / (positives * negatives));
    (area, (positives > 0.0).then(|| precisions / positives))
}
