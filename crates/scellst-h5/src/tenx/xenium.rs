//! A Xenium folder's `cell_feature_matrix` and the centroids of its cells.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use scellst_types::{Micron, Point};

use super::{Table, read_folder, read_h5};
use crate::lines::{Lines, unquoted};
use crate::parquet_table::ParquetTable;
use crate::{CountsOptions, H5Error};

/// Centroids, one a cell.
type Places = Vec<Point<Micron>>;

/// The matrix of a Xenium folder, if it is one.
pub(crate) fn matrix_of(folder: &Path) -> Option<PathBuf> {
    ["cell_feature_matrix.h5", "cell_feature_matrix"].iter().map(|n| folder.join(n)).find(|p| p.exists())
}

/// Reads the matrix and, from `cells.parquet` or `cells.csv.gz` beside it, where the cells are, um.
pub(crate) fn read_xenium(matrix: &Path, options: &CountsOptions) -> Result<(Table, Option<Places>), H5Error> {
    let table =
        if matrix.is_dir() { read_folder(matrix, options.limits)? } else { read_h5(matrix, None, options.limits)? };
    let folder = matrix.parent().unwrap_or(Path::new(""));
    let cells = ["cells.parquet", "cells.csv.gz", "cells.csv"].iter().map(|n| folder.join(n)).find(|p| p.is_file());
    let places = cells.map(|path| places(&path, &table.barcodes)).transpose()?;
    Ok((table, places))
}

fn places(path: &Path, cells: &[String]) -> Result<Places, H5Error> {
    let index: HashMap<&str, usize> = cells.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
    let mut found: Vec<Option<Point<Micron>>> = vec![None; cells.len()];
    let mut take = |id: &str, x: f64, y: f64| {
        if let Some(place) = index.get(id).and_then(|&i| found.get_mut(i)) {
            *place = Some(Point::new(x, y)).filter(|p: &Point<Micron>| p.is_finite());
        }
    };
    if path.extension().is_some_and(|e| e == "parquet") {
        let table = ParquetTable::open(path)?;
        let wanted = [table.require("cell_id")?, table.require("x_centroid")?, table.require("y_centroid")?];
        table.for_each_block(&wanted, |block| {
            let [ids, xs, ys] = block else { return Ok(()) };
            for i in 0..ids.len() {
                let number = ids.integer(i).map(|n| n.to_string());
                if let (Some(id), Some(x), Some(y)) = (ids.text(i).or(number.as_deref()), xs.number(i), ys.number(i)) {
                    take(id, x, y);
                }
            }
            Ok(())
        })?;
    } else {
        let mut lines = Lines::open(path)?;
        let header: Vec<String> =
            lines.next()?.unwrap_or_default().split(',').map(|f| unquoted(f).to_owned()).collect();
        let column = |name: &str| {
            header.iter().position(|h| h == name).ok_or_else(|| {
                H5Error::missing(path, &format!("column '{name}'"), format!("the table has '{}'", header.join("', '")))
            })
        };
        let (id, x, y) = (column("cell_id")?, column("x_centroid")?, column("y_centroid")?);
        while let Some(line) = lines.next()? {
            let fields: Vec<&str> = line.split(',').map(unquoted).collect();
            let number = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
            if let (Some(id), Some(x), Some(y)) = (fields.get(id), number(x), number(y)) {
                take(id, x, y);
            }
        }
    }
    let missing = found.iter().filter(|p| p.is_none()).count();
    match found.iter().position(Option::is_none) {
        Some(first) => Err(H5Error::missing(
            path,
            "cell_id",
            format!("{missing} of {} cells of the matrix have no centroid here, first {}", cells.len(), cells[first]),
        )),
        None => Ok(found.into_iter().flatten().collect()),
    }
}
