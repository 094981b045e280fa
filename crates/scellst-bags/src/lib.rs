//! Bags of cells for spots: spatial assignment, CSR bags and their quality control.
//!
//! * [`assign`] puts cells into the capture discs that hold them and reports how that went ([`Qc`]); [`assign_to`] does
//!   so for discs and squares of any sizes ([`SpotAreas`]), and [`overlap_weights`] says how much of each nucleus lies
//!   in its spot;
//! * [`Bags`] is what models train on;
//! * [`Context`] gives the mean and spread of the features of the cells around a cell or a spot; [`neighbours`] and
//!   [`PointGrid`] find those cells;
//! * [`SplitPlan`] says which bags train and which test: at random, by section, patient or block, in folds or once;
//!   [`SplitFile`] writes that down; [`check_leakage`] looks whether training has seen what tests.
//!
//! All coordinates are micrometres on the slide.
//!
//! Not a general spatial index: points on a plane at a known scale only (use `rstar` or `kiddo` for others).
//!
//! ```
//! use scellst_bags::assign;
//! use scellst_types::Point;
//!
//! let cells = [Point::new(10.0, 0.0), Point::new(95.0, 0.0), Point::new(500.0, 0.0), Point::new(-5.0, 3.0)];
//! let spots = [Point::new(0.0, 0.0), Point::new(50.0, 80.0), Point::new(100.0, 0.0)];
//! let (bags, qc) = assign(&cells, &spots, 55.0)?;
//! assert_eq!((bags.spot(0), bags.bag(0)), (0, &[0, 3][..]));
//! assert_eq!((bags.spot(1), bags.bag(1)), (2, &[1][..]));
//! assert_eq!((qc.empty_spots, qc.cells_outside), (1, 1));
//! # Ok::<(), scellst_bags::BagsError>(())
//! ```
#![forbid(unsafe_code)]

mod area;
mod assign;
mod bags;
mod context;
mod error;
mod grid;
mod leakage;
mod neighbours;
mod overlap;
mod plan;
mod qc;
mod split;
mod spots;
mod tiles;

pub use assign::{assign, assign_to};
pub use bags::Bags;
pub use context::{Context, ContextBlock};
pub use error::BagsError;
pub use grid::PointGrid;
pub use leakage::{EncoderTraining, Finding, Leak, LeakageOptions, LeakageReport, Reach, Verdict, check_leakage};
pub use neighbours::{Neighbours, neighbours};
pub use overlap::{Nucleus, overlap_weights};
pub use plan::{Held, SectionBags, SplitBy, SplitFile, SplitPlan, SplitSection};
pub use qc::{Qc, TissueQc};
pub use scellst_types::SpotShape;
pub use split::Split;
pub use spots::SpotAreas;
