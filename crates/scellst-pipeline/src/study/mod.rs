//! The simulation study: models that see made spots only, scored at single cells.
//!
//! The data are those of [`scellst_sim::study`]; this trains and scores. A [`StudyCase`] is one training, its
//! [`StudyScore`]s are those at spots and at cells, with bootstrap intervals.

mod case;
mod genes;
mod learn;
mod table;

pub use case::{Learner, Level, StudyCase, StudyLoss};
pub use genes::StudyGenes;
pub use learn::{StudyOptions, StudyScore, run_case};
pub use table::{SeedMean, over_seeds, study_csv};
