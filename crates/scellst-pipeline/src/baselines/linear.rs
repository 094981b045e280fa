use ndarray::{Array1, Array2, ArrayView2};
use scellst_metrics::Pca;
use scellst_model::{InputScale, Ridge};

use super::same_features;
use crate::PipelineError;

/// Standardised features times weights, plus an intercept: what every regression here comes down to, so that the
/// prediction of a spot's mean features is the mean of its cells' predictions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    pub(super) input: InputScale,
    /// Features x genes, no finer than 32 bits: as they will be read.
    pub(super) weights: Array2<f64>,
    pub(super) intercept: Array1<f64>,
}

impl Linear {
    pub(super) fn new(input: InputScale, weights: Array2<f64>, intercept: Array1<f64>) -> Self {
        let as_read = |v: f64| f64::from(v as f32);
        Self { input, weights: weights.mapv(as_read), intercept: intercept.mapv(as_read) }
    }

    pub(super) fn ridge(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>) -> Result<Self, PipelineError> {
        let ridge = Ridge::fit(x, y, &Ridge::penalties())?;
        Ok(Self::new(ridge.input().clone(), ridge.weights().clone(), ridge.intercept().clone()))
    }

    /// Ridge regression on principal components of standardised features.
    pub(super) fn on_components(
        x: ArrayView2<'_, f32>,
        y: ArrayView2<'_, f32>,
        components: usize,
    ) -> Result<Self, PipelineError> {
        let input = InputScale::standardising(x);
        let x = input.apply(x);
        let pca = Pca::fit(x.view(), components, 0)?;
        let scores = pca.transform(x.view())?.mapv(f64::from);
        let y = y.mapv(f64::from);
        let mean = y.mean_axis(ndarray::Axis(0)).unwrap_or_else(|| Array1::zeros(y.ncols()));
        let penalty = 100.0 / (pca.len().max(1) * y.ncols().max(1)) as f64;
        // Scores of training spots are uncorrelated: each weight stands alone.
        let mut of_scores = scores.t().dot(&(&y - &mean));
        for (mut row, variance) in of_scores.rows_mut().into_iter().zip(pca.variance()) {
            row /= variance * (x.nrows() - 1) as f64 + penalty;
        }
        // Scores are (x - m) V: back to weights of features.
        let weights = pca.components().t().dot(&of_scores);
        let intercept = mean - pca.mean().dot(&weights);
        Ok(Self::new(input, weights, intercept))
    }

    pub(super) fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, PipelineError> {
        same_features(self.weights.nrows(), x.ncols())?;
        let y = self.input.apply(x).mapv(f64::from).dot(&self.weights) + &self.intercept;
        Ok(y.mapv(|v| v as f32))
    }
}
