//! `obsm['spatial']` and `uns['spatial']`, as scanpy and HEST lay them out.

use scellst_types::{Level0, Point};
use std::sync::Arc;

use crate::H5Error;
use crate::source::{Kind, Source};

const PLACE: &str = "obsm/spatial";

pub(crate) fn centres(source: &Arc<Source>, rows: usize) -> Result<Option<Vec<Point<Level0>>>, H5Error> {
    match source.kind(PLACE)? {
        None => return Ok(None),
        Some(Kind::Group) => {
            return Err(H5Error::unsupported(
                source.path(),
                PLACE,
                "an array of shape (observations, 2) was expected, found a table or sparse matrix",
            ));
        }
        Some(Kind::Dataset) => {}
    }
    let dataset = source.dataset(PLACE)?;
    if dataset.shape() != [rows, 2] {
        return Err(source.broken(PLACE, format!("shape [{rows}, 2] was expected, found {:?}", dataset.shape())));
    }
    let mut points = dataset.room(rows)?;
    for start in (0..rows).step_by(dataset.block_rows()) {
        let block = dataset.rows::<f64>(start..(start + dataset.block_rows()).min(rows))?;
        for row in block.outer_iter() {
            let point = Point::new(row[0], row[1]);
            if !point.is_finite() {
                return Err(
                    source.broken(PLACE, format!("row {} is {point:?}, finite numbers were expected", points.len()))
                );
            }
            points.push(point);
        }
    }
    Ok(Some(points))
}

/// A library of `uns['spatial']` and its spots' diameter, level-0 pixels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Library {
    pub(crate) id: String,
    pub(crate) spot_diameter_px: Option<f64>,
}

pub(crate) fn libraries(source: &Arc<Source>) -> Result<Vec<Library>, H5Error> {
    let mut libraries = Vec::new();
    for id in source.members("uns/spatial")? {
        // Some tools keep flags beside the libraries, such as squidpy's and spatialdata's `is_single`.
        if source.kind(&format!("uns/spatial/{id}"))? != Some(Kind::Group) {
            continue;
        }
        let place = format!("uns/spatial/{id}/scalefactors/spot_diameter_fullres");
        let spot_diameter_px = match source.kind(&place)? {
            None => None,
            Some(_) => {
                let diameter = source.dataset(&place)?.scalar()?;
                if !(diameter.is_finite() && diameter > 0.0) {
                    return Err(source.broken(&place, format!("{diameter} px, a positive number was expected")));
                }
                Some(diameter)
            }
        };
        libraries.push(Library { id, spot_diameter_px });
    }
    Ok(libraries)
}
