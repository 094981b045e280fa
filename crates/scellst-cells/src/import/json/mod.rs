mod coordinates;
mod geojson;
mod nuclei;

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::open::Text;
use super::{Format, ImportOptions, Imported, Sink};
use crate::CellsError;
use geojson::{Feature, Features};
use nuclei::{CellList, Nuclei};

/// What a document without any cell of these formats is told to have.
const EXPECTED: &str = "a FeatureCollection, a Feature, CellViT's `cells` or HoVer-Net's `nuc`";

/// Reads GeoJSON, CellViT's or HoVer-Net's JSON; which it is, its keys say as they come.
pub(super) fn read(path: &Path, text: Text, options: &ImportOptions) -> Result<Imported, CellsError> {
    let mut state =
        State { sink: Sink::new(path, options), format: None, seen: 0, resolution: Resolution::default(), error: None };
    let mut json = serde_json::Deserializer::from_reader(text);
    let outcome = Top(&mut state).deserialize(&mut json).and_then(|()| json.end());
    if let Some(error) = state.error {
        return Err(error);
    }
    let format = state.format.unwrap_or(Format::GeoJson);
    if let Err(error) = outcome {
        if let Some(kind) = error.io_error_kind() {
            return Err(CellsError::io(path, "read", &kind.into()));
        }
        let unit = if format == Format::GeoJson { "feature" } else { "cell" };
        let place = format!("{unit} {}, line {}, column {}", state.seen, error.line(), error.column());
        return Err(CellsError::broken(path, place, format.to_string(), error.to_string()));
    }
    state.sink.finish(format)
}

struct State<'a> {
    sink: Sink<'a>,
    format: Option<Format>,
    /// Features or cells so far.
    seen: usize,
    resolution: Resolution,
    /// Our own error, kept aside while serde's stands in for it.
    error: Option<CellsError>,
}

/// What a HoVer-Net file says of its pixels.
#[derive(Debug, Default)]
struct Resolution {
    mag: Option<f64>,
    mpp: Option<f64>,
}

impl State<'_> {
    /// Takes the document for one of the given format from here on.
    fn begin<E: serde::de::Error>(&mut self, format: Format) -> Result<(), E> {
        if let Some(before) = self.format.replace(format).filter(|&before| before != format) {
            return Err(E::custom(format!("both {before} and {format} in one document")));
        }
        let accepted = self.sink.accept(format);
        self.keep(accepted)
    }

    /// Lets serde stop at an error of ours.
    fn keep<T, E: serde::de::Error>(&mut self, outcome: Result<T, CellsError>) -> Result<T, E> {
        outcome.map_err(|error| {
            let text = error.to_string();
            self.error = Some(error);
            E::custom(text)
        })
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
        f.write_str(EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.begin(Format::GeoJson)?;
        Features(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        // A single feature is kept whole; the members of lists go by one at a time.
        let mut single = Feature::default();
        let mut kind: Option<Value> = None;
        let mut geometry = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "features" => {
                    state.begin(Format::GeoJson)?;
                    map.next_value_seed(Features(&mut *state))?;
                }
                "cells" => {
                    state.begin(Format::CellVit)?;
                    map.next_value_seed(CellList(&mut *state))?;
                }
                "nuc" => {
                    state.begin(Format::HoverNet)?;
                    let placed = state.resolution.place(&mut state.sink);
                    state.keep(placed)?;
                    map.next_value_seed(Nuclei(&mut *state))?;
                }
                "mag" | "mpp" => {
                    let value = number(&map.next_value()?);
                    if value.is_some() && state.format == Some(Format::HoverNet) {
                        return Err(A::Error::custom(format!("expected `{key}` before `nuc`, found it after")));
                    }
                    let known = &mut state.resolution;
                    *(if key == "mag" { &mut known.mag } else { &mut known.mpp }) = value;
                }
                "type_map" => nuclei::class_names(&map.next_value()?, &mut state.sink.class_names),
                "wsi_metadata" => {
                    let metadata: nuclei::Metadata = map.next_value()?;
                    if let Some(mpp) = number(&metadata.base_mpp) {
                        state.sink.file_mpp(mpp);
                    }
                }
                "type" => kind = Some(map.next_value()?),
                "geometry" => {
                    geometry = true;
                    single.geometry = map.next_value()?;
                }
                "nucleusGeometry" => single.nucleus = map.next_value()?,
                "properties" => single.properties = map.next_value()?,
                "id" => single.id = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let feature = kind.as_ref().and_then(Value::as_str) == Some("Feature");
        match state.format {
            Some(_) => Ok(()),
            None if feature && geometry => {
                state.begin(Format::GeoJson)?;
                single.take(state)
            }
            None if feature => Err(A::Error::custom("expected a feature with a geometry, found none")),
            None => Err(A::Error::custom(format!("expected {EXPECTED}, found type {kind:?}"))),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    // Older writers give numbers as text.
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|v: &f64| v.is_finite() && *v > 0.0)
}
