//! From a slide and its spots to the expression of every cell: the stages, and the bundle that they leave.
//!
//! ```text
//! SectionSource --load--> LoadedSection --prepare--> PreparedSection --train--> Bundle --predict--> pred.h5ad
//!  (paths, mpp)            counts, slide               cells, bags,              model,               one row a cell
//!                                                      features, labels          provenance
//! ```
//!
//! Everything here is put together from the crates below it, each usable alone; this one decides the order, what
//! is streamed and what a model bundle holds. Bundles ([`Bundle`]) are one folder: predicting needs nothing else but
//! the slide.
//!
//! ```no_run
//! use candle_core::Device;
//! use scellst_pipeline::{Bundle, PredictOptions, Quiet, predict};
//! use scellst_slide::Slide;
//!
//! let bundle = Bundle::load("model".as_ref(), &Device::Cpu)?;
//! let slide = Slide::open("slide.tif")?;
//! let predicted = predict(&bundle, &slide, None, &PredictOptions::default(), &Quiet)?;
//! predicted.write_h5ad("pred.h5ad".as_ref(), &Quiet)?;
//! # Ok::<(), scellst_pipeline::PipelineError>(())
//! ```
// `ndarray::s!`, which the tests use, allows what is forbidden.
#![cfg_attr(not(test), forbid(unsafe_code))]

mod baseline;
mod baselines;
mod bundle;
mod cohort;
mod context;
mod device;
mod elsewhere;
mod error;
#[cfg(feature = "h5ad")]
mod evaluate;
mod evidence;
mod features;
#[cfg(feature = "h5ad")]
mod load;
mod near;
mod observe;
mod output;
mod predict;
mod prepare;
mod pretrain;
mod scale;
mod source;
mod spots;
pub mod study;
mod train;
mod uncertainty;

pub use baseline::{Scored, score_bags};
pub use baselines::{Baseline, BaselineSet, FittedBaseline, Grouped, Sight, patch_crop, predict_baselines};
pub use bundle::{Bundle, Manifest, SectionRecord, TrainingRecord};
pub use cohort::Cohort;
pub use context::ContextSpec;
pub use device::parse_device;
pub use elsewhere::{Elsewhere, read_features};
pub use error::PipelineError;
#[cfg(feature = "h5ad")]
pub use evaluate::{EvaluateOptions, Evaluation, Pooling, evaluate};
pub use evidence::{Beside, COLUMNS, Compared, EvidenceOptions, MeanPearson, Weighed};
pub use features::{embed_cells, embed_cells_normalised};
#[cfg(feature = "h5ad")]
pub use load::load_section;
pub use observe::{Observer, Quiet};
pub use predict::{PredictOptions, Predicted, predict};
pub use prepare::{LoadedSection, PrepareOptions, PreparedSection, prepare};
pub use pretrain::{PretrainOptions, crop_for, pretrain};
pub use scale::SlideScale;
pub use source::SectionSource;
pub use spots::predict_spots;
#[cfg(feature = "h5ad")]
pub use spots::write_spots_h5ad;
pub use train::{TrainOptions, TrainOutcome, Validation, train};
pub use uncertainty::{CellOutliers, ColourShift, OutlierCells, SlideColour, SpotIntervals, cell_colours};
