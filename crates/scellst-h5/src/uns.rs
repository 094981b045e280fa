//! Single numbers and texts of `uns`, such as provenance.

use std::path::Path;

use crate::source::{Kind, Source};
use crate::{H5Error, ReadLimits};

/// A number in nested maps of `uns`: `["scellst", "mpp_x"]` is `uns['scellst']['mpp_x']`; nothing if it is not there.
///
/// # Errors
/// [`H5Error`]: the file is missing, not HDF5 or truncated, or what is there is no single number.
///
/// ```
/// # use scellst_h5::{PredictionHeader, PredictionWriter};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("pred.h5ad");
/// # let header = PredictionHeader { uns: serde_json::json!({ "scellst": { "mpp_x": 0.25 } }), ..Default::default() };
/// # PredictionWriter::create(&path, &header, None)?.finish()?;
/// assert_eq!(scellst_h5::read_uns_number(&path, &["scellst", "mpp_x"])?, Some(0.25));
/// assert_eq!(scellst_h5::read_uns_number(&path, &["scellst", "mpp_z"])?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_uns_number(path: impl AsRef<Path>, keys: &[&str]) -> Result<Option<f64>, H5Error> {
    let source = Source::open(path.as_ref(), ReadLimits::default())?;
    let place = format!("uns/{}", keys.join("/"));
    match source.kind(&place)? {
        Some(Kind::Dataset) => source.dataset(&place)?.scalar().map(Some),
        _ => Ok(None),
    }
}

/// A text in nested maps of `uns`; nothing if it is not there.
///
/// # Errors
/// As [`read_uns_number`], for what is no single text.
///
/// ```
/// # use scellst_h5::{PredictionHeader, PredictionWriter};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("pred.h5ad");
/// # let uns = serde_json::json!({ "scellst": { "slide": "C5.tif", "mpp_x": 0.25 } });
/// # PredictionWriter::create(&path, &PredictionHeader { uns, ..Default::default() }, None)?.finish()?;
/// assert_eq!(scellst_h5::read_uns_text(&path, &["scellst", "slide"])?.as_deref(), Some("C5.tif"));
/// assert_eq!(scellst_h5::read_uns_text(&path, &["scellst", "model"])?, None);
/// assert!(scellst_h5::read_uns_text(&path, &["scellst", "mpp_x"]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_uns_text(path: impl AsRef<Path>, keys: &[&str]) -> Result<Option<String>, H5Error> {
    let source = Source::open(path.as_ref(), ReadLimits::default())?;
    let place = format!("uns/{}", keys.join("/"));
    match source.kind(&place)? {
        Some(Kind::Dataset) => source.dataset(&place)?.text().map(Some),
        _ => Ok(None),
    }
}
