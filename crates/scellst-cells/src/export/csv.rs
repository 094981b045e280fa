use std::fmt::Write as _;
use std::path::Path;

use super::file::NewFile;
use super::{check, each};
use crate::measurement::check_row;
use crate::{Cell, Cells, CellsError, Measure};

/// Writes all cells; see [`CsvWriter`].
///
/// # Errors
/// [`CellsError::Io`]; the target is then as it was.
pub fn write_csv(path: impl AsRef<Path>, cells: &Cells) -> Result<(), CellsError> {
    let mut writer = CsvWriter::create_with(path, cells.measurements().measures())?;
    each(cells, |cell, values| writer.write_with(cell, values))?;
    writer.finish()
}

/// Writes a table of centroids one cell at a time: `id,x,y,class,score,area_um2`, with x and y in level-0 px to the last
/// bit and no outlines, then a column for each measure. What is not known is left empty. The file appears on
/// [`CsvWriter::finish`].
#[derive(Debug)]
pub struct CsvWriter {
    file: NewFile,
    written: usize,
    measures: usize,
    line: String,
}

impl CsvWriter {
    /// Opens a temporary file beside the target.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        Self::create_with(target, &[])
    }

    /// As [`CsvWriter::create`] for cells with measurements.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create_with(target: impl AsRef<Path>, measures: &[Measure]) -> Result<Self, CellsError> {
        let mut file = NewFile::create(target)?;
        let mut line = String::from("id,x,y,class,score,area_um2");
        for measure in measures {
            line.push(',');
            quote(&measure.column, &mut line);
        }
        line.push('\n');
        file.put(line.as_bytes())?;
        Ok(Self { file, written: 0, measures: measures.len(), line })
    }

    /// Adds a cell; one without an id is called by its number, as in [`Cells`].
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a coordinate that is not finite; [`CellsError::Io`].
    pub fn write(&mut self, cell: &Cell) -> Result<(), CellsError> {
        self.write_with(cell, &[])
    }

    /// As [`CsvWriter::write`] with the values of the measures, in their order.
    ///
    /// # Errors
    /// As [`CsvWriter::write`], and [`CellsError::Misuse`] for another number of values than measures.
    pub fn write_with(&mut self, cell: &Cell, values: &[f32]) -> Result<(), CellsError> {
        check_row(values, self.measures)?;
        check(cell, self.written)?;
        self.line.clear();
        match &cell.id {
            Some(id) => quote(id, &mut self.line),
            None => {
                let _ = write!(self.line, "cell_{:07}", self.written);
            }
        }
        // Writing to a String does not fail.
        let _ = write!(self.line, ",{:?},{:?},", cell.centroid.x, cell.centroid.y);
        quote(cell.class.as_deref().unwrap_or(""), &mut self.line);
        let _ = write!(self.line, ",{:?},", cell.score);
        if cell.area_um2.is_finite() {
            let _ = write!(self.line, "{:?}", cell.area_um2);
        }
        for value in values {
            self.line.push(',');
            if value.is_finite() {
                let _ = write!(self.line, "{value:?}");
            }
        }
        self.line.push('\n');
        self.file.put(self.line.as_bytes())?;
        self.written += 1;
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`CellsError::Io`]; the target is then as it was.
    pub fn finish(self) -> Result<(), CellsError> {
        self.file.finish()
    }
}

/// A field, in quotes if it needs them.
fn quote(text: &str, line: &mut String) {
    if text.contains([',', '"', '\n', '\r']) {
        let _ = write!(line, "\"{}\"", text.replace('"', "\"\""));
    } else {
        line.push_str(text);
    }
}
