use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use scellst_types::Size;

use crate::CellsError;

/// The longest header that numpy itself writes is far under this.
const MOST_HEADER: usize = 1 << 16;

/// Reads a two-dimensional array of whole numbers from `.npy`, rows first, for at most `most` numbers.
///
/// Source: numpy's `numpy.lib.format`, versions 1 to 3.
pub(super) fn read(path: &Path, most: u64) -> Result<(Vec<u32>, Size), CellsError> {
    let file = File::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    let mut from = BufReader::with_capacity(1 << 16, file);
    let mut take = |n: usize| {
        let mut bytes = vec![0; n];
        from.read_exact(&mut bytes).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => CellsError::broken(path, "the file", "a whole array", "its end"),
            _ => CellsError::io(path, "read", &e),
        })?;
        Ok::<_, CellsError>(bytes)
    };
    let start = take(8)?;
    let version = start.get(6).copied().unwrap_or(0);
    let length = match version {
        1 => take(2)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)),
        2 | 3 => take(4)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)),
        _ => return Err(CellsError::broken(path, "the header", "version 1, 2 or 3", version.to_string())),
    };
    if length > MOST_HEADER {
        return Err(CellsError::broken(path, "the header", format!("at most {MOST_HEADER} bytes"), length.to_string()));
    }
    let header = String::from_utf8_lossy(&take(length)?).into_owned();
    let Header { kind, fortran, size } = Header::parse(&header).map_err(|found| {
        let expected = "a two-dimensional array of whole numbers (for Cellpose's `_seg.npy`, save its `masks`)";
        CellsError::broken(path, "the header", expected, found)
    })?;
    if size.pixels() > most {
        return Err(super::labels::too_many(size, most));
    }
    let (w, h) = (size.width as usize, size.height as usize);
    let (lines, in_line) = if fortran { (w, h) } else { (h, w) };
    let mut labels = super::labels::zeroed(path, size)?;
    for i in 0..lines {
        let line = take(in_line * kind.bytes)?;
        for (j, number) in line.chunks_exact(kind.bytes).enumerate() {
            let (x, y) = if fortran { (i, j) } else { (j, i) };
            let value = kind.number(number).ok_or_else(|| {
                CellsError::broken(path, format!("row {y}, column {x}"), "0 to 4294967295", format!("{number:?}"))
            })?;
            if let Some(place) = labels.get_mut(y * w + x) {
                *place = value;
            }
        }
    }
    Ok((labels, size))
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    signed: bool,
    big: bool,
    bytes: usize,
}

impl Kind {
    fn number(self, bytes: &[u8]) -> Option<u32> {
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        let raw = if self.big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
        let negative = self.signed && raw >> (bytes.len() * 8 - 1) & 1 == 1;
        u32::try_from(raw).ok().filter(|_| !negative)
    }
}

struct Header {
    kind: Kind,
    fortran: bool,
    size: Size,
}

impl Header {
    /// Of `{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }`; what is wrong otherwise.
    fn parse(text: &str) -> Result<Self, String> {
        let short = || text.trim().chars().take(100).collect::<String>();
        let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches(['\'', '"', ':', ' ']));
        let descr: String = after("descr").unwrap_or("").chars().take_while(|c| !matches!(c, '\'' | '"')).collect();
        let kind = match descr.as_bytes() {
            [order @ (b'<' | b'>' | b'|'), sign @ (b'i' | b'u' | b'b'), size @ (b'1' | b'2' | b'4' | b'8')] => {
                Kind { signed: *sign == b'i', big: *order == b'>', bytes: usize::from(size - b'0') }
            }
            _ => return Err(short()),
        };
        let fortran = after("fortran_order").ok_or_else(short)?.starts_with("True");
        let shape = after("shape").and_then(|s| s.strip_prefix('(')?.split_once(')')).ok_or_else(short)?.0;
        let sides: Vec<u32> = shape
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(|s| s.parse().map_err(|_| short()))
            .collect::<Result<_, _>>()?;
        // A stack of one plane is a plane.
        match sides.as_slice() {
            &[h, w] | &[1, h, w] => Ok(Self { kind, fortran, size: Size::new(w, h) }),
            _ => Err(short()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let parse = |descr: &str, shape: &str| {
            Header::parse(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}   \n"))
        };
        assert_eq!(parse("<i4", "(3, 4)").unwrap().size, Size::new(4, 3));
        assert_eq!(parse("|u1", "(1, 3, 4)").unwrap().kind.bytes, 1);
        for (descr, shape) in [
            ("<f4", "(3, 4)"),
            ("|O", "()"),
            ("<i4", "(3,)"),
            ("<i4", "(2, 3, 4)"),
            ("<i4", "(-1, 4)"),
            ("<i3", "(3, 4)"),
        ] {
            assert!(parse(descr, shape).is_err(), "{descr} {shape}");
        }
        let i2 = Kind { signed: true, big: true, bytes: 2 };
        assert_eq!((i2.number(&[1, 2]), i2.number(&[0xff, 0xff])), (Some(258), None));
        let u8 = Kind { signed: false, big: false, bytes: 8 };
        assert_eq!((u8.number(&[5, 0, 0, 0, 0, 0, 0, 0]), u8.number(&[0, 0, 0, 0, 1, 0, 0, 0])), (Some(5), None));
    }
}
