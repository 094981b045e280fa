//! How far an embedding lies from those trained on.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice};
use rand::seq::index;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::random::stream;
use crate::units::{check_level, quantile};

/// Rows at once.
const BLOCK: usize = 256;

/// How the covariance is made fit for few rows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// By as much as Ledoit and Wolf (2004) find best, as scikit-learn's `LedoitWolf`.
    #[default]
    LedoitWolf,
    /// Not at all, as scikit-learn's `EmpiricalCovariance`: needs more rows than dimensions, none of them constant.
    None,
    /// By this share, 0 to 1, towards the mean variance in every direction.
    By(f64),
}

/// Mahalanobis distance to the training embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct Mahalanobis {
    mean: Array1<f64>,
    /// Inverse of the lower Cholesky factor of the covariance.
    whitening: Array2<f64>,
    shrinkage: f64,
}

impl Mahalanobis {
    /// From training embeddings (cells x dimensions). A sample of 20,000 ([`sample_rows`]) says as much as a million.
    ///
    /// # Errors
    /// [`MetricsError::TooFew`] below two rows, [`MetricsError::NotFinite`], [`MetricsError::Singular`] if the
    /// covariance has no inverse: shrink it.
    pub fn fit(training: ArrayView2<'_, f32>, shrinkage: Shrinkage) -> Result<Self, MetricsError> {
        let (rows, dims) = training.dim();
        if rows < 2 {
            return Err(MetricsError::TooFew { found: rows, least: 2 });
        }
        if let Shrinkage::By(share) = shrinkage
            && !(0.0..=1.0).contains(&share)
        {
            return Err(MetricsError::setting("shrinkage", "0 to 1", share));
        }
        check_embeddings(training, dims)?;
        let n = rows as f64;
        let mean =
            training.axis_iter(Axis(0)).fold(Array1::zeros(dims), |sum: Array1<f64>, row| sum + row.mapv(f64::from))
                / n;
        // By blocks in a fixed order: the same for any number of threads.
        let (mut covariance, mut fourth) = (Array2::<f64>::zeros((dims, dims)), 0.0);
        for rows in training.axis_chunks_iter(Axis(0), BLOCK) {
            let centred = rows.mapv(f64::from) - &mean;
            fourth += centred.rows().into_iter().map(|row| row.dot(&row).powi(2)).sum::<f64>();
            let mut parts: Vec<_> = covariance.axis_chunks_iter_mut(Axis(0), 64).collect();
            parts.par_iter_mut().enumerate().for_each(|(part, out)| {
                let columns = part * 64..part * 64 + out.nrows();
                let part = centred.slice_axis(Axis(1), Slice::from(columns));
                out.zip_mut_with(&part.t().dot(&centred), |sum, more| *sum += more);
            });
        }
        covariance /= n;
        let shrinkage = match shrinkage {
            Shrinkage::None => 0.0,
            Shrinkage::By(share) => share,
            Shrinkage::LedoitWolf => ledoit_wolf(&covariance, fourth, n),
        };
        let variance = covariance.diag().sum() / dims.max(1) as f64;
        covariance *= 1.0 - shrinkage;
        covariance.diag_mut().iter_mut().for_each(|v| *v += shrinkage * variance);
        let whitening = inverse_of_factor(covariance)?;
        Ok(Self { mean, whitening, shrinkage })
    }

    /// From what [`mean`](Self::mean), [`whitening`](Self::whitening) and [`shrinkage`](Self::shrinkage) gave, such as
    /// out of a model's bundle.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] unless `whitening` is square with a row an entry of `mean`, [`MetricsError::Value`].
    pub fn from_parts(mean: Array1<f64>, whitening: Array2<f64>, shrinkage: f64) -> Result<Self, MetricsError> {
        if whitening.dim() != (mean.len(), mean.len()) {
            let expected = format!("{0} x {0}", mean.len());
            return Err(MetricsError::shape("whitening matrix", expected, format!("{:?}", whitening.dim())));
        }
        MetricsError::finite("mean of dimension", &mean.to_vec())?;
        MetricsError::finite("entry of the whitening matrix", &whitening.iter().copied().collect::<Vec<f64>>())?;
        Ok(Self { mean, whitening, shrinkage })
    }

    /// Mean of the training embeddings.
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The matrix that brings a difference from the mean to unit covariance.
    pub fn whitening(&self) -> &Array2<f64> {
        &self.whitening
    }

    /// By how much the covariance was shrunk, 0 to 1.
    pub fn shrinkage(&self) -> f64 {
        self.shrinkage
    }

    /// The distance of each embedding (0 at the mean; about the root of the number of dimensions for a training cell).
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for other dimensions, [`MetricsError::NotFinite`].
    pub fn distances(&self, embeddings: ArrayView2<'_, f32>) -> Result<Vec<f32>, MetricsError> {
        check_embeddings(embeddings, self.mean.len())?;
        let block = |rows: ArrayView2<'_, f32>| {
            let white = (rows.mapv(f64::from) - &self.mean).dot(&self.whitening.t());
            white.rows().into_iter().map(|row| row.dot(&row).sqrt() as f32).collect::<Vec<f32>>()
        };
        Ok(by_blocks(embeddings, block))
    }
}

/// Distance to the k-th nearest training embedding (Sun et al. 2022, deep nearest neighbours).
#[derive(Debug, Clone, PartialEq)]
pub struct NearestTraining {
    /// Less their mean, or of unit length.
    training: Array2<f32>,
    squares: Vec<f32>,
    mean: Array1<f32>,
    k: usize,
    unit_length: bool,
}

impl NearestTraining {
    /// Keeps training embeddings (cells x dimensions); every query is compared with every one of them, so that a sample
    /// ([`sample_rows`]) of some thousands is what to give.
    ///
    /// With `unit_length` every embedding is first brought to length 1, so that only its direction counts.
    ///
    /// # Errors
    /// [`MetricsError::TooFew`] unless there are more rows than `k`, [`MetricsError::Setting`] if `k` is 0,
    /// [`MetricsError::NotFinite`].
    pub fn fit(training: ArrayView2<'_, f32>, k: usize, unit_length: bool) -> Result<Self, MetricsError> {
        if k == 0 {
            return Err(MetricsError::setting("k of nearest neighbours", "at least 1", k));
        }
        if training.nrows() <= k {
            return Err(MetricsError::TooFew { found: training.nrows(), least: k + 1 });
        }
        check_embeddings(training, training.ncols())?;
        // Less their mean, squares are small and their differences exact.
        let mean = match training.mapv(f64::from).mean_axis(Axis(0)) {
            Some(mean) if !unit_length => mean.mapv(|v| v as f32),
            _ => Array1::zeros(training.ncols()),
        };
        let mut out = Self { training: Array2::zeros((0, 0)), squares: Vec::new(), mean, k, unit_length };
        out.training = out.prepared(training);
        out.squares = out.training.rows().into_iter().map(|row| row.dot(&row)).collect();
        Ok(out)
    }

    /// The distance of each embedding to its k-th nearest training embedding.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for other dimensions, [`MetricsError::NotFinite`].
    pub fn distances(&self, embeddings: ArrayView2<'_, f32>) -> Result<Vec<f32>, MetricsError> {
        check_embeddings(embeddings, self.mean.len())?;
        Ok(by_blocks(embeddings, |rows| self.block(&self.prepared(rows), None)))
    }

    /// The same of each training embedding, not counting itself: what is usual, to set a threshold by.
    pub fn of_training(&self) -> Vec<f32> {
        let starts: Vec<usize> = (0..self.training.nrows()).step_by(BLOCK).collect();
        let block = |start: usize| {
            let end = (start + BLOCK).min(self.training.nrows());
            let rows = self.training.slice_axis(Axis(0), Slice::from(start..end));
            self.block(&rows.to_owned(), Some(start))
        };
        starts.into_par_iter().map(block).collect::<Vec<_>>().concat()
    }

    fn prepared(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        if !self.unit_length {
            return &rows - &self.mean;
        }
        let mut out = rows.to_owned();
        for mut row in out.rows_mut() {
            let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                row.mapv_inplace(|v| (f64::from(v) / length) as f32);
            }
        }
        out
    }

    /// `first`: these rows are the training rows from that number on, and none is its own neighbour.
    fn block(&self, rows: &Array2<f32>, first: Option<usize>) -> Vec<f32> {
        /// So many more are looked at exactly, since products in `f32` order close ones wrongly.
        const SPARE: usize = 16;
        let products = rows.dot(&self.training.t());
        let kth = |(at, row): (usize, ndarray::ArrayView1<'_, f32>)| {
            let own = first.map(|first| first + at);
            let mut near: Vec<(f32, usize)> = products
                .row(at)
                .iter()
                .zip(&self.squares)
                .enumerate()
                .filter(|(other, _)| Some(*other) != own)
                .map(|(other, (product, square))| (square - 2.0 * product, other))
                .collect();
            let candidates = (self.k + SPARE).min(near.len());
            if candidates < near.len() {
                near.select_nth_unstable_by(candidates - 1, |a, b| a.0.total_cmp(&b.0));
            }
            let exact = |&(_, other): &(f32, usize)| {
                let apart =
                    row.iter().zip(self.training.row(other)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
                apart.sum::<f64>()
            };
            let mut distances: Vec<f64> = near[..candidates].iter().map(exact).collect();
            distances.sort_unstable_by(f64::total_cmp);
            distances[self.k - 1].sqrt() as f32
        };
        rows.rows().into_iter().enumerate().map(kth).collect()
    }
}

/// Where out of distribution begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutlierThreshold {
    /// Cells farther than this are flagged: their predictions are not to be trusted.
    pub distance: f32,
    /// Share of the calibration cells that are nearer or as near.
    pub share: f64,
}

/// A slide at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutlierSummary {
    /// Cells.
    pub cells: usize,
    /// Cells beyond the threshold.
    pub flagged: usize,
    /// The share of them; `None` without a cell. Cells like those calibrated on give 1 less [`OutlierThreshold::share`].
    pub flagged_share: Option<f64>,
    /// Median distance; `None` without a cell.
    pub median: Option<f64>,
    /// The distance that 95 % of the cells stay below.
    pub upper: Option<f64>,
}

impl OutlierThreshold {
    /// From what it was before it was written away.
    ///
    /// # Errors
    /// [`MetricsError::Setting`] for a share that is not between 0 and 1 or a distance that is negative or no number.
    pub fn new(distance: f32, share: f64) -> Result<Self, MetricsError> {
        check_level(share)?;
        if !(distance >= 0.0 && distance.is_finite()) {
            return Err(MetricsError::setting("distance of a threshold", "0 or more", distance));
        }
        Ok(Self { distance, share })
    }

    /// The distance that `share` (such as 0.99) of the calibration cells do not exceed. Take cells of training slides
    /// that the distance was not fitted on, or [`NearestTraining::of_training`].
    ///
    /// # Errors
    /// [`MetricsError::TooFew`] without a distance, [`MetricsError::Value`], [`MetricsError::Setting`].
    pub fn from_calibration(distances: &[f32], share: f64) -> Result<Self, MetricsError> {
        check_level(share)?;
        MetricsError::finite("distance", distances)?;
        if distances.is_empty() {
            return Err(MetricsError::TooFew { found: 0, least: 1 });
        }
        Ok(Self { distance: quantile(&sorted(distances), share) as f32, share })
    }

    /// Whether to abstain from each cell.
    pub fn flags(&self, distances: &[f32]) -> Vec<bool> {
        // What is no number is not near.
        distances.iter().map(|&distance| distance.is_nan() || distance > self.distance).collect()
    }

    /// Of all cells of a slide.
    ///
    /// # Errors
    /// [`MetricsError::Value`].
    pub fn summary(&self, distances: &[f32]) -> Result<OutlierSummary, MetricsError> {
        MetricsError::finite("distance", distances)?;
        let sorted = sorted(distances);
        let flagged = self.flags(distances).into_iter().filter(|&flag| flag).count();
        let there = |value: &dyn Fn() -> f64| (!sorted.is_empty()).then(value);
        Ok(OutlierSummary {
            cells: sorted.len(),
            flagged,
            flagged_share: there(&|| flagged as f64 / sorted.len() as f64),
            median: there(&|| quantile(&sorted, 0.5)),
            upper: there(&|| quantile(&sorted, 0.95)),
        })
    }
}

/// At most `most` of so many rows, at random without repetition, in order.
pub fn sample_rows(rows: usize, most: usize, seed: u64) -> Vec<usize> {
    if rows <= most {
        return (0..rows).collect();
    }
    let mut chosen = index::sample(&mut stream(seed, 0), rows, most).into_vec();
    chosen.sort_unstable();
    chosen
}

fn sorted(distances: &[f32]) -> Vec<f64> {
    let mut sorted: Vec<f64> = distances.iter().map(|&distance| f64::from(distance)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn by_blocks(rows: ArrayView2<'_, f32>, f: impl Fn(ArrayView2<'_, f32>) -> Vec<f32> + Sync + Send) -> Vec<f32> {
    let blocks: Vec<_> = rows.axis_chunks_iter(Axis(0), BLOCK).collect();
    blocks.into_par_iter().map(f).collect::<Vec<_>>().concat()
}

fn check_embeddings(rows: ArrayView2<'_, f32>, dims: usize) -> Result<(), MetricsError> {
    MetricsError::same_length("dimensions of the embeddings", dims, rows.ncols())?;
    match rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricsError::NotFinite { side: "embedding", row, column, gene: format!("dimension {column}"), value })
        }
        None => Ok(()),
    }
}

/// The share that shrinks best, from the covariance (over n) and the sum of the fourth powers of the rows' lengths.
fn ledoit_wolf(covariance: &Array2<f64>, fourth: f64, n: f64) -> f64 {
    let dims = covariance.nrows() as f64;
    let squares = covariance.iter().map(|v| v * v).sum::<f64>();
    let mean = covariance.diag().sum() / dims;
    let from_target = (squares - dims * mean * mean) / dims;
    let noise = ((fourth / n - squares) / (dims * n)).min(from_target);
    if noise > 0.0 { noise / from_target } else { 0.0 }
}

/// The inverse of the lower Cholesky factor.
fn inverse_of_factor(a: Array2<f64>) -> Result<Array2<f64>, MetricsError> {
    let n = a.nrows();
    let scale = a.diag().iter().fold(0.0_f64, |most, &v| most.max(v));
    let mut rows: Vec<Vec<f64>> = a.rows().into_iter().map(|row| row.to_vec()).collect();
    for j in 0..n {
        let (above, below) = rows.split_at_mut(j + 1);
        let pivot_row = &mut above[j];
        let pivot = pivot_row[j] - dot(&pivot_row[..j], &pivot_row[..j]);
        // NaN is no pivot either.
        if pivot.is_nan() || pivot <= scale * n as f64 * f64::EPSILON {
            return Err(MetricsError::Singular { dimension: j });
        }
        let root = pivot.sqrt();
        pivot_row[j] = root;
        let known = &pivot_row[..j];
        below.par_iter_mut().with_min_len(64).for_each(|row| row[j] = (row[j] - dot(&row[..j], known)) / root);
    }
    // Each column of the inverse, solved forward.
    let column = |column: usize| {
        let mut x = vec![0.0; n];
        x[column] = 1.0 / rows[column][column];
        for row in column + 1..n {
            x[row] = -dot(&rows[row][column..row], &x[column..row]) / rows[row][row];
        }
        x
    };
    let columns: Vec<Vec<f64>> = (0..n).into_par_iter().map(column).collect();
    Ok(Array2::from_shape_fn((n, n), |(row, column)| columns[column][row]))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ndarray::aview1(a).dot(&ndarray::aview1(b))
}
