use ndarray::{Array1, Array2, ArrayView2};
use scellst_metrics::Pca;
use scellst_model::InputScale;

use super::same_features;
use crate::PipelineError;

/// Ridge regression on principal components of standardised features.
#[derive(Debug, Clone)]
pub(super) struct PcaRidge {
    features: usize,
    input: InputScale,
    pca: Pca,
    /// Components x genes.
    weights: Array2<f64>,
    intercept: Array1<f64>,
}

impl PcaRidge {
    pub(super) fn fit(
        x: ArrayView2<'_, f32>,
        y: ArrayView2<'_, f32>,
        components: usize,
    ) -> Result<Self, PipelineError> {
        let input = InputScale::standardising(x);
        let x = input.apply(x);
        let pca = Pca::fit(x.view(), components, 0)?;
        let scores = pca.transform(x.view())?.mapv(f64::from);
        let y = y.mapv(f64::from);
        let intercept = y.mean_axis(ndarray::Axis(0)).unwrap_or_else(|| Array1::zeros(y.ncols()));
        let penalty = 100.0 / (pca.len().max(1) * y.ncols().max(1)) as f64;
        // Scores of training spots are uncorrelated: each weight stands alone.
        let mut weights = scores.t().dot(&(&y - &intercept));
        for (mut row, variance) in weights.rows_mut().into_iter().zip(pca.variance()) {
            row /= variance * (x.nrows() - 1) as f64 + penalty;
        }
        Ok(Self { features: x.ncols(), input, pca, weights, intercept })
    }

    pub(super) fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, PipelineError> {
        same_features(self.features, x.ncols())?;
        let scores = self.pca.transform(self.input.apply(x).view())?.mapv(f64::from);
        Ok((scores.dot(&self.weights) + &self.intercept).mapv(|v| v as f32))
    }
}
