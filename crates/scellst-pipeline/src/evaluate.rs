use std::path::Path;

use ndarray::Array2;
use scellst_bags::{Bags, PointGrid, assign_to};
use scellst_expr::Expression;
use scellst_h5::{CountsOptions, MatrixReader, read_counts_with};
use scellst_metrics::GeneScores;
use scellst_types::{Micron, MicronsPerPixel, Point};

use crate::baseline::summarise;
use crate::load::angle;
use crate::prepare::spot_areas;
use crate::{Compared, Grouped, PipelineError, Scored};

/// What a prediction is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pooling {
    /// The mean of the cells in each spot against the spot's log-normalised counts.
    Spots {
        /// Of a spot, um; else the truth's own.
        diameter_um: Option<f64>,
    },
    /// Each cell against the truth's nearest cell, each used once.
    Cells {
        /// No farther than this, um.
        within_um: f64,
    },
}

/// How to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluateOptions {
    /// Spots or cells.
    pub pooling: Pooling,
    /// um per level-0 pixel; else what the prediction was made with.
    pub mpp: Option<MicronsPerPixel>,
}

/// How well a prediction does.
pub struct Evaluation {
    /// Per gene, in the order of the prediction's.
    pub scores: GeneScores,
    /// Mean Pearson over the most variable genes in training.
    pub summary: Scored,
    /// What was compared: gather evidence with [`Compared::weigh`].
    pub compared: Compared,
    /// The predicted cells by spot (or cell) of the truth, for [`predict_baselines`](crate::predict_baselines).
    pub grouped: Grouped,
    /// Genes of the prediction that the truth lacks.
    pub missing_genes: Vec<String>,
    /// Cells predicted.
    pub cells: usize,
    /// Spots or cells of the truth.
    pub truths: usize,
}

/// Holds a prediction (h5ad with `obsm['spatial']` in level-0 pixels) against a truth of the same slide, in any format
/// that [`scellst_h5::read_counts`] knows.
///
/// The truth's are raw counts: they are normalised over all of its genes to 10,000 and log1p is taken. Predictions
/// are read by blocks.
///
/// # Errors
/// [`PipelineError::H5`] for the files, [`PipelineError::Misuse`] if they share no gene or nothing lies in a spot,
/// [`PipelineError::Metrics`] for fewer than three spots.
pub fn evaluate(pred: &Path, truth: &Path, options: &EvaluateOptions) -> Result<Evaluation, PipelineError> {
    let mut reading = CountsOptions::default();
    reading.in_tissue_only = true;
    let measured = read_counts_with(truth, &reading)?;
    let names = MatrixReader::open(pred, None)?.var_names().to_vec();
    let known: std::collections::HashSet<&String> = measured.expression.genes().iter().collect();
    let (genes, missing_genes): (Vec<String>, Vec<String>) = names.into_iter().partition(|g| known.contains(g));
    if genes.is_empty() {
        let (p, t) = (pred.display(), truth.display());
        return Err(PipelineError::Misuse(format!(
            "{p} and {t} have no gene in common: are the names of the same kind?"
        )));
    }
    let reader = MatrixReader::open(pred, Some(&genes))?;
    let places = reader.read_spatial()?.ok_or_else(|| PipelineError::Missing {
        what: format!("obsm['spatial'] of {}", pred.display()),
        looked_for: "the places of the predicted cells".into(),
    })?;
    let mpp = match options.mpp {
        Some(mpp) => mpp,
        None => stored_mpp(pred)?,
    };
    let um = |p: &Point<_>| mpp.to_micron(*p);
    let cells: Vec<Point<Micron>> = places.iter().map(um).collect();
    let centres = measured.require_spatial()?;
    let spots: Vec<Point<Micron>> = centres.iter().map(um).collect();
    let bags = match options.pooling {
        Pooling::Spots { diameter_um } => {
            let diameter = match diameter_um {
                Some(um) => um,
                None => measured.require_spot_size_um(mpp.mean())?,
            };
            let turn = measured.array.as_deref().and_then(|array| angle(array, measured.spatial.as_deref()?));
            let shape = measured.spots.map(|size| size.shape).unwrap_or_default();
            let areas = spot_areas(&spots, shape, diameter, turn.unwrap_or(0.0))?;
            assign_to(&cells, &areas)?.0
        }
        Pooling::Cells { within_um } => pairs(&cells, &spots, within_um)?,
    };
    let predicted = pooled(&reader, &bags, genes.len())?;
    let rows: Vec<usize> = bags.spots().iter().map(|&s| s as usize).collect();
    let truth: Expression = measured.expression.select_observations(&rows)?;
    let log_normalised = truth.log_normalised(&genes)?;
    let scores = GeneScores::compute(predicted.view(), log_normalised.view(), &genes)?;
    let variance = match reader.read_var()?.numeric.get("train_variance") {
        Some(v) => v.clone(),
        // A prediction made elsewhere: rank by the truth's own variance.
        None => log_normalised.columns().into_iter().map(|c| f64::from(c.var(0.0))).collect(),
    };
    let summary = summarise("prediction", &scores, &variance)?;
    let compared = Compared {
        predicted,
        measured: log_normalised,
        counts: truth.dense_counts(&genes)?,
        totals: truth.counts_per_observation(),
        places_um: rows.iter().map(|&row| [spots[row].x, spots[row].y]).collect(),
        truth_rows: rows,
        cells: bags.iter().map(|(_, cells)| cells.len()).collect(),
        variance,
        genes,
    };
    let (found, truths) = (cells.len(), spots.len());
    let centres = compared.truth_rows.iter().map(|&row| centres[row]).collect();
    let grouped = Grouped { cells: places, bags, centres };
    Ok(Evaluation { scores, summary, compared, grouped, missing_genes, cells: found, truths })
}

fn stored_mpp(pred: &Path) -> Result<MicronsPerPixel, PipelineError> {
    let read = |name: &str| scellst_h5::read_uns_number(pred, &["scellst", name]);
    match (read("mpp_x")?, read("mpp_y")?) {
        (Some(x), Some(y)) => Ok(MicronsPerPixel::new(x, y)?),
        _ => Err(PipelineError::Misuse(format!("{} does not say its mpp: give it (--mpp)", pred.display()))),
    }
}

/// Mean prediction of each bag's cells, read by blocks: `(bags, genes)`.
fn pooled(reader: &MatrixReader, bags: &Bags, genes: usize) -> Result<Array2<f32>, PipelineError> {
    const NONE: u32 = u32::MAX;
    let rows = reader.obs_names().len();
    let mut bag_of = vec![NONE; rows];
    for (bag, (_, cells)) in (0..).zip(bags.iter()) {
        cells.iter().for_each(|&c| bag_of[c as usize] = bag);
    }
    let mut sums = Array2::<f64>::zeros((bags.len(), genes));
    let step = reader.block_rows().max(1);
    for start in (0..rows).step_by(step) {
        let end = (start + step).min(rows);
        if bag_of[start..end].iter().all(|&b| b == NONE) {
            continue;
        }
        for (row, &bag) in reader.read_rows(start..end)?.rows().into_iter().zip(&bag_of[start..end]) {
            if bag != NONE {
                sums.row_mut(bag as usize).zip_mut_with(&row, |s, &v| *s += f64::from(v));
            }
        }
    }
    for (mut row, (_, cells)) in sums.rows_mut().into_iter().zip(bags.iter()) {
        row /= cells.len() as f64;
    }
    Ok(sums.mapv(|v| v as f32))
}

/// Pairs of predicted and true cells, nearest first, each in one pair: bags of one cell.
fn pairs(cells: &[Point<Micron>], truths: &[Point<Micron>], within_um: f64) -> Result<Bags, PipelineError> {
    let grid = PointGrid::new(cells, within_um)?;
    let mut found: Vec<(f64, u32, u32)> = Vec::new();
    for (truth, &centre) in (0..).zip(truths) {
        grid.for_each_within(centre, within_um, |cell, _| {
            found.push((cells[cell as usize].distance(centre), truth, cell));
        });
    }
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut cell_used, mut of_truth) = (vec![false; cells.len()], vec![None; truths.len()]);
    for (_, truth, cell) in found {
        if !cell_used[cell as usize] && of_truth[truth as usize].is_none() {
            cell_used[cell as usize] = true;
            of_truth[truth as usize] = Some(cell);
        }
    }
    let (spots, cells): (Vec<u32>, Vec<u32>) = (0..).zip(of_truth).filter_map(|(t, c)| Some((t, c?))).unzip();
    if spots.is_empty() {
        return Err(PipelineError::Misuse(format!("no predicted cell lies within {within_um} um of a true one")));
    }
    Ok(Bags::new((0..=spots.len() as u32).collect(), cells, spots)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_one_to_one_and_nearest_first() {
        let at = |x: f64| Point::<Micron>::new(x, 0.0);
        let cells = [at(0.0), at(1.2), at(50.0)];
        let truths = [at(1.0), at(2.0), at(20.0)];
        let bags = pairs(&cells, &truths, 3.0).unwrap();
        // Cell 1 is nearest to truth 0; truth 1 then gets cell 0, two away; truth 2 has none.
        assert_eq!((bags.spots(), bags.cells()), (&[0, 1][..], &[1, 0][..]));
        assert!(pairs(&cells, &[at(100.0)], 3.0).is_err());
    }
}
