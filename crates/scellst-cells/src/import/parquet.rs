use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ::parquet::basic::{ConvertedType, LogicalType};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use ::parquet::schema::types::SchemaDescriptor;
use bytes::Bytes;
use serde_json::Value;

use super::columns::{Columns, Kind};
use super::rows::{Row, Rows};
use super::{Class, Format, Found, ImportOptions, Imported, OutlineOf, Rings, Sink, wkb};
use crate::CellsError;

/// Rows that are held at once.
const BLOCK: usize = 4096;

/// Reads outlines as WKB, Xenium's boundaries or a table of centroids, a block of rows at a time.
pub(super) fn read(path: &Path, file: File, options: &ImportOptions) -> Result<Imported, CellsError> {
    let broken = |e: ParquetError| failed(path, "the metadata", &e);
    let file_bytes = file.metadata().map_err(|e| CellsError::io(path, "read", &e))?.len();
    let reader = guarded(|| SerializedFileReader::new(Chunks { file, bytes: file_bytes })).map_err(broken)?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr();
    let geo = metadata.key_value_metadata().into_iter().flatten().find(|kv| kv.key == "geo");
    let geo: Option<Value> = geo.and_then(|kv| serde_json::from_str(kv.value.as_deref()?).ok());
    // Nested columns carry nothing that is wanted.
    let names: Vec<&str> = schema
        .columns()
        .iter()
        .map(|c| if c.path().parts().len() == 1 && c.max_rep_level() == 0 { c.name() } else { "" })
        .collect();
    let columns = Columns::of(&names, options.outline == OutlineOf::Cell);
    let source = Source { path, reader: &reader, schema, file_bytes };
    if let Some(geometry) = geometry(path, schema, &names, geo.as_ref())? {
        return source.outlines(geometry, &columns, options);
    }
    source.table(&names, &columns, options)
}

/// The column of outlines: the one that GeoParquet's metadata names, else one that is called so.
fn geometry(
    path: &Path,
    schema: &SchemaDescriptor,
    names: &[&str],
    geo: Option<&Value>,
) -> Result<Option<usize>, CellsError> {
    let named = geo.and_then(|g| g.get("primary_column")).and_then(Value::as_str);
    let name = named.unwrap_or("geometry");
    let unsupported = |found: String| {
        Err(CellsError::Unsupported {
            path: path.to_owned(),
            place: format!("column {name:.40}"),
            found,
            hint: "write the geometry as WKB (geopandas: `to_parquet(geometry_encoding=\"WKB\")`)".into(),
        })
    };
    let encoding = geo.and_then(|g| g.get("columns")?.get(name)?.get("encoding")?.as_str());
    if let Some(other) = encoding.filter(|e| !e.eq_ignore_ascii_case("wkb")) {
        return unsupported(format!("encoding {other:.40}"));
    }
    if let Some(i) = names.iter().position(|n| *n == name) {
        return match schema.column(i).physical_type() {
            ::parquet::basic::Type::BYTE_ARRAY => Ok(Some(i)),
            other => unsupported(format!("{other}")),
        };
    }
    let nested = schema.columns().iter().any(|c| c.path().parts().first().is_some_and(|p| p == name));
    if nested { unsupported("a nested column".into()) } else { Ok(None) }
}

/// The file, read by pieces that lie in it: a piece beyond its end is an error before there is room for it, and so is
/// reading on at the end (the decoder skips what a broken header counts, be it ever so much, as long as nothing fails).
struct Chunks {
    file: File,
    bytes: u64,
}

/// From a place in the file to its end, which is an error.
struct ToTheEnd(File);

impl Read for ToTheEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<ToTheEnd>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(ToTheEnd(file)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} of a file of {}", self.bytes)));
        }
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

struct Source<'a> {
    path: &'a Path,
    reader: &'a SerializedFileReader<Chunks>,
    schema: &'a SchemaDescriptor,
    file_bytes: u64,
}

impl<'a> Source<'a> {
    fn outlines(self, geometry: usize, columns: &Columns, options: &'a ImportOptions) -> Result<Imported, CellsError> {
        let mut sink = Sink::new(self.path, options);
        sink.accept(Format::GeoParquet)?;
        // A centroid in um says nothing about an outline in px.
        let place = if columns.microns || columns.kind == Kind::Boundaries { None } else { columns.x.zip(columns.y) };
        let (x, y) = place.unzip();
        let wanted = [Some(geometry), columns.id, x, y, columns.class, columns.score, columns.area];
        let mut rings = Rings::default();
        self.blocks(&wanted, |[geometry, id, x, y, class, score, area], row, number| {
            let at = || format!("row {number}");
            let Some(bytes) = geometry.bytes(row) else {
                sink.passed_over += 1;
                return Ok(());
            };
            let kind = wkb::read(bytes, &mut rings)
                .map_err(|found| CellsError::broken(self.path, at(), "a polygon or point as WKB", found))?;
            let mut found = Found {
                id: Some(id.text(row)),
                centroid: x.number(row).zip(y.number(row)).map(|(x, y)| [x, y]),
                area_um2: area.number(row),
                score: score.number(row),
                class: class.class(row),
                ..Found::default()
            };
            match kind {
                wkb::Geometry::Empty => {
                    sink.passed_over += 1;
                    return Ok(());
                }
                wkb::Geometry::Points if rings.points().len() == 1 => found.centroid = rings.points().first().copied(),
                wkb::Geometry::Points => {
                    for &point in rings.points() {
                        let class = found.class.clone();
                        sink.add(Found { centroid: Some(point), class, ..Found::default() }, at)?;
                    }
                    return Ok(());
                }
                wkb::Geometry::Polygons => match rings.whole() {
                    Ok(shape) => found.shape = Some(shape),
                    Err(flaw) => {
                        sink.flaw(flaw);
                        return Ok(());
                    }
                },
            }
            sink.add(found, at)
        })?;
        sink.finish(Format::GeoParquet)
    }

    fn table(self, names: &[&str], columns: &Columns, options: &'a ImportOptions) -> Result<Imported, CellsError> {
        if columns.x.is_none() {
            let found: String = names.join(", ").chars().take(120).collect();
            let expected =
                "a column `geometry`, `vertex_x` and `vertex_y`, or those of a centroid, such as `x` and `y`";
            return Err(CellsError::broken(self.path, "the columns", expected, found));
        }
        let mut rows = Rows::new(self.path, columns, options)?;
        let wanted = [columns.id, columns.x, columns.y, columns.class, columns.score, columns.area, columns.label];
        self.blocks(&wanted, |[id, x, y, class, score, area, label], row, _| {
            rows.push(Row {
                id: &id.text(row),
                x: x.number(row),
                y: y.number(row),
                class: class.class(row),
                score: score.number(row),
                area: area.number(row),
                label: &label.text(row),
            })
        })?;
        rows.finish()
    }

    /// Calls `f` with the columns, the row in their block and the number of the row, for every row.
    fn blocks<const N: usize>(
        &self,
        wanted: &[Option<usize>; N],
        mut f: impl FnMut([&Column; N], usize, usize) -> Result<(), CellsError>,
    ) -> Result<(), CellsError> {
        let mut number = 0;
        for g in 0..self.reader.num_row_groups() {
            let place = |e: ParquetError| failed(self.path, &format!("row group {g}"), &e);
            let group = self.reader.get_row_group(g).map_err(place)?;
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut columns = Vec::with_capacity(N);
            for i in wanted {
                columns.push(Column::of(self.path, self.schema, group.as_ref(), *i, self.file_bytes)?);
            }
            let mut columns: [Column; N] = match columns.try_into() {
                Ok(columns) => columns,
                Err(_) => return Ok(()),
            };
            while left > 0 {
                let rows = left.min(BLOCK);
                for column in &mut columns {
                    let read = guarded(|| column.fill(rows)).map_err(place)?;
                    if read != rows {
                        let found = format!("{read} of the last {rows} asked for");
                        return Err(CellsError::broken(
                            self.path,
                            format!("row group {g}"),
                            "as many rows as it says",
                            found,
                        ));
                    }
                }
                for row in 0..rows {
                    f(columns.each_ref(), row, number)?;
                    number += 1;
                }
                left -= rows;
            }
        }
        Ok(())
    }
}

/// Runs the decoder, which panics at some broken pages (parquet 60.1: a text that is longer than its page): that is an
/// error of the file's too, after which nothing of the decoder is used.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ParquetError::General("a broken page, at which the decoder gave up".into())))
}

/// Refuses a column whose pages do not lie in the file: the decoder takes its word.
fn check(path: &Path, name: &str, chunk: Option<&ColumnChunkMetaData>, file_bytes: u64) -> Result<(), CellsError> {
    let end = chunk.and_then(|c| {
        let start = c.dictionary_page_offset().unwrap_or(c.data_page_offset());
        let counts = c.num_values() >= 0 && c.uncompressed_size() >= 0;
        let size = u64::try_from(c.compressed_size()).ok().filter(|_| counts)?;
        u64::try_from(start).ok()?.checked_add(size)
    });
    if end.is_some_and(|end| end <= file_bytes) {
        return Ok(());
    }
    let found = chunk.map_or("none".into(), |c| format!("{} bytes from {}", c.compressed_size(), c.data_page_offset()));
    Err(CellsError::broken(path, name, format!("pages within the file's {file_bytes} bytes"), found))
}

fn failed(path: &Path, place: &str, error: &ParquetError) -> CellsError {
    match error {
        ParquetError::NYI(what) => CellsError::Unsupported {
            path: path.to_owned(),
            place: place.into(),
            found: what.clone(),
            hint: "write it with Snappy, Zstandard, gzip or no compression".into(),
        },
        other => CellsError::broken(path, place, "Parquet", other.to_string()),
    }
}

/// A column of a row group, a block of it in memory; one that is not there has no values.
struct Column {
    reader: Option<ColumnReader>,
    nullable: bool,
    unsigned: bool,
    levels: Vec<i16>,
    /// Where the value of each row lies; `None` for none.
    at: Vec<Option<u32>>,
    values: Values,
}

enum Values {
    None,
    Whole(Vec<i64>),
    Real(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

impl Column {
    fn of(
        path: &Path,
        schema: &SchemaDescriptor,
        group: &dyn RowGroupReader,
        index: Option<usize>,
        file_bytes: u64,
    ) -> Result<Self, CellsError> {
        let mut column = Self {
            reader: None,
            nullable: false,
            unsigned: false,
            levels: Vec::new(),
            at: Vec::new(),
            values: Values::None,
        };
        let Some(index) = index else { return Ok(column) };
        let descriptor = schema.column(index);
        let name = format!("column {:.40}", descriptor.name());
        let chunk = group.metadata().columns().get(index);
        check(path, &name, chunk, file_bytes)?;
        column.nullable = descriptor.max_def_level() > 0;
        column.unsigned = matches!(descriptor.logical_type_ref(), Some(LogicalType::Integer(i)) if !i.is_signed)
            || matches!(descriptor.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64);
        let reader = guarded(|| group.get_column_reader(index));
        column.reader = Some(reader.map_err(|e| failed(path, &name, &e))?);
        Ok(column)
    }

    /// Reads up to `rows` rows and gives how many there were.
    fn fill(&mut self, rows: usize) -> Result<usize, ParquetError> {
        let Some(reader) = &mut self.reader else { return Ok(rows) };
        self.levels.clear();
        let (levels, nullable) = (&mut self.levels, self.nullable);
        let read = match reader {
            ColumnReader::Int32ColumnReader(r) => {
                let (n, v) = records(r, rows, nullable, levels)?;
                let whole = |v: i32| if self.unsigned { i64::from(v.cast_unsigned()) } else { i64::from(v) };
                self.values = Values::Whole(v.into_iter().map(whole).collect());
                n
            }
            ColumnReader::Int64ColumnReader(r) => {
                let (n, v) = records(r, rows, nullable, levels)?;
                self.values = Values::Whole(v);
                n
            }
            ColumnReader::FloatColumnReader(r) => {
                let (n, v) = records(r, rows, nullable, levels)?;
                self.values = Values::Real(v.into_iter().map(f64::from).collect());
                n
            }
            ColumnReader::DoubleColumnReader(r) => {
                let (n, v) = records(r, rows, nullable, levels)?;
                self.values = Values::Real(v);
                n
            }
            ColumnReader::ByteArrayColumnReader(r) => {
                let (n, v) = records(r, rows, nullable, levels)?;
                self.values = Values::Bytes(v);
                n
            }
            _ => return Err(ParquetError::General("a column that is neither numbers nor text".into())),
        };
        self.at.clear();
        let mut next = 0;
        let levels =
            self.levels.iter().map(|&l| l > 0).chain(std::iter::repeat_n(true, if nullable { 0 } else { read }));
        self.at.extend(levels.map(|there| {
            next += u32::from(there);
            there.then(|| next - 1)
        }));
        Ok(read)
    }

    fn index(&self, row: usize) -> Option<usize> {
        self.at.get(row).copied().flatten().map(|i| i as usize)
    }

    fn bytes(&self, row: usize) -> Option<&[u8]> {
        match &self.values {
            Values::Bytes(v) => v.get(self.index(row)?).map(ByteArray::data),
            _ => None,
        }
    }

    fn number(&self, row: usize) -> Option<f64> {
        match &self.values {
            Values::Whole(v) => v.get(self.index(row)?).map(|&n| n as f64),
            Values::Real(v) => v.get(self.index(row)?).copied(),
            _ => None,
        }
    }

    /// As text, a number too; empty for none.
    fn text(&self, row: usize) -> String {
        match (&self.values, self.index(row)) {
            (Values::Bytes(v), Some(i)) => v.get(i).map(|b| String::from_utf8_lossy(b.data()).into_owned()),
            (Values::Whole(v), Some(i)) => v.get(i).map(i64::to_string),
            (Values::Real(v), Some(i)) => v.get(i).map(f64::to_string),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn class(&self, row: usize) -> Option<Class> {
        match &self.values {
            Values::None => None,
            Values::Whole(v) => v.get(self.index(row)?).copied().map(Class::Code),
            _ => Some(self.text(row)).filter(|t| !t.is_empty()).map(|text| {
                // geopandas keeps QuPath's classification as the text of its JSON.
                let json = text.starts_with('{').then(|| serde_json::from_str::<Value>(&text).ok()).flatten();
                let name = json.as_ref().and_then(|j| j.get("name")?.as_str()).map(str::to_owned);
                Class::Name(name.unwrap_or(text))
            }),
        }
    }
}

fn records<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    nullable: bool,
    levels: &mut Vec<i16>,
) -> Result<(usize, Vec<T::T>), ParquetError> {
    let mut values = Vec::new();
    let (read, _, _) = reader.read_records(rows, nullable.then_some(levels), None, &mut values)?;
    Ok((read, values))
}
