//! Where Space Ranger's spots lie: `tissue_positions_list.csv` (without a header), `tissue_positions.csv` and
//! `tissue_positions.parquet`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use scellst_types::{Level0, Point};

use crate::H5Error;
use crate::lines::{Lines, unquoted};
use crate::parquet_table::ParquetTable;

const COLUMNS: [&str; 6] =
    ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"];

/// The places of some barcodes, in their order.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) centres: Vec<Point<Level0>>,
    pub(crate) in_tissue: Vec<bool>,
    /// (row, column) on the array.
    pub(crate) array: Vec<(i32, i32)>,
}

/// The file of positions in a `spatial` folder.
pub(crate) fn find(spatial: &Path) -> Option<PathBuf> {
    let names = ["tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv"];
    let packed = names.iter().map(|n| (*n).to_owned()).chain(names[1..].iter().map(|n| format!("{n}.gz")));
    packed.map(|n| spatial.join(n)).find(|p| p.is_file())
}

/// A centre, whether it is tissue, (row, column) on the array.
type Found = (Point<Level0>, bool, (i32, i32));

struct Row<'a> {
    barcode: &'a str,
    in_tissue: f64,
    array: [f64; 2],
    /// Row, then column: y, then x.
    pixel: [f64; 2],
}

/// Reads the places of these barcodes; others in the file are passed over.
pub(crate) fn read(path: &Path, barcodes: &[String]) -> Result<Positions, H5Error> {
    let index: HashMap<&str, usize> = barcodes.iter().enumerate().map(|(i, b)| (b.as_str(), i)).collect();
    let mut found: Vec<Option<Found>> = vec![None; barcodes.len()];
    let mut rows = 0usize;
    let mut take = |row: Row<'_>, place: &dyn Fn() -> String| {
        rows += 1;
        let Some(&at) = index.get(row.barcode) else { return Ok(()) };
        let point = Point::new(row.pixel[1], row.pixel[0]);
        if !point.is_finite() {
            return Err(H5Error::broken(path, &place(), format!("the place of {} is {point:?}", row.barcode)));
        }
        if found[at].is_some() {
            return Err(H5Error::broken(path, &place(), format!("the barcode {} is there twice", row.barcode)));
        }
        // `as` saturates, which is enough for places on an array.
        found[at] = Some((point, row.in_tissue != 0.0, (row.array[0] as i32, row.array[1] as i32)));
        Ok(())
    };
    if path.extension().is_some_and(|e| e == "parquet") {
        read_parquet(path, &mut take)?;
    } else {
        read_csv(path, &mut take)?;
    }
    let missing: Vec<&str> =
        barcodes.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(b, _)| b.as_str()).collect();
    if let Some(first) = missing.first() {
        let help = format!(
            "{} of {} barcodes of the matrix are not among its {rows}, first {first}; are matrix and positions of one section and one bin size?",
            missing.len(),
            barcodes.len()
        );
        return Err(H5Error::missing(path, "barcode", help));
    }
    let mut positions = Positions::default();
    for (point, in_tissue, array) in found.into_iter().flatten() {
        positions.centres.push(point);
        positions.in_tissue.push(in_tissue);
        positions.array.push(array);
    }
    Ok(positions)
}

type Take<'t> = dyn FnMut(Row<'_>, &dyn Fn() -> String) -> Result<(), H5Error> + 't;

fn read_csv(path: &Path, take: &mut Take<'_>) -> Result<(), H5Error> {
    let mut lines = Lines::open(path)?;
    // Without a header the columns have always been in this order.
    let mut order = [0, 1, 2, 3, 4, 5];
    let mut number = 0u64;
    loop {
        number += 1;
        let Some(line) = lines.next()? else { return Ok(()) };
        let fields: Vec<&str> = line.split(',').map(unquoted).collect();
        if number == 1 && fields.contains(&"barcode") {
            for (to, name) in order.iter_mut().zip(COLUMNS) {
                *to = fields.iter().position(|f| *f == name).ok_or_else(|| {
                    H5Error::missing(
                        path,
                        &format!("column '{name}'"),
                        format!("the table has '{}'", fields.join("', '")),
                    )
                })?;
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let numbers = order.map(|i| fields.get(i).and_then(|f| f.parse::<f64>().ok()));
        let barcode = fields.get(order[0]).copied();
        let [_, Some(in_tissue), Some(row), Some(column), Some(y), Some(x)] = numbers else {
            let found: String = line.chars().take(80).collect();
            return Err(H5Error::broken(
                path,
                &format!("line {number}"),
                format!("{} were expected, found '{found}'", COLUMNS.join(", ")),
            ));
        };
        let row = Row { barcode: barcode.unwrap_or_default(), in_tissue, array: [row, column], pixel: [y, x] };
        take(row, &|| format!("line {number}"))?;
    }
}

fn read_parquet(path: &Path, take: &mut Take<'_>) -> Result<(), H5Error> {
    let table = ParquetTable::open(path)?;
    let mut wanted = [0; 6];
    for (to, name) in wanted.iter_mut().zip(COLUMNS) {
        *to = table.require(name)?;
    }
    let mut start = 0;
    table.for_each_block(&wanted, |block| {
        let [barcodes, numbers @ ..] = block else { return Ok(()) };
        for i in 0..barcodes.len() {
            let place = || format!("row {}", start + i);
            let values: Vec<f64> = numbers.iter().filter_map(|c| c.number(i)).collect();
            let (Some(barcode), &[in_tissue, row, column, y, x]) = (barcodes.text(i), &values[..]) else {
                return Err(H5Error::broken(
                    path,
                    &place(),
                    format!("{} were expected, one is missing", COLUMNS.join(", ")),
                ));
            };
            take(Row { barcode, in_tissue, array: [row, column], pixel: [y, x] }, &place)?;
        }
        start += barcodes.len();
        Ok(())
    })
}
