use ndarray::ArrayView2;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::blocks::{map_columns, refuse_not_finite};
use crate::moments::Moments;
use crate::pairs::{LEAST_PAIRS, PairOptions, Scratch, compare};
use crate::random::stream;
use crate::table::check_shapes;
use crate::units::{Interval, SUMS, UnitSums, check_level, check_replicates, is_of_moments, score_of, unit_sums};
use crate::{Metric, MetricsError, Summary, Units};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapOptions<'a> {
    /// What is drawn with replacement.
    pub units: Units<'a>,
    /// How often.
    pub replicates: usize,
    /// Share of the replicates between the bounds.
    pub level: f64,
    /// Of the random numbers: the same seed gives the same intervals, for any number of threads.
    pub seed: u64,
    /// For [`Metric::Auroc`] and [`Metric::AveragePrecision`]: a measurement above this is positive.
    pub positive_above: Option<f32>,
}

impl Default for BootstrapOptions<'_> {
    /// Rows, 1,000 times, 95 %, seed 0.
    fn default() -> Self {
        Self { units: Units::Rows, replicates: 1000, level: 0.95, seed: 0, positive_above: None }
    }
}

/// Intervals of a score of each gene, and of means over genes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Intervals {
    /// Of which score.
    pub metric: Metric,
    /// Share of the replicates between the bounds.
    pub level: f64,
    /// How many units were drawn from. Below ten or so (sections, mostly) an interval is a rough guess.
    pub units: usize,
    /// Of each gene; `None` if it does not have the score.
    pub genes: Vec<Option<Interval>>,
    /// Of the means that were asked for.
    pub means: Vec<MeanInterval>,
}

/// Intervals of a mean over genes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanInterval {
    /// The means of the data as they are, and how many genes have none.
    pub summary: Summary,
    /// Of the mean over genes that have the score. Where one of them has none in a replicate, it is left out of that
    /// replicate's mean.
    pub mean: Option<Interval>,
    /// Of the mean over all genes asked for, those without the score counted as 0, in each replicate as well.
    pub mean_with_constant_as_zero: Option<Interval>,
}

/// Bootstrap intervals (percentiles) of a score of every gene, and of its mean over each list of genes in `means`.
///
/// All genes share the draws, so that the intervals of means know how genes go together. Scores that follow from sums
/// (Pearson, errors, R2, concordance) cost a pass over the units a replicate; ranks cost a sort. Beside the inputs this
/// needs 8 bytes a gene and replicate and 4 bytes a unit and replicate.
///
/// ```
/// use ndarray::Array2;
/// use scellst_metrics::{BootstrapOptions, Metric, bootstrap};
///
/// let measured = Array2::from_shape_fn((50, 1), |(row, _)| row as f32);
/// let predicted = Array2::from_shape_fn((50, 1), |(row, _)| row as f32 + 10.0 * (row % 3) as f32);
/// let options = BootstrapOptions::default();
/// let found = bootstrap(predicted.view(), measured.view(), &["A".into()], Metric::Pearson, &[&[0]], &options)?;
/// let gene = found.genes[0].unwrap();
/// assert!(gene.low < gene.estimate && gene.estimate < gene.high && gene.low > 0.7);
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
///
/// # Errors
/// Those of [`GeneScores::compute`](crate::GeneScores::compute); [`MetricsError::TooFewUnits`] below two units,
/// [`MetricsError::Setting`], [`MetricsError::NoSuchGene`], [`MetricsError::NotComputed`] for an area under the curve
/// without [`BootstrapOptions::positive_above`].
pub fn bootstrap(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    metric: Metric,
    means: &[&[usize]],
    options: &BootstrapOptions<'_>,
) -> Result<Intervals, MetricsError> {
    check_shapes(predicted, measured)?;
    MetricsError::same_length("names of genes", predicted.ncols(), genes.len())?;
    check_level(options.level)?;
    check_replicates(options.replicates)?;
    let rows = predicted.nrows();
    if rows < LEAST_PAIRS {
        return Err(MetricsError::TooFew { found: rows, least: LEAST_PAIRS });
    }
    let scoring = scoring(metric, options.positive_above)?;
    let (of_row, units) = options.units.of_rows(rows)?;
    let draws = draws(units, options);
    let replicated = map_columns(predicted, measured, None, |column, p, m, buffers: &mut Buffers| {
        refuse_not_finite(p, m, column, genes)?;
        let estimate = compare(p, m, None, &scoring, &mut buffers.scratch).get(metric);
        let replicates = match estimate {
            None => Vec::new(),
            Some(_) if is_of_moments(metric) => by_sums(p, m, metric, &of_row, units, &draws, &mut buffers.sums),
            Some(_) => by_weights(p, m, metric, &scoring, &of_row, &draws, buffers),
        };
        Ok((estimate, replicates))
    })?;
    let estimates: Vec<Option<f64>> = replicated.iter().map(|(estimate, _)| *estimate).collect();
    let means = means
        .iter()
        .map(|chosen| {
            let summary = Summary::over(chosen, genes.len(), |gene| estimates[gene])?;
            let (mut plain, mut with_zero) = (Vec::new(), Vec::new());
            for replicate in 0..options.replicates {
                let get = |gene: usize| replicated[gene].1.get(replicate).copied().flatten();
                let here = Summary::over(chosen, genes.len(), get)?;
                plain.extend(here.mean);
                with_zero.extend(here.mean_with_constant_as_zero);
            }
            let interval = |estimate: Option<f64>, mut values: Vec<f64>| {
                estimate.and_then(|estimate| Interval::of(estimate, &mut values, options.level))
            };
            Ok(MeanInterval {
                summary,
                mean: interval(summary.mean, plain),
                mean_with_constant_as_zero: interval(summary.mean_with_constant_as_zero, with_zero),
            })
        })
        .collect::<Result<_, MetricsError>>()?;
    let of_gene = |(estimate, replicates): (Option<f64>, Vec<Option<f64>>)| {
        let mut there: Vec<f64> = replicates.into_iter().flatten().collect();
        estimate.and_then(|estimate| Interval::of(estimate, &mut there, options.level))
    };
    let genes = replicated.into_par_iter().map(of_gene).collect();
    Ok(Intervals { metric, level: options.level, units, genes, means })
}

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    sums: Vec<UnitSums>,
    weights: Vec<f64>,
}

/// What [`compare`] must compute for a score.
pub(crate) fn scoring<'a>(metric: Metric, positive_above: Option<f32>) -> Result<PairOptions<'a>, MetricsError> {
    if matches!(metric, Metric::Auroc | Metric::AveragePrecision) && positive_above.is_none() {
        return Err(MetricsError::NotComputed { metric, how: "say from which measurement on a spot is positive" });
    }
    Ok(PairOptions { kendall: metric == Metric::Kendall, positive_above, ..PairOptions::default() })
}

/// How often each unit is drawn, replicate by replicate.
fn draws(units: usize, options: &BootstrapOptions<'_>) -> Vec<Vec<u32>> {
    let replicate = |replicate| {
        let mut random = stream(options.seed, replicate);
        let mut counts = vec![0; units];
        (0..units).for_each(|_| counts[random.random_range(0..units)] += 1);
        counts
    };
    (0..options.replicates).into_par_iter().map(replicate).collect()
}

fn by_sums(
    p: &[f32],
    m: &[f32],
    metric: Metric,
    of_row: &[u32],
    units: usize,
    draws: &[Vec<u32>],
    sums: &mut Vec<UnitSums>,
) -> Vec<Option<f64>> {
    sums.resize(units, [0.0; SUMS]);
    unit_sums(p, m, of_row, sums);
    let all = Moments::of(p, m, None);
    let replicate = |counts: &Vec<u32>| {
        let mut total = [0.0; SUMS];
        for (&count, sums) in counts.iter().zip(sums.iter()) {
            let count = f64::from(count);
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += count * sum);
        }
        score_of(metric, &total, (all.mean_p, all.mean_m))
    };
    draws.iter().map(replicate).collect()
}

fn by_weights(
    p: &[f32],
    m: &[f32],
    metric: Metric,
    scoring: &PairOptions<'_>,
    of_row: &[u32],
    draws: &[Vec<u32>],
    buffers: &mut Buffers,
) -> Vec<Option<f64>> {
    let Buffers { scratch, weights, .. } = buffers;
    let replicate = |counts: &Vec<u32>| {
        weights.clear();
        weights.extend(of_row.iter().map(|&unit| f64::from(counts[unit as usize])));
        compare(p, m, Some(weights), scoring, scratch).get(metric)
    };
    draws.iter().map(replicate).collect()
}
