//! `X` however it is stored: dense, by rows (CSR) or by columns (CSC).

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::H5Error;
use crate::dataset::DatasetReader;
use crate::source::{Kind, Source};
use crate::wanted::Wanted;

/// Stored values that are looked at together.
const BLOCK: usize = 1 << 20;

/// A matrix of an open file whose declared shape fits the names.
#[derive(Debug)]
pub(crate) struct StoredMatrix {
    source: Arc<Source>,
    name: String,
    rows: usize,
    columns: usize,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Dense(DatasetReader),
    /// Checked pointers of the rows.
    Csr(Sparse),
    /// Checked pointers of the columns.
    Csc(Sparse),
}

#[derive(Debug)]
struct Sparse {
    pointers: Vec<usize>,
    indices: DatasetReader,
    data: DatasetReader,
}

/// Rows sorted by column, no column twice in a row, no zeros.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Csr {
    pub(crate) pointers: Vec<usize>,
    pub(crate) indices: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

/// Which values are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Finite and not below zero.
    Counts,
    /// Finite.
    Finite,
}

impl Values {
    fn allow(self, value: f32) -> bool {
        value.is_finite() && !(self == Self::Counts && value < 0.0)
    }

    fn check(self, source: &Source, name: &str, row: usize, column: usize, value: f32) -> Result<(), H5Error> {
        if !value.is_finite() {
            return Err(
                source.broken(name, format!("row {row}, column {column} is {value}, a finite number was expected"))
            );
        }
        if self == Self::Counts && value < 0.0 {
            return Err(source.broken(
                name,
                format!("row {row}, column {column} is {value}, counts are not negative; has the matrix been scaled already?"),
            ));
        }
        Ok(())
    }
}

impl StoredMatrix {
    pub(crate) fn open(source: &Arc<Source>, name: &str, rows: usize, columns: usize) -> Result<Self, H5Error> {
        let wrong_shape = |found: &dyn std::fmt::Debug| {
            source.broken(
                name,
                format!("shape [{rows}, {columns}] was expected from the names in obs and var, found {found:?}"),
            )
        };
        let storage = match source.kind(name)? {
            None => {
                let help = match name.split_once('/') {
                    None => "the file has no expression matrix; write it with adata.X set".to_owned(),
                    Some((group, _)) => match source.members(group)?.join("', '") {
                        there if there.is_empty() => format!("the file has nothing in {group}"),
                        there => format!("{group} has '{there}'"),
                    },
                };
                return Err(H5Error::missing(source.path(), name, help));
            }
            Some(Kind::Dataset) => {
                let dataset = source.dataset(name)?;
                if dataset.shape() != [rows, columns] {
                    return Err(wrong_shape(&dataset.shape()));
                }
                dataset.require_numeric()?;
                Storage::Dense(dataset)
            }
            Some(Kind::Group) => {
                let either = |new: &str, old: &str| -> Result<Option<String>, H5Error> {
                    Ok(source.text_attr(name, new)?.or(source.text_attr(name, old)?))
                };
                let format = either("encoding-type", "h5sparse_format")?;
                let shape = match source.int_list_attr(name, "shape")? {
                    Some(shape) => Some(shape),
                    None => source.int_list_attr(name, "h5sparse_shape")?,
                };
                let wanted = [rows as i64, columns as i64];
                match shape {
                    Some(shape) if shape == wanted => {}
                    Some(shape) => return Err(wrong_shape(&shape)),
                    None => return Err(source.broken(name, "the attribute 'shape' is not there")),
                }
                match format.as_deref() {
                    Some("csr_matrix" | "csr") => Storage::Csr(Sparse::open(source, name, rows)?),
                    Some("csc_matrix" | "csc") => Storage::Csc(Sparse::open(source, name, columns)?),
                    other => {
                        return Err(H5Error::unsupported(
                            source.path(),
                            name,
                            format!(
                                "encoding {:?}; csr_matrix, csc_matrix and dense arrays are read",
                                other.unwrap_or("none")
                            ),
                        ));
                    }
                }
            }
        };
        check_columns(source, name, columns)?;
        Ok(Self { source: Arc::clone(source), name: name.into(), rows, columns, storage })
    }

    /// A matrix of Cell Ranger: features x barcodes by columns, which is barcodes x features by rows.
    pub(crate) fn open_tenx(source: &Arc<Source>, group: &str, rows: usize, columns: usize) -> Result<Self, H5Error> {
        let place = format!("{group}/shape");
        let found = source.dataset(&place)?.numbers::<i64>()?;
        if found != [columns as i64, rows as i64] {
            let wanted = format!("[{columns}, {rows}] was expected from the names of features and barcodes");
            return Err(source.broken(&place, format!("{found:?}, {wanted}")));
        }
        check_columns(source, group, columns)?;
        let storage = Storage::Csr(Sparse::open(source, group, rows)?);
        Ok(Self { source: Arc::clone(source), name: group.into(), rows, columns, storage })
    }

    /// The whole matrix, sparse.
    pub(crate) fn to_csr(&self, values: Values) -> Result<Csr, H5Error> {
        self.part_to_csr(&Wanted::everything(self.rows), values)
    }

    /// A part of the matrix, sparse; what is not wanted is not held.
    pub(crate) fn part_to_csr(&self, wanted: &Wanted, values: Values) -> Result<Csr, H5Error> {
        let csr = match &self.storage {
            Storage::Dense(dataset) => self.dense_to_csr(dataset, wanted, values)?,
            Storage::Csr(sparse) => sparse.some_rows(wanted, self.columns)?,
            Storage::Csc(sparse) => sparse.transposed(wanted, self.rows)?,
        };
        self.canonical(csr, wanted, values)
    }

    fn dense_to_csr(&self, dataset: &DatasetReader, wanted: &Wanted, values: Values) -> Result<Csr, H5Error> {
        let rows = wanted.rows.clone();
        let mut csr = Csr { pointers: dataset.room(rows.len() + 1)?, ..Csr::default() };
        csr.pointers.push(0);
        let step = dataset.block_rows();
        let mut start = rows.start;
        while start < rows.end {
            let end = (start - start % step).saturating_add(step).min(rows.end);
            let block = dataset.rows::<f32>(start..end)?;
            for (i, row) in block.outer_iter().enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    let Some(place) = wanted.place(j as u32) else { continue };
                    values.check(&self.source, &self.name, start + i, j, value)?;
                    if value != 0.0 {
                        csr.indices.push(place);
                        csr.values.push(value);
                    }
                }
                csr.pointers.push(csr.indices.len());
            }
            dataset.check_bytes(csr.indices.len(), 4)?;
            start = end;
        }
        Ok(csr)
    }

    /// Sorts each row, adds up what stands for the same place (as SciPy does), drops zeros; in place.
    fn canonical(&self, mut csr: Csr, wanted: &Wanted, values: Values) -> Result<Csr, H5Error> {
        let stored_column = |place: u32| match &wanted.places {
            None => place as usize,
            Some(places) => places.iter().position(|&p| p == place).unwrap_or(0),
        };
        let mut pairs: Vec<(u32, f32)> = Vec::new();
        let (mut start, mut kept) = (0, 0);
        for row in 0..wanted.rows.len() {
            let end = csr.pointers[row + 1];
            pairs.clear();
            pairs.extend((start..end).map(|k| (csr.indices[k], csr.values[k])));
            if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
                pairs.sort_by_key(|p| p.0);
                pairs.dedup_by(|next, first| {
                    let same = next.0 == first.0;
                    if same {
                        first.1 += next.1;
                    }
                    same
                });
            }
            for &(column, value) in &pairs {
                if !values.allow(value) {
                    let row = wanted.rows.start + row;
                    values.check(&self.source, &self.name, row, stored_column(column), value)?;
                }
                if value != 0.0 {
                    csr.indices[kept] = column;
                    csr.values[kept] = value;
                    kept += 1;
                }
            }
            csr.pointers[row + 1] = kept;
            start = end;
        }
        csr.indices.truncate(kept);
        csr.values.truncate(kept);
        Ok(csr)
    }

    /// Some rows, dense, from the file; from `loaded` where only the whole matrix could be read (CSC).
    pub(crate) fn rows(
        &self,
        range: Range<usize>,
        values: Values,
        loaded: Option<&Csr>,
    ) -> Result<Array2<f32>, H5Error> {
        let block = match (&self.storage, loaded) {
            (Storage::Dense(dataset), _) => dataset.rows::<f32>(range.clone())?,
            (Storage::Csr(sparse), _) => {
                let mut out = self.zeros(range.len())?;
                let (first, last) = (sparse.pointers[range.start], sparse.pointers[range.end]);
                let indices = sparse.some_indices(first..last, self.columns)?;
                let data: Vec<f32> = sparse.data.some_numbers(first..last)?;
                for (i, row) in range.clone().enumerate() {
                    for k in sparse.pointers[row] - first..sparse.pointers[row + 1] - first {
                        out[[i, indices[k] as usize]] += data[k];
                    }
                }
                out
            }
            (Storage::Csc(_), Some(csr)) => {
                let mut out = self.zeros(range.len())?;
                for (i, row) in range.clone().enumerate() {
                    for k in csr.pointers[row]..csr.pointers[row + 1] {
                        out[[i, csr.indices[k] as usize]] = csr.values[k];
                    }
                }
                out
            }
            (Storage::Csc(_), None) => {
                let csr = self.to_csr(values)?;
                return self.rows(range, values, Some(&csr));
            }
        };
        for ((i, j), &value) in block.indexed_iter() {
            values.check(&self.source, &self.name, range.start + i, j, value)?;
        }
        Ok(block)
    }

    fn zeros(&self, rows: usize) -> Result<Array2<f32>, H5Error> {
        let limit = self.source.limits.max_array_bytes;
        let bytes = (rows as u64).saturating_mul(self.columns as u64).saturating_mul(4);
        if bytes > limit {
            return Err(H5Error::limit(
                self.source.path(),
                &self.name,
                format!("{bytes} bytes when dense, {limit} are allowed"),
            ));
        }
        Ok(Array2::zeros((rows, self.columns)))
    }

    /// Whether a few rows can only be had by reading everything.
    pub(crate) fn is_by_columns(&self) -> bool {
        matches!(self.storage, Storage::Csc(_))
    }

    /// Rows that are read well at once.
    pub(crate) fn block_rows(&self) -> usize {
        match &self.storage {
            Storage::Dense(dataset) => dataset.block_rows(),
            _ => ((1 << 20) / self.columns.max(1)).max(1),
        }
    }
}

fn check_columns(source: &Source, name: &str, columns: usize) -> Result<(), H5Error> {
    if u32::try_from(columns).is_ok_and(|n| n < u32::MAX) {
        return Ok(());
    }
    Err(H5Error::limit(source.path(), name, format!("{columns} columns, at most 2^32 - 2")))
}

impl Sparse {
    fn open(source: &Arc<Source>, name: &str, major: usize) -> Result<Self, H5Error> {
        let [data, indices, indptr] = ["data", "indices", "indptr"].map(|part| format!("{name}/{part}"));
        let (data, indices) = (source.dataset(&data)?, source.dataset(&indices)?);
        data.require_numeric()?;
        let stored = data.len()?;
        indices.expect_len(stored, "as many as in 'data'")?;
        let dataset = source.dataset(&indptr)?;
        dataset.expect_len(major.saturating_add(1), "one more than the matrix has rows (CSR) or columns (CSC)")?;
        let mut pointers: Vec<usize> = dataset.room(major + 1)?;
        dataset.for_each_block::<i64>(0..major + 1, |start, block| {
            for (i, &found) in block.iter().enumerate() {
                let place = start + i;
                let least = pointers.last().copied().unwrap_or(0);
                match usize::try_from(found) {
                    Ok(p) if p >= least && p <= stored && (place > 0 || p == 0) => pointers.push(p),
                    _ => {
                        let wanted = if place == 0 { "0".into() } else { format!("{least} to {stored}") };
                        return Err(source.broken(&indptr, format!("entry {place} is {found}, {wanted} was expected")));
                    }
                }
            }
            Ok(())
        })?;
        match pointers.last() {
            Some(&last) if last == stored => Ok(Self { pointers, indices, data }),
            last => Err(source.broken(&indptr, format!("ends at {last:?}, but 'data' has {stored} values"))),
        }
    }

    /// Of a matrix by rows.
    fn some_rows(&self, wanted: &Wanted, columns: usize) -> Result<Csr, H5Error> {
        let rows = wanted.rows.clone();
        let (first, last) = (self.pointers[rows.start], self.pointers[rows.end]);
        if wanted.places.is_none() {
            let values = self.data.some_numbers(first..last)?;
            let mut pointers: Vec<usize> = self.indices.room(rows.len() + 1)?;
            pointers.extend(self.pointers[rows.start..=rows.end].iter().map(|p| p - first));
            return Ok(Csr { pointers, indices: self.some_indices(first..last, columns)?, values });
        }
        let mut csr = Csr { pointers: self.indices.room(rows.len() + 1)?, ..Csr::default() };
        csr.pointers.push(0);
        let mut row = rows.start;
        while row < rows.end {
            // As many rows as make a good block, one at least.
            let start = self.pointers[row];
            let block_end = row + self.pointers[row + 1..=rows.end].partition_point(|&p| p - start <= BLOCK).max(1);
            let indices = self.some_indices(start..self.pointers[block_end], columns)?;
            let values: Vec<f32> = self.data.some_numbers(start..self.pointers[block_end])?;
            for row in row..block_end {
                for k in self.pointers[row] - start..self.pointers[row + 1] - start {
                    if let Some(place) = wanted.place(indices[k]) {
                        csr.indices.push(place);
                        csr.values.push(values[k]);
                    }
                }
                csr.pointers.push(csr.indices.len());
            }
            self.data.check_bytes(csr.indices.len(), 4)?;
            row = block_end;
        }
        Ok(csr)
    }

    fn some_indices(&self, range: Range<usize>, minor: usize) -> Result<Vec<u32>, H5Error> {
        let mut out: Vec<u32> = self.indices.room(range.len())?;
        self.indices.for_each_block::<i64>(range, |start, block| {
            for (i, &found) in block.iter().enumerate() {
                match u32::try_from(found) {
                    Ok(index) if (index as usize) < minor => out.push(index),
                    _ => {
                        let place = start + i;
                        return Err(self
                            .indices
                            .broken(format!("entry {place} is {found}, 0 to {} was expected", minor as i64 - 1)));
                    }
                }
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Of a matrix by columns; columns come out in order within each row. Reads the indices twice, once to count,
    /// so that no second matrix is held.
    fn transposed(&self, wanted: &Wanted, rows: usize) -> Result<Csr, H5Error> {
        let inside = |row: u32| (row as usize).checked_sub(wanted.rows.start).filter(|&r| r < wanted.rows.len());
        let mut pointers: Vec<usize> = self.indices.room(wanted.rows.len() + 1)?;
        pointers.resize(wanted.rows.len() + 1, 0);
        let blocks = self.column_blocks(wanted);
        for columns in &blocks {
            let range = self.pointers[columns.start]..self.pointers[columns.end];
            for row in self.some_indices(range, rows)?.into_iter().filter_map(inside) {
                pointers[row + 1] += 1;
            }
        }
        for row in 0..wanted.rows.len() {
            pointers[row + 1] += pointers[row];
        }
        let stored = pointers.last().copied().unwrap_or(0);
        let (mut indices, mut values) = (self.indices.room(stored)?, self.data.room(stored)?);
        indices.resize(stored, 0u32);
        values.resize(stored, 0f32);
        let mut next = pointers.clone();
        for columns in blocks {
            let first = self.pointers[columns.start];
            let range = first..self.pointers[columns.end];
            let (row_of, data) = (self.some_indices(range.clone(), rows)?, self.data.some_numbers::<f32>(range)?);
            for column in columns {
                let Some(place) = wanted.place(column as u32) else { continue };
                for k in self.pointers[column] - first..self.pointers[column + 1] - first {
                    if let Some(row) = inside(row_of[k]) {
                        indices[next[row]] = place;
                        values[next[row]] = data[k];
                        next[row] += 1;
                    }
                }
            }
        }
        Ok(Csr { pointers, indices, values })
    }

    /// Runs of wanted columns with a good number of values each.
    fn column_blocks(&self, wanted: &Wanted) -> Vec<Range<usize>> {
        let mut blocks: Vec<Range<usize>> = Vec::new();
        for column in (0..self.pointers.len() - 1).filter(|&c| wanted.place(c as u32).is_some()) {
            match blocks.last_mut() {
                Some(run) if run.end == column && self.pointers[column + 1] - self.pointers[run.start] <= BLOCK => {
                    run.end = column + 1;
                }
                _ => blocks.push(column..column + 1),
            }
        }
        blocks
    }
}
