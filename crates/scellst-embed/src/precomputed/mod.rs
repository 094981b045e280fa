//! Features that were made elsewhere.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};
use scellst_types::{Level0, Point};

use crate::EmbedError;
use crate::npy;
use crate::weights::Weights;

/// Larger tables than this are not read into memory (10 million cells of 2048 features in f16 have 41 GB: those want a
/// file that is read in parts).
const MAX_FILE_BYTES: u64 = 16 << 30;

/// One row of features a cell, as another program wrote them, to be matched to the cells of a slide: by order, by id or
/// by place. Whatever the way, each cell gets a row or there is an error.
#[derive(Debug, Clone)]
pub struct Precomputed {
    path: PathBuf,
    features: Array2<f32>,
    ids: Option<Vec<u64>>,
    places: Option<Vec<Point<Level0>>>,
}

impl Precomputed {
    /// From a `.npy` of `(cells, features)`, f16, f32 or f64.
    ///
    /// # Errors
    /// [`EmbedError::Features`] for a file that is no such table, or has values that are no numbers.
    pub fn read_npy(path: &Path) -> Result<Self, EmbedError> {
        let bytes = read(path)?;
        let features = npy::table(&bytes).map_err(|problem| failed(path, problem))?;
        Self::from_table(path, features)
    }

    /// From a safetensors file with a table `features`, `embeddings`, `feats` or `X` of `(cells, features)` in f16,
    /// bf16, f32 or f64, and if it has them `coords` `(cells, 2)`, x and y in level-0 pixels, and `ids` `(cells)`,
    /// both in floats or 64- or 32-bit whole numbers.
    ///
    /// # Errors
    /// As [`Precomputed::read_npy`].
    pub fn read_safetensors(path: &Path) -> Result<Self, EmbedError> {
        let file = Weights::read("features", path)?;
        let name = ["features", "embeddings", "feats", "X"].into_iter().find(|n| file.shape(n).is_some());
        let name = name.ok_or_else(|| failed(path, "no tensor features, embeddings, feats or X in it".into()))?;
        let (rows, columns) = match file.shape(name) {
            Some(&[rows, columns]) => (rows, columns),
            other => return Err(failed(path, format!("{name}: expected (cells, features), found {other:?}"))),
        };
        let values = file.get(name, &[rows, columns])?;
        let features = Array2::from_shape_vec((rows, columns), values).map_err(|e| failed(path, e.to_string()))?;
        let ids = file.shape("ids").map(|_| file.numbers("ids", &[rows])).transpose()?;
        let ids = ids.map(|v| whole(path, &v)).transpose()?;
        let places = file.shape("coords").map(|_| file.numbers("coords", &[rows, 2])).transpose()?;
        let places = places.map(|v| v.chunks_exact(2).map(|p| Point::new(p[0], p[1])).collect());
        Ok(Self { ids, places, ..Self::from_table(path, features)? })
    }

    /// From a table that was read in another way; `path` is for errors.
    ///
    /// # Errors
    /// [`EmbedError::Features`] for rows without features, or values that are no numbers.
    pub fn from_table(path: &Path, features: Array2<f32>) -> Result<Self, EmbedError> {
        let bad = features.indexed_iter().find(|(_, v)| !v.is_finite());
        match bad {
            Some(((row, column), v)) => Err(failed(path, format!("row {row}, feature {column}: a value of {v}"))),
            None if features.ncols() == 0 => Err(failed(path, "rows without features".into())),
            None => Ok(Self { path: path.to_owned(), features, ids: None, places: None }),
        }
    }

    /// With ids that stand in another file, one a row.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if there are not as many.
    pub fn with_ids(self, ids: Vec<u64>) -> Result<Self, EmbedError> {
        self.check_count("ids", ids.len())?;
        Ok(Self { ids: Some(ids), ..self })
    }

    /// With places that stand in another file, one a row, level-0 pixels.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if there are not as many.
    pub fn with_places(self, places: Vec<Point<Level0>>) -> Result<Self, EmbedError> {
        self.check_count("places", places.len())?;
        Ok(Self { places: Some(places), ..self })
    }

    /// Where the rows are, if the table knows.
    pub fn places(&self) -> Option<&[Point<Level0>]> {
        self.places.as_deref()
    }

    /// Number of features.
    pub fn dim(&self) -> usize {
        self.features.ncols()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.features.nrows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The rows as they are, for as many cells in the same order.
    ///
    /// # Errors
    /// [`EmbedError::Features`] for another number of cells.
    pub fn in_order(self, cells: usize) -> Result<Array2<f32>, EmbedError> {
        self.check_count("cells", cells)?;
        Ok(self.features)
    }

    /// The rows of the cells with these ids.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if the table has no ids, an id twice, or lacks one.
    pub fn by_id(&self, cells: &[u64]) -> Result<Array2<f32>, EmbedError> {
        let ids = self.ids.as_ref().ok_or_else(|| failed(&self.path, "it has no ids to match cells by".into()))?;
        let mut rows = HashMap::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            if let Some(earlier) = rows.insert(*id, row) {
                return Err(failed(&self.path, format!("id {id} twice, in rows {earlier} and {row}")));
            }
        }
        let found: Vec<Option<usize>> = cells.iter().map(|id| rows.get(id).copied()).collect();
        self.take(&found, |cell| format!("id {}", cells[cell]))
    }

    /// The rows of the cells at these places: for each the nearest row, at most `tolerance` level-0 pixels away.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if the table has no places, a cell has no row so near, or two cells have the same.
    pub fn by_place(&self, cells: &[Point<Level0>], tolerance: f64) -> Result<Array2<f32>, EmbedError> {
        let fail = |problem: String| failed(&self.path, problem);
        let places = self.places.as_ref().ok_or_else(|| fail("it has no coordinates to match cells by".into()))?;
        if !(tolerance > 0.0 && tolerance.is_finite()) {
            return Err(fail(format!("cells within {tolerance} pixels: expected a positive number")));
        }
        // Squares of the tolerance's side: the nearest within it is in the same or a neighbouring one.
        let square = |p: &Point<Level0>| ((p.x / tolerance).floor() as i64, (p.y / tolerance).floor() as i64);
        let mut grid: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
        for (row, place) in places.iter().enumerate() {
            grid.entry(square(place)).or_default().push(row);
        }
        let nearest = |cell: &Point<Level0>| {
            let (x, y) = square(cell);
            (-1..=1)
                .flat_map(|dx| (-1..=1).map(move |dy| (x.saturating_add(dx), y.saturating_add(dy))))
                .filter_map(|key| grid.get(&key))
                .flatten()
                .map(|&row| (places[row].distance(*cell), row))
                .filter(|(distance, _)| *distance <= tolerance)
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
                .map(|(_, row)| row)
        };
        let found: Vec<Option<usize>> = cells.iter().map(nearest).collect();
        let mut taken = HashMap::new();
        for (cell, row) in found.iter().enumerate() {
            if let Some(row) = row
                && let Some(earlier) = taken.insert(*row, cell)
            {
                return Err(fail(format!(
                    "row {row} is the nearest to cells {earlier} and {cell}: a smaller tolerance?"
                )));
            }
        }
        self.take(&found, |cell| format!("({}, {})", cells[cell].x, cells[cell].y))
    }

    fn take(&self, found: &[Option<usize>], name: impl Fn(usize) -> String) -> Result<Array2<f32>, EmbedError> {
        let missing: Vec<usize> = (0..found.len()).filter(|c| found[*c].is_none()).collect();
        if let Some(first) = missing.first() {
            let (n, of) = (missing.len(), found.len());
            let problem = format!("{n} of {of} cells have no row, the first is cell {first}, {}", name(*first));
            return Err(failed(&self.path, problem));
        }
        let rows: Vec<usize> = found.iter().flatten().copied().collect();
        Ok(self.features.select(Axis(0), &rows))
    }

    fn check_count(&self, what: &str, count: usize) -> Result<(), EmbedError> {
        let rows = self.len();
        if count == rows { Ok(()) } else { Err(failed(&self.path, format!("{rows} rows for {count} {what}"))) }
    }
}

fn failed(path: &Path, problem: String) -> EmbedError {
    EmbedError::Features { path: path.to_owned(), problem }
}

fn read(path: &Path) -> Result<Vec<u8>, EmbedError> {
    let length = std::fs::metadata(path).map_err(|e| failed(path, e.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(path, format!("{length} bytes are over the limit of {MAX_FILE_BYTES}")));
    }
    std::fs::read(path).map_err(|e| failed(path, e.to_string()))
}

fn whole(path: &Path, values: &[f64]) -> Result<Vec<u64>, EmbedError> {
    let id = |v: &f64| {
        if *v >= 0.0 && v.fract() == 0.0 { Ok(*v as u64) } else { Err(failed(path, format!("an id of {v}"))) }
    };
    values.iter().map(id).collect()
}
