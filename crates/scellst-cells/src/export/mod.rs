mod csv;
mod file;
mod geojson;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;

pub use csv::{CsvWriter, write_csv};
pub use geojson::{GeoJsonWriter, write_geojson};
pub use npy::NpyCropWriter;
#[cfg(feature = "parquet")]
pub use parquet::{ParquetWriter, write_parquet};

use crate::{Cell, Cells, CellsError};

/// Hands every cell and its measurements to `write`.
fn each(cells: &Cells, mut write: impl FnMut(&Cell, &[f32]) -> Result<(), CellsError>) -> Result<(), CellsError> {
    let measured = cells.measurements();
    (0..cells.len()).filter_map(|i| Some((i, cells.get(i)?))).try_for_each(|(i, cell)| write(&cell, measured.row(i)))
}

/// Refuses a cell that no reader would take; `number` is how many went before.
fn check(cell: &Cell, number: usize) -> Result<(), CellsError> {
    let finite = cell.outline.iter().flatten().all(|v| v.is_finite());
    if cell.centroid.is_finite() && finite {
        return Ok(());
    }
    Err(CellsError::misuse(format!("cell {number}"), "finite coordinates", format!("{:?}", cell.centroid)))
}
