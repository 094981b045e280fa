//! What a model is worth on bags that trained nothing.

use ndarray::{Array2, ArrayView2, Axis};
use scellst_bags::SplitBy;
use scellst_model::Ridge;

use crate::{Baseline, CellOutliers, PipelineError, PreparedSection, Scored, SpotIntervals, Validation, score_bags};

/// Bags that trained or that validate: mean features of their cells, and their log-normalised expression.
pub(super) struct Spots {
    pub(super) features: Array2<f32>,
    pub(super) measured: Array2<f32>,
}

/// Model and baselines on held-out bags, the model first; no score if they are too few to correlate. All in
/// log-normalised expression; `dim` of the features are a cell's own.
pub(super) fn compare(
    seen: &Spots,
    held: &Spots,
    model: ArrayView2<'_, f32>,
    dim: usize,
    genes: &[String],
    variance: &[f64],
) -> Result<(Option<Ridge>, Vec<Scored>), PipelineError> {
    if seen.measured.nrows() < 3 {
        return Ok((None, Vec::new()));
    }
    let ridge = Ridge::fit(seen.features.view(), seen.measured.view(), &Ridge::penalties())?;
    if held.measured.nrows() < 3 {
        return Ok((Some(ridge), Vec::new()));
    }
    let score =
        |name: &str, predicted: ArrayView2<'_, f32>| score_bags(name, predicted, held.measured.view(), genes, variance);
    let with_context = seen.features.ncols() > dim;
    let name = if with_context { "ridge on spot means with context" } else { "ridge on spot means" };
    let mut scores = vec![score("model", model)?, score(name, ridge.predict(held.features.view())?.view())?];
    let [own_seen, own_held] = [seen, held].map(|spots| spots.features.slice_axis(Axis(1), (..dim).into()));
    for baseline in Baseline::ALL {
        // The mean predicts the same for every spot; the ridge is there already unless it saw more than the spot.
        if baseline == Baseline::Mean || (baseline == Baseline::Ridge && !with_context) {
            continue;
        }
        let fitted = baseline.fit(own_seen, seen.measured.view())?;
        scores.push(score(&baseline.to_string(), fitted.predict(own_held)?.view())?);
    }
    Ok((Some(ridge), scores))
}

/// What tells cells that look unlike those in the bags of the training sections, by their own features as the encoder
/// gave them; nothing from too few cells.
pub(super) fn outliers(
    sections: &[PreparedSection],
    dim: usize,
    seed: u64,
) -> Result<Option<CellOutliers>, PipelineError> {
    const FEWEST_CELLS: usize = 200;
    let cells = sections.iter().map(|section| section.features.nrows()).sum();
    if cells < FEWEST_CELLS {
        return Ok(None);
    }
    let mut own = Array2::zeros((cells, dim));
    let mut start = 0;
    for section in sections {
        let end = start + section.features.nrows();
        let mut part = own.slice_axis_mut(Axis(0), (start..end).into());
        part.assign(&section.features.slice_axis(Axis(1), (..dim).into()));
        if let Some(scale) = &section.scale {
            scale.undo(part);
        }
        start = end;
    }
    CellOutliers::fit(own.view(), seed).map(Some)
}

/// Intervals from log-normalised predictions and measurements of the validation bags; nothing from too few.
pub(super) fn intervals(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    section_of: &[u32],
    validation: Validation,
) -> Result<Option<SpotIntervals>, PipelineError> {
    const FEWEST_BAGS: usize = 20;
    if predicted.nrows() < FEWEST_BAGS {
        return Ok(None);
    }
    let held = match validation {
        Validation::LastSections(_) => "spots of held-out sections",
        Validation::Random(_) => "spots at random of the training sections, which flatters",
        Validation::Plan(plan) => match plan.by {
            SplitBy::Random => "spots at random of the training sections, which flatters",
            SplitBy::Block { .. } => "spots of held-out blocks of the training sections",
            SplitBy::Patient => "spots of held-out patients",
            SplitBy::Section => "spots of held-out sections",
        },
    };
    let on = format!("{} {held}; the same that chose the epoch", predicted.nrows());
    SpotIntervals::fit(predicted, measured, genes, Some(section_of), &on).map(Some)
}
