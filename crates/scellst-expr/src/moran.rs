use rayon::prelude::*;
use scellst_types::{Level0, Point};

use crate::gene_list::common_genes;
use crate::normalise::{TARGET_SUM, factors};
use crate::{ExprError, Expression, GeneScore};

/// Neighbours that a spot of a hexagonal array has.
const NEIGHBOURS: usize = 6;
/// Neighbours farther than this many median distances are none: at the rim, at holes, on square arrays.
const REACH: f64 = 1.3;

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

/// Moran's I of these genes after [`normalise_log1p`](crate::normalise_log1p), `None` for a gene that is constant.
///
/// Neighbours are a spot's six nearest as far as they lie within 1.3 times the median of all those distances; weights
/// of a spot's neighbours sum up to 1. As squidpy's `gr.spatial_neighbors(coord_type="grid", n_neighs=6)` and
/// `gr.spatial_autocorr(mode="moran")`. Expected of a gene without pattern: `-1 / (n - 1)`.
///
/// # Errors
/// [`ExprError::MissingGenes`]; [`ExprError::Shape`] unless there is a centre for each observation;
/// [`ExprError::Setting`] for a centre that is not finite; [`ExprError::NothingLeft`] if no spot has a neighbour.
pub fn morans_i<S: AsRef<str>>(
    expression: &Expression,
    centres: &[Point<Level0>],
    genes: &[S],
) -> Result<Vec<Option<f64>>, ExprError> {
    let n = expression.counts().rows();
    if centres.len() != n {
        return Err(ExprError::Shape {
            what: "centres of spots (one an observation)".to_owned(),
            expected: n,
            found: centres.len(),
        });
    }
    if let Some(at) = centres.iter().position(|centre| !centre.is_finite()) {
        return Err(ExprError::Setting {
            setting: "spot centre",
            expected: "finite level-0 pixels",
            found: format!("{:?} at spot {at}", centres[at]),
        });
    }
    let graph = neighbours(centres);
    let with_neighbours = graph.iter().filter(|near| !near.is_empty()).count();
    if with_neighbours == 0 {
        return Err(ExprError::NothingLeft {
            after: "looking for neighbouring spots".to_owned(),
            detail: format!("none of {n} spots has a neighbour; Moran's I needs an array of spots"),
        });
    }
    let columns = expression.gene_positions(genes)?;
    let factors = factors(expression.counts(), TARGET_SUM);
    let by_gene = expression.counts().transposed();
    let moran = |&column: &usize| {
        let (rows, values) = by_gene.row(column);
        // In f64 throughout: an abundant gene varies little for its level.
        let log = |(&row, &count): (&u32, &f32)| (f64::from(count) * factors[row as usize]).ln_1p();
        let logs: Vec<f64> = rows.iter().zip(values).map(log).collect();
        let mean = logs.iter().sum::<f64>() / n as f64;
        let mut deviation = vec![-mean; n];
        for (&row, log) in rows.iter().zip(logs) {
            deviation[row as usize] = log - mean;
        }
        if deviation.windows(2).all(|pair| pair[0] == pair[1]) {
            return None;
        }
        let lagged = |near: &Vec<u32>| near.iter().map(|&j| deviation[j as usize]).sum::<f64>() / near.len() as f64;
        let product: f64 =
            graph.iter().zip(&deviation).filter(|(near, _)| !near.is_empty()).map(|(near, z)| z * lagged(near)).sum();
        let squares: f64 = deviation.iter().map(|z| z * z).sum();
        Some(n as f64 / with_neighbours as f64 * product / squares)
    };
    Ok(columns.par_iter().map(moran).collect())
}

/// For each place those of its six nearest others that are near enough; of equally near ones the first.
fn neighbours(centres: &[Point<Level0>]) -> Vec<Vec<u32>> {
    let mut order: Vec<usize> = (0..centres.len()).collect();
    order.sort_by(|&a, &b| centres[a].x.total_cmp(&centres[b].x));
    let nearest: Vec<(usize, Vec<(f64, u32)>)> =
        (0..order.len()).into_par_iter().map(|at| (order[at], nearest(centres, &order, at))).collect();
    let mut distances: Vec<f64> = nearest.iter().flat_map(|(_, near)| near.iter().map(|(d, _)| *d)).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let middle = distances.len() / 2;
    let median = match distances.len() {
        0 => 0.0,
        n if n % 2 == 1 => distances[middle],
        _ => (distances[middle - 1] + distances[middle]) / 2.0,
    };
    let mut graph = vec![Vec::new(); centres.len()];
    for (place, near) in nearest {
        graph[place] = near.into_iter().filter(|(d, _)| *d < REACH * median).map(|(_, other)| other).collect();
    }
    graph
}

/// The nearest others of the place at `at` in the order of x: walks left and right until x alone is too far.
fn nearest(centres: &[Point<Level0>], order: &[usize], at: usize) -> Vec<(f64, u32)> {
    let place = centres[order[at]];
    let mut best: Vec<(f64, u32)> = Vec::with_capacity(NEIGHBOURS + 1);
    let mut visit = |other: usize| {
        let full = best.len() == NEIGHBOURS;
        if full && (centres[other].x - place.x).abs() > best[NEIGHBOURS - 1].0 {
            return false;
        }
        let candidate = (place.distance(centres[other]), other as u32);
        let behind = best.partition_point(|known| *known < candidate);
        if behind < NEIGHBOURS {
            best.truncate(NEIGHBOURS - usize::from(full));
            best.insert(behind, candidate);
        }
        true
    };
    let (mut left, mut right) = (order[..at].iter().rev(), order[at + 1..].iter());
    let (mut go_left, mut go_right) = (true, true);
    while go_left || go_right {
        go_left = go_left && left.next().is_some_and(|&other| visit(other));
        go_right = go_right && right.next().is_some_and(|&other| visit(other));
    }
    best
}
