//! What is drawn, swapped or shuffled as a whole.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::moments::Moments;
use crate::ssim::check_points;
use crate::{Metric, MetricsError};

/// What is drawn or swapped as a whole: neighbouring spots are alike, and so are spots of a section, so that single
/// ones give intervals that are too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Units<'a> {
    /// Each observation by itself.
    #[default]
    Rows,
    /// All observations of the same number: of a spatial block ([`spatial_blocks`]), a section, a patient.
    Groups(&'a [u32]),
}

impl Units<'_> {
    /// The unit of each row, numbered from 0 in order of the first row, and how many there are.
    pub(crate) fn of_rows(&self, rows: usize) -> Result<(Vec<u32>, usize), MetricsError> {
        if u32::try_from(rows).is_err() {
            return Err(MetricsError::shape("observations", format!("at most {}", u32::MAX), rows));
        }
        let (of_row, count) = match self {
            Units::Rows => ((0..rows as u32).collect(), rows),
            Units::Groups(groups) => {
                MetricsError::same_length("groups, one an observation", rows, groups.len())?;
                let mut known = HashMap::new();
                let numbered = groups.iter().map(|group| {
                    let next = known.len() as u32;
                    *known.entry(group).or_insert(next)
                });
                let of_row = numbered.collect();
                (of_row, known.len())
            }
        };
        if count < 2 { Err(MetricsError::TooFewUnits { found: count }) } else { Ok((of_row, count)) }
    }
}

/// The square block of side `side` that each point lies in, numbered from 0 in order of the first point.
///
/// # Units
/// `side` in the unit of the points (x, y). Blocks start at the lowest coordinates.
///
/// # Errors
/// [`MetricsError::Value`] for a place that is not finite, [`MetricsError::Setting`] if `side` is not positive.
pub fn spatial_blocks(points: &[[f64; 2]], side: f64) -> Result<Vec<u32>, MetricsError> {
    check_points(points)?;
    if !(side > 0.0 && side.is_finite()) {
        return Err(MetricsError::setting("side of spatial blocks", "a positive number", side));
    }
    let low = [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min));
    let mut known = HashMap::new();
    let block = |point: &[f64; 2]| {
        // As bits: whole floats are equal if their bits are (no zero here is negative).
        let square = [0, 1].map(|axis| ((point[axis] - low[axis]) / side).floor().to_bits());
        let next = known.len() as u32;
        *known.entry(square).or_insert(next)
    };
    Ok(points.iter().map(block).collect())
}

/// An estimate between its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interval {
    /// On the data as they are.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Replicates in which the number exists.
    pub replicates: usize,
}

impl Interval {
    /// Percentiles of the replicates; `values` are put in order. `None` if there is none.
    pub(crate) fn of(estimate: f64, values: &mut [f64], level: f64) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        Some(Self {
            estimate,
            low: quantile(values, tail),
            high: quantile(values, 1.0 - tail),
            replicates: values.len(),
        })
    }
}

/// Of sorted values, between neighbours in a straight line (NumPy's default).
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

pub(crate) fn check_level(level: f64) -> Result<(), MetricsError> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(MetricsError::setting("level", "between 0 and 1, such as 0.95", level))
}

pub(crate) fn check_replicates(replicates: usize) -> Result<(), MetricsError> {
    if (1..=10_000_000).contains(&replicates) {
        return Ok(());
    }
    Err(MetricsError::setting("replicates", "1 to 10,000,000", replicates))
}

/// Number of sums of a unit.
pub(crate) const SUMS: usize = 8;
/// What a unit adds to the moments: weight, values about a fixed place, their squares and product, and differences.
pub(crate) type UnitSums = [f64; SUMS];

/// Sums of each unit, about the means of all rows.
pub(crate) fn unit_sums(p: &[f32], m: &[f32], of_row: &[u32], sums: &mut [UnitSums]) {
    let all = Moments::of(p, m, None);
    unit_sums_about((all.mean_p, all.mean_m), p, m, of_row, sums);
}

/// Sums of each unit, about these places.
pub(crate) fn unit_sums_about(
    (mean_p, mean_m): (f64, f64),
    p: &[f32],
    m: &[f32],
    of_row: &[u32],
    sums: &mut [UnitSums],
) {
    sums.fill([0.0; SUMS]);
    for ((&p, &m), &unit) in p.iter().zip(m).zip(of_row) {
        let (p, m) = (f64::from(p), f64::from(m));
        let (a, b, d) = (p - mean_p, m - mean_m, p - m);
        let terms = [1.0, a, b, a * a, b * b, a * b, d * d, d.abs()];
        sums[unit as usize].iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
}

/// Whether a score follows from sums over units.
pub(crate) fn is_of_moments(metric: Metric) -> bool {
    use Metric::{Concordance, Mae, Mse, Pearson, R2, Rmse};
    matches!(metric, Pearson | Mse | Rmse | Mae | R2 | Concordance)
}

/// A score from the sums over all rows; `means` are the places that they were taken about. A side that varies by less
/// than the rounding of its sums counts as constant.
pub(crate) fn score_of(metric: Metric, sums: &UnitSums, means: (f64, f64)) -> Option<f64> {
    const ROUNDING: f64 = 1e-12;
    let [weight, a, b, aa, bb, ab, squares, absolute] = *sums;
    let about_mean = |square: f64, sum: f64| {
        let rest = square - sum * sum / weight;
        if rest > ROUNDING * square { rest } else { 0.0 }
    };
    let moments = Moments {
        weight,
        mean_p: means.0 + a / weight,
        mean_m: means.1 + b / weight,
        pp: about_mean(aa, a),
        mm: about_mean(bb, b),
        pm: ab - a * b / weight,
        squares,
        absolute,
    };
    match metric {
        Metric::Pearson => moments.pearson(),
        Metric::Mse => moments.mse(),
        Metric::Rmse => moments.mse().map(f64::sqrt),
        Metric::Mae => moments.mae(),
        Metric::R2 => moments.r2(),
        Metric::Concordance if moments.pp > 0.0 || moments.mm > 0.0 => moments.concordance(),
        _ => None,
    }
}
