use std::f64::consts::FRAC_1_SQRT_2;

use crate::moran::{moran, over_genes};
use crate::{ExprError, Expression, SpotGraph};

/// How alike neighbouring spots are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SpatialStatistic {
    /// Moran's I: 1 alike, `-1 / (n - 1)` without pattern, below it unlike.
    #[default]
    MoransI,
    /// Geary's C: 0 alike, 1 without pattern, above it unlike.
    GearysC,
}

/// Which departures from no pattern count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tails {
    /// Those to the side on which the value lies: at most 0.5. squidpy's default.
    #[default]
    One,
    /// Both: twice as much.
    Two,
}

/// A gene's statistic with its p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpatialTest {
    /// Moran's I or Geary's C.
    pub value: f64,
    /// Standard deviations from what is expected without pattern.
    pub z: f64,
    /// p-value if the statistic is normal under no pattern: squidpy's `pval_norm`.
    pub p: f64,
    /// `p` corrected by Benjamini and Hochberg over the genes of this call that are not constant.
    pub p_adjusted: f64,
}

/// What [`spatial_tests`] finds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpatialTests {
    /// The statistic's mean without pattern.
    pub expected: f64,
    /// The statistic's variance without pattern, under normality: squidpy's `var_norm`.
    pub variance: f64,
    /// One a gene, in the order asked; `None` for a gene that is constant.
    pub genes: Vec<Option<SpatialTest>>,
}

/// Moran's I or Geary's C of these genes after [`normalise_log1p`](crate::normalise_log1p), with analytic p-values.
///
/// As squidpy's `gr.spatial_autocorr(mode, n_perms=None, two_tailed, corr_method="fdr_bh")` on the same graph.
/// Variances under normality: Cliff and Ord, Spatial Processes (1981).
///
/// # Errors
/// [`ExprError::MissingGenes`]; [`ExprError::Shape`] unless the graph has a spot for each observation.
///
/// ```
/// # use scellst_expr::{CsrMatrix, Expression, SpatialStatistic, SpotGraph, Tails, spatial_tests};
/// # use scellst_types::Point;
/// // Two genes on a square grid of 6 x 6 spots: one in the left half, one in every second spot.
/// let counts = ndarray::Array2::from_shape_fn((36, 2), |(spot, gene)| {
///     if gene == 0 { if spot % 6 < 3 { 90.0 } else { 10.0 } } else { ((spot + spot / 6) % 2) as f32 * 50.0 + 20.0 }
/// });
/// let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect();
/// let raw = Expression::new(CsrMatrix::from_dense(counts.view())?, names("gene", 2), names("spot", 36))?;
/// let centres: Vec<_> = (0..36).map(|i| Point::new(f64::from(i % 6) * 100.0, f64::from(i / 6) * 100.0)).collect();
///
/// let found = spatial_tests(&raw, raw.genes(), &SpotGraph::square(&centres)?, SpatialStatistic::MoransI, Tails::One)?;
/// let left = found.genes[0].unwrap();
/// assert!(left.value > 0.3 && left.p_adjusted < 0.01);
/// # Ok::<(), scellst_expr::ExprError>(())
/// ```
pub fn spatial_tests<S: AsRef<str>>(
    expression: &Expression,
    genes: &[S],
    graph: &SpotGraph,
    statistic: SpatialStatistic,
    tails: Tails,
) -> Result<SpatialTests, ExprError> {
    let n = graph.len() as f64;
    let (s0, s1, s2) = graph.moments();
    let (values, expected, variance) = match statistic {
        SpatialStatistic::MoransI => {
            let expected = -1.0 / (n - 1.0);
            let second = (n * n * s1 - n * s2 + 3.0 * s0 * s0) / ((n - 1.0) * (n + 1.0) * s0 * s0);
            (over_genes(expression, genes, graph, moran)?, expected, second - expected * expected)
        }
        SpatialStatistic::GearysC => {
            let variance = ((2.0 * s1 + s2) * (n - 1.0) - 4.0 * s0 * s0) / (2.0 * (n + 1.0) * s0 * s0);
            (over_genes(expression, genes, graph, geary)?, 1.0, variance)
        }
    };
    // Arrays of two or three spots leave no variance; rounding may make it negative.
    let deviation = variance.max(0.0).sqrt();
    let mut tests: Vec<Option<SpatialTest>> = values
        .into_iter()
        .map(|value| {
            let value = value?;
            let z = if deviation > 0.0 { (value - expected) / deviation } else { 0.0 };
            let one = 0.5 * libm::erfc(z.abs() * FRAC_1_SQRT_2);
            let p = match tails {
                Tails::One => one,
                Tails::Two => 2.0 * one,
            };
            Some(SpatialTest { value, z, p, p_adjusted: p })
        })
        .collect();
    let found: Vec<f64> = tests.iter().flatten().map(|test| test.p).collect();
    for (test, adjusted) in tests.iter_mut().flatten().zip(benjamini_hochberg(&found)) {
        test.p_adjusted = adjusted;
    }
    Ok(SpatialTests { expected, variance, genes: tests })
}

// The one for users, with checks, is that of `scellst-metrics`, which this crate does not know: neither is to need the
// other for ten lines.
/// p-values corrected for their number so that, of those called below a limit, that share is false at most; in the
/// order given, at most 1.
///
/// Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57 (1995) 289. A p-value that is
/// not a number stays so and is not counted.
fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&at| !p[at].is_nan()).collect();
    order.sort_unstable_by(|&a, &b| p[b].total_cmp(&p[a]));
    let n = order.len();
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut least: f64 = 1.0;
    for (above, at) in order.into_iter().enumerate() {
        least = least.min(p[at] * (n as f64 / (n - above) as f64));
        adjusted[at] = least;
    }
    adjusted
}

/// `(n - 1) / (2 S0) x sum of w (z - z')^2 / sum of z^2`: Geary, The contiguity ratio and statistical mapping,
/// Incorporated Statistician 5 (1954) 115.
fn geary(graph: &SpotGraph, deviation: &[f64], squares: f64) -> f64 {
    let mut sum = 0.0;
    for (spot, z) in deviation.iter().enumerate() {
        let near = graph.neighbours(spot);
        if !near.is_empty() {
            let apart = |&j: &u32| (z - deviation[j as usize]).powi(2);
            sum += near.iter().map(apart).sum::<f64>() / near.len() as f64;
        }
    }
    (deviation.len() - 1) as f64 * sum / (2.0 * graph.connected() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_for_their_number() {
        let adjusted = benjamini_hochberg(&[0.03, 0.01, f64::NAN, 0.5, 0.02]);
        for (ours, wanted) in adjusted.iter().zip([0.04, 0.04, f64::NAN, 0.5, 0.04]) {
            assert!((ours - wanted).abs() < 1e-15 || (ours.is_nan() && wanted.is_nan()), "{adjusted:?}");
        }
        assert_eq!(benjamini_hochberg(&[0.9, 0.95]), [0.95, 0.95]);
        assert!(benjamini_hochberg(&[]).is_empty());
    }
}
