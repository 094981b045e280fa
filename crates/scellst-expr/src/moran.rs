use rayon::prelude::*;
use scellst_types::{Level0, Point};

use crate::gene_list::common_genes;
use crate::normalise::{TARGET_SUM, factors};
use crate::{ExprError, Expression, GeneScore, SpotGraph};

/// Values that differ by less than this share of the largest are one value: rounding is all that tells them apart.
const ROUNDING: f64 = 1e-12;

/// `svg:k`: the `k` genes with the highest Moran's I after [`normalise_log1p`](crate::normalise_log1p), the mean over the sections.
///
/// Each section comes with the centres of its spots. Two sections' spots are never neighbours. A gene that is constant
/// in a section counts as 0 there. Score: the mean Moran's I. Equal scores in order of the name.
///
/// # Errors
/// [`ExprError::NoCommonGenes`], and those of [`morans_i`].
pub fn spatially_variable(sections: &[(&Expression, &[Point<Level0>])], k: usize) -> Result<Vec<GeneScore>, ExprError> {
    let expressions: Vec<&Expression> = sections.iter().map(|(expression, _)| *expression).collect();
    let genes = common_genes(&expressions)?.genes;
    let mut scores: Vec<GeneScore> =
        genes.iter().map(|gene| GeneScore { gene: gene.clone(), score: 0.0, rank: 0 }).collect();
    for (expression, centres) in sections {
        for (score, i) in scores.iter_mut().zip(morans_i(expression, centres, &genes)?) {
            score.score += i.unwrap_or(0.0) / sections.len() as f64;
        }
    }
    // Stable, and the names are sorted already.
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    scores.truncate(k);
    for (at, score) in scores.iter_mut().enumerate() {
        score.rank = at + 1;
    }
    Ok(scores)
}

/// Moran's I of these genes of a section, for choosing genes, after [`normalise_log1p`](crate::normalise_log1p), `None` for a gene that is constant.
///
/// Neighbours are those of [`SpotGraph::hexagonal`], which on a square array are the four. As squidpy's
/// `gr.spatial_neighbors(coord_type="grid", n_neighs=6)` and `gr.spatial_autocorr(mode="moran")`.
/// Expected of a gene without pattern: `-1 / (n - 1)`. With p-values: [`spatial_tests`](crate::spatial_tests).
///
/// # Errors
/// [`ExprError::MissingGenes`]; [`ExprError::Shape`] unless there is a centre for each observation; those of
/// [`SpotGraph::grid`].
pub fn morans_i<S: AsRef<str>>(
    expression: &Expression,
    centres: &[Point<Level0>],
    genes: &[S],
) -> Result<Vec<Option<f64>>, ExprError> {
    check_places(expression, centres.len())?;
    over_genes(expression, genes, &SpotGraph::hexagonal(centres)?, moran)
}

pub(crate) fn check_places(expression: &Expression, found: usize) -> Result<(), ExprError> {
    let expected = expression.counts().rows();
    if found == expected {
        return Ok(());
    }
    Err(ExprError::Shape { what: "centres of spots (one an observation)".to_owned(), expected, found })
}

/// `statistic(graph, deviations from the mean, sum of their squares)` of each gene's log-normalised values, in f64
/// throughout: an abundant gene varies little for its level. `None` for a gene that is constant.
pub(crate) fn over_genes<S: AsRef<str>>(
    expression: &Expression,
    genes: &[S],
    graph: &SpotGraph,
    statistic: impl Fn(&SpotGraph, &[f64], f64) -> f64 + Sync,
) -> Result<Vec<Option<f64>>, ExprError> {
    check_places(expression, graph.len())?;
    let n = graph.len();
    let columns = expression.gene_positions(genes)?;
    let factors = factors(expression.counts(), TARGET_SUM);
    let by_gene = expression.counts().transposed();
    let of_gene = |deviation: &mut Vec<f64>, &column: &usize| {
        let (rows, counts) = by_gene.row(column);
        deviation.clear();
        deviation.resize(n, 0.0);
        for (&row, &count) in rows.iter().zip(counts) {
            deviation[row as usize] = (f64::from(count) * factors[row as usize]).ln_1p();
        }
        let mean = deviation.iter().sum::<f64>() / n as f64;
        let (least, most) = deviation.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &v| (a.min(v), b.max(v)));
        if most - least <= ROUNDING * most {
            return None;
        }
        deviation.iter_mut().for_each(|value| *value -= mean);
        let squares = deviation.iter().map(|z| z * z).sum();
        Some(statistic(graph, deviation, squares))
    };
    Ok(columns.par_iter().map_init(Vec::new, of_gene).collect())
}

/// `n / S0 x sum of w z z' / sum of z^2`: Moran, Notes on continuous stochastic phenomena, Biometrika 37 (1950) 17.
pub(crate) fn moran(graph: &SpotGraph, deviation: &[f64], squares: f64) -> f64 {
    let mut product = 0.0;
    for (spot, z) in deviation.iter().enumerate() {
        let near = graph.neighbours(spot);
        if !near.is_empty() {
            product += z * near.iter().map(|&j| deviation[j as usize]).sum::<f64>() / near.len() as f64;
        }
    }
    deviation.len() as f64 / graph.connected() as f64 * product / squares
}
