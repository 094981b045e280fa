//! Tables of the first spatial transcriptomics: spots x genes as text, places in a table of their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use scellst_expr::Features;
use scellst_types::{Level0, Point};

use crate::lines::{Lines, unquoted};
use crate::matrix::Csr;
use crate::tenx::Table;
use crate::{H5Error, ReadLimits};

/// A table and, where a table of places was at hand, the spots' centres.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) table: Table,
    pub(crate) centres: Option<Vec<Point<Level0>>>,
    /// Of the spots, (row, column) on the array.
    pub(crate) array: Vec<(i32, i32)>,
    /// Spots of the table that have no place and were left out.
    pub(crate) unplaced: usize,
}

/// `10x13` or `10.02x12.97`: the place on the array.
fn array_place(name: &str) -> Option<(f64, f64)> {
    let (x, y) = name.trim_start_matches('X').split_once('x')?;
    let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
    (x.is_finite() && y.is_finite()).then_some((x, y))
}

/// Reads a table, tab or comma between its fields; one of its sides has names as `10x13`.
pub(crate) fn read(path: &Path, positions: Option<&Path>, limits: ReadLimits) -> Result<Legacy, H5Error> {
    let table = read_table(path, limits)?;
    let positions = positions.map(Path::to_owned).or_else(|| beside(path));
    let Some(positions) = positions else {
        let array = table.barcodes.iter().filter_map(|n| array_place(n)).map(rounded).collect();
        return Ok(Legacy { table, centres: None, array, unplaced: 0 });
    };
    place(table, &read_places(&positions)?, &positions)
}

fn rounded((x, y): (f64, f64)) -> (i32, i32) {
    (y.round() as i32, x.round() as i32)
}

fn read_table(path: &Path, limits: ReadLimits) -> Result<Table, H5Error> {
    let mut lines = Lines::open(path)?;
    let header = lines.next()?.unwrap_or_default();
    let separator = if header.contains('\t') { '\t' } else { ',' };
    let header: Vec<String> = header.split(separator).map(|f| unquoted(f).to_owned()).collect();
    let mut names: Vec<String> = Vec::new();
    let mut counts = Csr { pointers: vec![0], ..Csr::default() };
    // R leaves out the name of the first column.
    let mut columns: Option<Vec<String>> = None;
    let mut number = 1u64;
    while let Some(line) = lines.next()? {
        number += 1;
        if line.is_empty() {
            continue;
        }
        let broken = |problem: String| H5Error::broken(path, &format!("line {number}"), problem);
        let mut fields = line.split(separator);
        names.push(unquoted(fields.next().unwrap_or_default()).to_owned());
        let mut found = 0usize;
        for (column, field) in fields.enumerate() {
            let field = unquoted(field);
            let value: f32 = match field.parse() {
                Ok(value) => value,
                Err(_) => {
                    let field: String = field.chars().take(40).collect();
                    return Err(broken(format!("column {}: a count was expected, found '{field}'", column + 2)));
                }
            };
            if !(value.is_finite() && value >= 0.0) {
                return Err(broken(format!("column {}: a count of {value}", column + 2)));
            }
            if value != 0.0 {
                counts.indices.push(column as u32);
                counts.values.push(value);
            }
            found += 1;
        }
        let columns = columns.get_or_insert_with(|| {
            let named = header.first().is_some_and(|h| h.is_empty()) || header.len() == found + 1;
            let skip = usize::from(named);
            header.iter().skip(skip).cloned().collect()
        });
        if found != columns.len() {
            return Err(broken(format!("{} counts were expected from the header, found {found}", columns.len())));
        }
        counts.pointers.push(counts.indices.len());
        let bytes = counts.indices.len() as u64 * 4;
        if bytes > limits.max_array_bytes {
            let problem = format!("{bytes} bytes in memory, {} are allowed", limits.max_array_bytes);
            return Err(H5Error::limit(path, "/", problem));
        }
    }
    let columns = columns.unwrap_or_else(|| header.into_iter().skip(1).collect());
    let spots = |names: &[String]| !names.is_empty() && names.iter().all(|n| array_place(n).is_some());
    let features = |symbols: Vec<String>| Features { symbols, ..Features::default() };
    if spots(&names) {
        return Ok(Table { counts, barcodes: names, features: features(columns) });
    }
    if spots(&columns) {
        let counts = transposed(counts, columns.len());
        return Ok(Table { counts, barcodes: columns, features: features(names) });
    }
    let (row, column) = (names.first(), columns.first());
    Err(H5Error::unsupported(
        path,
        "/",
        format!("a table whose rows or columns are spots named as '10x13' was expected, found {row:?} and {column:?}"),
    ))
}

fn transposed(csr: Csr, columns: usize) -> Csr {
    let mut pointers = vec![0usize; columns + 1];
    for &column in &csr.indices {
        pointers[column as usize + 1] += 1;
    }
    for i in 0..columns {
        pointers[i + 1] += pointers[i];
    }
    let mut next = pointers.clone();
    let (mut indices, mut values) = (vec![0; csr.indices.len()], vec![0.0; csr.values.len()]);
    for (row, span) in csr.pointers.windows(2).enumerate() {
        for k in span[0]..span[1] {
            let slot = &mut next[csr.indices[k] as usize];
            indices[*slot] = row as u32;
            values[*slot] = csr.values[k];
            *slot += 1;
        }
    }
    Csr { pointers, indices, values }
}

/// A table of places in the folder of the counts, or in that beside it where her2st keeps it: of the same section.
fn beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_name()?.to_string_lossy().split('.').next()?.to_owned();
    let folder = path.parent()?;
    let names =
        [format!("{stem}_selection.tsv"), format!("spot_data-selection-{stem}.tsv"), format!("{stem}_spots.tsv")];
    let folders = [folder.to_owned(), folder.join("../ST-spotfiles"), folder.join("../spotfiles")];
    folders.iter().flat_map(|f| names.iter().map(move |n| f.join(n))).find(|p| p.is_file())
}

struct Place {
    array: [f64; 2],
    adjusted: Option<[f64; 2]>,
    pixel: [f64; 2],
}

fn read_places(path: &Path) -> Result<Vec<Place>, H5Error> {
    let mut lines = Lines::open(path)?;
    let header = lines.next()?.unwrap_or_default();
    let separator = if header.contains('\t') { '\t' } else { ',' };
    let header: Vec<String> = header.split(separator).map(|f| unquoted(f).to_owned()).collect();
    let find = |name: &str| header.iter().position(|h| h == name);
    let need = |name: &str| {
        let help = format!("the table has '{}'; x, y, pixel_x and pixel_y are needed", header.join("', '"));
        find(name).ok_or_else(|| H5Error::missing(path, &format!("column '{name}'"), help))
    };
    let (x, y, pixel_x, pixel_y) = (need("x")?, need("y")?, need("pixel_x")?, need("pixel_y")?);
    let adjusted = find("new_x").zip(find("new_y"));
    let selected = find("selected");
    let mut places = Vec::new();
    let mut number = 1u64;
    while let Some(line) = lines.next()? {
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split(separator).map(unquoted).collect();
        let value = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).filter(|v| v.is_finite());
        if selected.and_then(value) == Some(0.0) {
            continue;
        }
        let four = value(x).zip(value(y)).zip(value(pixel_x).zip(value(pixel_y)));
        let Some(((x, y), (px, py))) = four else {
            return Err(H5Error::broken(
                path,
                &format!("line {number}"),
                "numbers were expected in x, y, pixel_x and pixel_y",
            ));
        };
        let adjusted = adjusted.and_then(|(x, y)| Some([value(x)?, value(y)?]));
        places.push(Place { array: [x, y], adjusted, pixel: [px, py] });
    }
    Ok(places)
}

/// Spots are matched by their place on the array, to a hundredth; those without one are left out, as by the authors.
fn place(table: Table, places: &[Place], path: &Path) -> Result<Legacy, H5Error> {
    let key = |[x, y]: [f64; 2]| ((x * 100.0).round() as i64, (y * 100.0).round() as i64);
    let mut index: HashMap<(i64, i64), &Place> = HashMap::new();
    for place in places {
        index.insert(key(place.array), place);
    }
    for place in places {
        if let Some(adjusted) = place.adjusted {
            index.entry(key(adjusted)).or_insert(place);
        }
    }
    let Table { counts, barcodes, features } = table;
    let mut legacy = Legacy {
        table: Table { counts: Csr { pointers: vec![0], ..Csr::default() }, barcodes: Vec::new(), features },
        centres: None,
        array: Vec::new(),
        unplaced: 0,
    };
    let mut centres = Vec::new();
    for (row, name) in barcodes.into_iter().enumerate() {
        let Some(place) = array_place(&name).and_then(|(x, y)| index.get(&key([x, y]))) else {
            legacy.unplaced += 1;
            continue;
        };
        centres.push(Point::new(place.pixel[0], place.pixel[1]));
        legacy.array.push(rounded((place.array[0], place.array[1])));
        let span = counts.pointers[row]..counts.pointers[row + 1];
        legacy.table.counts.indices.extend_from_slice(&counts.indices[span.clone()]);
        legacy.table.counts.values.extend_from_slice(&counts.values[span]);
        legacy.table.counts.pointers.push(legacy.table.counts.indices.len());
        legacy.table.barcodes.push(name);
    }
    if centres.is_empty() && legacy.unplaced > 0 {
        let help = format!(
            "none of the {} spots of the counts is among its {}; are both of one section?",
            legacy.unplaced,
            places.len()
        );
        return Err(H5Error::missing(path, "x, y", help));
    }
    if legacy.unplaced > 0 {
        log::warn!("{}: {} spots of the counts have no place and are left out", path.display(), legacy.unplaced);
    }
    legacy.centres = Some(centres);
    Ok(legacy)
}
