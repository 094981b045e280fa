//! numpy's `.npy` (NEP 1) as far as tables of floats and pictures of cells go.

mod crops;
mod features;

use half::f16;
use ndarray::Array2;

pub use crops::NpyCrops;
pub use features::NpyFeatures;

/// Longer headers than this are no table's.
const MAX_HEADER: usize = 4096;
/// Where the longest header ends.
const MAX_START: usize = 12 + MAX_HEADER;

/// What a file says of its values.
#[derive(Debug, PartialEq)]
struct Header<'a> {
    /// As in `<f4`.
    kind: &'a str,
    by_columns: bool,
    sides: Vec<usize>,
    /// Where the values begin.
    begin: usize,
}

impl<'a> Header<'a> {
    /// From the beginning of a file, [`MAX_START`] bytes of it if it has as many.
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"\x93NUMPY") || bytes.len() < 12 {
            return Err("no .npy file".into());
        }
        let (length, begin) = match bytes[6] {
            1 => (usize::from(u16::from_le_bytes([bytes[8], bytes[9]])), 10),
            2 | 3 => (u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize, 12),
            other => return Err(format!(".npy of version {other}: 1 to 3 are read")),
        };
        if length > MAX_HEADER {
            return Err(format!("a header of {length} bytes"));
        }
        let header = bytes.get(begin..begin + length).ok_or("the header is cut off")?;
        let header = std::str::from_utf8(header).map_err(|e| format!("the header: {e}"))?;
        let kind = quoted(after(header, "'descr':")?)?;
        let by_columns = after(header, "'fortran_order':")?.starts_with("True");
        let shape = after(header, "'shape':")?;
        let inside = shape.strip_prefix('(').and_then(|s| s.split_once(')')).ok_or("the header has no shape")?.0;
        let side = |s: &str| s.parse::<usize>().map_err(|e| format!("a side of {s}: {e}"));
        let sides = inside.split(',').map(str::trim).filter(|s| !s.is_empty()).map(side).collect::<Result<_, _>>()?;
        Ok(Self { kind, by_columns, sides, begin: begin + length })
    }
}

/// The table, or what is wrong with the file.
pub(crate) fn table(bytes: &[u8]) -> Result<Array2<f32>, String> {
    let Header { kind, by_columns, sides, begin } = Header::parse(bytes)?;
    let data = &bytes[begin..];
    let size = match kind {
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        other => return Err(format!("values of type {other}: <f2, <f4 and <f8 are read")),
    };
    let [rows, columns] = sides[..] else { return Err(format!("shape {sides:?}: expected (cells, features)")) };
    let expected = rows.checked_mul(columns).and_then(|n| n.checked_mul(size));
    if expected != Some(data.len()) {
        return Err(format!("({rows}, {columns}) of {kind} with {} bytes of values", data.len()));
    }
    let values: Vec<f32> = match size {
        2 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        4 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        _ => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
    };
    if by_columns {
        let table = Array2::from_shape_vec((columns, rows), values).map_err(|e| e.to_string())?;
        return Ok(table.t().as_standard_layout().into_owned());
    }
    Array2::from_shape_vec((rows, columns), values).map_err(|e| e.to_string())
}

/// What stands behind a key of the header.
fn after<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    header.split_once(key).map(|(_, rest)| rest.trim_start()).ok_or_else(|| format!("the header has no {key}"))
}

fn quoted(text: &str) -> Result<&str, String> {
    text.strip_prefix('\'')
        .and_then(|t| t.split_once('\''))
        .map(|(v, _)| v)
        .ok_or_else(|| "the header has no type".into())
}
