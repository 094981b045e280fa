use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::blocks::{map_columns, unusable};
use crate::ranks::{Sorter, row_of};
use crate::special::{normal_two_sided, student_two_sided};
use crate::{MetricsError, benjamini_hochberg};

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Test {
    /// Welch's t-test.
    #[default]
    #[serde(rename = "t-test")]
    TTest,
    /// The same, the rest's size being taken for that of the group.
    #[serde(rename = "t-test_overestim_var")]
    TTestOverestimatedVariance,
    /// Wilcoxon's rank sums, by the normal distribution.
    #[serde(rename = "wilcoxon")]
    Wilcoxon {
        /// Take ties into account (scanpy does not by default).
        tie_correct: bool,
    },
}

/// What each group is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// All other observations.
    #[default]
    Rest,
    /// This group.
    Group(u32),
}

/// Where values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Each was measured on its own.
    Measured,
    /// Each comes out of a model: [`PREDICTED_VALUES`].
    Predicted,
}

/// What to bear in mind about tests of predicted values.
pub const PREDICTED_VALUES: &str = "these values are predictions, not measurements: they vary less than measurements \
     do, and cells that look alike get alike values, so that p-values are far too small; take the order of genes and \
     the fold changes from this, not the significance";

/// How to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankOptions {
    /// Which test.
    pub test: Test,
    /// What with.
    pub reference: Reference,
    /// Where the values come from; a must, since a test assumes it.
    pub values: Values,
}

/// A gene in a group, compared with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GeneTest {
    /// Column.
    pub gene: usize,
    /// t or z: positive if the group has more. Infinite if both sides are constant and differ.
    pub score: f64,
    /// Two-sided p-value.
    pub p_value: f64,
    /// False discovery rate over the genes of this group (Benjamini and Hochberg).
    pub q_value: f64,
    /// log2 of the means' ratio, the values being log1p: `log2((expm1(a) + 1e-9) / (expm1(b) + 1e-9))`.
    pub log2_fold_change: f64,
}

/// Genes of one group, highest score first; equal ones in order of the column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupRanking {
    /// Which group.
    pub group: u32,
    /// Its observations.
    pub observations: usize,
    /// All genes.
    pub genes: Vec<GeneTest>,
    /// [`PREDICTED_VALUES`], if they are.
    pub warning: Option<String>,
}

/// Tests every gene of every group, as scanpy's `rank_genes_groups` (1.11).
///
/// `values` are observations x genes, log1p; `group_of` numbers the groups from 0, each with at least two observations.
/// A gene that is the same everywhere has score 0 and p-value 1.
///
/// # Errors
/// [`MetricsError::Shape`], [`MetricsError::NotFinite`]; [`MetricsError::NoSuchGroup`] for the reference;
/// [`MetricsError::SmallGroup`] for a group (or rest) of fewer than two observations.
pub fn rank_genes_groups(
    values: ArrayView2<'_, f32>,
    group_of: &[u32],
    options: &RankOptions,
) -> Result<Vec<GroupRanking>, MetricsError> {
    let rows = values.nrows();
    MetricsError::same_length("groups, one an observation", rows, group_of.len())?;
    let groups = group_of.iter().max().map_or(0, |&most| most as usize + 1);
    if groups > rows {
        return Err(MetricsError::shape("highest number of a group", format!("below {rows} observations"), groups - 1));
    }
    let mut sizes = vec![0_usize; groups];
    group_of.iter().for_each(|&group| sizes[group as usize] += 1);
    let with_rest = options.reference == Reference::Rest;
    let small = |size: &usize| *size < 2;
    let small_rest = |size: &usize| with_rest && rows - size < 2;
    if let Some(group) = sizes.iter().position(small).or_else(|| sizes.iter().position(small_rest)) {
        return Err(MetricsError::SmallGroup { group, found: sizes[group], of: rows });
    }
    if let Reference::Group(group) = options.reference
        && group as usize >= groups
    {
        return Err(MetricsError::NoSuchGroup { row: 0, group, groups });
    }
    let compared: Vec<usize> =
        (0..groups).filter(|&group| options.reference != Reference::Group(group as u32)).collect();
    let columns = map_columns(values, values, None, |column, v, _, buffers: &mut Buffers| {
        if let Some((row, value)) = unusable(v, false) {
            return Err(MetricsError::NotFinite { side: "value", row, column, gene: column.to_string(), value });
        }
        let groups = side_moments(v, group_of, &sizes);
        let all = side_moments(v, &vec![0; rows], &[rows])[0];
        let ranking = match (options.test, options.reference) {
            (Test::Wilcoxon { .. }, Reference::Rest) => Some(rank_sums(v, group_of, sizes.len(), &mut buffers.sorter)),
            _ => None,
        };
        let test = |&group: &usize| {
            let a = groups[group];
            let b = match options.reference {
                Reference::Rest => rest(all, a, v, group_of, group as u32),
                Reference::Group(other) => groups[other as usize],
            };
            let (score, p_value) = match options.test {
                Test::TTest => welch(a, b, b.n),
                Test::TTestOverestimatedVariance => welch(a, b, a.n),
                Test::Wilcoxon { tie_correct } => match (&ranking, options.reference) {
                    (Some((sums, ties)), _) => rank_test(sums[group], a.n, b.n, tie_correct.then_some(*ties)),
                    (None, Reference::Group(other)) => {
                        buffers.pick(v, group_of, group as u32, other);
                        let (sums, ties) = rank_sums(&buffers.picked, &buffers.sides, 2, &mut buffers.sorter);
                        rank_test(sums[0], a.n, b.n, tie_correct.then_some(ties))
                    }
                    (None, Reference::Rest) => (0.0, 1.0),
                },
            };
            let level = |mean: f64| mean.exp_m1() + 1e-9;
            let fold = (level(a.mean) / level(b.mean)).log2();
            GeneTest { gene: column, score, p_value, q_value: 1.0, log2_fold_change: fold }
        };
        Ok(compared.iter().map(test).collect::<Vec<GeneTest>>())
    })?;
    compared
        .iter()
        .enumerate()
        .map(|(at, &group)| {
            let mut genes: Vec<GeneTest> = columns.iter().map(|tests| tests[at]).collect();
            let rates = benjamini_hochberg(&genes.iter().map(|gene| gene.p_value).collect::<Vec<f64>>())?;
            genes.iter_mut().zip(rates).for_each(|(gene, rate)| gene.q_value = rate);
            genes.sort_by(|a, b| b.score.total_cmp(&a.score));
            let warning = (options.values == Values::Predicted).then(|| PREDICTED_VALUES.to_owned());
            Ok(GroupRanking { group: group as u32, observations: sizes[group], genes, warning })
        })
        .collect()
}

#[derive(Default)]
struct Buffers {
    sorter: Sorter,
    picked: Vec<f32>,
    sides: Vec<u32>,
}

impl Buffers {
    /// The values of two groups, sides 0 and 1.
    fn pick(&mut self, values: &[f32], group_of: &[u32], group: u32, other: u32) {
        self.picked.clear();
        self.sides.clear();
        for (&value, &of) in values.iter().zip(group_of).filter(|(_, of)| **of == group || **of == other) {
            self.picked.push(value);
            self.sides.push(u32::from(of == other));
        }
    }
}

/// Size, mean and sum of squared deviations.
#[derive(Clone, Copy, Default)]
struct Side {
    n: f64,
    mean: f64,
    squares: f64,
}

fn side_moments(values: &[f32], group_of: &[u32], sizes: &[usize]) -> Vec<Side> {
    let mut sides: Vec<Side> = sizes.iter().map(|&n| Side { n: n as f64, ..Side::default() }).collect();
    for (&value, &group) in values.iter().zip(group_of) {
        sides[group as usize].mean += f64::from(value);
    }
    sides.iter_mut().for_each(|side| side.mean /= side.n);
    for (&value, &group) in values.iter().zip(group_of) {
        let side = &mut sides[group as usize];
        side.squares += (f64::from(value) - side.mean).powi(2);
    }
    sides
}

/// All but a group.
fn rest(all: Side, group: Side, values: &[f32], group_of: &[u32], number: u32) -> Side {
    let n = all.n - group.n;
    let others = || values.iter().zip(group_of).filter(|(_, of)| **of != number).map(|(&v, _)| f64::from(v));
    let mean = others().sum::<f64>() / n;
    Side { n, mean, squares: others().map(|v| (v - mean).powi(2)).sum() }
}

/// Welch's t and its p-value, the second side being taken for one of `n` observations.
fn welch(a: Side, b: Side, n: f64) -> (f64, f64) {
    let error = |side: Side, n: f64| side.squares / (side.n - 1.0) / n;
    let (ea, eb) = (error(a, a.n), error(b, n));
    if ea + eb == 0.0 {
        return match a.mean - b.mean {
            0.0 => (0.0, 1.0),
            apart => (f64::INFINITY.copysign(apart), 0.0),
        };
    }
    let t = (a.mean - b.mean) / (ea + eb).sqrt();
    let freedom = (ea + eb).powi(2) / (ea * ea / (a.n - 1.0) + eb * eb / (n - 1.0));
    (t, student_two_sided(t, freedom))
}

/// Sum of the ranks (from 1) of each group, and how much of the variance ties leave.
fn rank_sums(values: &[f32], group_of: &[u32], groups: usize, sorter: &mut Sorter) -> (Vec<f64>, f64) {
    let mut sums = vec![0.0; groups];
    let (mut start, mut tied) = (0, 0.0);
    for run in sorter.runs(values) {
        let rank = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        run.iter().for_each(|&key| sums[group_of[row_of(key)] as usize] += rank);
        start += run.len();
        tied += (run.len() as f64).powi(3) - run.len() as f64;
    }
    let n = values.len() as f64;
    (sums, 1.0 - tied / (n.powi(3) - n))
}

/// z of a sum of ranks and its p-value.
fn rank_test(sum: f64, n: f64, others: f64, ties: Option<f64>) -> (f64, f64) {
    let all = n + others;
    let sd = (ties.unwrap_or(1.0) * n * others * (all + 1.0) / 12.0).sqrt();
    let z = (sum - n * (all + 1.0) / 2.0) / sd;
    let z = if z.is_nan() { 0.0 } else { z };
    (z, normal_two_sided(z))
}
