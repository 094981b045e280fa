//! How unsure a prediction is: intervals of spots ([`SpotIntervals`]) and cells that are unlike those trained on
//! ([`CellOutliers`]). Both are optional files of a model's bundle.

mod intervals;
mod outliers;

pub use intervals::SpotIntervals;
pub(crate) use outliers::read_within;
pub use outliers::{CellOutliers, OutlierCells};
