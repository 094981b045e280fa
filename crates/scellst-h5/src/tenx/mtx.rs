//! Folders of `matrix.mtx`, `features.tsv` (or `genes.tsv`) and `barcodes.tsv`, gzipped or not.

use std::path::{Path, PathBuf};

use scellst_expr::Features;

use super::features::Table;
use crate::lines::{Lines, unquoted};
use crate::matrix::Csr;
use crate::{H5Error, ReadLimits};

const BANNER: &str = "%%MatrixMarket";

/// The file of this name in a folder, packed or not.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].iter().map(|n| folder.join(n)).find(|p| p.is_file())
}

/// The matrix of a folder, if it has one.
pub(crate) fn is_matrix_market(folder: &Path) -> bool {
    find(folder, "matrix.mtx").is_some()
}

/// Reads a folder.
pub(crate) fn read_folder(folder: &Path, limits: ReadLimits) -> Result<Table, H5Error> {
    let need = |names: &[&str]| {
        names.iter().find_map(|n| find(folder, n)).ok_or_else(|| {
            H5Error::missing(
                folder,
                names[0],
                "a matrix of 10x has matrix.mtx, features.tsv or genes.tsv, and barcodes.tsv, gzipped or not",
            )
        })
    };
    let features = read_features(&need(&["features.tsv", "genes.tsv"])?, limits)?;
    let barcodes = read_barcodes(&need(&["barcodes.tsv"])?, limits)?;
    let path = need(&["matrix.mtx"])?;
    let counts = read_matrix(&path, barcodes.len(), features.symbols.len(), limits)?;
    Ok(Table { counts, barcodes, features })
}

fn read_features(path: &Path, limits: ReadLimits) -> Result<Features, H5Error> {
    let mut lines = Lines::open(path)?;
    let mut features = Features::default();
    let mut bytes = 0;
    while let Some(line) = lines.next()? {
        if line.is_empty() {
            continue;
        }
        bytes += line.len() as u64;
        let mut fields = line.split('\t').map(unquoted);
        let id = fields.next().unwrap_or_default().to_owned();
        features.symbols.push(fields.next().map_or_else(|| id.clone(), str::to_owned));
        features.ids.push(id);
        if let Some(kind) = fields.next() {
            features.kinds.push(kind.to_owned());
        }
        if !(features.kinds.is_empty() || features.kinds.len() == features.ids.len()) {
            return Err(lines.broken("some lines have a kind in the third column, some have not"));
        }
        check(path, bytes, limits)?;
    }
    Ok(features)
}

fn read_barcodes(path: &Path, limits: ReadLimits) -> Result<Vec<String>, H5Error> {
    let mut lines = Lines::open(path)?;
    let (mut barcodes, mut bytes) = (Vec::new(), 0);
    while let Some(line) = lines.next()? {
        let barcode = unquoted(line.split('\t').next().unwrap_or_default());
        if !barcode.is_empty() {
            bytes += (barcode.len() + size_of::<String>()) as u64;
            check(path, bytes, limits)?;
            barcodes.push(barcode.to_owned());
        }
    }
    Ok(barcodes)
}

fn check(path: &Path, bytes: u64, limits: ReadLimits) -> Result<(), H5Error> {
    if bytes <= limits.max_array_bytes {
        return Ok(());
    }
    Err(H5Error::limit(path, "/", format!("{bytes} bytes in memory, {} are allowed", limits.max_array_bytes)))
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    features: usize,
    barcodes: usize,
    entries: usize,
    pattern: bool,
}

fn read_header(lines: &mut Lines) -> Result<Header, H5Error> {
    let banner = lines.next()?.unwrap_or_default().to_ascii_lowercase();
    let mut words = banner.split_whitespace();
    if words.next() != Some(&BANNER.to_ascii_lowercase()) {
        return Err(lines.broken(format!("'{BANNER} matrix coordinate integer general' was expected")));
    }
    let words: Vec<&str> = words.collect();
    let pattern = match words[..] {
        ["matrix", "coordinate", "integer" | "real", _] => false,
        ["matrix", "coordinate", "pattern", _] => true,
        _ => {
            return Err(
                lines.broken(format!("'{}'; a coordinate matrix of integers or reals was expected", words.join(" ")))
            );
        }
    };
    let general = words.last() == Some(&"general");
    loop {
        let Some(line) = lines.next()? else { return Err(lines.broken("the file ends before the sizes")) };
        if line.starts_with('%') || line.trim().is_empty() {
            continue;
        }
        let sizes: Vec<usize> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let [features, barcodes, entries] = sizes[..] else {
            let found: String = line.chars().take(60).collect();
            return Err(lines.broken(format!("rows, columns and entries were expected, found '{found}'")));
        };
        if !general && entries > 0 {
            return Err(lines.broken("a symmetric matrix; counts of features in barcodes are 'general'"));
        }
        return Ok(Header { features, barcodes, entries, pattern });
    }
}

fn read_matrix(path: &Path, barcodes: usize, features: usize, limits: ReadLimits) -> Result<Csr, H5Error> {
    let mut lines = Lines::open(path)?;
    let header = read_header(&mut lines)?;
    if (header.features, header.barcodes) != (features, barcodes) {
        let found = format!("{} x {}", header.features, header.barcodes);
        return Err(
            lines.broken(format!("{features} x {barcodes} was expected from the features and barcodes, found {found}"))
        );
    }
    check(path, (header.entries as u64).saturating_mul(4), limits)?;
    // Not reserved by what the header says, which may be a lie.
    let (mut rows, mut indices, mut values): (Vec<u32>, Vec<u32>, Vec<f32>) = Default::default();
    let mut row_counts = vec![0usize; barcodes + 1];
    let mut sorted = true;
    while let Some(line) = lines.next()? {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        let entry = entry(first, &mut words, header.pattern);
        let Some((feature, barcode, value)) = entry else {
            let found: String = line.chars().take(60).collect();
            return Err(lines.broken(format!("feature, barcode and count were expected, found '{found}'")));
        };
        if !(1..=features).contains(&feature) || !(1..=barcodes).contains(&barcode) {
            return Err(lines.broken(format!("entry {feature}, {barcode} of a matrix of {features} x {barcodes}")));
        }
        if !(value.is_finite() && value >= 0.0) {
            return Err(lines.broken(format!("a count of {value}; has the matrix been scaled already?")));
        }
        if values.len() == header.entries {
            return Err(lines.broken(format!("more than the {} entries of the header", header.entries)));
        }
        row_counts[barcode] += 1;
        sorted &= rows.last().is_none_or(|&last| last < barcode as u32);
        rows.push(barcode as u32 - 1);
        indices.push(feature as u32 - 1);
        values.push(value);
    }
    if values.len() != header.entries {
        return Err(lines.broken(format!("ends after {} of {} entries", values.len(), header.entries)));
    }
    let mut pointers = row_counts;
    for row in 0..barcodes {
        pointers[row + 1] += pointers[row];
    }
    if !sorted {
        (indices, values) = by_row(&rows, &indices, &values, &pointers);
    }
    Ok(Csr { pointers, indices, values })
}

fn entry<'w>(first: &str, words: &mut impl Iterator<Item = &'w str>, pattern: bool) -> Option<(usize, usize, f32)> {
    let feature = first.parse().ok()?;
    let barcode = words.next()?.parse().ok()?;
    let value = if pattern { 1.0 } else { words.next()?.parse().ok()? };
    words.next().is_none().then_some((feature, barcode, value))
}

fn by_row(rows: &[u32], indices: &[u32], values: &[f32], pointers: &[usize]) -> (Vec<u32>, Vec<f32>) {
    let mut next = pointers.to_vec();
    let (mut to_indices, mut to_values) = (vec![0; indices.len()], vec![0.0; values.len()]);
    for ((&row, &index), &value) in rows.iter().zip(indices).zip(values) {
        let slot = &mut next[row as usize];
        to_indices[*slot] = index;
        to_values[*slot] = value;
        *slot += 1;
    }
    (to_indices, to_values)
}
