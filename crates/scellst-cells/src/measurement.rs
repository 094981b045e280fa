//! What is measured on cells: the names that their own columns have, and tables of further ones.

use std::borrow::Cow;

use crate::CellsError;

// As QuPath shows a cell's own columns.
pub(crate) const AREA: &str = "Area \u{b5}m^2";
/// Of QuPath's cells, which measure the cell too.
pub(crate) const NUCLEUS_AREA: &str = "Nucleus: Area \u{b5}m^2";
pub(crate) const SCORE: &str = "Detection probability";
pub(crate) const CENTROID_X: &str = "Centroid X px";
pub(crate) const CENTROID_Y: &str = "Centroid Y px";

/// Names of columns and of measurements that cells have anyway.
const TAKEN: [&str; 12] =
    ["id", "geometry", "class", "score", "area_um2", "x", "y", AREA, NUCLEUS_AREA, SCORE, CENTROID_X, CENTROID_Y];

/// A measurement by its two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// In tables (CSV, Parquet): letters, digits and `_`, not a digit first.
    pub column: Cow<'static, str>,
    /// In QuPath, with its unit: `Perimeter µm`.
    pub label: Cow<'static, str>,
}

/// A table of measurements: one row a cell, one column a [`Measure`], f32, NaN where a cell has no value.
///
/// ```
/// use scellst_cells::{Cell, Cells, Measure, Measurements};
/// use scellst_types::Point;
///
/// let mut cells = Cells::new();
/// cells.push(Cell::at(Point::new(10.5, 20.5)))?;
/// let mut measured = Measurements::new(vec![Measure { column: "epcam".into(), label: "EPCAM, predicted".into() }])?;
/// measured.push(&[1.25])?;
/// cells.set_measurements(measured)?;
/// assert_eq!(cells.measurements().get(0, "epcam"), Some(1.25));
/// # Ok::<(), scellst_cells::CellsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurements {
    measures: Vec<Measure>,
    /// Row by row.
    values: Vec<f32>,
    rows: usize,
}

impl Measurements {
    /// An empty table.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a column whose name is not of letters, digits and `_`, for an empty label, and for a
    /// name that is taken: twice in the list, or one of the cells' own columns.
    pub fn new(measures: Vec<Measure>) -> Result<Self, CellsError> {
        let mut seen: Vec<&str> = TAKEN.to_vec();
        for measure in &measures {
            let mut letters = measure.column.chars();
            let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !(first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')) || measure.label.is_empty() {
                let expected = "a column of letters, digits and _, and a label";
                return Err(CellsError::misuse("measure", expected, format!("{measure:?}")));
            }
            for name in [&*measure.column, &*measure.label] {
                // One name may serve for both.
                if seen.contains(&name) {
                    return Err(CellsError::misuse("measures", "names that are not taken", name));
                }
            }
            seen.push(&measure.column);
            if measure.label != measure.column {
                seen.push(&measure.label);
            }
        }
        Ok(Self { measures, values: Vec::new(), rows: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for another number of values than there are measures.
    pub fn push(&mut self, row: &[f32]) -> Result<(), CellsError> {
        check_row(row, self.measures.len())?;
        self.values.extend_from_slice(row);
        self.rows += 1;
        Ok(())
    }

    /// What is measured, in the order of the columns.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The values of a cell in the order of the columns; empty if there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        let n = self.measures.len();
        i.checked_mul(n).and_then(|at| self.values.get(at..at.checked_add(n)?)).unwrap_or(&[])
    }

    /// The value of a cell by the column's name; NaN if the cell has none, `None` without such a column or row.
    pub fn get(&self, row: usize, column: &str) -> Option<f32> {
        self.row(row).get(self.measures.iter().position(|m| m.column == column)?).copied()
    }

    /// All values of a column, by its name.
    pub fn column(&self, name: &str) -> Option<impl Iterator<Item = f32> + '_> {
        let at = self.measures.iter().position(|m| m.column == name)?;
        Some(self.values.iter().skip(at).step_by(self.measures.len()).copied())
    }

    /// With the columns of another table of as many rows after its own.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for other numbers of rows, or a name in both.
    pub fn join(&self, other: &Self) -> Result<Self, CellsError> {
        if self.rows != other.rows {
            return Err(CellsError::misuse("measurements", format!("{} rows", self.rows), other.rows));
        }
        let mut joined = Self::new([&self.measures[..], &other.measures].concat())?;
        joined.values = (0..self.rows).flat_map(|i| [self.row(i), other.row(i)].concat()).collect();
        joined.rows = self.rows;
        Ok(joined)
    }

    /// Adds a row of NaN.
    pub(crate) fn push_unknown(&mut self) {
        self.values.resize(self.values.len() + self.measures.len(), f32::NAN);
        self.rows += 1;
    }

    /// Of rows of the table; `to` is not beyond `from`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize) {
        let n = self.measures.len();
        self.values.copy_within(from * n..(from + 1) * n, to * n);
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows * self.measures.len());
        self.rows = self.rows.min(rows);
    }

    /// Of the given rows; those beyond the table are left out.
    pub(crate) fn select(&self, rows: impl Iterator<Item = usize>) -> Self {
        let mut chosen = Self { measures: self.measures.clone(), values: Vec::new(), rows: 0 };
        for i in rows.filter(|&i| i < self.rows) {
            chosen.values.extend_from_slice(self.row(i));
            chosen.rows += 1;
        }
        chosen
    }
}

/// That a cell has as many values as there are measures.
pub(crate) fn check_row(row: &[f32], measures: usize) -> Result<(), CellsError> {
    if row.len() == measures {
        return Ok(());
    }
    Err(CellsError::misuse("values of a cell", format!("{measures}, as there are measures"), row.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(column: &'static str, label: &'static str) -> Measure {
        Measure { column: column.into(), label: label.into() }
    }

    #[test]
    fn names_that_no_table_takes_are_refused() {
        for bad in ["", "a b", "1st", "\u{b5}m", "area_um2", "x"] {
            assert!(Measurements::new(vec![measure(bad, "fine")]).is_err(), "{bad}");
        }
        for bad in ["", "Detection probability"] {
            assert!(Measurements::new(vec![measure("fine", bad)]).is_err(), "{bad}");
        }
        assert!(Measurements::new(vec![measure("a", "b"), measure("c", "b")]).is_err());
        assert!(Measurements::new(vec![measure("a", "a"), measure("b", "b")]).is_ok());
    }

    #[test]
    fn rows_and_columns() {
        let mut table = Measurements::new(vec![measure("a", "A"), measure("b", "B")]).unwrap();
        assert!(table.push(&[1.0]).is_err() && table.is_empty());
        table.push(&[1.0, 2.0]).unwrap();
        table.push(&[3.0, 4.0]).unwrap();
        assert_eq!((table.row(1), table.row(2), table.get(0, "b")), (&[3.0, 4.0][..], &[][..], Some(2.0)));
        assert_eq!(table.column("b").unwrap().collect::<Vec<_>>(), [2.0, 4.0]);
        assert!(table.column("c").is_none());
        let other = Measurements { measures: vec![measure("c", "C")], values: vec![5.0, 6.0], rows: 2 };
        assert_eq!(table.join(&other).unwrap().row(1), [3.0, 4.0, 6.0]);
        assert!(table.join(&table).is_err() && table.join(&Measurements::default()).is_err());
        assert_eq!(table.select([1, 7].into_iter()).values, [3.0, 4.0]);
    }
}
