//! How unsure a prediction is: intervals of spots ([`SpotIntervals`]) and cells that are unlike those trained on
//! ([`CellOutliers`] by their features, [`SlideColour`] by their colours). All are optional files of a model's bundle.

mod colour;
mod intervals;
mod outliers;

pub use colour::{ColourShift, SlideColour, cell_colours};
pub use intervals::SpotIntervals;
pub(crate) use outliers::read_within;
pub use outliers::{CellOutliers, OutlierCells};
