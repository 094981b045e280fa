mod geometry;
mod read;
mod write;

pub use read::{GeoJsonOptions, Imported, read_geojson};
pub use write::{GeoJsonWriter, write_geojson};

/// Names of the measurements that carry a cell's columns, as QuPath shows them.
mod measurement {
    pub(super) const AREA: &str = "Area \u{b5}m^2";
    pub(super) const SCORE: &str = "Detection probability";
    pub(super) const CENTROID_X: &str = "Centroid X px";
    pub(super) const CENTROID_Y: &str = "Centroid Y px";
}
