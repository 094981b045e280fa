//! `obsm['spatial']` and `uns['spatial']`, as scanpy and squidpy look for them.

use std::path::Path;

use ndarray::{Array2, ArrayView3, CowArray};
use scellst_types::{Level0, Point};

use crate::H5Error;
use crate::elements::Writer;

/// An entry of `uns['spatial']`: what `scanpy.pl.spatial` and squidpy draw beneath the spots or cells.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpatialLibrary<'a> {
    /// The library's name.
    pub id: &'a str,
    /// A small picture of the slide, rows x columns x RGB: becomes `images['hires']`.
    pub thumbnail: Option<ArrayView3<'a, u8>>,
    /// Pixels of the thumbnail per level-0 pixel: becomes `scalefactors['tissue_hires_scalef']`.
    pub thumbnail_scale: f64,
    /// Diameter of the spots, or of a usual cell, level-0 pixels: becomes `scalefactors['spot_diameter_fullres']`.
    pub diameter_px: f64,
}

/// `obsm['spatial']`: 64-bit (x, y), what scanpy and squidpy expect.
pub(crate) fn write_centres(
    writer: &Writer<'_>,
    path: &Path,
    points: &[Point<Level0>],
    rows: usize,
) -> Result<(), H5Error> {
    if points.len() != rows {
        return Err(H5Error::misuse(path, format!("{} places were given for {rows} names", points.len())));
    }
    if let Some(i) = points.iter().position(|p| !p.is_finite()) {
        return Err(H5Error::misuse(path, format!("the place of row {i} is {:?}", points[i])));
    }
    let places = Array2::from_shape_fn((rows, 2), |(i, axis)| if axis == 0 { points[i].x } else { points[i].y });
    writer.dense("obsm/spatial", places.view())
}

/// Refuses a library that cannot be written, before anything is.
pub(crate) fn check_library(path: &Path, library: &SpatialLibrary<'_>) -> Result<(), H5Error> {
    let positive = |what: &str, value: f64| {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(H5Error::misuse(path, format!("{what} of {value}, a positive number was expected")))
    };
    positive("a spot diameter (px)", library.diameter_px)?;
    let Some(image) = library.thumbnail else { return Ok(()) };
    positive("a thumbnail's scale", library.thumbnail_scale)?;
    match image.dim() {
        (height, width, 3) if height > 0 && width > 0 => Ok(()),
        other => Err(H5Error::misuse(path, format!("a thumbnail of shape {other:?}, rows x columns x 3 was expected"))),
    }
}

/// `uns['spatial']`, of which `uns` itself is there already.
pub(crate) fn write_library(writer: &Writer<'_>, library: &SpatialLibrary<'_>) -> Result<(), H5Error> {
    let id = if library.id.is_empty() { "ST" } else { library.id };
    writer.check_key("uns/spatial", id)?;
    let place = format!("uns/spatial/{id}");
    for group in ["uns/spatial", &place, &format!("{place}/images"), &format!("{place}/metadata")] {
        writer.dict(group)?;
    }
    let mut factors = serde_json::json!({ "spot_diameter_fullres": library.diameter_px });
    if let Some(image) = library.thumbnail {
        writer.array(&format!("{place}/images/hires"), CowArray::from(image), Some("array"))?;
        factors["tissue_hires_scalef"] = library.thumbnail_scale.into();
    }
    writer.map(&format!("{place}/scalefactors"), &factors)
}
