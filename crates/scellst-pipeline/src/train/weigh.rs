//! What a model is worth on bags that trained nothing.

use ndarray::{Array2, ArrayView2, Axis};
use scellst_bags::SplitBy;
use scellst_cells::CropSpec;

use crate::baselines::SpotFeatures;
use crate::{
    Baseline, BaselineSet, CellOutliers, PipelineError, PreparedSection, Scored, SlideColour, SpotIntervals,
    Validation, score_bags,
};

/// Bags that trained or that validate: what there is to see of them, and their log-normalised expression.
pub(super) struct Spots {
    pub(super) features: SpotFeatures,
    pub(super) measured: Array2<f32>,
}

/// Patches of all sections' bags, if every section has them.
pub(super) fn patches(sections: &[PreparedSection]) -> Result<Option<Array2<f32>>, PipelineError> {
    let all: Option<Vec<Array2<f32>>> = sections.iter().map(|section| section.patches.clone()).collect();
    all.as_deref().map(super::stacked).transpose()
}

/// Baselines from the bags that trained, and model and baselines on held-out bags, the model first; no score if they are
/// too few to correlate. All in log-normalised expression.
pub(super) fn compare(
    seen: &Spots,
    held: &Spots,
    model: ArrayView2<'_, f32>,
    patch: Option<&CropSpec>,
    genes: &[String],
    variance: &[f64],
) -> Result<(Option<BaselineSet>, Vec<Scored>), PipelineError> {
    let Some(baselines) = BaselineSet::fit(&seen.features, seen.measured.view(), patch)? else {
        return Ok((None, Vec::new()));
    };
    if held.measured.nrows() < 3 {
        return Ok((Some(baselines), Vec::new()));
    }
    let score =
        |name: &str, predicted: ArrayView2<'_, f32>| score_bags(name, predicted, held.measured.view(), genes, variance);
    let mut scores = vec![score("model", model)?];
    for (name, predicted) in baselines.predict(&held.features)? {
        // The mean predicts the same for every spot: it correlates with nothing.
        if name != Baseline::Mean.to_string() {
            scores.push(score(&name, predicted.view())?);
        }
    }
    Ok((Some(baselines), scores))
}

/// Cells that it takes to know what is usual.
const FEWEST_CELLS: usize = 200;

/// What tells slides coloured otherwise than the training sections; nothing from too few cells.
pub(super) fn colour(sections: &[PreparedSection], seed: u64) -> Result<Option<SlideColour>, PipelineError> {
    let colours: Vec<_> = sections.iter().map(|section| section.colours.view()).collect();
    let enough = colours.iter().map(|part| part.nrows()).sum::<usize>() >= FEWEST_CELLS;
    enough.then(|| SlideColour::fit(&colours, seed)).transpose()
}

/// What tells cells that look unlike those in the bags of the training sections, by their own features as the encoder
/// gave them; nothing from too few cells.
pub(super) fn outliers(
    sections: &[PreparedSection],
    dim: usize,
    seed: u64,
) -> Result<Option<CellOutliers>, PipelineError> {
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
