use serde_json::Value;

use crate::cells::ring_area_centroid;

/// What a cell needs of a GeoJSON geometry; level-0 px.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) centroid: [f64; 2],
    /// Of the largest part, an open ring.
    pub(super) outline: Vec<[f32; 2]>,
    /// Square px, holes taken off; `None` for a point.
    pub(super) area: Option<f64>,
}

/// Why a geometry is none of a cell.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Expected and found.
    Broken(&'static str, String),
    /// A kind that is not read.
    Unsupported(String),
}

/// A Polygon, a MultiPolygon or a Point.
///
/// The centroid is that of the area: of all parts, without holes. The outline is the outer ring of the largest part.
pub(super) fn shape(geometry: &Value) -> Result<Shape, Wrong> {
    let kind = geometry.get("type").and_then(Value::as_str);
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    match kind {
        Some("Point") => Ok(Shape { centroid: position(coordinates)?, outline: Vec::new(), area: None }),
        Some("Polygon") => polygons(&[rings(coordinates)?]),
        Some("MultiPolygon") => {
            let parts = list(coordinates, "a list of polygons")?;
            polygons(&parts.iter().map(rings).collect::<Result<Vec<_>, _>>()?)
        }
        Some(other) => Err(Wrong::Unsupported(format!("geometry of type {other}"))),
        None => Err(Wrong::Broken("a geometry with a type", short(geometry))),
    }
}

fn polygons(parts: &[Vec<Vec<[f64; 2]>>]) -> Result<Shape, Wrong> {
    let (mut area, mut moment) = (0.0, [0.0, 0.0]);
    let mut largest: Option<(f64, &[[f64; 2]])> = None;
    let origin = parts.first().and_then(|p| p.first()).and_then(|r| r.first()).copied().unwrap_or_default();
    for rings in parts {
        for (i, ring) in rings.iter().enumerate() {
            let (twice, centre) = ring_area_centroid(ring);
            let signed = if i == 0 { twice.abs() / 2.0 } else { -twice.abs() / 2.0 };
            area += signed;
            moment = [moment[0] + signed * (centre[0] - origin[0]), moment[1] + signed * (centre[1] - origin[1])];
            if i == 0 && largest.is_none_or(|(a, _)| signed > a) {
                largest = Some((signed, ring));
            }
        }
    }
    let Some((_, outer)) = largest else {
        return Err(Wrong::Broken("a polygon with an outer ring", "no ring".into()));
    };
    // A flat polygon, or holes that eat it up: the middle of the outer ring.
    let centroid = if area > 1e-9 {
        [origin[0] + moment[0] / area, origin[1] + moment[1] / area]
    } else {
        ring_area_centroid(outer).1
    };
    let outline = outer.iter().map(|p| [p[0] as f32, p[1] as f32]).collect();
    Ok(Shape { centroid, outline, area: Some(area.max(0.0)) })
}

/// The rings of a polygon, opened: the outer one, then holes.
fn rings(value: &Value) -> Result<Vec<Vec<[f64; 2]>>, Wrong> {
    list(value, "a list of rings")?.iter().map(ring).collect()
}

fn ring(value: &Value) -> Result<Vec<[f64; 2]>, Wrong> {
    let mut ring = list(value, "a ring of positions")?.iter().map(position).collect::<Result<Vec<_>, _>>()?;
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    if ring.len() < 3 {
        return Err(Wrong::Broken("a polygon of at least three corners", format!("{} corners", ring.len())));
    }
    Ok(ring)
}

fn position(value: &Value) -> Result<[f64; 2], Wrong> {
    let wrong = || Wrong::Broken("a position [x, y] of two finite numbers", short(value));
    let pair = value.as_array().ok_or_else(wrong)?;
    let number = |i: usize| {
        // A number must also fit the f32 of the outline.
        pair.get(i).and_then(Value::as_f64).filter(|v| (*v as f32).is_finite()).ok_or_else(wrong)
    };
    Ok([number(0)?, number(1)?])
}

fn list<'a>(value: &'a Value, expected: &'static str) -> Result<&'a [Value], Wrong> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Wrong::Broken(expected, short(value)))
}

/// A value cut down to what fits a message.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn holes_and_parts() {
        let square = |x: f64, s: f64| json!([[x, 0.0], [x + s, 0.0], [x + s, s], [x, s], [x, 0.0]]);
        let hole = json!([[2.0, 1.0], [3.0, 1.0], [3.0, 3.0], [2.0, 3.0], [2.0, 1.0]]);
        let s = shape(&json!({"type": "Polygon", "coordinates": [square(0.0, 4.0), hole]})).unwrap();
        assert_eq!(s.area, Some(14.0));
        assert!((s.centroid[0] - (32.0 - 5.0) / 14.0).abs() < 1e-12 && (s.centroid[1] - 2.0).abs() < 1e-12);
        assert_eq!(s.outline.len(), 4);
        let two = json!({"type": "MultiPolygon", "coordinates": [[square(0.0, 1.0)], [square(10.0, 2.0)]]});
        let s = shape(&two).unwrap();
        assert_eq!(s.area, Some(5.0));
        assert!((s.centroid[0] - (0.5 + 4.0 * 11.0) / 5.0).abs() < 1e-12);
        assert_eq!(s.outline[0], [10.0, 0.0]);
    }

    #[test]
    fn what_is_no_cell() {
        let broken = [
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}),
            json!({"type": "Polygon", "coordinates": []}),
            json!({"type": "MultiPolygon", "coordinates": []}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [2, 2]]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 1e300], [2, 2]]]}),
            json!({"type": "Point", "coordinates": [1]}),
            json!({"coordinates": [1, 2]}),
            json!(null),
        ];
        for b in broken {
            assert!(matches!(shape(&b), Err(Wrong::Broken(..))), "{b}");
        }
        assert!(matches!(shape(&json!({"type": "LineString"})), Err(Wrong::Unsupported(_))));
    }
}
