//! Gene expression of every single cell from an H&E slide, learnt from spatial-transcriptomics spots.
//!
//! A thin facade: every module is a crate of its own, to be used alone where only that is wanted.
//!
//! | module | what |
//! |---|---|
//! | [`types`] | points, rectangles, micrometres per pixel, ids |
//! | [`slide`] | whole-slide images: pyramids, regions, tissue |
//! | [`cells`] | nuclei: detection, GeoJSON, crops |
//! | [`expr`] | counts: filters, normalisation, gene selection |
//! | [`bags`] | cells to spots, splits |
//! | [`embed`] | encoders of cell images |
//! | [`kernels`] | candle operations over bags |
//! | [`model`] | the multiple-instance model, its training, ridge |
//! | [`metrics`] | correlation and error per gene |
//! | [`pipeline`] | all of it in a row; the model bundle |
//! | [`sim`] | synthetic sections with known truth |
//! | [`report`] | pictures |
//! | `h5` | h5ad in and out (feature `h5ad`, on by default) |
//!
//! ```no_run
//! use scellst::pipeline::{Bundle, PredictOptions, Quiet, predict};
//! use scellst::slide::Slide;
//!
//! let bundle = Bundle::load("model".as_ref(), &scellst::pipeline::parse_device("cpu")?)?;
//! let slide = Slide::open("slide.tif")?;
//! let predicted = predict(&bundle, &slide, None, &PredictOptions::default(), &Quiet)?;
//! let first_cells = predicted.rows(0..10, &Quiet)?; // (10, genes), log-normalised expression
//! # Ok::<(), scellst::pipeline::PipelineError>(())
//! ```
#![forbid(unsafe_code)]

pub use scellst_bags as bags;
pub use scellst_cells as cells;
pub use scellst_embed as embed;
pub use scellst_expr as expr;
#[cfg(feature = "h5ad")]
pub use scellst_h5 as h5;
pub use scellst_kernels as kernels;
pub use scellst_metrics as metrics;
pub use scellst_model as model;
pub use scellst_pipeline as pipeline;
pub use scellst_report as report;
pub use scellst_sim as sim;
pub use scellst_slide as slide;
pub use scellst_types as types;
