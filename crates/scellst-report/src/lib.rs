//! Pictures of slides, cells and genes, as [`RgbImage`]s and PNG files.
//!
//! | function | picture |
//! |---|---|
//! | [`detection_overlay`] | the outlines of nuclei on the slide, or on a part of it |
//! | [`gene_map`] | a gene: measured spots beside predicted cells |
//! | [`loss_curve`] | training and validation loss by epoch |
//!
//! Pictures show results and compute none. Colours are a map from dark blue over green to yellow whose lightness rises
//! throughout, so that it reads in grey and by the colour-blind; what is no number is drawn grey.
//!
//! ```
//! let curve = scellst_report::loss_curve(&[(1, 0.9, 1.0), (2, 0.5, 0.7), (3, 0.4, 0.6)]);
//! assert!(curve.width() > 300);
//! ```
//!
//! Not a plotting library: three kinds of picture, no axes to configure.
#![forbid(unsafe_code)]

mod canvas;
mod colour;
mod curve;
mod error;
mod font;
mod gene_map;
mod overlay;
mod png;

pub use curve::loss_curve;
pub use error::ReportError;
pub use gene_map::{GeneMap, gene_map};
pub use image::RgbImage;
pub use overlay::{OverlayOptions, detection_overlay};
pub use png::save_png;
