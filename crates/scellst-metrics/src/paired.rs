use ndarray::ArrayView2;
use rand::{Rng, RngCore};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::blocks::{is_constant, map_columns, refuse_not_finite};
use crate::bootstrap::scoring;
use crate::moments::Moments;
use crate::pairs::{LEAST_PAIRS, Scratch, compare};
use crate::random::stream;
use crate::table::check_shapes;
use crate::units::{SUMS, UnitSums, check_replicates, is_of_moments, score_of, unit_sums_about};
use crate::{Metric, MetricsError, Units};

/// How to permute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedOptions<'a> {
    /// What is swapped as a whole.
    pub units: Units<'a>,
    /// How often.
    pub replicates: usize,
    /// Of the random numbers: the same seed gives the same result, for any number of threads.
    pub seed: u64,
    /// For [`Metric::Auroc`] and [`Metric::AveragePrecision`]: a measurement above this is positive.
    pub positive_above: Option<f32>,
}

impl Default for PairedOptions<'_> {
    /// Rows, 1,000 times, seed 0.
    fn default() -> Self {
        Self { units: Units::Rows, replicates: 1000, seed: 0, positive_above: None }
    }
}

/// A difference and how often chance alone makes one as large, either way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// Score of the first less that of the second.
    pub difference: f64,
    /// Two-sided: `(1 + as extreme) / (1 + replicates)`, or the exact share where all permutations were made.
    pub p_value: f64,
}

/// Two models on the same observations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairedTest {
    /// Of which score.
    pub metric: Metric,
    /// Units that were swapped.
    pub units: usize,
    /// Of the mean over the genes that both models have the score of; `None` if there is no such gene.
    pub mean: Option<Difference>,
    /// Of each gene; `None` where a model has no score. Not corrected for the number of genes:
    /// [`benjamini_hochberg`](crate::benjamini_hochberg).
    pub genes: Vec<Option<Difference>>,
    /// Columns that are in no mean since a model has no score of them.
    pub left_out: Vec<usize>,
}

/// Do two models differ? Their predictions are swapped at random units, all genes of a unit together, and the
/// difference between the scores taken again.
///
/// Were the models alike, a swap would change nothing. For scores that do not see scale (Pearson, Spearman, Kendall)
/// each model's predictions are first brought to mean 0 and variance 1, so that a model that is right but for its scale
/// is not torn by being mixed with the other.
///
/// # Errors
/// Those of [`bootstrap`](crate::bootstrap) (there are no levels).
pub fn paired_test(
    first: ArrayView2<'_, f32>,
    second: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    metric: Metric,
    options: &PairedOptions<'_>,
) -> Result<PairedTest, MetricsError> {
    check_shapes(first, measured)?;
    check_shapes(second, measured)?;
    MetricsError::same_length("names of genes", first.ncols(), genes.len())?;
    check_replicates(options.replicates)?;
    let rows = first.nrows();
    if rows < LEAST_PAIRS {
        return Err(MetricsError::TooFew { found: rows, least: LEAST_PAIRS });
    }
    let scoring = scoring(metric, options.positive_above)?;
    let (of_row, units) = options.units.of_rows(rows)?;
    let swaps: Vec<Vec<u64>> = (0..options.replicates)
        .into_par_iter()
        .map(|replicate| {
            let mut random = stream(options.seed, replicate);
            (0..units.div_ceil(64)).map(|_| random.next_u64()).collect()
        })
        .collect();
    let free_of_scale = matches!(metric, Metric::Pearson | Metric::Spearman | Metric::Kendall);
    let differences = map_columns(first, second, None, |column, a, b, buffers: &mut Buffers| {
        let Buffers { scratch, sides, mixed, measured: m, sums } = buffers;
        m.clear();
        m.extend(measured.column(column));
        refuse_not_finite(a, m, column, genes)?;
        refuse_not_finite(b, m, column, genes)?;
        for (side, values) in sides.iter_mut().zip([a, b]) {
            side.clear();
            if free_of_scale && !is_constant(values) {
                let moments = Moments::of(values, values, None);
                let sd = (moments.pp / moments.weight).sqrt();
                side.extend(values.iter().map(|&v| ((f64::from(v) - moments.mean_p) / sd) as f32));
            } else {
                side.extend(values);
            }
        }
        if is_of_moments(metric) {
            return Ok(by_sums(sides, m, metric, &of_row, &swaps, sums, units));
        }
        let mut difference = |p: &[f32], q: &[f32]| {
            let [p, q] = [p, q].map(|side| compare(side, m, None, &scoring, scratch).get(metric));
            p.zip(q).map(|(p, q)| p - q)
        };
        let Some(observed) = difference(&sides[0], &sides[1]) else { return Ok(None) };
        let replicate = |swap: &Vec<u64>| {
            let swapped = |row: usize| swap[of_row[row] as usize / 64] >> (of_row[row] % 64) & 1 == 1;
            mixed.iter_mut().for_each(Vec::clear);
            for (row, (&a, &b)) in sides[0].iter().zip(&sides[1]).enumerate() {
                let (a, b) = if swapped(row) { (b, a) } else { (a, b) };
                mixed[0].push(a);
                mixed[1].push(b);
            }
            difference(&mixed[0], &mixed[1]).unwrap_or(0.0)
        };
        Ok(Some((observed, swaps.iter().map(replicate).collect::<Vec<f64>>())))
    })?;
    let there: Vec<&(f64, Vec<f64>)> = differences.iter().flatten().collect();
    let all = (!there.is_empty()).then(|| {
        let of = |sum: f64| sum / there.len() as f64;
        let observed = of(there.iter().map(|(observed, _)| observed).sum());
        let null = |replicate: usize| of(there.iter().map(|(_, null)| null[replicate]).sum());
        against(observed, &(0..options.replicates).map(null).collect::<Vec<f64>>())
    });
    let left_out = (0..genes.len()).filter(|&gene| differences[gene].is_none()).collect();
    let genes = differences.iter().map(|gene| gene.as_ref().map(|(observed, null)| against(*observed, null))).collect();
    Ok(PairedTest { metric, units, mean: all, genes, left_out })
}

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    sides: [Vec<f32>; 2],
    mixed: [Vec<f32>; 2],
    measured: Vec<f32>,
    sums: [Vec<UnitSums>; 2],
}

/// The difference as it is, and after each swap, of a score that follows from sums: those of units are taken once, so
/// that a replicate costs a pass over units in place of rows. `None` if a side has no score.
fn by_sums(
    sides: &[Vec<f32>; 2],
    m: &[f32],
    metric: Metric,
    of_row: &[u32],
    swaps: &[Vec<u64>],
    sums: &mut [Vec<UnitSums>; 2],
    units: usize,
) -> Option<(f64, Vec<f64>)> {
    // One place for both sides: what is swapped is added to the other's sums.
    let [first, second] = sides.each_ref().map(|side| Moments::of(side, m, None));
    let about = (0.5 * (first.mean_p + second.mean_p), first.mean_m);
    for (sums, side) in sums.iter_mut().zip(sides) {
        sums.resize(units, [0.0; SUMS]);
        unit_sums_about(about, side, m, of_row, sums);
    }
    let difference = |swap: &[u64]| {
        let mut totals = [[0.0; SUMS]; 2];
        for (unit, (a, b)) in sums[0].iter().zip(&sums[1]).enumerate() {
            let swapped = swap.get(unit / 64).is_some_and(|bits| bits >> (unit % 64) & 1 == 1);
            let (a, b) = if swapped { (b, a) } else { (a, b) };
            totals[0].iter_mut().zip(a).for_each(|(total, sum)| *total += sum);
            totals[1].iter_mut().zip(b).for_each(|(total, sum)| *total += sum);
        }
        let [p, q] = totals.map(|total| score_of(metric, &total, about));
        p.zip(q).map(|(p, q)| p - q)
    };
    // Without a swap in the same way, so that a swap of nothing or all gives the same to the bit.
    let observed = difference(&[])?;
    Some((observed, swaps.iter().map(|swap| difference(swap).unwrap_or(0.0)).collect()))
}

fn against(difference: f64, null: &[f64]) -> Difference {
    let extreme = null.iter().filter(|other| as_extreme(other.abs(), difference)).count();
    Difference { difference, p_value: (1 + extreme) as f64 / (1 + null.len()) as f64 }
}

/// Up to rounding: a permutation that changes nothing must count.
fn as_extreme(other: f64, observed: f64) -> bool {
    other >= observed.abs() * (1.0 - 1e-12)
}

/// Is the mean of paired differences 0? Signs are flipped: all ways where these are no more than `replicates`, else at
/// random.
///
/// As SciPy's `permutation_test(permutation_type="samples")` of the mean, two-sided. For scores of two models on several
/// sections or folds. Not for genes, which are not independent of each other: [`paired_test`].
///
/// # Errors
/// [`MetricsError::TooFew`] for no difference, [`MetricsError::Value`] for one that is not finite,
/// [`MetricsError::Setting`].
pub fn sign_flip_test(differences: &[f64], replicates: usize, seed: u64) -> Result<Difference, MetricsError> {
    check_replicates(replicates)?;
    MetricsError::finite("difference", differences)?;
    let n = differences.len();
    if n == 0 {
        return Err(MetricsError::TooFew { found: 0, least: 1 });
    }
    let observed: f64 = differences.iter().sum::<f64>() / n as f64;
    let exact = n < 30 && 1_usize << n <= replicates;
    let flipped = |signs: &mut dyn FnMut(usize) -> bool| {
        let sum: f64 = differences.iter().enumerate().map(|(at, &d)| if signs(at) { -d } else { d }).sum();
        sum / n as f64
    };
    let p_value = if exact {
        let all = 1_usize << n;
        let extreme = (0..all).filter(|ways| as_extreme(flipped(&mut |at| ways >> at & 1 == 1).abs(), observed));
        extreme.count() as f64 / all as f64
    } else {
        let extreme = (0..replicates).into_par_iter().filter(|&replicate| {
            let mut random = stream(seed, replicate);
            as_extreme(flipped(&mut |_| random.random()).abs(), observed)
        });
        (1 + extreme.count()) as f64 / (1 + replicates) as f64
    };
    Ok(Difference { difference: observed, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::PairOptions;

    #[test]
    fn sums_of_units_give_what_mixed_rows_give() {
        let noise = |i: usize, k: usize| ((i * 7919 + k * 104_729 + i * i * 31) % 997) as f32 / 997.0;
        let of_row: Vec<u32> = (0..90).map(|row| (row % 70) as u32).collect();
        let m: Vec<f32> = (0..90).map(|i| noise(i, 1)).collect();
        let sides = [2, 3].map(|k| (0..90).map(|i| m[i] * k as f32 + noise(i, k) + 3.0).collect::<Vec<f32>>());
        // 70 units are more than one word of bits.
        let swaps = vec![vec![0, 0], vec![u64::MAX, u64::MAX], vec![0xdead_beef_1234_5678, 0x2a], vec![1, 1 << 5]];
        let mut sums = <[Vec<UnitSums>; 2]>::default();
        for metric in [Metric::Pearson, Metric::Mse, Metric::R2, Metric::Concordance] {
            let (observed, found) = by_sums(&sides, &m, metric, &of_row, &swaps, &mut sums, 70).unwrap();
            for (swap, found) in swaps.iter().zip(&found) {
                let bit = |row: usize| swap[of_row[row] as usize / 64] >> (of_row[row] % 64) & 1 == 1;
                let mixed = |first: bool| -> Vec<f32> {
                    (0..90).map(|row| sides[usize::from(first == bit(row))][row]).collect()
                };
                let score = |side: &[f32]| {
                    compare(side, &m, None, &PairOptions::default(), &mut Scratch::default()).get(metric).unwrap()
                };
                let slow = score(&mixed(true)) - score(&mixed(false));
                assert!((slow - found).abs() < 1e-10, "{metric:?}: {slow} {found}");
            }
            assert_eq!((found[0], found[1]), (observed, -observed));
        }
    }
}
