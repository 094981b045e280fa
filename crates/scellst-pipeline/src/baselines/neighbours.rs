use ndarray::{Array2, ArrayView2, Axis};
use scellst_metrics::sample_rows;
use scellst_model::InputScale;

use super::same_features;
use crate::PipelineError;

/// Training spots that are kept at most: those of a bundle are files of some ten MB.
const MOST_SPOTS: usize = 5000;
/// Rows whose distances are held at a time.
const BLOCK: usize = 256;

/// Mean of the training spots that look most alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NearestSpots {
    pub(super) input: InputScale,
    /// Standardised, spots x features.
    pub(super) training: Array2<f32>,
    /// Spots x genes.
    pub(super) labels: Array2<f32>,
    pub(super) k: usize,
}

impl NearestSpots {
    pub(super) fn fit(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>, k: usize) -> Self {
        let input = InputScale::standardising(x);
        let (x, y) = if x.nrows() > MOST_SPOTS {
            let kept = sample_rows(x.nrows(), MOST_SPOTS, 0);
            (x.select(Axis(0), &kept), y.select(Axis(0), &kept))
        } else {
            (x.to_owned(), y.to_owned())
        };
        Self { training: input.apply(x.view()), input, k: k.min(x.nrows()), labels: y }
    }

    pub(super) fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, PipelineError> {
        same_features(self.training.ncols(), x.ncols())?;
        let x = self.input.apply(x).mapv(f64::from);
        let training = self.training.mapv(f64::from);
        let length = |rows: &Array2<f64>| rows.map_axis(Axis(1), |row| row.dot(&row));
        let squares = length(&training);
        let mut out = Array2::zeros((x.nrows(), self.labels.ncols()));
        for (rows, mut means) in x.axis_chunks_iter(Axis(0), BLOCK).zip(out.axis_chunks_iter_mut(Axis(0), BLOCK)) {
            // |a - b|^2 less |a|^2, which is the same for all: products of matrices in place of a loop over features.
            let products = rows.dot(&training.t());
            for (row, mut mean) in products.rows().into_iter().zip(means.rows_mut()) {
                let distances = row.iter().zip(&squares).map(|(product, square)| square - 2.0 * product);
                for spot in self.nearest(distances) {
                    mean += &self.labels.row(spot);
                }
                mean /= self.k as f32;
            }
        }
        Ok(out)
    }

    /// Of equally near ones the first.
    fn nearest(&self, distances: impl Iterator<Item = f64>) -> Vec<usize> {
        let mut all: Vec<(f64, usize)> = distances.zip(0..).collect();
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if self.k < all.len() {
            all.select_nth_unstable_by(self.k, order);
        }
        all[..self.k].iter().map(|&(_, spot)| spot).collect()
    }
}
