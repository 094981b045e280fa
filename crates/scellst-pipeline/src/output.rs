use ndarray::{Array2, Axis};
use scellst_expr::GeneRanges;

use crate::PipelineError;

/// Counts that a spot is normalised to before log1p.
const TARGET: f64 = 10_000.0;

/// What turns a network's values into log-normalised expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// What scaled values are multiplied with.
    pub(crate) ranges: GeneRanges,
    /// For losses of counts: the counts of a spot whose size factor is 1, over all genes after the filters; where cells
    /// add up to spots, those of a cell of it.
    pub(crate) typical_total: Option<f64>,
}

impl Output {
    /// Log-normalised expression, at most log1p(10,000), from the members' mean and standard deviation of the same rows:
    /// their mean, and for each row their standard deviation, the mean over genes (0 for one member).
    pub(crate) fn expression(
        &self,
        (mut mean, mut spread): (Array2<f32>, Array2<f32>),
    ) -> Result<(Array2<f32>, Vec<f32>), PipelineError> {
        if let Some(total) = self.typical_total {
            let factor = (TARGET / total) as f32;
            ndarray::Zip::from(&mut mean).and(&mut spread).for_each(|mean, spread| {
                // The slope of log1p where the mean lies.
                *spread *= factor / (1.0 + factor * *mean);
                *mean = (*mean * factor).ln_1p();
            });
        }
        self.ranges.undo(mean.view_mut())?;
        // Only bags were held against measurements: a cell may be thrown beyond what all counts in one gene would give.
        let most = TARGET.ln_1p() as f32;
        mean.mapv_inplace(|v| v.min(most));
        self.ranges.undo(spread.view_mut())?;
        let spread = spread.mean_axis(Axis(1)).map(|s| s.to_vec()).unwrap_or_default();
        Ok((mean, spread))
    }
}
