use crate::cells::ring_area_centroid;

/// The rings of a geometry, in the file's coordinates: points in a row, where each ring ends among them and each part
/// (polygon) among the rings. The first ring of a part is its outer one, the others are holes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rings {
    points: Vec<[f64; 2]>,
    ring_ends: Vec<usize>,
    part_ends: Vec<usize>,
}

/// What a cell needs of its geometry, in the file's coordinates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape<'a> {
    /// The outer ring of the largest part, open.
    pub(crate) ring: &'a [[f64; 2]],
    /// Of all parts, without holes.
    pub(crate) centroid: [f64; 2],
    /// Of all parts, without holes; square units of the file.
    pub(crate) area: f64,
    /// How many parts the ring leaves out.
    pub(crate) parts_left: usize,
}

/// Why a geometry is none of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No part has three corners.
    Corners,
    /// A coordinate is NaN or beyond what an outline's f32 holds.
    NotFinite,
}

impl Rings {
    pub(crate) fn clear(&mut self) {
        self.points.clear();
        self.ring_ends.clear();
        self.part_ends.clear();
    }

    pub(crate) fn push(&mut self, point: [f64; 2]) {
        self.points.push(point);
    }

    /// Ends the ring of the points since the last end.
    pub(crate) fn end_ring(&mut self) {
        self.ring_ends.push(self.points.len());
    }

    /// Ends the part of the rings since the last end.
    pub(crate) fn end_part(&mut self) {
        self.part_ends.push(self.ring_ends.len());
    }

    /// All points, whatever they belong to.
    pub(crate) fn points(&self) -> &[[f64; 2]] {
        &self.points
    }

    pub(crate) fn parts(&self) -> usize {
        self.part_ends.len()
    }

    /// All parts as one cell.
    ///
    /// The centroid is that of the area. A flat polygon, or one that its holes eat up, has the middle of its outer ring.
    pub(crate) fn whole(&self) -> Result<Shape<'_>, Flaw> {
        self.shape(0..self.parts())
    }

    /// One part as a cell.
    pub(crate) fn part(&self, part: usize) -> Result<Shape<'_>, Flaw> {
        self.shape(part..part + 1)
    }

    fn shape(&self, parts: std::ops::Range<usize>) -> Result<Shape<'_>, Flaw> {
        let (mut area, mut moment) = (0.0, [0.0, 0.0]);
        let mut largest: Option<(f64, &[[f64; 2]])> = None;
        let mut origin = None;
        let mut whole = 0;
        for part in parts {
            let rings = self.range(&self.part_ends, part);
            for (i, ring) in rings.map(|r| self.open_ring(r)).enumerate() {
                // Finite is not enough: the outline's corners are f32.
                if !ring.iter().flatten().all(|&v| (v as f32).is_finite()) {
                    return Err(Flaw::NotFinite);
                }
                let Some(&first) = ring.first().filter(|_| ring.len() >= 3) else {
                    // A part without a true outer ring has no holes either.
                    if i == 0 { break } else { continue }
                };
                let [ox, oy] = *origin.get_or_insert(first);
                let (twice, centre) = ring_area_centroid(ring);
                let signed = if i == 0 { twice.abs() / 2.0 } else { -twice.abs() / 2.0 };
                area += signed;
                moment = [moment[0] + signed * (centre[0] - ox), moment[1] + signed * (centre[1] - oy)];
                if i == 0 {
                    whole += 1;
                    if largest.is_none_or(|(a, _)| signed > a) {
                        largest = Some((signed, ring));
                    }
                }
            }
        }
        let (Some((_, ring)), Some([ox, oy])) = (largest, origin) else { return Err(Flaw::Corners) };
        let centroid =
            if area > 1e-9 { [ox + moment[0] / area, oy + moment[1] / area] } else { ring_area_centroid(ring).1 };
        if !(centroid[0].is_finite() && centroid[1].is_finite() && area.is_finite()) {
            return Err(Flaw::NotFinite);
        }
        Ok(Shape { ring, centroid, area: area.max(0.0), parts_left: whole - 1 })
    }

    /// The `i`-th range between two ends.
    fn range(&self, ends: &[usize], i: usize) -> std::ops::Range<usize> {
        let start = i.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        start..ends.get(i).copied().unwrap_or(start)
    }

    fn open_ring(&self, i: usize) -> &[[f64; 2]] {
        open(self.points.get(self.range(&self.ring_ends, i)).unwrap_or(&[]))
    }
}

/// A ring without the repetition of its first corner.
pub(crate) fn open(ring: &[[f64; 2]]) -> &[[f64; 2]] {
    match ring {
        [first, rest @ .., last] if first == last && !rest.is_empty() => &ring[..ring.len() - 1],
        _ => ring,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(parts: &[&[&[[f64; 2]]]]) -> Rings {
        let mut out = Rings::default();
        for part in parts {
            for ring in *part {
                ring.iter().for_each(|&p| out.push(p));
                out.end_ring();
            }
            out.end_part();
        }
        out
    }

    fn square(x: f64, s: f64) -> [[f64; 2]; 5] {
        [[x, 0.0], [x + s, 0.0], [x + s, s], [x, s], [x, 0.0]]
    }

    #[test]
    fn holes_and_parts() {
        let hole = [[2.0, 1.0], [3.0, 1.0], [3.0, 3.0], [2.0, 3.0], [2.0, 1.0]];
        let one = rings(&[&[&square(0.0, 4.0), &hole]]);
        let s = one.whole().unwrap();
        assert_eq!((s.area, s.ring.len(), s.parts_left), (14.0, 4, 0));
        assert!((s.centroid[0] - (32.0 - 5.0) / 14.0).abs() < 1e-12 && (s.centroid[1] - 2.0).abs() < 1e-12);
        let two = rings(&[&[&square(0.0, 1.0)], &[&square(10.0, 2.0)]]);
        let s = two.whole().unwrap();
        assert_eq!((s.area, s.ring[0], s.parts_left), (5.0, [10.0, 0.0], 1));
        assert!((s.centroid[0] - (0.5 + 4.0 * 11.0) / 5.0).abs() < 1e-12);
        assert_eq!(two.part(0).unwrap().area, 1.0);
    }

    #[test]
    fn what_is_no_cell() {
        assert_eq!(rings(&[]).whole(), Err(Flaw::Corners));
        assert_eq!(rings(&[&[]]).whole(), Err(Flaw::Corners));
        assert_eq!(rings(&[&[&[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]]).whole(), Err(Flaw::Corners));
        for bad in [f64::NAN, f64::INFINITY, 1e200] {
            assert_eq!(rings(&[&[&[[0.0, 0.0], [1.0, bad], [2.0, 2.0]]]]).whole(), Err(Flaw::NotFinite));
        }
        // A bad part beside a good one is left out; so is a bad hole.
        let mixed = rings(&[&[&[[0.0, 0.0], [1.0, 1.0]]], &[&square(0.0, 2.0), &[[0.5, 0.5], [1.0, 1.0]]]]);
        assert_eq!(mixed.whole().unwrap().area, 4.0);
        let flat = rings(&[&[&[[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]]]);
        assert_eq!((flat.whole().unwrap().centroid, flat.whole().unwrap().area), ([2.0, 2.0], 0.0));
    }
}
