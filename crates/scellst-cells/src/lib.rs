//! Nuclei in H&E slides: detection, everyone's segmentations, and crops.
//!
//! * [`detect`] finds nuclei by colour deconvolution, threshold and watershed, in um, tile by tile, with results that do
//!   not depend on the tiling.
//! * [`Cells`] holds them column by column; [`read_cells`] reads QuPath's, CellViT's, HEST's, Xenium's and others' (each
//!   [`Format`] says what is kept), [`write_geojson`], [`write_parquet`] and [`write_csv`] hand them on.
//! * [`StainTarget`] gives every slide the stain of one, by [`StainNormaliser`] (Macenko, Vahadane) or
//!   [`ColourNormaliser`] (Reinhard).
//! * [`measure`] gives every cell its size, shape, stain, texture and neighbourhood, as scikit-image defines them.
//! * [`CropStream`] cuts a small picture around every cell, each block of the slide read once; [`NpyCropWriter`]
//!   keeps them for numpy.
//!
//! ```
//! use scellst_cells::{DetectConfig, detect_in_image};
//! use scellst_types::MicronsPerPixel;
//!
//! // Two dark blue discs of 8 um on pale pink.
//! let inside = |x: f64, y: f64, cx: f64| (x - cx).hypot(y - 40.0) < 16.0;
//! let image = image::RgbImage::from_fn(160, 80, |x, y| {
//!     let (x, y) = (f64::from(x), f64::from(y));
//!     image::Rgb(if inside(x, y, 40.0) || inside(x, y, 110.0) { [80, 60, 150] } else { [230, 200, 220] })
//! });
//! let cells = detect_in_image(&image, MicronsPerPixel::square(0.25)?, &DetectConfig::default())?;
//! assert_eq!(cells.len(), 2);
//! assert!((cells.centroids()[0].x - 40.5).abs() < 1.0);
//! assert!((cells.area_um2()[0] - 50.0).abs() < 8.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Coordinates are level-0 pixels throughout, a pixel's centre at +0.5 (see `scellst-types`).
//!
//! When not to use it: for stains without haematoxylin, for cell bodies (only nuclei are outlined), or where a learnt
//! segmentation such as CellViT's is at hand: import that.
#![forbid(unsafe_code)]

mod cells;
mod crops;
mod detect;
mod error;
mod export;
mod import;
mod measurement;
mod morphometry;
mod place;
mod plane;
mod stain;

pub use cells::{Cell, Cells};
pub use crops::{Border, CropBlock, CropSpec, CropStream, crops};
pub use detect::{DetectConfig, Progress, detect, detect_in_image, hed};
pub use error::CellsError;
pub use export::{CsvWriter, GeoJsonWriter, NpyCropWriter, write_csv, write_geojson};
#[cfg(feature = "parquet")]
pub use export::{ParquetWriter, write_parquet};
pub use import::{Format, ImportOptions, Imported, OutlineOf, Placement, cells_from_labels, read_cells, read_geojson};
pub use measurement::{Measure, Measurements};
pub use morphometry::{MeasureConfig, RegionShape, Texture, measure, measure_outlines};
pub use stain::{
    ColourNormaliser, ColourProfile, MacenkoConfig, Normaliser, StainMethod, StainNormaliser, StainProfile,
    StainTarget, VahadaneConfig,
};
