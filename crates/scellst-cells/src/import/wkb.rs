use super::Rings;

/// Parts, rings and points are never more than the bytes can hold; nesting goes no deeper than a MultiPolygon's.
struct Bytes<'a> {
    rest: &'a [u8],
    big: bool,
}

/// What a geometry in well-known binary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Geometry {
    /// Its points are in the rings.
    Points,
    /// Its parts are in the rings.
    Polygons,
    /// No point at all, or NaN for one.
    Empty,
}

/// Reads a geometry into `rings` (cleared first); what is wrong, if anything.
///
/// Point, MultiPoint, Polygon and MultiPolygon in either byte order, with Z and M passed over, as ISO or EWKB.
/// Source: OGC 06-103r4, section 8; PostGIS, "EWKB".
pub(crate) fn read(wkb: &[u8], rings: &mut Rings) -> Result<Geometry, String> {
    rings.clear();
    let mut bytes = Bytes { rest: wkb, big: false };
    let (kind, extra) = bytes.header()?;
    match kind {
        1 => {
            let point = bytes.position(extra)?;
            if point.iter().any(|v| v.is_nan()) {
                return Ok(Geometry::Empty);
            }
            rings.push(point);
        }
        3 => bytes.polygon(extra, rings)?,
        4 | 6 => {
            for _ in 0..bytes.count(9)? {
                match (kind, bytes.header()?) {
                    (4, (1, extra)) => rings.push(bytes.position(extra)?),
                    (6, (3, extra)) => bytes.polygon(extra, rings)?,
                    (_, (other, _)) => return Err(format!("a member of type {other} in one of type {kind}")),
                }
            }
        }
        other => return Err(format!("a geometry of type {other}")),
    }
    if !bytes.rest.is_empty() {
        return Err(format!("{} bytes too many", bytes.rest.len()));
    }
    Ok(match (rings.points().is_empty(), kind) {
        (true, _) => Geometry::Empty,
        (false, 1 | 4) => Geometry::Points,
        (false, _) => Geometry::Polygons,
    })
}

/// Writes a polygon of one ring, closed, or a point where there is no ring; little-endian.
pub(crate) fn write(ring: &[[f32; 2]], centroid: [f64; 2], out: &mut Vec<u8>) {
    out.push(1);
    let position = |p: [f64; 2], out: &mut Vec<u8>| p.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    if ring.is_empty() {
        out.extend_from_slice(&1u32.to_le_bytes());
        return position(centroid, out);
    }
    out.extend_from_slice(&3u32.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    // A ring's corners come from memory, and there is no room for 2^32 of them in a cell.
    out.extend_from_slice(&(ring.len() as u32 + 1).to_le_bytes());
    for corner in ring.iter().chain(ring.first()) {
        position(corner.map(f64::from), out);
    }
}

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or("its end too soon")?;
        self.rest = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u32, String> {
        let bytes = self.take()?;
        Ok(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<u32, String> {
        let n = self.number()?;
        if u64::from(n) * least as u64 > self.rest.len() as u64 {
            return Err(format!("a count of {n} with {} bytes left", self.rest.len()));
        }
        Ok(n)
    }

    /// The type, without its dimensions, and how many numbers follow x and y in a position.
    fn header(&mut self) -> Result<(u32, usize), String> {
        self.big = match self.take()? {
            [0] => true,
            [1] => false,
            [other] => return Err(format!("byte order {other}")),
        };
        let kind = self.number()?;
        let flag = |bit: u32| usize::from(kind >> bit & 1 == 1);
        if flag(29) == 1 {
            self.number()?;
        }
        let plain = kind & 0x1fff_ffff;
        let iso = match plain / 1000 {
            0 => 0,
            1 | 2 => 1,
            3 => 2,
            _ => return Err(format!("a geometry of type {kind}")),
        };
        Ok((plain % 1000, flag(31) + flag(30) + iso))
    }

    fn position(&mut self, extra: usize) -> Result<[f64; 2], String> {
        let mut one = || {
            let bytes = self.take()?;
            Ok::<_, String>(if self.big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
        };
        let place = [one()?, one()?];
        for _ in 0..extra {
            one()?;
        }
        Ok(place)
    }

    fn polygon(&mut self, extra: usize, rings: &mut Rings) -> Result<(), String> {
        for _ in 0..self.count(4)? {
            for _ in 0..self.count(16 + 8 * extra)? {
                let place = self.position(extra)?;
                rings.push(place);
            }
            rings.end_ring();
        }
        rings.end_part();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a hexadecimal text.
    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let ring = [[0.5, 0.25], [3.1, 0.0], [1.0, 2.7]];
        let mut wkb = Vec::new();
        write(&ring, [0.0, 0.0], &mut wkb);
        let mut rings = Rings::default();
        assert_eq!(read(&wkb, &mut rings), Ok(Geometry::Polygons));
        assert_eq!(rings.whole().unwrap().ring, ring.map(|c| c.map(f64::from)));
        for cut in 0..wkb.len() {
            assert!(read(&wkb[..cut], &mut rings).is_err());
        }
        wkb.push(0);
        assert!(read(&wkb, &mut rings).unwrap_err().contains("too many"));
        wkb.clear();
        write(&[], [1.5, 2.5], &mut wkb);
        assert_eq!((read(&wkb, &mut rings), rings.points()), (Ok(Geometry::Points), &[[1.5, 2.5]][..]));
    }

    #[test]
    fn byte_orders_and_dimensions() {
        let mut rings = Rings::default();
        // POINT (1 2) big-endian; POINT Z (1 2 3) as ISO and, with an SRID, as EWKB; POINT EMPTY.
        let (one, two, three) = ("3ff0000000000000", "4000000000000000", "4008000000000000");
        for point in [
            format!("0000000001{one}{two}"),
            format!("00000003e9{one}{two}{three}"),
            format!("00a0000001000010e6{one}{two}{three}"),
        ] {
            assert_eq!(read(&hex(&point), &mut rings), Ok(Geometry::Points), "{point}");
            assert_eq!(rings.points(), [[1.0, 2.0]]);
        }
        assert_eq!(read(&hex(&format!("0000000001{0}{0}", "7ff8000000000000")), &mut rings), Ok(Geometry::Empty));
        assert_eq!(read(&hex("010300000000000000"), &mut rings), Ok(Geometry::Empty));
        for bad in ["", "02", "0102000000", "0103000000ffffffff", "010300000001000000ffffff7f", "0106000000ffffffff"] {
            assert!(read(&hex(bad), &mut rings).is_err(), "{bad}");
        }
    }
}
