//! Synthetic sections with known expression of every cell.
//!
//! A section has an outline and regions of different mixtures of cell types; every type has its own looks (size,
//! shape, stain and texture of the nucleus) and its own markers. Some genes go with a trait of the single nucleus, so
//! that expression at the level of cells means more than the type. Spots of a capture array hold the sums of their
//! cells' counts. The picture is drawn through a stain model (Beer and Lambert) at any resolution.
//!
//! ```
//! use scellst_sim::{SimConfig, SyntheticSection};
//! use scellst_types::Size;
//!
//! let train = SimConfig { size_um: (300.0, 300.0), ..SimConfig::default() };
//! let test = SimConfig { seed: 2, ..train.clone() }; // other cells, the same programme
//! let section = SyntheticSection::generate(&train)?;
//! assert_eq!(section.size(), Size::new(600, 600));
//! assert_eq!(section.cell_counts().observations().len(), section.cells().len());
//! let picture = section.render(200, 200, Size::new(64, 64))?;
//! assert_eq!(picture.dimensions(), (64, 64));
//! let other = SyntheticSection::generate(&test)?;
//! assert_eq!(other.programme().genes(), section.programme().genes());
//! # Ok::<(), scellst_sim::SimError>(())
//! ```
//!
//! When not to use it: to judge how well a method does on real tissue. Nuclei here are easier to find and types easier
//! to tell apart than they are in a real slide; what it can tell is whether a pipeline works and whether what it
//! predicts for single cells is right, which real spots do not show.
#![forbid(unsafe_code)]

mod check;
mod config;
mod count;
mod error;
mod ground;
mod noise;
mod nucleus;
mod paint;
mod place;
mod programme;
mod random;
mod section;
pub mod study;

pub use config::{CellType, CountModel, GeneNumbers, Picture, Region, SimConfig, SpotArray};
pub use error::SimError;
pub use nucleus::Nucleus;
pub use programme::{Gene, GeneRole, Programme};
pub use section::{Progress, SyntheticSection, Written};
