//! Which bags train and which validate, and whether the one has seen the other.

use scellst_bags::{
    EncoderTraining, LeakageOptions, LeakageReport, Reach, SectionBags, Split, SplitBy, SplitPlan, check_leakage,
};
use scellst_embed::{Encoder, WeightsSpec};

use crate::{PipelineError, PrepareOptions, PreparedSection, Validation};

pub(super) fn section_bags(sections: &[PreparedSection]) -> Result<Vec<SectionBags>, PipelineError> {
    let of = |section: &PreparedSection| {
        let um: Vec<_> = section.spots.centres().iter().map(|&p| section.mpp.to_micron(p)).collect();
        let bags = SectionBags::new(section.id.clone(), &section.bags, &um, section.spots.reach_um())?;
        Ok(SectionBags { patient: section.patient.clone(), ..bags })
    };
    sections.iter().map(of).collect()
}

pub(super) fn one_split(plan: SplitPlan, sections: &[SectionBags]) -> Result<Split, PipelineError> {
    match plan.split(sections)?.as_slice() {
        [split] => Ok(split.clone()),
        folds => Err(PipelineError::Misuse(format!(
            "a plan of {} folds wants as many trainings: hold out a share",
            folds.len()
        ))),
    }
}

/// What an encoder was trained on: nothing without weights, these sections if it was trained here, else nobody says.
fn seen_by(weights: Option<&WeightsSpec>) -> Option<EncoderTraining> {
    let Some(weights) = weights else { return Some(EncoderTraining::default()) };
    let sections = weights.moco.as_ref()?.sections.iter().map(|s| s.name.clone()).collect();
    Some(EncoderTraining { sections, ..EncoderTraining::default() })
}

/// Whether what validates was seen in training, as far as sections say.
pub(super) fn leakage(
    sections: &[SectionBags],
    split: &Split,
    prepared: &PrepareOptions,
    encoder: &dyn Encoder,
    validation: Validation,
) -> Result<LeakageReport, PipelineError> {
    let reach = match prepared.reach_um() {
        0.0 => Reach::Spot,
        um => Reach::CellContext(um),
    };
    let encoder = seen_by(encoder.spec().weights.as_ref());
    // Spots at random or in blocks are of the same patients by intent.
    let patients_apart = match validation {
        Validation::LastSections(_) => true,
        Validation::Random(_) => false,
        Validation::Plan(plan) => matches!(plan.by, SplitBy::Patient | SplitBy::Section),
    };
    Ok(check_leakage(sections, split, &LeakageOptions { reach, patients_apart, encoder })?)
}
