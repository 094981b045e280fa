//! Names of the measurements that carry a cell's columns, as QuPath shows them.

pub(crate) const AREA: &str = "Area \u{b5}m^2";
/// Of QuPath's cells, which measure the cell too.
pub(crate) const NUCLEUS_AREA: &str = "Nucleus: Area \u{b5}m^2";
pub(crate) const SCORE: &str = "Detection probability";
pub(crate) const CENTROID_X: &str = "Centroid X px";
pub(crate) const CENTROID_Y: &str = "Centroid Y px";
