use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::file::NewFile;
use super::{check, each};
use crate::import::write_wkb;
use crate::measurement::check_row;
use crate::{Cell, Cells, CellsError, Measure};

/// Cells of a row group: about 11 MB of outlines of 20 corners.
const GROUP: usize = 32_768;

/// Of a cell without measurements.
const SCHEMA: &str = "
    required binary id (UTF8);
    required binary geometry;
    optional binary class (UTF8);
    required float score;
    optional float area_um2;
    required double x;
    required double y;
";

/// Of GeoParquet 1.1. Pixels have no coordinate reference system, which `null` says.
const GEO: &str = r#"{"version":"1.1.0","primary_column":"geometry","columns":{"geometry":{"encoding":"WKB","geometry_types":["Point","Polygon"],"crs":null}}}"#;

/// Writes all cells; see [`ParquetWriter`].
///
/// # Errors
/// [`CellsError::Io`]; the target is then as it was.
pub fn write_parquet(path: impl AsRef<Path>, cells: &Cells) -> Result<(), CellsError> {
    let mut writer = ParquetWriter::create_with(path, cells.measurements().measures())?;
    each(cells, |cell, values| writer.write_with(cell, values))?;
    writer.finish()
}

/// Writes GeoParquet one cell at a time, for geopandas, R's sf and DuckDB: `id`, `geometry` (WKB, a closed polygon in
/// level-0 px, a point where there is no outline), `class`, `score`, `area_um2`, and the centroid `x`, `y`, level-0 px; then
/// a column for each measure, null where a cell has no value.
///
/// Row groups of 32,768 cells, packed by Zstandard, so that memory does not grow with the number of cells. The file appears
/// under its name on [`ParquetWriter::finish`], as [`GeoJsonWriter`](crate::GeoJsonWriter)'s does.
pub struct ParquetWriter {
    file: SerializedFileWriter<NewFile>,
    written: usize,
    group: Group,
}

/// The columns of the row group under way.
#[derive(Default)]
struct Group {
    ids: Vec<ByteArray>,
    geometries: Vec<ByteArray>,
    /// Of those that have one; which do, the levels say.
    classes: Vec<ByteArray>,
    has_class: Vec<i16>,
    scores: Vec<f32>,
    areas: Vec<f32>,
    has_area: Vec<i16>,
    x: Vec<f64>,
    y: Vec<f64>,
    /// Of every measure: the values there are, and which there are.
    measured: Vec<(Vec<f32>, Vec<i16>)>,
}

impl Group {
    fn of(measures: usize) -> Self {
        Self { measured: vec![Default::default(); measures], ..Self::default() }
    }
}

impl std::fmt::Debug for ParquetWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetWriter").field("written", &self.written).finish_non_exhaustive()
    }
}

impl ParquetWriter {
    /// Opens a temporary file beside the target.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        Self::create_with(target, &[])
    }

    /// As [`ParquetWriter::create`] for cells with measurements.
    ///
    /// # Errors
    /// [`CellsError::Io`]; a column's name that is none in Parquet.
    pub fn create_with(target: impl AsRef<Path>, measures: &[Measure]) -> Result<Self, CellsError> {
        let path = target.as_ref();
        let file = NewFile::create(path)?;
        let failed = |e: ParquetError| failed(path, &e);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?))
            // Names and outlines do not repeat; bounds of WKB mean nothing.
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled("class".into(), true)
            .set_column_statistics_enabled("geometry".into(), EnabledStatistics::None)
            .set_key_value_metadata(Some(vec![KeyValue::new("geo".to_owned(), GEO.to_owned())]))
            .build();
        let more: String = measures.iter().map(|m| format!("optional float {};\n", m.column)).collect();
        let schema = parse_message_type(&format!("message cells {{{SCHEMA}{more}}}")).map_err(failed)?;
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self { file, written: 0, group: Group::of(measures.len()) })
    }

    /// Adds a cell; one without an id is called by its number, as in [`Cells`].
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a coordinate that is not finite; [`CellsError::Io`].
    pub fn write(&mut self, cell: &Cell) -> Result<(), CellsError> {
        self.write_with(cell, &[])
    }

    /// As [`ParquetWriter::write`] with the values of the measures, in their order.
    ///
    /// # Errors
    /// As [`ParquetWriter::write`], and [`CellsError::Misuse`] for another number of values than measures.
    pub fn write_with(&mut self, cell: &Cell, values: &[f32]) -> Result<(), CellsError> {
        check_row(values, self.group.measured.len())?;
        check(cell, self.written)?;
        let group = &mut self.group;
        group.ids.push(match &cell.id {
            Some(id) => id.as_str().into(),
            None => format!("cell_{:07}", self.written).as_str().into(),
        });
        let mut wkb = Vec::with_capacity(29 + 16 * cell.outline.len());
        write_wkb(&cell.outline, [cell.centroid.x, cell.centroid.y], &mut wkb);
        group.geometries.push(wkb.into());
        group.has_class.push(i16::from(cell.class.is_some()));
        group.classes.extend(cell.class.as_deref().map(ByteArray::from));
        group.scores.push(cell.score);
        let area = Some(cell.area_um2).filter(|a| a.is_finite());
        group.has_area.push(i16::from(area.is_some()));
        group.areas.extend(area);
        group.x.push(cell.centroid.x);
        group.y.push(cell.centroid.y);
        for ((known, levels), value) in group.measured.iter_mut().zip(values) {
            levels.push(i16::from(value.is_finite()));
            known.extend(Some(*value).filter(|v| v.is_finite()));
        }
        self.written += 1;
        if group.ids.len() == GROUP { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<(), CellsError> {
        let next = Group::of(self.group.measured.len());
        let group = std::mem::replace(&mut self.group, next);
        let written = self.file.next_row_group().and_then(|mut out| {
            column::<ByteArrayType>(&mut out, &group.ids, None)?;
            column::<ByteArrayType>(&mut out, &group.geometries, None)?;
            column::<ByteArrayType>(&mut out, &group.classes, Some(&group.has_class))?;
            column::<FloatType>(&mut out, &group.scores, None)?;
            column::<FloatType>(&mut out, &group.areas, Some(&group.has_area))?;
            column::<DoubleType>(&mut out, &group.x, None)?;
            column::<DoubleType>(&mut out, &group.y, None)?;
            for (known, levels) in &group.measured {
                column::<FloatType>(&mut out, known, Some(levels))?;
            }
            out.close()
        });
        written.map(|_| ()).map_err(|e| failed(self.file.inner().target(), &e))
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`CellsError::Io`]; the target is then as it was.
    pub fn finish(mut self) -> Result<(), CellsError> {
        if !self.group.ids.is_empty() {
            self.end_group()?;
        }
        let path = self.file.inner().target().to_owned();
        self.file.into_inner().map_err(|e| failed(&path, &e))?.finish()
    }
}

fn column<T: DataType>(
    out: &mut SerializedRowGroupWriter<'_, NewFile>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    // There are as many columns as the schema has.
    if let Some(mut column) = out.next_column()? {
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
    }
    Ok(())
}

fn failed(path: &Path, error: &ParquetError) -> CellsError {
    CellsError::Io { path: path.to_owned(), doing: "write", reason: error.to_string() }
}
