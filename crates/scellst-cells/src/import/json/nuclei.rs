use std::collections::BTreeMap;
use std::fmt;

use scellst_types::Point;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::coordinates::Coordinates;
use super::{Resolution, State};
use crate::CellsError;
use crate::import::{Class, Found, Placement, Rings, Sink};

/// A nucleus as CellViT and HoVer-Net write it; of each member, the type that is wanted or nothing.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Nucleus {
    centroid: Option<[f64; 2]>,
    contour: Option<Coordinates>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    type_prob: Option<f64>,
}

/// Of CellViT's `wsi_metadata`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) base_mpp: Value,
}

impl Nucleus {
    fn take<E: serde::de::Error>(self, state: &mut State<'_>, id: Option<String>) -> Result<(), E> {
        let number = state.seen;
        state.seen += 1;
        let mut rings = Rings::default();
        if let Some(contour) = self.contour.filter(|c| c.depth != 0) {
            if contour.depth != 2 {
                return Err(E::custom(format!("expected a contour [[x, y], ...], found {} brackets", contour.depth)));
            }
            rings = contour.rings;
            rings.end_part();
        }
        let shape = match rings.parts() {
            0 => None,
            _ => match rings.whole() {
                Ok(shape) => Some(shape),
                Err(flaw) => {
                    state.sink.flaw(flaw);
                    return Ok(());
                }
            },
        };
        let class = match self.kind {
            Some(Value::String(name)) => Some(Class::Name(name)),
            Some(Value::Number(code)) => code.as_i64().map(Class::Code),
            _ => None,
        };
        let found = Found { id, shape, centroid: self.centroid, score: self.type_prob, class, area_um2: None };
        let added = state.sink.add(found, || format!("cell {number}"));
        state.keep(added)
    }
}

/// Names by number: CellViT's `{"1": "Neoplastic"}`, or the other way round, or `{"1": ["Neoplastic", [255, 0, 0]]}`.
pub(super) fn class_names(map: &Value, names: &mut BTreeMap<i64, String>) {
    for (key, value) in map.as_object().into_iter().flatten() {
        let listed = value.as_array().and_then(|list| list.first());
        match (key.parse::<i64>(), listed.unwrap_or(value)) {
            (Ok(code), Value::String(name)) => names.insert(code, name.clone()),
            (Err(_), Value::Number(code)) => code.as_i64().and_then(|code| names.insert(code, key.clone())),
            _ => None,
        };
    }
}

impl Resolution {
    /// Takes the file's pixels to level 0, if the caller did not.
    pub(super) fn place(&mut self, sink: &mut Sink<'_>) -> Result<(), CellsError> {
        let (None, Some(slide)) = (sink.options.placement, sink.options.mpp) else { return Ok(()) };
        let scale = match (self.mpp, self.mag) {
            (Some(mpp), _) => mpp / slide.x(),
            // A magnification is a word for a resolution near 10 / mag um; only doublings of the slide's are exact.
            (None, Some(mag)) => (10.0 / mag / slide.x()).log2().round().exp2(),
            (None, None) => return Ok(()),
        };
        // The same within what scanners' statements differ.
        if (scale - 1.0).abs() > 0.02 {
            sink.place(Some(Placement::scaled(scale, Point::new(0.0, 0.0))?));
        }
        Ok(())
    }
}

/// CellViT's list.
pub(super) struct CellList<'a, 'b>(pub(super) &'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for CellList<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for CellList<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of cells")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(nucleus) = seq.next_element::<Nucleus>()? {
            nucleus.take(self.0, None)?;
        }
        Ok(())
    }
}

/// HoVer-Net's map of ids to nuclei.
pub(super) struct Nuclei<'a, 'b>(pub(super) &'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Nuclei<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Nuclei<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of ids to nuclei")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((id, nucleus)) = map.next_entry::<String, Nucleus>()? {
            nucleus.take(self.0, Some(id))?;
        }
        Ok(())
    }
}
