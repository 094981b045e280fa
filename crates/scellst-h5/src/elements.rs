//! The parts of an anndata file, written through anndata-rs's HDF5 backend.
//!
//! Not by its high-level interface: that one compresses with Blosc, which stock h5py cannot read,
//! panics on texts with a NUL, and orders what it writes by chance.

use anndata::backend::{AttributeOp, BackendData, DatasetOp, GroupOp, WriteConfig};
use anndata::s;
use anndata_hdf5::H5Group;
use ndarray::{Array1, ArrayView2, CowArray, Dimension};
use scellst_expr::CsrMatrix;
use serde_json::Value;

use crate::atomic::NewFile;
use crate::{Column, Compression, H5Error};

/// HDF5 holds at most 64 kB in an attribute, so the list of a table's columns is bounded.
const MAX_COLUMNS: usize = 2000;
/// Bytes a chunk, of what is written here.
const CHUNK_BYTES: usize = 256 << 10;
/// Texts that are written at once.
const TEXT_BLOCK: usize = 1 << 14;

pub(crate) struct Writer<'f> {
    new: &'f NewFile,
    compression: Option<Compression>,
}

impl<'f> Writer<'f> {
    pub(crate) fn new(new: &'f NewFile, compression: Option<Compression>) -> Result<Self, H5Error> {
        match compression {
            Some(Compression::Gzip(level)) if !(1..=9).contains(&level) => {
                Err(H5Error::misuse(new.target(), format!("gzip level {level}, 1 to 9 was expected")))
            }
            _ => Ok(Self { new, compression }),
        }
    }

    fn misuse(&self, what: String) -> H5Error {
        H5Error::misuse(self.new.target(), what)
    }

    fn config(&self, shape: &[usize], width: usize) -> WriteConfig {
        let row: usize = shape.iter().skip(1).product::<usize>().max(1) * width;
        let rows = (CHUNK_BYTES / row).clamp(1, shape.first().copied().unwrap_or(1).max(1));
        let mut block = shape.to_vec();
        if let Some(first) = block.first_mut() {
            *first = rows;
        }
        WriteConfig {
            compression: self.compression.map(|Compression::Gzip(level)| anndata::backend::Compression::Gzip(level)),
            block_size: (!block.is_empty() && block.iter().all(|&n| n > 0)).then(|| block.into()),
        }
    }

    /// A group with its encoding, `dict` for most.
    pub(crate) fn group(&self, place: &str, encoding: (&str, &str)) -> Result<H5Group, H5Error> {
        let create = || {
            let mut group = self.new.file().new_group(place)?;
            group.new_attr("encoding-type", encoding.0)?;
            group.new_attr("encoding-version", encoding.1)?;
            Ok(group)
        };
        create().map_err(|e: anyhow::Error| self.new.library(place, e))
    }

    pub(crate) fn dict(&self, place: &str) -> Result<(), H5Error> {
        self.group(place, ("dict", "0.1.0")).map(drop)
    }

    /// An array; with its encoding unless it is a part of something that has one.
    pub(crate) fn array<T: BackendData, D: Dimension>(
        &self,
        place: &str,
        values: CowArray<'_, T, D>,
        encoding: Option<&str>,
    ) -> Result<(), H5Error> {
        let config = self.config(values.shape(), size_of::<T>());
        let create = || {
            let file = self.new.file();
            let mut dataset = file.new_empty_dataset::<T>(place, &values.shape().into(), config)?;
            if !values.is_empty() {
                dataset.write_array(values)?;
            }
            if let Some(encoding) = encoding {
                dataset.new_attr("encoding-type", encoding)?;
                dataset.new_attr("encoding-version", "0.2.0")?;
            }
            Ok(())
        };
        create().map_err(|e: anyhow::Error| self.new.library(place, e))
    }

    /// Texts, block by block so that a million names need no second million beside them.
    pub(crate) fn texts(&self, place: &str, texts: &[String]) -> Result<(), H5Error> {
        self.check_texts(place, texts.iter().map(String::as_str))?;
        let config = self.config(&[texts.len()], 16);
        let create = || {
            let file = self.new.file();
            let mut dataset = file.new_empty_dataset::<String>(place, &texts.len().into(), config)?;
            for (i, block) in texts.chunks(TEXT_BLOCK).enumerate() {
                let start = i * TEXT_BLOCK;
                let block = CowArray::from(Array1::from(block.to_vec()));
                dataset.write_array_slice(block, s![start..start + block_len(texts.len(), start)].as_ref())?;
            }
            dataset.new_attr("encoding-type", "string-array")?;
            dataset.new_attr("encoding-version", "0.2.0")
        };
        create().map_err(|e: anyhow::Error| self.new.library(place, e))
    }

    /// anndata-rs panics on what HDF5 cannot hold.
    fn check_texts<'t>(&self, place: &str, mut texts: impl Iterator<Item = &'t str>) -> Result<(), H5Error> {
        match texts.position(|t| t.contains('\0')) {
            None => Ok(()),
            Some(i) => Err(self.misuse(format!("{place}: text {i} contains a NUL, which HDF5 cannot store"))),
        }
    }

    pub(crate) fn check_key(&self, place: &str, key: &str) -> Result<(), H5Error> {
        if key.is_empty() || key == "." || key.contains(['/', '\0']) {
            return Err(self.misuse(format!(
                "{place}: '{}' cannot be a name in HDF5: no '/', no NUL, not empty",
                key.escape_debug()
            )));
        }
        Ok(())
    }

    /// `obs` or `var`.
    pub(crate) fn frame(&self, place: &str, names: &[String], columns: &[(String, Column)]) -> Result<(), H5Error> {
        if columns.len() > MAX_COLUMNS {
            return Err(self.misuse(format!("{place}: {} columns, at most {MAX_COLUMNS}", columns.len())));
        }
        let mut group = self.group(place, ("dataframe", "0.2.0"))?;
        let order: Vec<String> = columns.iter().map(|c| c.0.clone()).collect();
        group
            .new_attr("_index", "_index")
            .and_then(|()| group.new_attr("column-order", order))
            .map_err(|e| self.new.library(place, e))?;
        self.texts(&format!("{place}/_index"), names)?;
        for (i, (name, column)) in columns.iter().enumerate() {
            self.check_key(place, name)?;
            if name == "_index" || columns.iter().take(i).any(|c| c.0 == *name) {
                return Err(self.misuse(format!("{place}: the column '{name}' is there twice")));
            }
            if column.len() != names.len() {
                let (found, wanted) = (column.len(), names.len());
                return Err(self.misuse(format!("{place}: column '{name}' has {found} values for {wanted} rows")));
            }
            self.column(&format!("{place}/{name}"), column)?;
        }
        Ok(())
    }

    /// One column more of a table that is there; `columns` are those it has.
    pub(crate) fn add_column(
        &self,
        place: &str,
        rows: usize,
        columns: &mut Vec<String>,
        name: &str,
        column: &Column,
    ) -> Result<(), H5Error> {
        self.check_key(place, name)?;
        if columns.len() >= MAX_COLUMNS {
            return Err(self.misuse(format!("{place}: more than {MAX_COLUMNS} columns")));
        }
        if name == "_index" || columns.iter().any(|c| c == name) {
            return Err(self.misuse(format!("{place}: the column '{name}' is there twice")));
        }
        if column.len() != rows {
            let found = column.len();
            return Err(self.misuse(format!("{place}: column '{name}' has {found} values for {rows} rows")));
        }
        self.column(&format!("{place}/{name}"), column)?;
        columns.push(name.to_owned());
        let group = self.new.file().open_group(place);
        group
            .and_then(|mut group| group.new_attr("column-order", columns.clone()))
            .map_err(|e| self.new.library(place, e))
    }

    fn column(&self, place: &str, column: &Column) -> Result<(), H5Error> {
        let array = Some("array");
        match column {
            Column::F32(v) => self.array(place, CowArray::from(v), array),
            Column::F64(v) => self.array(place, CowArray::from(v), array),
            Column::I64(v) => self.array(place, CowArray::from(v), array),
            Column::Bool(v) => self.array(place, CowArray::from(v), array),
            Column::Text(v) => self.texts(place, v),
            Column::Category(v) => self.category(place, v),
        }
    }

    /// Categories in order of the alphabet, as pandas makes them from texts.
    fn category(&self, place: &str, values: &[Option<String>]) -> Result<(), H5Error> {
        let mut categories: Vec<&String> = values.iter().flatten().collect();
        categories.sort_unstable();
        categories.dedup();
        let codes: Vec<i32> = values
            .iter()
            .map(|v| v.as_ref().and_then(|v| categories.binary_search(&v).ok()).map_or(-1, |c| c as i32))
            .collect();
        let categories: Vec<String> = categories.into_iter().cloned().collect();
        let mut group = self.group(place, ("categorical", "0.2.0"))?;
        group.new_attr("ordered", false).map_err(|e| self.new.library(place, e))?;
        self.texts(&format!("{place}/categories"), &categories)?;
        self.array(&format!("{place}/codes"), CowArray::from(&codes), Some("array"))
    }

    /// An entry of `obsm`.
    pub(crate) fn dense<T: BackendData>(&self, place: &str, values: ArrayView2<'_, T>) -> Result<(), H5Error> {
        self.array(place, CowArray::from(values), Some("array"))
    }

    /// A sparse matrix by rows with 32-bit indices; 64-bit pointers only where they are needed.
    pub(crate) fn csr(&self, place: &str, matrix: &CsrMatrix) -> Result<(), H5Error> {
        let mut group = self.group(place, ("csr_matrix", "0.1.0"))?;
        let shape = vec![matrix.rows(), matrix.cols()];
        group.new_attr("shape", shape).map_err(|e| self.new.library(place, e))?;
        self.array(&format!("{place}/data"), CowArray::from(matrix.values()), None)?;
        // SciPy wants pointers and indices of one signed type.
        let last = matrix.cols().max(matrix.nnz());
        if i32::try_from(last).is_ok() {
            let indices: Vec<i32> = matrix.indices().iter().map(|&i| i as i32).collect();
            let pointers: Vec<i32> = matrix.indptr().iter().map(|&p| p as i32).collect();
            self.array(&format!("{place}/indices"), CowArray::from(&indices), None)?;
            self.array(&format!("{place}/indptr"), CowArray::from(&pointers), None)
        } else {
            let indices: Vec<i64> = matrix.indices().iter().map(|&i| i64::from(i)).collect();
            let pointers: Vec<i64> = matrix.indptr().iter().map(|&p| p as i64).collect();
            self.array(&format!("{place}/indices"), CowArray::from(&indices), None)?;
            self.array(&format!("{place}/indptr"), CowArray::from(&pointers), None)
        }
    }

    /// `uns`: nested maps of texts, numbers, booleans and flat lists of one kind; nulls are left out.
    pub(crate) fn map(&self, place: &str, value: &Value) -> Result<(), H5Error> {
        self.dict(place)?;
        let entries = match value {
            Value::Object(map) => map,
            Value::Null => return Ok(()),
            other => return Err(self.misuse(format!("{place}: a map was expected, found {other}"))),
        };
        for (key, value) in entries {
            self.check_key(place, key)?;
            self.value(&format!("{place}/{key}"), value)?;
        }
        Ok(())
    }

    fn value(&self, place: &str, value: &Value) -> Result<(), H5Error> {
        match value {
            Value::Null => Ok(()),
            Value::Bool(b) => self.scalar(place, b, "numeric-scalar"),
            Value::String(text) => {
                self.check_texts(place, std::iter::once(text.as_str()))?;
                self.scalar(place, text, "string")
            }
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(i), _) => self.scalar(place, &i, "numeric-scalar"),
                (None, Some(x)) => self.scalar(place, &x, "numeric-scalar"),
                (None, None) => Err(self.misuse(format!("{place}: the number {n} does not fit"))),
            },
            Value::Array(list) => self.list(place, list),
            Value::Object(_) => self.map(place, value),
        }
    }

    fn scalar<T: BackendData>(&self, place: &str, value: &T, encoding: &str) -> Result<(), H5Error> {
        let create = || {
            let mut dataset = self.new.file().new_scalar_dataset(place, value)?;
            dataset.new_attr("encoding-type", encoding)?;
            dataset.new_attr("encoding-version", "0.2.0")
        };
        create().map_err(|e: anyhow::Error| self.new.library(place, e))
    }

    fn list(&self, place: &str, list: &[Value]) -> Result<(), H5Error> {
        fn all<T>(list: &[Value], f: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
            list.iter().map(f).collect()
        }
        if list.is_empty() {
            return self.array(place, CowArray::from(&Vec::<f64>::new()), Some("array"));
        }
        if let Some(texts) = all(list, |v| v.as_str().map(str::to_owned)) {
            return self.texts(place, &texts);
        }
        if let Some(flags) = all(list, Value::as_bool) {
            return self.array(place, CowArray::from(&flags), Some("array"));
        }
        if let Some(numbers) = all(list, Value::as_i64) {
            return self.array(place, CowArray::from(&numbers), Some("array"));
        }
        if let Some(numbers) = all(list, Value::as_f64) {
            return self.array(place, CowArray::from(&numbers), Some("array"));
        }
        Err(self.misuse(format!("{place}: a list must have only texts, only numbers or only booleans")))
    }
}

fn block_len(total: usize, start: usize) -> usize {
    TEXT_BLOCK.min(total - start)
}

/// The groups that every anndata file has beside `X`, `obs`, `var`, `obsm` and `uns`.
pub(crate) fn empty_groups(writer: &Writer<'_>) -> Result<(), H5Error> {
    ["layers", "obsp", "varm", "varp"].iter().try_for_each(|name| writer.dict(name))
}
