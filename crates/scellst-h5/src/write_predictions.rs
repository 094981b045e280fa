use std::path::Path;

use hdf5::Dataset;
use ndarray::{Array2, ArrayView2, Axis, Slice};
use scellst_types::{Level0, Point};
use serde_json::Value;

use crate::atomic::NewFile;
use crate::elements::{Writer, empty_groups};
use crate::write_spatial::{check_library, write_centres, write_library};
use crate::{Column, Compression, H5Error, SpatialLibrary};

/// Bytes of the rows that are gathered before they are written, and of a chunk in the file.
const CHUNK_BYTES: usize = 1 << 20;

/// Everything of a file of predictions but the predictions.
#[derive(Debug, Clone, Default)]
pub struct PredictionHeader<'a> {
    /// Names of the cells (or spots), one a row.
    pub obs_names: &'a [String],
    /// Names of the genes, one a column.
    pub var_names: &'a [String],
    /// Where each cell is, level-0 pixels: becomes `obsm['spatial']`.
    pub spatial: &'a [Point<Level0>],
    /// Columns of `obs`, such as area or class.
    pub obs: Vec<(String, Column)>,
    /// Columns of `var`, such as `train_variance`.
    pub var: Vec<(String, Column)>,
    /// What scanpy and squidpy draw the cells on: becomes `uns['spatial']`.
    pub library: Option<SpatialLibrary<'a>>,
    /// Provenance: nested maps of texts, numbers, booleans and flat lists; nulls are left out.
    pub uns: Value,
}

/// Writes predictions row by row as an `.h5ad` file: `X` dense, 32-bit floats.
///
/// Memory stays the same however many rows there are. The file appears under its name only with
/// [`PredictionWriter::finish`]; dropped before that, nothing is left behind.
///
/// ```
/// use ndarray::array;
/// use scellst_h5::{Column, PredictionHeader, PredictionWriter};
/// use scellst_types::Point;
///
/// let dir = tempfile::tempdir()?;
/// let (cells, genes) = (["cell_0", "cell_1"].map(String::from), ["EPCAM"].map(String::from));
/// let header = PredictionHeader {
///     obs_names: &cells,
///     var_names: &genes,
///     spatial: &[Point::new(10.5, 20.0), Point::new(30.0, 40.5)],
///     obs: vec![("area_um2".into(), Column::F32(vec![41.0, 57.5]))],
///     var: vec![("train_variance".into(), Column::F64(vec![0.75]))],
///     uns: serde_json::json!({ "scellst": { "model": "mil", "mpp": 0.25 } }),
///     ..Default::default()
/// };
/// let mut writer = PredictionWriter::create(dir.path().join("pred.h5ad"), &header, None)?;
/// writer.write_rows(array![[0.5]].view())?;
/// writer.write_rows(array![[1.5]].view())?;
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PredictionWriter {
    // Before `new`: datasets are closed before the file is.
    x: Dataset,
    new: NewFile,
    /// Rows of a chunk that are not written yet.
    pending: Array2<f32>,
    filled: usize,
    rows: usize,
    written: usize,
    /// Names of the columns of `obs`.
    obs: Vec<String>,
    compression: Option<Compression>,
}

impl PredictionWriter {
    /// Starts a file beside `path` and writes all of it but `X`.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if the header's lengths or names do not fit, [`H5Error::Io`] if the
    /// directory cannot be written.
    pub fn create(
        path: impl AsRef<Path>,
        header: &PredictionHeader<'_>,
        compression: Option<Compression>,
    ) -> Result<Self, H5Error> {
        let path = path.as_ref();
        let (rows, columns) = (header.obs_names.len(), header.var_names.len());
        if let Some(library) = &header.library {
            check_library(path, library)?;
            if header.uns.get("spatial").is_some() {
                return Err(H5Error::misuse(path, "uns['spatial'] was given beside the library, which goes there"));
            }
        }
        let new = NewFile::create(path)?;
        let writer = Writer::new(&new, compression)?;
        writer.frame("obs", header.obs_names, &header.obs)?;
        writer.frame("var", header.var_names, &header.var)?;
        writer.dict("obsm")?;
        write_centres(&writer, path, header.spatial, rows)?;
        empty_groups(&writer)?;
        writer.map("uns", &header.uns)?;
        if let Some(library) = &header.library {
            write_library(&writer, library)?;
        }
        let chunk = (CHUNK_BYTES / 4 / columns.max(1)).clamp(1, rows.max(1));
        let x = create_x(&new, rows, columns, chunk, compression).map_err(|e| new.library("X", e))?;
        let obs = header.obs.iter().map(|(name, _)| name.clone()).collect();
        let pending = Array2::zeros((chunk, columns));
        Ok(Self { x, new, pending, filled: 0, rows, written: 0, obs, compression })
    }

    /// Adds a column to `obs` that was not known when the file was begun, one value a row.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] for another number of values or a name that is there, [`H5Error::Library`].
    pub fn add_obs(&mut self, name: &str, column: &Column) -> Result<(), H5Error> {
        Writer::new(&self.new, self.compression)?.add_column("obs", self.rows, &mut self.obs, name, column)
    }

    /// Adds a map to `uns` under a name that is not there yet.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] for what is no map or no name, [`H5Error::Library`] also if the name is there.
    pub fn add_uns(&mut self, name: &str, map: &Value) -> Result<(), H5Error> {
        let writer = Writer::new(&self.new, self.compression)?;
        writer.check_key("uns", name)?;
        writer.map(&format!("uns/{name}"), map)
    }

    /// Appends rows, cells x genes; in the order of the names.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if there are more rows than names, another number of genes, or a value that
    /// is not finite; [`H5Error::Library`] if the disc is full.
    pub fn write_rows(&mut self, rows: ArrayView2<'_, f32>) -> Result<(), H5Error> {
        let columns = self.pending.ncols();
        let done = self.written + self.filled;
        if rows.ncols() != columns {
            return Err(self.misuse(format!("rows of {} values were given for {columns} genes", rows.ncols())));
        }
        if rows.nrows() > self.rows - done {
            let (given, total) = (done + rows.nrows(), self.rows);
            return Err(self.misuse(format!("{given} rows were given for {total} names")));
        }
        if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(self.misuse(format!("the prediction of row {}, gene {column} is {value}", done + row)));
        }
        let mut taken = 0;
        while taken < rows.nrows() {
            let room = (self.pending.nrows() - self.filled).min(rows.nrows() - taken);
            let part = rows.slice_axis(Axis(0), Slice::from(taken..taken + room));
            self.pending.slice_axis_mut(Axis(0), Slice::from(self.filled..self.filled + room)).assign(&part);
            self.filled += room;
            taken += room;
            if self.filled == self.pending.nrows() {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    /// Rows given so far.
    pub fn rows_written(&self) -> usize {
        self.written + self.filled
    }

    /// Closes the file and gives it its name.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if rows are missing, [`H5Error::Library`] or [`H5Error::Io`] if the disc is
    /// full or the file cannot be moved; nothing is left behind then.
    pub fn finish(mut self) -> Result<(), H5Error> {
        if self.rows_written() != self.rows {
            let (given, total) = (self.rows_written(), self.rows);
            return Err(self.misuse(format!("finished after {given} of {total} rows")));
        }
        self.write_pending()?;
        let Self { x, new, .. } = self;
        drop(x);
        new.finish()
    }

    fn misuse(&self, what: String) -> H5Error {
        H5Error::misuse(self.new.target(), what)
    }

    fn write_pending(&mut self) -> Result<(), H5Error> {
        if self.filled > 0 && self.pending.ncols() > 0 {
            let (start, end) = (self.written, self.written + self.filled);
            self.x
                .write_slice(
                    self.pending.slice_axis(Axis(0), Slice::from(..self.filled)),
                    (start..end, 0..self.pending.ncols()),
                )
                .map_err(|e| self.new.library("X", e))?;
        }
        self.written += self.filled;
        self.filled = 0;
        Ok(())
    }
}

/// The one thing that anndata-rs cannot stream without Blosc.
fn create_x(
    new: &NewFile,
    rows: usize,
    columns: usize,
    chunk: usize,
    compression: Option<Compression>,
) -> Result<Dataset, hdf5::Error> {
    let mut builder = new.file().new_dataset::<f32>().obj_track_times(false).shape((rows, columns));
    if rows > 0 && columns > 0 {
        builder = builder.chunk((chunk, columns));
        if let Some(Compression::Gzip(level)) = compression {
            builder = builder.shuffle().deflate(level);
        }
    } else {
        builder = builder.no_chunk();
    }
    let x = builder.create("X")?;
    for (key, value) in [("encoding-type", "array"), ("encoding-version", "0.2.0")] {
        let value: hdf5::types::VarLenUnicode = value.parse().map_err(|_| hdf5::Error::from("attribute"))?;
        x.new_attr::<hdf5::types::VarLenUnicode>().create(key)?.write_scalar(&value)?;
    }
    Ok(x)
}
