use std::path::Path;

use serde::{Serialize, Serializer};

use super::file::NewFile;
use super::{check, each};
use crate::{Cell, Cells, CellsError, measurement};

/// Writes all cells; see [`GeoJsonWriter`].
///
/// # Errors
/// [`CellsError::Io`]; the target is then as it was.
pub fn write_geojson(path: impl AsRef<Path>, cells: &Cells) -> Result<(), CellsError> {
    let mut writer = GeoJsonWriter::create(path)?;
    each(cells, |cell| writer.write(cell))?;
    writer.finish()
}

/// Writes a GeoJSON FeatureCollection one cell at a time, as QuPath shows detections: closed polygons in level-0 px (a
/// point where there is no outline), `classification.name`, and as measurements area, score and centroid.
///
/// The file appears under its name on [`GeoJsonWriter::finish`]; until then, and if the writer is dropped before, there
/// is only a temporary file beside it, which a drop removes.
#[derive(Debug)]
pub struct GeoJsonWriter {
    file: NewFile,
    written: usize,
    /// The feature under way, kept for its room.
    text: Vec<u8>,
}

impl GeoJsonWriter {
    /// Opens the temporary file.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        let mut file = NewFile::create(target)?;
        file.put(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        Ok(Self { file, written: 0, text: Vec::new() })
    }

    /// Adds a cell.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a coordinate that is not finite; [`CellsError::Io`].
    pub fn write(&mut self, cell: &Cell) -> Result<(), CellsError> {
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
    measurements: Measurements,
}

#[derive(Serialize)]
struct Classification<'a> {
    name: &'a str,
}

/// Named by [`measurement`]'s constants.
struct Measurements {
    area: Option<f32>,
    score: f32,
    x: f64,
    y: f64,
}

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        if let Some(area) = self.area {
            map.serialize_entry(measurement::AREA, &area)?;
        }
        map.serialize_entry(measurement::SCORE, &self.score)?;
        map.serialize_entry(measurement::CENTROID_X, &self.x)?;
        map.serialize_entry(measurement::CENTROID_Y, &self.y)?;
        map.end()
    }
}
