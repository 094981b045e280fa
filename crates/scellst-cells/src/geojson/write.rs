use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::measurement;
use crate::{Cell, Cells, CellsError};

/// Writes all cells; see [`GeoJsonWriter`].
///
/// # Errors
/// [`CellsError::Io`]; the target is then as it was.
pub fn write_geojson(path: impl AsRef<Path>, cells: &Cells) -> Result<(), CellsError> {
    let mut writer = GeoJsonWriter::create(path)?;
    for i in 0..cells.len() {
        if let Some(cell) = cells.get(i) {
            writer.write(&cell)?;
        }
    }
    writer.finish()
}

/// Writes a GeoJSON FeatureCollection one cell at a time, as QuPath shows detections: closed polygons in level-0 px (a
/// point where there is no outline), `classification.name`, and as measurements area, score and centroid.
///
/// The file appears under its name on [`GeoJsonWriter::finish`]; until then, and if the writer is dropped before, there
/// is only a temporary file beside it, which a drop removes.
#[derive(Debug)]
pub struct GeoJsonWriter {
    target: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
    written: usize,
}

impl GeoJsonWriter {
    /// Opens the temporary file.
    ///
    /// # Errors
    /// [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        let target = target.as_ref().to_owned();
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".tmp{}", std::process::id()));
        let temporary = target.with_file_name(name);
        let file = File::create(&temporary).map_err(|e| CellsError::io(&target, "create", &e))?;
        let mut writer = Self { target, temporary, file: Some(BufWriter::with_capacity(1 << 16, file)), written: 0 };
        writer.put(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        Ok(writer)
    }

    /// Adds a cell.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a coordinate that is not finite; [`CellsError::Io`].
    pub fn write(&mut self, cell: &Cell) -> Result<(), CellsError> {
        let finite = cell.outline.iter().all(|p| p[0].is_finite() && p[1].is_finite());
        if !cell.centroid.is_finite() || !finite {
            let found = format!("{:?}", cell.centroid);
            return Err(CellsError::misuse(format!("cell {}", self.written), "finite coordinates", found));
        }
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
        let text = serde_json::to_vec(&feature).map_err(|e| CellsError::io(&self.target, "write", &e.into()))?;
        self.put(if self.written == 0 { b"\n" } else { b",\n" })?;
        self.put(&text)?;
        self.written += 1;
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`CellsError::Io`]; the target is then as it was.
    pub fn finish(mut self) -> Result<(), CellsError> {
        self.put(b"\n]}\n")?;
        if let Some(file) = &mut self.file {
            file.flush().map_err(|e| CellsError::io(&self.target, "write", &e))?;
        }
        fs::rename(&self.temporary, &self.target)
            .map_err(|e| CellsError::io(&self.target, "rename its temporary file to it", &e))?;
        self.file = None;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CellsError> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(|e| CellsError::io(&self.target, "write", &e)),
            None => Ok(()),
        }
    }
}

impl Drop for GeoJsonWriter {
    fn drop(&mut self) {
        // `finish` takes the file once all went well; otherwise the work was given up.
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
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
