use ndarray::ArrayView2;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::blocks::{is_constant, map_columns, refuse_not_finite};
use crate::graph::Nearest;
use crate::pairs::LEAST_PAIRS;
use crate::random::stream;
use crate::ranks::{Sorter, average_ranks};
use crate::ssim::check_points;
use crate::table::check_shapes;
use crate::units::{check_replicates, quantile};
use crate::{Metric, MetricsError};

/// How the measurements are moved against the predictions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Shuffle<'a> {
    /// Every observation anywhere. Neighbouring spots are alike, so that this null is too narrow for tissue.
    #[default]
    Rows,
    /// Within each group, such as a section: what correlation remains by the groups' levels is part of the null.
    Within(&'a [u32]),
    /// The slide as a whole (places x, y of its observations): shifted around its bounding box, turned and perhaps
    /// mirrored at random, each observation getting the measurement of the nearest. Patterns stay patterns, so that
    /// two smooth maps that have nothing to do with each other are not taken for related.
    Moved(&'a [[f64; 2]]),
}

/// How to permute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NullOptions<'a> {
    /// What is shuffled.
    pub shuffle: Shuffle<'a>,
    /// How often.
    pub replicates: usize,
    /// Of the random numbers: the same seed gives the same result, for any number of threads.
    pub seed: u64,
}

impl Default for NullOptions<'_> {
    /// Rows, 1,000 times, seed 0.
    fn default() -> Self {
        Self { shuffle: Shuffle::Rows, replicates: 1000, seed: 0 }
    }
}

/// A correlation beside those that a shuffled slide gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Null {
    /// The correlation.
    pub observed: f64,
    /// One-sided: `(1 + shuffles with at least this correlation) / (1 + shuffles)`.
    pub p_value: f64,
    /// Mean correlation of the shuffles.
    pub mean: f64,
    /// Their standard deviation (over n).
    pub sd: f64,
    /// The correlation that 95 % of them stay below.
    pub upper: f64,
}

/// How much of each gene's correlation would a shuffled slide give?
///
/// [`Metric::Pearson`] or [`Metric::Spearman`] (ranks are taken once, before shuffling). `None` for a gene that has no
/// correlation. P-values are not corrected for the number of genes: [`benjamini_hochberg`](crate::benjamini_hochberg).
/// Needs 4 bytes an observation and replicate beside the inputs.
///
/// # Errors
/// Those of [`GeneScores::compute`](crate::GeneScores::compute); [`MetricsError::Setting`];
/// [`MetricsError::NotComputed`] for another score; [`MetricsError::Value`] for a place that is not finite.
pub fn permutation_null(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    metric: Metric,
    options: &NullOptions<'_>,
) -> Result<Vec<Option<Null>>, MetricsError> {
    check_shapes(predicted, measured)?;
    MetricsError::same_length("names of genes", predicted.ncols(), genes.len())?;
    check_replicates(options.replicates)?;
    if !matches!(metric, Metric::Pearson | Metric::Spearman) {
        return Err(MetricsError::NotComputed { metric, how: "a null is there for Pearson and Spearman" });
    }
    let rows = predicted.nrows();
    if rows < LEAST_PAIRS {
        return Err(MetricsError::TooFew { found: rows, least: LEAST_PAIRS });
    }
    let sources = sources(rows, options)?;
    map_columns(predicted, measured, None, |column, p, m, buffers: &mut (Sorter, [Vec<f64>; 2])| {
        refuse_not_finite(p, m, column, genes)?;
        if is_constant(p) || is_constant(m) {
            return Ok(None);
        }
        let (sorter, sides) = buffers;
        for (side, values) in sides.iter_mut().zip([p, m]) {
            if metric == Metric::Spearman {
                average_ranks(values, sorter, side);
            } else {
                side.clear();
                side.extend(values.iter().map(|&v| f64::from(v)));
            }
            let mean = side.iter().sum::<f64>() / rows as f64;
            side.iter_mut().for_each(|v| *v -= mean);
            let norm = side.iter().map(|v| v * v).sum::<f64>().sqrt();
            side.iter_mut().for_each(|v| *v /= norm);
        }
        let [p, m] = &*sides;
        let observed: f64 = p.iter().zip(m).map(|(p, m)| p * m).sum();
        let shuffled = |source: &Vec<u32>| {
            let (mut sum, mut squares, mut product) = (0.0, 0.0, 0.0);
            for (p, &from) in p.iter().zip(source) {
                let m = m[from as usize];
                sum += m;
                squares += m * m;
                product += p * m;
            }
            // A move may take a measurement twice: its norm and mean are not those of all. The predictions' mean is 0.
            let norm = squares - sum * sum / rows as f64;
            if norm > 1e-12 { product / norm.sqrt() } else { 0.0 }
        };
        let mut null: Vec<f64> = sources.iter().map(shuffled).collect();
        let n = null.len() as f64;
        let as_high = null.iter().filter(|&&other| other >= observed - 1e-12).count();
        let mean = null.iter().sum::<f64>() / n;
        let sd = (null.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
        null.sort_unstable_by(f64::total_cmp);
        let p_value = (1 + as_high) as f64 / (1.0 + n);
        Ok(Some(Null { observed: observed.clamp(-1.0, 1.0), p_value, mean, sd, upper: quantile(&null, 0.95) }))
    })
}

/// For each replicate the row whose measurement each row gets.
fn sources(rows: usize, options: &NullOptions<'_>) -> Result<Vec<Vec<u32>>, MetricsError> {
    let per_replicate =
        |f: &(dyn Fn(usize) -> Vec<u32> + Sync)| (0..options.replicates).into_par_iter().map(f).collect();
    match options.shuffle {
        Shuffle::Rows => Ok(per_replicate(&|replicate| {
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.shuffle(&mut stream(options.seed, replicate));
            order
        })),
        Shuffle::Within(groups) => {
            MetricsError::same_length("groups, one an observation", rows, groups.len())?;
            let mut sorted: Vec<u32> = (0..rows as u32).collect();
            sorted.sort_by_key(|&row| groups[row as usize]);
            Ok(per_replicate(&|replicate| {
                let mut random = stream(options.seed, replicate);
                let mut source = vec![0; rows];
                for members in sorted.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
                    let mut shuffled = members.to_vec();
                    shuffled.shuffle(&mut random);
                    members.iter().zip(shuffled).for_each(|(&row, from)| source[row as usize] = from);
                }
                source
            }))
        }
        Shuffle::Moved(points) => {
            MetricsError::same_length("places, one an observation", rows, points.len())?;
            check_points(points)?;
            let low = [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min));
            let high = [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max));
            let size = [0, 1].map(|axis| high[axis] - low[axis]);
            let middle = [0, 1].map(|axis| low[axis] + size[axis] / 2.0);
            let nearest = Nearest::new(points);
            Ok(per_replicate(&|replicate| {
                let mut random = stream(options.seed, replicate);
                let shift = size.map(|size| size * random.random::<f64>());
                let (sin, cos) = (std::f64::consts::TAU * random.random::<f64>()).sin_cos();
                let mirror = if random.random() { -1.0 } else { 1.0 };
                let source = |point: &[f64; 2]| {
                    let [x, y] = [mirror * (point[0] - middle[0]), point[1] - middle[1]];
                    let turned = [cos * x - sin * y + middle[0], sin * x + cos * y + middle[1]];
                    let around = [0, 1].map(|axis| match size[axis] {
                        0.0 => low[axis],
                        size => low[axis] + (turned[axis] - low[axis] + shift[axis]).rem_euclid(size),
                    });
                    nearest.of(around)
                };
                points.iter().map(source).collect()
            }))
        }
    }
}
