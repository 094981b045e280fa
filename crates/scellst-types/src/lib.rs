//! Points, rectangles, units and ids that the scellst crates share.
//!
//! The space of a coordinate is in its type: a [`Point<Level0>`] counts pixels of a slide's finest
//! level, a [`Point<Micron>`] micrometres on the same slide from the same corner, and only a
//! [`MicronsPerPixel`] turns the one into the other. Pixels of coarser levels exist only inside
//! `scellst-slide`, behind a level's handle.
//!
//! # Conventions
//! * `x` grows to the right, `y` downwards; the origin is the slide's upper left *corner*.
//! * Pixel `(i, j)` covers `[i, i + 1) x [j, j + 1)`; its centre is `(i + 0.5, j + 0.5)`.
//! * Rectangles are half-open: `[min, max)`.
//!
//! This crate is for passing values between crates. It has no geometry algorithms: use `geo` for those.
//!
//! ```
//! use scellst_types::{Level0, Micron, MicronsPerPixel, Point};
//!
//! let mpp = MicronsPerPixel::square(0.25)?;
//! let cell: Point<Level0> = Point::new(400.0, 80.0);
//! let on_glass: Point<Micron> = mpp.to_micron(cell);
//! assert_eq!((on_glass.x, on_glass.y), (100.0, 20.0));
//! # Ok::<(), scellst_types::UnitError>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod geometry;
mod ids;
mod shape;
mod stain;
mod units;

pub use error::UnitError;
pub use geometry::{Level0, Micron, Point, Rect, Size, Space};
pub use ids::{CellIndex, LevelIndex, SectionId, SpotIndex};
pub use shape::SpotShape;
pub use stain::{StainMatrix, density};
pub use units::MicronsPerPixel;
