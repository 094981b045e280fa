//! Whole-slide images: pyramids, regions and tissue, in pure Rust.
//!
//! ```
//! use scellst_slide::{PyramidOptions, PyramidWriter, RgbImage, Slide};
//! use scellst_types::{Level0, MicronsPerPixel, Point, Size};
//!
//! # let folder = std::env::temp_dir().join(format!("scellst-slide-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = folder.join("small.tif");
//! let image = RgbImage::from_fn(1000, 700, |x, y| image::Rgb([x as u8, y as u8, 128]));
//! let options = PyramidOptions { mpp: Some(MicronsPerPixel::square(0.5)?), ..PyramidOptions::default() };
//! PyramidWriter::write_image(&path, &image, &options)?;
//!
//! let slide = Slide::open(&path)?;
//! assert_eq!(slide.size(), Size::new(1000, 700));
//! let level = slide.level_for_downsample(2.0);
//! assert_eq!(level.size(), Size::new(500, 350));
//! let region = level.region_at(Point::<Level0>::new(100.0, 200.0), Size::new(64, 64));
//! let pixels = slide.read(&region)?;
//! assert_eq!(pixels.dimensions(), (64, 64));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Read: TIFF and BigTIFF of either byte order, tiled or in strips, interleaved or planar, with LZW,
//! deflate, Zstandard, PackBits, JPEG, JPEG 2000 or WebP; Aperio SVS; OME-TIFF; Hamamatsu NDPI; Philips
//! TIFF; Leica SCN; Ventana BIF where tiles do not overlap; plain JPEG and PNG as slides of one level;
//! with the cargo feature `dicom`, DICOM whole-slide images; with `openslide`, what the system's
//! OpenSlide reads besides. Pixels are 8-bit RGB (8-bit grey and palettes are turned into it);
//! everything else is refused by name. `docs/formats.md` of the workspace has the table, and on which
//! files each row was tested.
//!
//! Besides: [`convert`] and [`PyramidWriter`] write pyramids, [`TissueMask`] and [`SlideQc`] tell tissue
//! from glass, blur, ink and folds.
//!
//! Files are not trusted: what they may ask for is in [`Limits`], and a broken one gives a
//! [`SlideError`] that says where. Orientation tags and colour profiles are not applied.
//!
//! When not to use it: for fluorescence, for pixels of more than 8 bits, or to show slides on a screen.
#![forbid(unsafe_code)]

mod associated;
mod cache;
mod codec;
mod convert;
#[cfg(feature = "dicom")]
mod dicom;
#[cfg(not(feature = "dicom"))]
#[path = "dicom/absent.rs"]
mod dicom;
mod doubt;
mod error;
mod foreign;
mod format;
mod level;
mod mpp;
mod open;
#[cfg(feature = "openslide")]
mod openslide;
mod options;
mod plain;
mod pyramid;
mod qc;
mod reader;
mod region;
mod resample;
mod shrink;
mod slide;
mod source;
mod thumbnail;
mod tiff;
mod tissue;
mod whole;

pub use image::RgbImage;

pub use associated::AssociatedImage;
pub use convert::{ConvertOptions, convert};
pub use doubt::{MppDoubt, MppEvidence};
pub use error::SlideError;
pub use format::{Compression, Format};
pub use level::{Level, LevelRegion};
pub use mpp::{Mpp, MppSource};
#[cfg(feature = "openslide")]
pub use options::UseOpenSlide;
pub use options::{Limits, OpenOptions};
pub use pyramid::{Chroma, PyramidCompression, PyramidOptions, PyramidWriter};
pub use qc::{QcConfig, QcFlag, QcFlags, QcSummary, SlideQc};
pub use resample::{Window, resample};
pub use slide::Slide;
pub use tissue::{TissueConfig, TissueMask, otsu};
