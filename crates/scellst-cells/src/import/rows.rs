use std::path::Path;

use super::columns::{Columns, Kind};
use super::{Class, Flaw, Format, Found, ImportOptions, Imported, Rings, Sink};
use crate::CellsError;

/// One row of a table.
#[derive(Debug, Default)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    /// Of a centroid or a corner; `None` where the table has none.
    pub(crate) x: Option<f64>,
    pub(crate) y: Option<f64>,
    pub(crate) class: Option<Class>,
    pub(crate) score: Option<f64>,
    pub(crate) area: Option<f64>,
    pub(crate) label: &'a str,
}

/// Makes cells of the rows of a table: of each one, or of those of a cell together.
pub(crate) struct Rows<'a> {
    sink: Sink<'a>,
    kind: Kind,
    /// The outline under way.
    rings: Rings,
    id: String,
    label: String,
    /// The cell of the outline before this one.
    before: String,
    begun: bool,
    seen: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(path: &'a Path, columns: &Columns, options: &'a ImportOptions) -> Result<Self, CellsError> {
        let sink = if columns.microns { Sink::microns(path, options)? } else { Sink::new(path, options) };
        let rows = Self {
            sink,
            kind: columns.kind,
            rings: Rings::default(),
            id: String::new(),
            label: String::new(),
            before: String::new(),
            begun: false,
            seen: 0,
        };
        rows.sink.accept(rows.format())?;
        Ok(rows)
    }

    fn format(&self) -> Format {
        match self.kind {
            Kind::Centroids => Format::Table,
            Kind::Boundaries => Format::XeniumBoundaries,
        }
    }

    /// Takes the next row.
    pub(crate) fn push(&mut self, row: Row<'_>) -> Result<(), CellsError> {
        self.seen += 1;
        match self.kind {
            Kind::Centroids => {
                let (Some(x), Some(y)) = (row.x, row.y) else {
                    self.sink.flaw(Flaw::NotFinite);
                    return Ok(());
                };
                let found = Found {
                    id: Some(row.id.to_owned()),
                    shape: None,
                    centroid: Some([x, y]),
                    area_um2: row.area,
                    score: row.score,
                    class: row.class,
                };
                let number = self.seen;
                self.sink.add(found, || format!("row {number}"))
            }
            Kind::Boundaries => {
                if self.begun && (row.id != self.id || row.label != self.label) {
                    self.end_outline()?;
                }
                if !self.begun {
                    self.begun = true;
                    row.id.clone_into(&mut self.id);
                    row.label.clone_into(&mut self.label);
                }
                // A missing corner makes the outline one that is not finite.
                self.rings.push([row.x.unwrap_or(f64::NAN), row.y.unwrap_or(f64::NAN)]);
                Ok(())
            }
        }
    }

    fn end_outline(&mut self) -> Result<(), CellsError> {
        self.rings.end_ring();
        self.rings.end_part();
        let again = !self.label.is_empty() && self.id == self.before;
        let id = if again { format!("{}:{}", self.id, self.label) } else { self.id.clone() };
        std::mem::swap(&mut self.before, &mut self.id);
        match self.rings.whole() {
            Ok(shape) => {
                let number = self.seen;
                let found = Found { id: Some(id), shape: Some(shape), ..Found::default() };
                self.sink.add(found, || format!("before row {number}"))?;
            }
            Err(flaw) => self.sink.flaw(flaw),
        }
        self.rings.clear();
        self.begun = false;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Imported, CellsError> {
        if self.begun {
            self.end_outline()?;
        }
        let format = self.format();
        self.sink.finish(format)
    }
}
