use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use scellst_model::InputScale;

use super::same_features;
use crate::PipelineError;

/// Mean of the training spots that look most alike.
#[derive(Debug, Clone)]
pub(super) struct NearestSpots {
    input: InputScale,
    training: Array2<f32>,
    labels: Array2<f32>,
    k: usize,
}

impl NearestSpots {
    pub(super) fn fit(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>, k: usize) -> Self {
        let input = InputScale::standardising(x);
        Self { training: input.apply(x), input, labels: y.to_owned(), k: k.min(x.nrows()) }
    }

    pub(super) fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, PipelineError> {
        same_features(self.training.ncols(), x.ncols())?;
        let x = self.input.apply(x);
        let mut out = Array2::zeros((x.nrows(), self.labels.ncols()));
        for (row, mut mean) in x.rows().into_iter().zip(out.axis_iter_mut(Axis(0))) {
            for spot in self.nearest(row) {
                mean += &self.labels.row(spot);
            }
            mean /= self.k as f32;
        }
        Ok(out)
    }

    /// Of equally near ones the first.
    fn nearest(&self, row: ArrayView1<'_, f32>) -> Vec<usize> {
        let square =
            |other: ArrayView1<'_, f32>| -> f64 { row.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
        let mut all: Vec<(f64, usize)> = self.training.rows().into_iter().map(square).zip(0..).collect();
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if self.k < all.len() {
            all.select_nth_unstable_by(self.k, order);
        }
        all[..self.k].iter().map(|&(_, spot)| spot).collect()
    }
}
