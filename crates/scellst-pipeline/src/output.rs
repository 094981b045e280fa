use ndarray::{Array2, ArrayView2, Axis};
use scellst_expr::GeneRanges;
use scellst_model::Ensemble;

use crate::PipelineError;

/// Counts that a spot is normalised to before log1p.
const TARGET: f64 = 10_000.0;

/// What turns a network's values into log-normalised expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// What scaled values are multiplied with.
    pub(crate) ranges: GeneRanges,
    /// For losses of counts: the counts of a spot whose size factor is 1, over all genes after the filters.
    pub(crate) typical_total: Option<f64>,
}

impl Output {
    /// Log-normalised expression of cells, at most log1p(10,000), the mean of the members, and for each cell the
    /// members' standard deviation, the mean over genes (0 for one member).
    pub(crate) fn expression(
        &self,
        models: &Ensemble,
        features: ArrayView2<'_, f32>,
    ) -> Result<(Array2<f32>, Vec<f32>), PipelineError> {
        let (mut mean, mut spread) = models.predict_cells(features)?;
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
