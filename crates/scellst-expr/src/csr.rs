use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::ExprError;

/// Rows that one task of [`CsrMatrix::map`] takes.
const MAP_ROWS: usize = 256;

/// What one pass gathers of a column.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ColumnTotal {
    pub(crate) sum: f64,
    pub(crate) stored: u32,
    pub(crate) nonzero: u32,
}

/// A sparse matrix by rows (CSR): `f32` values, `u32` column indices; rows are observations, columns genes.
///
/// By construction: `indptr` has `rows + 1` entries from 0 to the number of stored values and never falls,
/// column indices rise strictly within a row and lie below `cols`, all values are finite.
/// `f32` holds whole counts exactly up to 16,777,216.
#[derive(Debug, Clone, PartialEq)]
pub struct CsrMatrix {
    rows: usize,
    cols: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl CsrMatrix {
    /// From its three arrays, column indices rising strictly within each row.
    ///
    /// # Errors
    /// [`ExprError::BrokenMatrix`] if the arrays contradict each other or the shape,
    /// [`ExprError::NotACount`] for a value that is not finite.
    pub fn new(
        rows: usize,
        cols: usize,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, ExprError> {
        check_pointers(rows, cols, rows, &indptr, indices.len(), values.len())?;
        let matrix = Self { rows, cols, indptr, indices, values };
        let broken = |problem| Err(ExprError::BrokenMatrix { rows, cols, problem });
        for row in 0..rows {
            let (columns, values) = matrix.row(row);
            for (at, (&column, &value)) in columns.iter().zip(values).enumerate() {
                if column as usize >= cols {
                    return broken(format!("row {row} names column {column}, but there are {cols} columns"));
                }
                if at > 0 && columns[at - 1] >= column {
                    return broken(format!(
                        "row {row} names column {column} after column {}; sort the row (from_unsorted does)",
                        columns[at - 1]
                    ));
                }
                if !value.is_finite() {
                    return Err(ExprError::NotACount { row, column: column as usize, value });
                }
            }
        }
        Ok(matrix)
    }

    /// From CSR arrays whose rows may be in any order; values named twice are added, as SciPy does.
    ///
    /// # Errors
    /// As [`CsrMatrix::new`], order apart.
    pub fn from_unsorted(
        rows: usize,
        cols: usize,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, ExprError> {
        check_pointers(rows, cols, rows, &indptr, indices.len(), values.len())?;
        let sorted = |row: &[usize]| indices[row[0]..row[1]].windows(2).all(|pair| pair[0] < pair[1]);
        if indptr.windows(2).all(sorted) {
            return Self::new(rows, cols, indptr, indices, values);
        }
        let mut out = Self { rows, cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
        out.indices.reserve(indices.len());
        out.values.reserve(values.len());
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for row in indptr.windows(2) {
            let range = row[0]..row[1];
            entries.clear();
            entries.extend(indices[range.clone()].iter().copied().zip(values[range].iter().copied()));
            entries.sort_by_key(|entry| entry.0);
            let start = out.indices.len();
            for &(column, value) in &entries {
                match out.values.last_mut() {
                    Some(last) if out.indices.len() > start && out.indices.last() == Some(&column) => *last += value,
                    _ => {
                        out.indices.push(column);
                        out.values.push(value);
                    }
                }
            }
            out.indptr.push(out.indices.len());
        }
        Self::new(rows, cols, out.indptr, out.indices, out.values)
    }

    /// From CSC arrays (by columns), as some h5ad files hold them; row indices in any order, doubles added.
    ///
    /// # Errors
    /// As [`CsrMatrix::from_unsorted`]; messages speak of the transposed matrix.
    pub fn from_csc(
        rows: usize,
        cols: usize,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, ExprError> {
        Ok(Self::from_unsorted(cols, rows, indptr, indices, values)?.transposed())
    }

    /// The non-zero values of a dense matrix.
    ///
    /// # Errors
    /// [`ExprError::NotACount`] for a value that is not finite, [`ExprError::BrokenMatrix`] beyond `u32::MAX` columns.
    pub fn from_dense(dense: ArrayView2<'_, f32>) -> Result<Self, ExprError> {
        let (rows, cols) = dense.dim();
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in dense.rows() {
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                indices.push(column as u32);
                values.push(value);
            }
            indptr.push(indices.len());
        }
        Self::new(rows, cols, indptr, indices, values)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of stored values (explicit zeros count).
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Where each row starts in [`CsrMatrix::indices`], and the end of the last: `rows + 1` entries.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Column of each stored value.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The stored values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Columns and values of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The same pattern with other values: `f(row, value)`, which should send 0 to 0.
    ///
    /// # Errors
    /// [`ExprError::NotACount`] if `f` gives a value that is not finite.
    pub fn map(&self, f: impl Fn(usize, f32) -> f32 + Sync) -> Result<Self, ExprError> {
        self.clone().into_mapped(f)
    }

    /// As [`CsrMatrix::map`] without a copy: for matrices that fill a good part of the memory.
    ///
    /// # Errors
    /// As [`CsrMatrix::map`].
    pub fn into_mapped(self, f: impl Fn(usize, f32) -> f32 + Sync) -> Result<Self, ExprError> {
        self.into_mapped_rows(|row, values| values.iter_mut().for_each(|value| *value = f(row, *value)))
    }

    /// As [`CsrMatrix::into_mapped`], the stored values of a row at once.
    pub(crate) fn into_mapped_rows(mut self, f: impl Fn(usize, &mut [f32]) + Sync) -> Result<Self, ExprError> {
        let mut rest = self.values.as_mut_slice();
        let mut blocks = Vec::new();
        for start in (0..self.rows).step_by(MAP_ROWS) {
            let end = (start + MAP_ROWS).min(self.rows);
            let (block, after) = rest.split_at_mut(self.indptr[end] - self.indptr[start]);
            blocks.push((start, end, block));
            rest = after;
        }
        let indptr = &self.indptr;
        let finite = blocks.into_par_iter().map(|(start, end, block)| {
            (start..end).fold(true, |finite, row| {
                let values = &mut block[indptr[row] - indptr[start]..indptr[row + 1] - indptr[start]];
                f(row, values);
                finite & values.iter().fold(true, |finite, value| finite & value.is_finite())
            })
        });
        if finite.reduce(|| true, |a, b| a && b) { Ok(self) } else { Err(self.first_not_a_count(|v| !v.is_finite())) }
    }

    /// Refuses what no raw counts hold.
    ///
    /// # Errors
    /// [`ExprError::NotACount`] for a value below zero.
    pub(crate) fn check_counts(&self) -> Result<(), ExprError> {
        let below = |value: &f32| *value < 0.0;
        if self.values.par_chunks(1 << 16).any(|block| block.iter().any(below)) {
            return Err(self.first_not_a_count(|value| below(&value)));
        }
        Ok(())
    }

    /// The error for the first value that is `bad`.
    fn first_not_a_count(&self, bad: impl Fn(f32) -> bool) -> ExprError {
        let at = self.values.iter().position(|&value| bad(value)).unwrap_or(0);
        let row = self.indptr.partition_point(|&start| start <= at).saturating_sub(1);
        let (column, value) = (self.indices.get(at).map_or(0, |&c| c as usize), self.values.get(at).copied());
        ExprError::NotACount { row, column, value: value.unwrap_or(f32::NAN) }
    }

    /// Sum of each row.
    pub fn row_sums(&self) -> Vec<f64> {
        let sum = |row: &[usize]| self.values[row[0]..row[1]].iter().map(|&v| f64::from(v)).sum();
        self.indptr.par_windows(2).with_min_len(MAP_ROWS).map(sum).collect()
    }

    /// Sum of each column.
    pub fn column_sums(&self) -> Vec<f64> {
        self.fold_columns(|sum: &mut f64, _, value| *sum += value, |sum, more| *sum += more)
    }

    /// In how many rows each column is not zero.
    pub fn column_nonzeros(&self) -> Vec<usize> {
        self.column_totals().into_iter().map(|total| total.nonzero as usize).collect()
    }

    /// Sum, stored values and values other than 0 of each column, in one pass.
    pub(crate) fn column_totals(&self) -> Vec<ColumnTotal> {
        self.fold_columns(
            |total: &mut ColumnTotal, _, value| {
                total.sum += value;
                total.stored += 1;
                total.nonzero += u32::from(value != 0.0);
            },
            |total, more| {
                total.sum += more.sum;
                total.stored += more.stored;
                total.nonzero += more.nonzero;
            },
        )
    }

    /// One item per column, gathered over the stored values by `f(&mut item, column, value)`; `add` joins two items.
    ///
    /// Rows are taken in a fixed number of blocks whose items are joined in order, so that the result
    /// is the same whatever the number of threads.
    pub(crate) fn fold_columns<T: Copy + Default + Send>(
        &self,
        f: impl Fn(&mut T, usize, f64) + Sync,
        add: impl Fn(&mut T, T),
    ) -> Vec<T> {
        const BLOCKS: usize = 16;
        // Small matrices, and those where accumulators would outweigh the data, go in one block.
        let blocks = if self.nnz() / BLOCKS > self.cols { BLOCKS } else { 1 };
        let per_block = self.rows.div_ceil(blocks).max(1);
        let starts: Vec<usize> = (0..self.rows).step_by(per_block).collect();
        let partial: Vec<Vec<T>> = starts
            .into_par_iter()
            .map(|start| {
                let end = (start + per_block).min(self.rows);
                let range = self.indptr[start]..self.indptr[end];
                let mut items = vec![T::default(); self.cols];
                for (&column, &value) in self.indices[range.clone()].iter().zip(&self.values[range]) {
                    f(&mut items[column as usize], column as usize, f64::from(value));
                }
                items
            })
            .collect();
        let mut partial = partial.into_iter();
        let mut total = partial.next().unwrap_or_else(|| vec![T::default(); self.cols]);
        for items in partial {
            for (sum, item) in total.iter_mut().zip(items) {
                add(sum, item);
            }
        }
        total
    }

    /// Keeps these rows and columns, both rising, in place.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if there is no such row or column, [`ExprError::BrokenMatrix`] if they do not rise.
    pub(crate) fn retain(mut self, rows: &[usize], columns: &[usize]) -> Result<Self, ExprError> {
        check_positions("rows to keep", rows, self.rows)?;
        let new_column = self.column_map(columns)?;
        if [rows, columns].iter().any(|list| list.windows(2).any(|pair| pair[0] >= pair[1])) {
            let problem = "rows and columns to keep must rise".to_owned();
            return Err(ExprError::BrokenMatrix { rows: self.rows, cols: self.cols, problem });
        }
        const GONE: u32 = u32::MAX;
        let new_column: Vec<u32> = new_column.into_iter().map(|column| column.unwrap_or(GONE)).collect();
        let mut at = 0;
        for (new_row, &row) in rows.iter().enumerate() {
            let range = self.indptr[row]..self.indptr[row + 1];
            // Rows rise: what is overwritten here has been read. Without a branch, which would be guessed wrong
            // at every second value.
            self.indptr[new_row] = at;
            for from in range {
                let column = new_column[self.indices[from] as usize];
                self.indices[at] = column;
                self.values[at] = self.values[from];
                at += usize::from(column != GONE);
            }
        }
        self.indptr.truncate(rows.len());
        self.indptr.push(at);
        self.indices.truncate(at);
        self.values.truncate(at);
        self.indices.shrink_to_fit();
        self.values.shrink_to_fit();
        (self.rows, self.cols) = (rows.len(), columns.len());
        Ok(self)
    }

    /// Column `j` added to column `target[j]` of a matrix of `cols` columns; `None` drops it.
    ///
    /// # Errors
    /// [`ExprError::Shape`] unless `target` names a column below `cols` for each of ours, or `None`;
    /// [`ExprError::NotACount`] if a sum is beyond `f32`.
    pub fn sum_columns(&self, target: &[Option<usize>], cols: usize) -> Result<Self, ExprError> {
        if target.len() != self.cols {
            let what = "columns to add up".to_owned();
            return Err(ExprError::Shape { what, expected: self.cols, found: target.len() });
        }
        let named: Vec<usize> = target.iter().flatten().copied().collect();
        check_positions("columns to add up", &named, cols)?;
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in 0..self.rows {
            let (old, stored) = self.row(row);
            for (&column, &value) in old.iter().zip(stored) {
                if let Some(column) = target[column as usize] {
                    indices.push(column as u32);
                    values.push(value);
                }
            }
            indptr.push(indices.len());
        }
        Self::from_unsorted(self.rows, cols, indptr, indices, values)
    }

    /// These rows, in this order; a row may be taken twice.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if there is no such row.
    pub fn select_rows(&self, rows: &[usize]) -> Result<Self, ExprError> {
        check_positions("rows to select", rows, self.rows)?;
        let mut out =
            Self { rows: rows.len(), cols: self.cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
        for &row in rows {
            let (columns, values) = self.row(row);
            out.indices.extend_from_slice(columns);
            out.values.extend_from_slice(values);
            out.indptr.push(out.indices.len());
        }
        Ok(out)
    }

    /// These columns, in this order; each at most once.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if there is no such column, [`ExprError::BrokenMatrix`] if one is named twice.
    pub fn select_columns(&self, columns: &[usize]) -> Result<Self, ExprError> {
        let new_column = self.column_map(columns)?;
        let mut out =
            Self { rows: self.rows, cols: columns.len(), indptr: vec![0], indices: Vec::new(), values: Vec::new() };
        let in_order = columns.windows(2).all(|pair| pair[0] < pair[1]);
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for row in 0..self.rows {
            let (old, values) = self.row(row);
            entries.clear();
            entries
                .extend(old.iter().zip(values).filter_map(|(&c, &v)| new_column[c as usize].map(|column| (column, v))));
            if !in_order {
                entries.sort_unstable_by_key(|entry| entry.0);
            }
            out.indices.extend(entries.iter().map(|entry| entry.0));
            out.values.extend(entries.iter().map(|entry| entry.1));
            out.indptr.push(out.indices.len());
        }
        Ok(out)
    }

    /// Rows and columns exchanged.
    pub fn transposed(&self) -> Self {
        let mut indptr = vec![0; self.cols + 1];
        for &column in &self.indices {
            indptr[column as usize + 1] += 1;
        }
        for column in 0..self.cols {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0; self.nnz()];
        let mut values = vec![0.0; self.nnz()];
        for row in 0..self.rows {
            let (columns, old) = self.row(row);
            for (&column, &value) in columns.iter().zip(old) {
                let at = &mut next[column as usize];
                indices[*at] = row as u32;
                values[*at] = value;
                *at += 1;
            }
        }
        Self { rows: self.cols, cols: self.rows, indptr, indices, values }
    }

    /// The whole matrix with its zeros, `rows x cols`.
    ///
    /// # Errors
    /// [`ExprError::TooLarge`] if it does not fit into memory.
    pub fn to_dense(&self) -> Result<Array2<f32>, ExprError> {
        let mut dense = zeros(self.rows, self.cols)?;
        for (row, mut out) in dense.rows_mut().into_iter().enumerate() {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                out[column as usize] = value;
            }
        }
        Ok(dense)
    }

    /// These columns with their zeros, `rows x columns.len()`, in the order given.
    ///
    /// # Errors
    /// As [`CsrMatrix::select_columns`] and [`CsrMatrix::to_dense`].
    pub fn dense_columns(&self, columns: &[usize]) -> Result<Array2<f32>, ExprError> {
        self.dense_columns_with(columns, |_, value| value)
    }

    /// As [`CsrMatrix::dense_columns`], each stored value through `f(row, value)`.
    pub(crate) fn dense_columns_with(
        &self,
        columns: &[usize],
        f: impl Fn(usize, f32) -> f32,
    ) -> Result<Array2<f32>, ExprError> {
        let new_column = self.column_map(columns)?;
        let mut dense = zeros(self.rows, columns.len())?;
        for (row, mut out) in dense.rows_mut().into_iter().enumerate() {
            let (old, values) = self.row(row);
            for (&column, &value) in old.iter().zip(values) {
                if let Some(column) = new_column[column as usize] {
                    out[column as usize] = f(row, value);
                }
            }
        }
        Ok(dense)
    }

    /// For each column its place in `columns`, if any.
    fn column_map(&self, columns: &[usize]) -> Result<Vec<Option<u32>>, ExprError> {
        check_positions("columns to select", columns, self.cols)?;
        let mut map = vec![None; self.cols];
        for (new, &old) in columns.iter().enumerate() {
            if map[old].replace(new as u32).is_some() {
                let problem = format!("column {old} is selected twice");
                return Err(ExprError::BrokenMatrix { rows: self.rows, cols: self.cols, problem });
            }
        }
        Ok(map)
    }
}

fn check_pointers(
    rows: usize,
    cols: usize,
    lines: usize,
    indptr: &[usize],
    indices: usize,
    values: usize,
) -> Result<(), ExprError> {
    let broken = |problem| Err(ExprError::BrokenMatrix { rows, cols, problem });
    if cols > u32::MAX as usize || rows > u32::MAX as usize {
        return broken(format!("more than {} rows or columns", u32::MAX));
    }
    if indptr.len() != lines + 1 {
        return broken(format!("indptr has {} entries, expected {}", indptr.len(), lines + 1));
    }
    if indices != values {
        return broken(format!("{indices} indices, but {values} values"));
    }
    if indptr[0] != 0 {
        return broken(format!("indptr starts at {}, expected 0", indptr[0]));
    }
    if let Some(at) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return broken(format!("indptr falls from {} to {} at row {at}", indptr[at], indptr[at + 1]));
    }
    if indptr[lines] != indices {
        return broken(format!("indptr ends at {}, but there are {indices} stored values", indptr[lines]));
    }
    Ok(())
}

fn check_positions(what: &str, positions: &[usize], length: usize) -> Result<(), ExprError> {
    match positions.iter().find(|&&at| at >= length) {
        None => Ok(()),
        Some(&found) => Err(ExprError::Shape {
            what: format!("{what}, the largest position + 1 at most"),
            expected: length,
            found: found + 1,
        }),
    }
}

/// A dense matrix of zeros, or an error in place of an abort where memory does not suffice.
pub(crate) fn zeros(rows: usize, cols: usize) -> Result<Array2<f32>, ExprError> {
    let too_large = || ExprError::TooLarge { what: "a dense matrix", rows, cols };
    let length = rows.checked_mul(cols).ok_or_else(too_large)?;
    let mut data = Vec::new();
    data.try_reserve_exact(length).map_err(|_| too_large())?;
    data.resize(length, 0.0);
    Array2::from_shape_vec((rows, cols), data).map_err(|_| too_large())
}
