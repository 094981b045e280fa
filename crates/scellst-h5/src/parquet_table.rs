//! Flat Parquet tables, some columns of them, a block of rows at a time.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};

use crate::H5Error;

const BLOCK: usize = 1 << 15;

/// The bytes of the file between its ends and nothing beyond.
struct Whole {
    file: File,
    bytes: u64,
}

/// Fails at the end instead of saying "nothing more": the decoder would go on skipping.
struct NoEnd(File);

impl Read for NoEnd {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 if !out.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

impl Length for Whole {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Whole {
    type T = BufReader<NoEnd>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(NoEnd(file)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match start.checked_add(length as u64) {
            Some(end) if end <= self.bytes => {
                let mut out = vec![0; length];
                self.get_read(start)?.read_exact(&mut out)?;
                Ok(out.into())
            }
            _ => Err(ParquetError::EOF(format!("{length} bytes from {start}, the file has {}", self.bytes))),
        }
    }
}

/// An open table.
pub(crate) struct ParquetTable {
    path: PathBuf,
    reader: SerializedFileReader<Whole>,
    names: Vec<String>,
    bytes: u64,
}

impl ParquetTable {
    pub(crate) fn open(path: &Path) -> Result<Self, H5Error> {
        let file = File::open(path).map_err(|e| H5Error::io(path, "open", e))?;
        let bytes = file.metadata().map_err(|e| H5Error::io(path, "read", e))?.len();
        let reader = decode(|| SerializedFileReader::new(Whole { file, bytes }));
        let reader = reader.map_err(|e| failed(path, "the metadata", &e))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let flat = |c: &parquet::schema::types::ColumnDescPtr| c.path().parts().len() == 1 && c.max_rep_level() == 0;
        let names = schema.columns().iter().map(|c| if flat(c) { c.name().to_owned() } else { String::new() });
        let names = names.collect();
        Ok(Self { path: path.to_owned(), reader, names, bytes })
    }

    /// Where a column is.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Where a column is that must be there.
    pub(crate) fn require(&self, name: &str) -> Result<usize, H5Error> {
        self.column(name).ok_or_else(|| {
            let names: String = self.names.join("', '").chars().take(300).collect();
            H5Error::missing(&self.path, &format!("column '{name}'"), format!("the table has '{names}'"))
        })
    }

    /// Calls `take` with each block of rows: one [`Cells`] for each wanted column.
    pub(crate) fn for_each_block(
        &self,
        wanted: &[usize],
        mut take: impl FnMut(&[Cells]) -> Result<(), H5Error>,
    ) -> Result<(), H5Error> {
        for g in 0..self.reader.num_row_groups() {
            let place = format!("row group {g}");
            let group = self.reader.get_row_group(g).map_err(|e| failed(&self.path, &place, &e))?;
            let mut columns = Vec::with_capacity(wanted.len());
            for &i in wanted {
                let chunk = group.metadata().columns().get(i);
                let inside = chunk.is_some_and(|c| {
                    let start = c.dictionary_page_offset().unwrap_or(c.data_page_offset());
                    let end = start.checked_add(c.compressed_size());
                    let sane = start >= 0 && c.compressed_size() >= 0 && c.num_values() >= 0;
                    sane && end.is_some_and(|end| end as u64 <= self.bytes)
                });
                if !inside {
                    let problem = format!("column {i} does not lie within the file's {} bytes", self.bytes);
                    return Err(H5Error::broken(&self.path, &place, problem));
                }
                let reader = decode(|| group.get_column_reader(i)).map_err(|e| failed(&self.path, &place, &e))?;
                let nullable = chunk.is_some_and(|c| c.column_descr().max_def_level() > 0);
                columns.push((reader, nullable));
            }
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            while left > 0 {
                let rows = left.min(BLOCK);
                let mut block = Vec::with_capacity(wanted.len());
                for (reader, nullable) in &mut columns {
                    let cells = decode(|| Cells::read(reader, *nullable, rows));
                    let cells = cells.map_err(|e| failed(&self.path, &place, &e))?;
                    if cells.len() != rows {
                        let problem = format!("{rows} more rows were expected, found {}", cells.len());
                        return Err(H5Error::broken(&self.path, &place, problem));
                    }
                    block.push(cells);
                }
                take(&block)?;
                left -= rows;
            }
        }
        Ok(())
    }
}

/// The decoder panics at some broken pages; that is the file's fault, and nothing of it is used afterwards.
fn decode<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(ParquetError::General("a broken page".into())))
}

fn failed(path: &Path, place: &str, error: &ParquetError) -> H5Error {
    let words = crate::error::one_line(error);
    match error {
        ParquetError::NYI(_) => H5Error::unsupported(path, place, words),
        _ => H5Error::broken(path, place, format!("not sound Parquet ({words})")),
    }
}

/// Some values of a column; a missing one has a `None`.
pub(crate) enum Cells {
    Whole(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
    Text(Vec<Option<ByteArray>>),
}

impl Cells {
    fn read(reader: &mut ColumnReader, nullable: bool, rows: usize) -> Result<Self, ParquetError> {
        Ok(match reader {
            ColumnReader::BoolColumnReader(r) => Self::Whole(values(r, nullable, rows, i64::from)?),
            ColumnReader::Int32ColumnReader(r) => Self::Whole(values(r, nullable, rows, i64::from)?),
            ColumnReader::Int64ColumnReader(r) => Self::Whole(values(r, nullable, rows, |v| v)?),
            ColumnReader::FloatColumnReader(r) => Self::Real(values(r, nullable, rows, f64::from)?),
            ColumnReader::DoubleColumnReader(r) => Self::Real(values(r, nullable, rows, |v| v)?),
            ColumnReader::ByteArrayColumnReader(r) => Self::Text(values(r, nullable, rows, |v| v)?),
            _ => return Err(ParquetError::NYI(format!("a column of {} or 96-bit times", Type::FIXED_LEN_BYTE_ARRAY))),
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(v) => v.len(),
            Self::Real(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// A number; not finite counts as missing.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Whole(v) => v.get(row).copied().flatten().map(|n| n as f64),
            Self::Real(v) => v.get(row).copied().flatten().filter(|n| n.is_finite()),
            Self::Text(_) => None,
        }
    }

    pub(crate) fn integer(&self, row: usize) -> Option<i64> {
        match self {
            Self::Whole(v) => v.get(row).copied().flatten(),
            _ => None,
        }
    }

    /// A text; nothing too for bytes that are none.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Text(v) => v.get(row)?.as_ref().and_then(|b| std::str::from_utf8(b.data()).ok()),
            _ => None,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

fn values<T: DataType, U>(
    reader: &mut ColumnReaderImpl<T>,
    nullable: bool,
    rows: usize,
    change: impl Fn(T::T) -> U,
) -> Result<Vec<Option<U>>, ParquetError> {
    let (mut found, mut levels) = (Vec::new(), Vec::new());
    let (read, _, _) = reader.read_records(rows, nullable.then_some(&mut levels), None, &mut found)?;
    let mut found = found.into_iter().map(change);
    if nullable {
        return Ok(levels.into_iter().map(|level| if level > 0 { found.next() } else { None }).collect());
    }
    Ok(found.map(Some).take(read).collect())
}
