use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::State;
use super::coordinates::Geometry;
use crate::import::{Class, Found, OutlineOf};
use crate::measurement;

/// A GeoJSON feature, as much of it as is kept.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Feature {
    #[serde(default)]
    pub(super) id: Option<Value>,
    // A feature may have no geometry, but must say so.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) geometry: Option<Geometry>,
    #[serde(default, rename = "nucleusGeometry")]
    pub(super) nucleus: Option<Geometry>,
    #[serde(default)]
    pub(super) properties: Option<Properties>,
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Properties {
    #[serde(default, rename = "objectType")]
    object_type: Option<Value>,
    #[serde(default)]
    classification: Option<Value>,
    #[serde(default)]
    measurements: Measurements,
}

impl Feature {
    /// Adds the cells of the feature.
    pub(super) fn take<E: serde::de::Error>(self, state: &mut State<'_>) -> Result<(), E> {
        let number = state.seen;
        state.seen += 1;
        let added = self.add(state, number);
        state.keep(added)
    }

    fn add(self, state: &mut State<'_>, number: usize) -> Result<(), crate::CellsError> {
        let sink = &mut state.sink;
        let at = || format!("feature {number}");
        let nucleus = self.nucleus.filter(|_| sink.options.outline == OutlineOf::Nucleus);
        let Some(geometry) = nucleus.or(self.geometry) else {
            sink.passed_over += 1;
            return Ok(());
        };
        let properties = self.properties.unwrap_or_default();
        let class = class(properties.classification.as_ref()).map(Class::Name);
        let measured = properties.measurements;
        let rings = &geometry.coordinates.rings;
        let annotation = properties.object_type.as_ref().and_then(Value::as_str) == Some("annotation");
        match geometry.kind.as_str() {
            "MultiPolygon" if annotation && rings.parts() > 1 => {
                for part in 0..rings.parts() {
                    match rings.part(part) {
                        Ok(shape) => {
                            sink.add(Found { shape: Some(shape), class: class.clone(), ..Found::default() }, at)?;
                        }
                        Err(flaw) => sink.flaw(flaw),
                    }
                }
                return Ok(());
            }
            "MultiPoint" => {
                for &point in rings.points() {
                    sink.add(Found { centroid: Some(point), class: class.clone(), ..Found::default() }, at)?;
                }
                return Ok(());
            }
            "Point" | "Polygon" | "MultiPolygon" => {}
            other => {
                log::debug!("{}: feature {number}: geometry of type {other} passed over", sink.path.display());
                sink.passed_over += 1;
                return Ok(());
            }
        }
        let (shape, centroid) = match geometry.kind.as_str() {
            // A point is what it says, whatever was measured.
            "Point" => (None, rings.points().first().copied()),
            _ => match rings.whole() {
                Ok(shape) => (Some(shape), measured.centroid()),
                Err(flaw) => {
                    sink.flaw(flaw);
                    return Ok(());
                }
            },
        };
        let id = match self.id {
            Some(Value::String(id)) => Some(id),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        sink.add(Found { id, shape, centroid, area_um2: measured.area, score: measured.score, class }, at)
    }
}

/// `{"name": ..}`, `{"names": [..]}` joined as QuPath shows them, or a string.
fn class(classification: Option<&Value>) -> Option<String> {
    let class = classification?;
    let joined = |names: &Vec<Value>| {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| names.join(": "))
    };
    let name = class.as_str().or_else(|| class.get("name").and_then(Value::as_str)).map(str::to_owned);
    name.or_else(|| class.get("names").and_then(Value::as_array).and_then(joined)).filter(|n| !n.is_empty())
}

/// The measurements that are kept, of QuPath's map `{name: value}` or its older list `[{"name", "value"}]`.
#[derive(Debug, Default, Clone, Copy)]
struct Measurements {
    area: Option<f64>,
    score: Option<f64>,
    x: Option<f64>,
    y: Option<f64>,
}

impl Measurements {
    fn centroid(&self) -> Option<[f64; 2]> {
        Some([self.x?, self.y?])
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<f64>> {
        match name {
            measurement::AREA | measurement::NUCLEUS_AREA => Some(&mut self.area),
            measurement::SCORE => Some(&mut self.score),
            measurement::CENTROID_X => Some(&mut self.x),
            measurement::CENTROID_Y => Some(&mut self.y),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: &Value) {
        if let Some(slot) = self.slot(name) {
            *slot = value.as_f64();
        }
    }
}

impl<'de> Deserialize<'de> for Measurements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Entry {
            #[serde(default)]
            name: String,
            #[serde(default)]
            value: Value,
        }

        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Measurements;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("measurements: a map of names to numbers or a list of names and values")
            }
            fn visit_unit<E>(self) -> Result<Measurements, E> {
                Ok(Measurements::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Measurements, A::Error> {
                let mut out = Measurements::default();
                while let Some(name) = map.next_key::<String>()? {
                    if out.slot(&name).is_some() {
                        out.set(&name, &map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(out)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Measurements, A::Error> {
                let mut out = Measurements::default();
                while let Some(entry) = seq.next_element::<Entry>()? {
                    out.set(&entry.name, &entry.value);
                }
                Ok(out)
            }
        }
        deserializer.deserialize_any(Members)
    }
}

/// A list of features.
pub(super) struct Features<'a, 'b>(pub(super) &'a mut State<'b>);

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
        while let Some(feature) = seq.next_element::<Feature>()? {
            feature.take(self.0)?;
        }
        Ok(())
    }
}
