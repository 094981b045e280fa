use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::import::Rings;

/// The nested lists of a GeoJSON geometry, as flat as [`Rings`]: 16 bytes a corner, whatever the depth.
#[derive(Debug, Default)]
pub(super) struct Coordinates {
    pub(super) rings: Rings,
    /// 1 for a position, 2 for a list of them, 3 and 4 for lists of those; 0 if there is no position.
    pub(super) depth: u8,
}

/// A GeoJSON geometry.
#[derive(Debug, Default)]
pub(super) struct Geometry {
    pub(super) kind: String,
    pub(super) coordinates: Coordinates,
}

impl<'de> Deserialize<'de> for Geometry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Geometry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a geometry with a type and coordinates")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Geometry, A::Error> {
                let (mut kind, mut coordinates) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "type" => kind = Some(map.next_value()?),
                        "coordinates" => coordinates = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let kind: String = kind.ok_or_else(|| A::Error::missing_field("type"))?;
                let coordinates: Coordinates = match coordinates {
                    Some(coordinates) => coordinates,
                    // It has geometries instead.
                    None if kind == "GeometryCollection" => Coordinates::default(),
                    None => return Err(A::Error::missing_field("coordinates")),
                };
                let depth = match kind.as_str() {
                    "Point" => 1,
                    "MultiPoint" => 2,
                    "Polygon" => 3,
                    "MultiPolygon" => 4,
                    _ => coordinates.depth,
                };
                if coordinates.depth != 0 && coordinates.depth != depth {
                    let found = coordinates.depth;
                    return Err(A::Error::custom(format!("expected a {kind} with {depth} brackets, found {found}")));
                }
                Ok(Geometry { kind, coordinates })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rings = Rings::default();
        match (Level { rings: &mut rings }).deserialize(deserializer)? {
            Item::List(depth) => Ok(Self { rings, depth }),
            Item::Number(v) => Err(D::Error::custom(format!("expected a list of positions, found {v}"))),
        }
    }
}

/// A list of any depth up to that of a MultiPolygon, or a number in the innermost.
struct Level<'a> {
    rings: &'a mut Rings,
}

enum Item {
    Number(f64),
    /// Its depth; 0 if there is no position in it.
    List(u8),
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Item;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position [x, y] or a list of positions")
    }

    fn visit_f64<E>(self, v: f64) -> Result<Item, E> {
        Ok(Item::Number(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Item, E> {
        Ok(Item::Number(v as f64))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Item, E> {
        Ok(Item::Number(v as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
        let rings = self.rings;
        let (mut depth, mut numbers, mut position) = (0, 0usize, [0.0; 2]);
        while let Some(item) = seq.next_element_seed(Level { rings: &mut *rings })? {
            match item {
                Item::Number(v) if depth == 0 => {
                    if let Some(place) = position.get_mut(numbers) {
                        *place = v;
                    }
                    numbers += 1;
                }
                // Empty lists fit anywhere: the ring or part of no corners that they are is seen to later.
                Item::List(0) if numbers == 0 => {}
                Item::List(d) if numbers == 0 && (depth == 0 || depth == d) => depth = d,
                _ => return Err(A::Error::custom("expected lists of one depth, found different ones")),
            }
        }
        match (numbers, depth) {
            (0, 0) => return Ok(Item::List(0)),
            (1, _) => return Err(A::Error::custom("expected a position [x, y], found one number")),
            (2.., _) => rings.push(position),
            (_, 1) => rings.end_ring(),
            (_, 2) => rings.end_part(),
            (_, 3) => {}
            _ => return Err(A::Error::custom("expected at most four brackets, found more")),
        }
        Ok(Item::List(depth + 1))
    }
}
