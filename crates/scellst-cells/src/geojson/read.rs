use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use scellst_types::{MicronsPerPixel, Point, Size};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::geometry::{Shape, Wrong, shape, short};
use super::measurement;
use crate::cells::to_um2;
use crate::{Cell, Cells, CellsError};

/// How GeoJSON is read.
#[derive(Debug, Clone, Default)]
pub struct GeoJsonOptions {
    /// Turns the polygons' areas into um2; without it the area is what the file measured, else NaN.
    pub mpp: Option<MicronsPerPixel>,
    /// Size of level 0, px, to check the coordinates against.
    pub slide: Option<Size>,
}

/// Cells from a file, and what was left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The cells, in the order of the file.
    pub cells: Cells,
    /// Cells dropped because their centroid lies outside of the slide.
    pub outside: usize,
    /// Features without geometry, or with one that is neither polygon nor point, passed over.
    pub passed_over: usize,
}

/// Reads cells from GeoJSON: a FeatureCollection, a list of features (as QuPath and CellViT write them) or one feature.
///
/// Polygon, MultiPolygon and Point in level-0 px. From `properties`: `classification.name` (or a plain string, or
/// QuPath's `names`), `measurements` (QuPath's map or its older list) with the names that
/// [`write_geojson`](crate::write_geojson) gives them. The centroid is the polygon's, unless the file measured one that lies
/// within the polygon's bounds. The file is read as a stream: memory is that of the cells.
///
/// # Errors
/// [`CellsError::Broken`] for what is no JSON or no GeoJSON, with the feature's number; for a polygon of fewer than
/// three corners; for a file without any cell. [`CellsError::OtherLevel`] if over a tenth of the cells lie outside of the
/// slide (fewer are dropped and counted). [`CellsError::Io`].
pub fn read_geojson(path: impl AsRef<Path>, options: &GeoJsonOptions) -> Result<Imported, CellsError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    let mut state = State { path, options, cells: Cells::new(), seen: 0, passed_over: 0, error: None };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, file));
    let outcome = Top(&mut state).deserialize(&mut json).and_then(|()| json.end());
    if let Some(error) = state.error {
        return Err(error);
    }
    if let Err(error) = outcome {
        if let Some(kind) = error.io_error_kind() {
            return Err(CellsError::io(path, "read", &std::io::Error::from(kind)));
        }
        let place = format!("feature {}, line {}, column {}", state.seen, error.line(), error.column());
        return Err(CellsError::broken(path, place, "GeoJSON", error.to_string()));
    }
    let State { mut cells, passed_over, .. } = state;
    if cells.is_empty() {
        let found = format!("none ({passed_over} features passed over)");
        return Err(CellsError::broken(path, "the file", "at least one polygon or point", found));
    }
    let mut outside = 0;
    if let Some(size) = options.slide {
        let inside = cells.inside(size)?;
        outside = cells.len() - inside.len();
        if outside > 0 {
            log::warn!(
                "{}: {outside} of {} cells lie outside of the slide and are dropped",
                path.display(),
                cells.len()
            );
            cells = cells.select(&inside)?;
        }
    }
    if passed_over > 0 {
        log::warn!("{}: {passed_over} features are no polygons or points and are passed over", path.display());
    }
    Ok(Imported { cells, outside, passed_over })
}

struct State<'a> {
    path: &'a Path,
    options: &'a GeoJsonOptions,
    cells: Cells,
    seen: usize,
    passed_over: usize,
    /// Our own error, kept aside while serde's stands in for it.
    error: Option<CellsError>,
}

impl State<'_> {
    fn feature(&mut self, feature: &Value) -> Result<(), CellsError> {
        let number = self.seen;
        self.seen += 1;
        let broken =
            |expected: &str, found: String| CellsError::broken(self.path, format!("feature {number}"), expected, found);
        if !feature.is_object() {
            return Err(broken("a feature", short(feature)));
        }
        let geometry = match feature.get("geometry") {
            None => return Err(broken("a feature with a geometry", short(feature))),
            Some(Value::Null) => {
                self.passed_over += 1;
                return Ok(());
            }
            Some(geometry) => geometry,
        };
        let shape = match shape(geometry) {
            Ok(shape) => shape,
            Err(Wrong::Broken(expected, found)) => return Err(broken(expected, found)),
            Err(Wrong::Unsupported(kind)) => {
                log::debug!("{}: feature {number}: {kind} passed over", self.path.display());
                self.passed_over += 1;
                return Ok(());
            }
        };
        let cell = cell(feature, shape, self.options);
        match self.cells.push(cell) {
            Ok(_) => Ok(()),
            Err(CellsError::Misuse { what, expected, found }) => Err(broken(&format!("{what}: {expected}"), found)),
            Err(other) => Err(other),
        }
    }
}

fn cell(feature: &Value, shape: Shape, options: &GeoJsonOptions) -> Cell {
    let properties = feature.get("properties").unwrap_or(&Value::Null);
    let measured = |name: &str| measured(properties.get("measurements")?, name);
    let area_um2 = match (measured(measurement::AREA), shape.area, options.mpp) {
        (Some(area), _, _) => area as f32,
        (None, Some(px), Some(mpp)) => to_um2(px, mpp),
        _ => f32::NAN,
    };
    let mut centroid = shape.centroid;
    if let (Some(x), Some(y)) = (measured(measurement::CENTROID_X), measured(measurement::CENTROID_Y)) {
        let spans = |k: usize, v: f64| {
            let values = || shape.outline.iter().map(|p| f64::from(p[k]));
            values().fold(f64::INFINITY, f64::min) <= v && v <= values().fold(f64::NEG_INFINITY, f64::max)
        };
        if spans(0, x) && spans(1, y) {
            centroid = [x, y];
        }
    }
    let id = match feature.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    Cell {
        id,
        centroid: Point::new(centroid[0], centroid[1]),
        outline: shape.outline,
        area_um2,
        score: measured(measurement::SCORE).map_or(1.0, |s| s as f32),
        class: class(properties),
    }
}

/// `{"name": ..}`, `{"names": [..]}` joined as QuPath shows them, or a string.
fn class(properties: &Value) -> Option<String> {
    let class = properties.get("classification")?;
    let joined = |names: &Vec<Value>| {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| names.join(": "))
    };
    let name = class.as_str().or_else(|| class.get("name").and_then(Value::as_str)).map(str::to_owned);
    name.or_else(|| class.get("names").and_then(Value::as_array).and_then(joined)).filter(|n| !n.is_empty())
}

/// A measurement of QuPath's map `{name: value}` or list `[{"name", "value"}]`.
fn measured(measurements: &Value, name: &str) -> Option<f64> {
    match measurements {
        Value::Object(map) => map.get(name)?.as_f64(),
        Value::Array(list) => {
            let entry = list.iter().find(|m| m.get("name").and_then(Value::as_str) == Some(name))?;
            entry.get("value")?.as_f64()
        }
        _ => None,
    }
}

/// The whole document.
struct Top<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FeatureCollection, a list of features or a feature")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Features(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // A single feature is kept whole; a collection's features go by one at a time.
        let mut single = serde_json::Map::new();
        let mut collection = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "features" => {
                    collection = true;
                    map.next_value_seed(Features(&mut *self.0))?;
                }
                "geometry" | "properties" | "id" | "type" => {
                    single.insert(key, map.next_value()?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (collection, single.get("type").and_then(Value::as_str)) {
            (true, _) => Ok(()),
            (false, Some("Feature")) => take(self.0, &Value::Object(single)),
            (false, kind) => {
                Err(A::Error::custom(format!("expected a FeatureCollection or a Feature, found type {kind:?}")))
            }
        }
    }
}

/// A list of features.
struct Features<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Features<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(feature) = seq.next_element::<Value>()? {
            take(self.0, &feature)?;
        }
        Ok(())
    }
}

fn take<E: serde::de::Error>(state: &mut State<'_>, feature: &Value) -> Result<(), E> {
    state.feature(feature).map_err(|error| {
        let text = error.to_string();
        state.error = Some(error);
        E::custom(text)
    })
}
