//! Pictures of slides, cells and genes, as PNG, and a run as one HTML file.
//!
//! * [`detection_overlay`]: cells over their slide;
//! * [`gene_map`]: measured spots beside predicted cells;
//! * [`spot_map`]: cells a spot, with empty and huge spots marked;
//! * [`loss_curve`]: training and validation loss;
//! * [`gene_panels`]: the same in pieces, with predicted spots;
//! * [`save_png`]: writes any of them, whole or not at all;
//! * [`Report`]: all of a run as one HTML file.
//!
//! Results are read here, never computed: no metric, no normalisation. Colours can be told apart by the colour-blind.
//!
//! ```
//! use scellst_report::{GeneMap, gene_map};
//! use scellst_types::Point;
//!
//! let spots = [Point::new(100.0, 100.0), Point::new(300.0, 100.0)];
//! let cells = [Point::new(90.0, 110.0), Point::new(110.0, 95.0), Point::new(310.0, 100.0)];
//! let picture = gene_map(&GeneMap {
//!     title: "ERBB2".to_owned(),
//!     background: None,
//!     spots: &spots,
//!     spot_radius_px: 50.0,
//!     spot_values: &[1.0, 3.0],
//!     cells: &cells,
//!     cell_values: &[0.9, 1.2, 2.8],
//! })?;
//! assert!(picture.width() > 800);
//! # Ok::<(), scellst_report::ReportError>(())
//! ```
//!
//! When not to use it: for figures of a paper (use matplotlib or scanpy on the h5ad), for looking around in a slide
//! (use QuPath on the GeoJSON).
#![forbid(unsafe_code)]

mod canvas;
mod colour;
mod error;
mod font;
mod gene_map;
mod html;
mod loss;
mod overlay;
mod save;
mod spot_map;

pub use colour::{Rgb, class_colour, colour_of};
pub use error::ReportError;
pub use gene_map::{GeneMap, MapOptions, gene_map, gene_map_with, gene_panels};
pub use html::{Calibration, Ceilings, Gallery, GeneTable, MapRow, MeanPearson, Method, Number, Picture, Report};
pub use image::RgbImage;
pub use loss::loss_curve;
pub use overlay::{OverlayOptions, detection_overlay};
pub use save::save_png;
pub use spot_map::{SpotMap, spot_map};
