mod columns;
mod crossing;
mod json;
mod labels;
mod npy;
mod open;
mod options;
#[cfg(feature = "parquet")]
mod parquet;
mod placement;
mod rings;
mod rows;
mod sink;
mod table;
#[cfg(feature = "parquet")]
mod wkb;

use std::path::Path;

pub use labels::cells_from_labels;
pub use options::{Format, ImportOptions, Imported, OutlineOf};
pub use placement::Placement;
pub(crate) use rings::{Flaw, Rings};
pub(crate) use sink::{Class, Found, Sink};
#[cfg(feature = "parquet")]
pub(crate) use wkb::write as write_wkb;

use crate::CellsError;
use open::Kind;

/// Reads cells from a file of any [`Format`], which is told by the content and not by the name.
///
/// Coordinates are turned into level-0 px as [`ImportOptions::placement`] and the format say. Text and JSON may be
/// gzipped. Files are read as a stream: memory is that of the cells, label images apart.
///
/// Cells that are none are passed over, counted in [`Imported`] and logged; what makes the file doubtful is an error.
///
/// ```
/// use scellst_cells::{Format, ImportOptions, read_cells};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("cells.csv");
/// std::fs::write(&path, "id,x,y,class\na,10.5,20.5,immune\nb,,,\n")?;
/// let read = read_cells(&path, &ImportOptions::default())?;
/// assert_eq!((read.format, read.cells.len(), read.not_finite), (Format::Table, 1, 1));
/// assert_eq!((read.cells.id(0), read.cells.class(0)), ("a".to_owned(), Some("immune")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CellsError::Broken`] for a file that is not what it seems, with the place in it, and for one without any cell;
/// [`CellsError::Unsupported`] for what is known but not read (zip, snappy, HDF5, another
/// [`ImportOptions::format`]); [`CellsError::OtherLevel`] if the coordinates do not look like this slide's level 0;
/// [`CellsError::Misuse`] if the coordinates are um and neither `mpp` nor `placement` is given;
/// [`CellsError::OverLimit`]; [`CellsError::Io`].
pub fn read_cells(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported, CellsError> {
    let path = path.as_ref();
    let opened = open::open(path)?;
    match opened.kind {
        Kind::Json => json::read(path, opened.text(path)?, options),
        Kind::Text => table::read(path, opened.text(path)?, options),
        #[cfg(feature = "parquet")]
        Kind::Parquet => parquet::read(path, opened.file, options),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => Err(CellsError::Unsupported {
            path: path.to_owned(),
            place: "the file".into(),
            found: "Parquet".into(),
            hint: "build scellst-cells with its feature `parquet`".into(),
        }),
        Kind::Png => labels::read_png(path, options),
        Kind::Tiff => labels::read_tiff(path, options),
        Kind::Npy => labels::read_npy(path, options),
    }
}

/// Reads cells from GeoJSON and from nothing else: [`read_cells`] with [`Format::GeoJson`].
///
/// # Errors
/// As [`read_cells`].
pub fn read_geojson(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported, CellsError> {
    read_cells(path, &ImportOptions { format: Some(Format::GeoJson), ..options.clone() })
}
