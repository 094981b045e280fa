use std::io::BufRead;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::columns::Columns;
use super::open::{ShortLines, Text};
use super::rows::{Row, Rows};
use super::{Class, ImportOptions, Imported, OutlineOf};
use crate::CellsError;

/// More columns than any of these tables has.
const MOST_COLUMNS: usize = 1 << 14;

/// Reads a table with a header, its columns parted by the comma, tab or semicolon of which the header has most.
pub(super) fn read(path: &Path, mut text: Text, options: &ImportOptions) -> Result<Imported, CellsError> {
    let start = text.fill_buf().map_err(|e| CellsError::io(path, "read", &e))?;
    let first = start.split(|&b| b == b'\n').next().unwrap_or(&[]);
    let count = |sign: u8| first.iter().filter(|&&b| b == sign).count();
    let delimiter = [b',', b'\t', b';'].into_iter().rev().max_by_key(|&sign| count(sign)).unwrap_or(b',');
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(ShortLines::new(text));
    let mut record = ByteRecord::new();
    next(path, &mut reader, &mut record)?;
    let header: Vec<String> =
        record.iter().take(MOST_COLUMNS).map(|n| String::from_utf8_lossy(n).trim().to_owned()).collect();
    let columns = Columns::of(&header, options.outline == OutlineOf::Cell);
    let (Some(x), Some(y)) = (columns.x, columns.y) else {
        let found: String = header.join(", ").chars().take(120).collect();
        let expected = "a header with the columns of a centroid, such as `x` and `y` or `x_um` and `y_um`";
        return Err(CellsError::broken(path, "line 1", expected, found));
    };
    let mut rows = Rows::new(path, &columns, options)?;
    while next(path, &mut reader, &mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() == 1 && record.iter().all(|f| f.trim_ascii().is_empty()) {
            continue;
        }
        if record.len() != header.len() && record.len() <= x.max(y) {
            let found = record.len().to_string();
            return Err(CellsError::broken(path, format!("line {line}"), format!("{} columns", header.len()), found));
        }
        let text = |column: Option<usize>| {
            let bytes = column.and_then(|c| record.get(c)).unwrap_or(&[]).trim_ascii();
            std::str::from_utf8(bytes).map_err(|_| {
                let found = String::from_utf8_lossy(bytes).chars().take(40).collect::<String>();
                CellsError::broken(path, format!("line {line}"), "UTF-8", found)
            })
        };
        let number = |column: Option<usize>| match text(column)? {
            "" | "NA" | "null" | "None" => Ok(None),
            text => text.parse::<f64>().map(Some).map_err(|_| {
                let name = column.and_then(|c| header.get(c)).map_or("", String::as_str);
                let found = text.chars().take(40).collect::<String>();
                CellsError::broken(path, format!("line {line}, column {name}"), "a number", found)
            }),
        };
        let class = match text(columns.class)? {
            "" => None,
            name => Some(name.parse().map_or_else(|_| Class::Name(name.to_owned()), Class::Code)),
        };
        rows.push(Row {
            id: text(columns.id)?,
            x: number(Some(x))?,
            y: number(Some(y))?,
            class,
            score: number(columns.score)?,
            area: number(columns.area)?,
            label: text(columns.label)?,
        })?;
    }
    rows.finish()
}

/// The next record, if there is one.
fn next<R: std::io::Read>(
    path: &Path,
    reader: &mut csv::Reader<R>,
    record: &mut ByteRecord,
) -> Result<bool, CellsError> {
    reader.read_byte_record(record).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            let line = record.position().map_or(1, |p| p.line() + 1);
            CellsError::broken(path, format!("line {line}"), "a table of text", e.to_string())
        }
        csv::ErrorKind::Io(e) => CellsError::io(path, "read", &e),
        other => CellsError::broken(path, "the table", "rows of text", format!("{other:?}")),
    })
}
