use ndarray::ArrayView2;
use rand::{Rng, RngCore};
use rand_distr::{Beta, Binomial, Distribution};
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::blocks::{is_constant, map_columns};
use crate::moments::Moments;
use crate::pairs::LEAST_PAIRS;
use crate::random::stream;

/// What of a count is chance.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Noise<'a> {
    /// Poisson about a rate that is the spot's own: all else is held to be there to be predicted.
    #[default]
    Poisson,
    /// Negative binomial with this size (theta, inverse dispersion; positive) of each gene: variation of that much is
    /// chance as well. The size must be that of replicates of a same spot, not that over a section, which would call
    /// every pattern noise.
    NegativeBinomial(&'a [f64]),
}

/// How to split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CeilingOptions<'a> {
    /// What is chance.
    pub noise: Noise<'a>,
    /// Counts are brought to this sum a spot and log1p is taken, as for the labels; raw counts where there is none.
    pub target_sum: Option<f64>,
    /// Sum of each spot over all of its genes; of those given where there is none.
    pub totals: Option<&'a [f64]>,
    /// How often the counts are split; the mean is taken.
    pub splits: usize,
    /// Of the random numbers: the same seed gives the same result, for any number of threads.
    pub seed: u64,
}

impl Default for CeilingOptions<'_> {
    /// Poisson, log of 10,000 a spot, 10 splits, seed 0.
    fn default() -> Self {
        Self { noise: Noise::Poisson, target_sum: Some(1e4), totals: None, splits: 10, seed: 0 }
    }
}

/// What a perfect prediction could reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ceiling {
    /// Share of the measurements' variance that is not chance, 0 to 1: correlation of two halves of the counts, brought
    /// to the whole (Spearman and Brown).
    pub reliability: f64,
    /// The Pearson correlation of the true rate with the measurement: its root. A Pearson is to be read against this.
    pub pearson: f64,
    /// Splits in which neither half is constant.
    pub splits: usize,
}

/// The noise ceiling of each gene from raw counts (spots x genes), by thinning: a Poisson count that is split by fair
/// coins is two independent counts of half of the rate (a negative binomial one by a coin that is itself drawn from a
/// beta distribution: Neufeld et al. 2024, data thinning).
///
/// `None` for a gene of which a half is constant in every split. The step from halves to the whole is exact for values
/// that are linear in the counts and approximate after a logarithm. The correlation of halves errs by about
/// `1 / sqrt(spots)`, so that the ceiling of a faint gene, its root, is rough.
///
/// # Errors
/// [`MetricsError::TooFew`] below three spots; [`MetricsError::Count`] for a count that is negative, broken or over
/// 10^7 or a total below the sum of its spot; [`MetricsError::Shape`], [`MetricsError::Setting`].
pub fn noise_ceiling(
    counts: ArrayView2<'_, f32>,
    options: &CeilingOptions<'_>,
) -> Result<Vec<Option<Ceiling>>, MetricsError> {
    let (rows, genes) = counts.dim();
    if rows < LEAST_PAIRS {
        return Err(MetricsError::TooFew { found: rows, least: LEAST_PAIRS });
    }
    if !(1..=10_000).contains(&options.splits) {
        return Err(MetricsError::setting("splits", "1 to 10,000", options.splits));
    }
    if let Some(sum) = options.target_sum.filter(|&sum| !(sum > 0.0 && sum.is_finite())) {
        return Err(MetricsError::setting("target sum", "a positive number", sum));
    }
    if let Noise::NegativeBinomial(sizes) = options.noise {
        MetricsError::same_length("sizes, one a gene", genes, sizes.len())?;
        if let Some(size) = sizes.iter().find(|&&size| !(size > 1e-6 && size < 1e12)) {
            return Err(MetricsError::setting("size of a negative binomial", "1e-6 to 1e12", size));
        }
    }
    for ((row, column), &value) in counts.indexed_iter() {
        if !(0.0..=1e7).contains(&value) || value.fract() != 0.0 {
            return Err(MetricsError::Count { row, column, value: f64::from(value) });
        }
    }
    let rest = rest(counts, options.totals)?;
    let mut sums = vec![(0.0, 0_usize); genes];
    for split in 0..options.splits {
        for (sum, r) in sums.iter_mut().zip(split_correlations(counts, &rest, split, options)?) {
            if let Some(r) = r {
                *sum = (sum.0 + r, sum.1 + 1);
            }
        }
    }
    let ceiling = |(sum, splits): (f64, usize)| {
        let half = (sum / splits as f64).clamp(0.0, 1.0);
        let reliability = 2.0 * half / (1.0 + half);
        (splits > 0).then(|| Ceiling { reliability, pearson: reliability.sqrt(), splits })
    };
    Ok(sums.into_iter().map(ceiling).collect())
}

/// Counts of each spot in genes that are not given.
fn rest(counts: ArrayView2<'_, f32>, totals: Option<&[f64]>) -> Result<Vec<u64>, MetricsError> {
    let Some(totals) = totals else { return Ok(vec![0; counts.nrows()]) };
    MetricsError::same_length("totals, one a spot", counts.nrows(), totals.len())?;
    let left = |(row, (counts, &total)): (usize, (ndarray::ArrayView1<'_, f32>, &f64))| {
        let left = total - counts.iter().map(|&count| f64::from(count)).sum::<f64>();
        if (0.0..=1e9).contains(&left) && left.fract() == 0.0 {
            Ok(left as u64)
        } else {
            Err(MetricsError::Count { row, column: counts.len(), value: left })
        }
    };
    counts.rows().into_iter().zip(totals).enumerate().map(left).collect()
}

/// Correlation between the halves, gene by gene.
fn split_correlations(
    counts: ArrayView2<'_, f32>,
    rest: &[u64],
    split: usize,
    options: &CeilingOptions<'_>,
) -> Result<Vec<Option<f64>>, MetricsError> {
    let (rows, genes) = counts.dim();
    let random = |part: usize| stream(options.seed, split * (genes + 1) + part);
    let halves: Vec<Vec<f32>> = map_columns(counts, counts, None, |column, counts, _, (): &mut ()| {
        let mut random = random(column);
        let half = |&count: &f32| match options.noise {
            Noise::Poisson => coins(count as u64, &mut random) as f32,
            Noise::NegativeBinomial(sizes) => uneven(count as u64, sizes[column] / 2.0, &mut random) as f32,
        };
        Ok(counts.iter().map(half).collect())
    })?;
    let mut scale = [vec![1.0; rows], vec![1.0; rows]];
    if let Some(target) = options.target_sum {
        let mut random = random(genes);
        for row in 0..rows {
            let all: u64 = rest[row] + counts.row(row).iter().map(|&count| count as u64).sum::<u64>();
            let first = coins(rest[row], &mut random) + halves.iter().map(|half| half[row] as u64).sum::<u64>();
            for (scale, total) in scale.iter_mut().zip([first, all - first]) {
                scale[row] = if total == 0 { 0.0 } else { target / total as f64 };
            }
        }
    }
    map_columns(counts, counts, None, |column, counts, _, sides: &mut [Vec<f32>; 2]| {
        let half = &halves[column];
        let value = |count: f32, scale: f64| match options.target_sum {
            Some(_) => (f64::from(count) * scale).ln_1p() as f32,
            None => count,
        };
        sides.iter_mut().for_each(Vec::clear);
        for row in 0..rows {
            sides[0].push(value(half[row], scale[0][row]));
            sides[1].push(value(counts[row] - half[row], scale[1][row]));
        }
        let [a, b] = &*sides;
        let defined = !is_constant(a) && !is_constant(b);
        Ok(if defined { Moments::of(a, b, None).pearson() } else { None })
    })
}

/// Heads of so many fair coins.
fn coins(count: u64, random: &mut impl RngCore) -> u64 {
    let whole: u64 = (0..count / 64).map(|_| u64::from(random.next_u64().count_ones())).sum();
    let left = count % 64;
    if left == 0 { whole } else { whole + u64::from((random.next_u64() >> (64 - left)).count_ones()) }
}

/// Heads of coins whose chance is drawn from a beta distribution, symmetric about a half.
fn uneven(count: u64, half_size: f64, random: &mut impl Rng) -> u64 {
    if count == 0 {
        return 0;
    }
    // Sizes are checked: neither can fail.
    let chance = Beta::new(half_size, half_size).map_or(0.5, |beta| beta.sample(random));
    let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.5 };
    Binomial::new(count, chance).map_or(count / 2, |heads| heads.sample(random))
}
