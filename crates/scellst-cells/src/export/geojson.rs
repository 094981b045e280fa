use std::path::Path;

use serde::{Serialize, Serializer};

use super::file::NewFile;
use super::{check, each};
use crate::measurement::check_row;
use crate::{Cell, Cells, CellsError, Measure, measurement};

/// Writes all cells; see [`GeoJsonWriter`].
///
/// # Errors
/// [`CellsError::Io`]; the target is then as it was.
pub fn write_geojson(path: impl AsRef<Path>, cells: &Cells) -> Result<(), CellsError> {
    let mut writer = GeoJsonWriter::create_with(path, cells.measurements().measures())?;
    each(cells, |cell, values| writer.write_with(cell, values))?;
    writer.finish()
}

/// Writes a GeoJSON FeatureCollection one cell at a time, as QuPath shows detections: closed polygons in level-0 px (a
/// point where there is no outline), `classification.name`, and as measurements area, score, centroid and the
/// given measures by their labels; what is not known is left out.
///
/// The file appears under its name on [`GeoJsonWriter::finish`]; until then, and if the writer is dropped before, there
/// is only a temporary file beside it, which a drop removes.
#[derive(Debug)]
pub struct GeoJsonWriter {
    file: NewFile,
    written: usize,
    labels: Vec<String>,
    /// The feature under way, kept for its room.
    text: Vec<u8>,
}

impl GeoJsonWriter {
    /// Opens the temporary file.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        Self::create_with(target, &[])
    }

    /// As [`GeoJsonWriter::create`] for cells with measurements.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create_with(target: impl AsRef<Path>, measures: &[Measure]) -> Result<Self, CellsError> {
        let mut file = NewFile::create(target)?;
        file.put(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        let labels = measures.iter().map(|m| m.label.clone().into_owned()).collect();
        Ok(Self { file, written: 0, labels, text: Vec::new() })
    }

    /// Adds a cell.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a coordinate that is not finite; [`CellsError::Io`].
    pub fn write(&mut self, cell: &Cell) -> Result<(), CellsError> {
        self.write_with(cell, &[])
    }

    /// As [`GeoJsonWriter::write`] with the values of the measures, in their order.
    ///
    /// # Errors
    /// As [`GeoJsonWriter::write`], and [`CellsError::Misuse`] for another number of values than measures.
    pub fn write_with(&mut self, cell: &Cell, values: &[f32]) -> Result<(), CellsError> {
        check_row(values, self.labels.len())?;
        check(cell, self.written)?;
        let feature = Feature {
            kind: "Feature",
            id: cell.id.as_deref(),
            geometry: match cell.outline.as_slice() {
                [] => Geometry::Point { coordinates: [cell.centroid.x, cell.centroid.y] },
                ring => Geometry::Polygon { coordinates: [Ring(ring)] },
            },
            properties: Properties {
                object_type: "detection",
                classification: cell.class.as_deref().map(|name| Classification { name }),
                measurements: Measurements {
                    // JSON has no NaN: an unknown area is left out.
                    area: Some(cell.area_um2).filter(|a| a.is_finite()),
                    score: cell.score,
                    x: cell.centroid.x,
                    y: cell.centroid.y,
                    more: self.labels.iter().map(String::as_str).zip(values.iter().copied()).collect(),
                },
            },
        };
        self.text.clear();
        self.text.extend_from_slice(if self.written == 0 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut self.text, &feature).map_err(|e| self.file.failed(&e.into()))?;
        self.file.put(&self.text)?;
        self.written += 1;
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`CellsError::Io`]; the target is then as it was.
    pub fn finish(mut self) -> Result<(), CellsError> {
        self.file.put(b"\n]}\n")?;
        self.file.finish()
    }
}

#[derive(Serialize)]
struct Feature<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    geometry: Geometry<'a>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Geometry<'a> {
    Point { coordinates: [f64; 2] },
    Polygon { coordinates: [Ring<'a>; 1] },
}

/// An open ring, written closed.
struct Ring<'a>(&'a [[f32; 2]]);

impl Serialize for Ring<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().chain(self.0.first()))
    }
}

#[derive(Serialize)]
struct Properties<'a> {
    #[serde(rename = "objectType")]
    object_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Classification<'a>>,
    measurements: Measurements<'a>,
}

#[derive(Serialize)]
struct Classification<'a> {
    name: &'a str,
}

/// Named by [`measurement`]'s constants.
struct Measurements<'a> {
    area: Option<f32>,
    score: f32,
    x: f64,
    y: f64,
    more: Vec<(&'a str, f32)>,
}

impl Serialize for Measurements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        if let Some(area) = self.area {
            map.serialize_entry(measurement::AREA, &area)?;
        }
        map.serialize_entry(measurement::SCORE, &self.score)?;
        map.serialize_entry(measurement::CENTROID_X, &self.x)?;
        map.serialize_entry(measurement::CENTROID_Y, &self.y)?;
        for (label, value) in self.more.iter().filter(|(_, v)| v.is_finite()) {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}
