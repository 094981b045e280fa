use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Axis, Slice};
use scellst_types::{Level0, Point};

use crate::frame::{self, Columns};
use crate::matrix::{Csr, StoredMatrix, Values};
use crate::source::Source;
use crate::{H5Error, ReadLimits, spatial};

/// Predictions, or the truth for them: numbers by observation and gene with all their names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Matrix {
    /// `X`, observations x genes.
    pub values: Array2<f32>,
    /// Names of the rows: cells or spots.
    pub obs_names: Vec<String>,
    /// Names of the columns: genes.
    pub var_names: Vec<String>,
    /// `obsm['spatial']`: level-0 pixels (x, y).
    pub spatial: Option<Vec<Point<Level0>>>,
    /// Columns of `obs`, one entry a row of `values`.
    pub obs: Columns,
    /// Columns of `var` such as `train_variance`, one entry a column of `values`.
    pub var: Columns,
}

/// Reads `X` dense, all genes or the given ones in the given order, with names, places and columns.
///
/// Takes observations x genes x 4 bytes; for more rows than fit use [`MatrixReader`].
///
/// # Errors
/// As [`MatrixReader::open`] and [`MatrixReader::read_rows`].
///
/// ```
/// # use scellst_h5::{PredictionHeader, PredictionWriter, Column};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("pred.h5ad");
/// # let (obs_names, var_names) = (vec!["cell_0".into()], vec!["EPCAM".into(), "VIM".into()]);
/// # let header = PredictionHeader {
/// #     obs_names: &obs_names,
/// #     var_names: &var_names,
/// #     spatial: &[scellst_types::Point::new(10.0, 20.0)],
/// #     var: vec![("train_variance".into(), Column::F64(vec![0.5, 0.25]))],
/// #     ..Default::default()
/// # };
/// # let mut writer = PredictionWriter::create(&path, &header, None)?;
/// # writer.write_rows(ndarray::array![[1.0, 2.0]].view())?;
/// # writer.finish()?;
/// let one = scellst_h5::read_matrix(&path, Some(&["VIM".to_owned()]))?;
/// assert_eq!(one.values, ndarray::array![[2.0]]);
/// assert_eq!(one.var.numeric["train_variance"], [0.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_matrix(path: impl AsRef<Path>, genes: Option<&[String]>) -> Result<Matrix, H5Error> {
    let reader = MatrixReader::open(path, genes)?;
    Ok(Matrix {
        values: reader.read_rows(0..reader.obs_names.len())?,
        spatial: reader.read_spatial()?,
        obs: reader.read_obs()?,
        var: reader.read_var()?,
        obs_names: reader.obs_names,
        var_names: reader.var_names,
    })
}

/// Reads `X` by blocks of rows: for predictions that do not fit into memory.
///
/// Dense and CSR matrices are read from the file as asked; a CSC matrix is held in memory, sparse.
///
/// ```no_run
/// let reader = scellst_h5::MatrixReader::open("pred.h5ad", None)?;
/// let rows = reader.obs_names().len();
/// for start in (0..rows).step_by(reader.block_rows()) {
///     let block = reader.read_rows(start..(start + reader.block_rows()).min(rows))?;
///     assert_eq!(block.ncols(), reader.var_names().len());
/// }
/// # Ok::<(), scellst_h5::H5Error>(())
/// ```
#[derive(Debug)]
pub struct MatrixReader {
    source: Arc<Source>,
    obs_names: Vec<String>,
    /// Those asked for, in that order.
    var_names: Vec<String>,
    /// Number of columns in the file.
    stored_columns: usize,
    /// Where in the file the wanted columns are; nothing if all are wanted as they are.
    picked: Option<Vec<usize>>,
    stored: StoredMatrix,
    loaded: Option<Csr>,
}

impl MatrixReader {
    /// Opens a file and reads its names; `genes` picks and orders the columns.
    ///
    /// # Errors
    /// [`H5Error`]: the file is missing, not HDF5, truncated or contradicts itself; a gene is not in
    /// it ([`H5Error::Missing`], with the first names) or in it twice; an encoding is not supported;
    /// an array is over the default [`ReadLimits`].
    pub fn open(path: impl AsRef<Path>, genes: Option<&[String]>) -> Result<Self, H5Error> {
        Self::open_with(path, genes, ReadLimits::default())
    }

    /// As [`MatrixReader::open`], with other limits.
    ///
    /// # Errors
    /// As [`MatrixReader::open`].
    pub fn open_with(path: impl AsRef<Path>, genes: Option<&[String]>, limits: ReadLimits) -> Result<Self, H5Error> {
        let source = Source::open(path.as_ref(), limits)?;
        let obs_names = frame::names(&source, "obs")?;
        let mut var_names = frame::names(&source, "var")?;
        let stored_columns = var_names.len();
        let stored = StoredMatrix::open(&source, "X", obs_names.len(), stored_columns)?;
        let mut picked = None;
        if let Some(genes) = genes {
            picked = Some(find(&source, &var_names, genes)?);
            var_names = genes.to_vec();
        }
        let loaded = stored.is_by_columns().then(|| stored.to_csr(Values::Finite)).transpose()?;
        Ok(Self { source, obs_names, var_names, stored_columns, picked, stored, loaded })
    }

    /// Names of the rows.
    pub fn obs_names(&self) -> &[String] {
        &self.obs_names
    }

    /// Names of the columns that [`MatrixReader::read_rows`] gives.
    pub fn var_names(&self) -> &[String] {
        &self.var_names
    }

    /// How many rows are well read at once: some MB, and whole chunks of the file.
    pub fn block_rows(&self) -> usize {
        self.stored.block_rows()
    }

    /// Some rows of `X`, dense: rows x wanted genes.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if the rows are not there, [`H5Error::Broken`] if they cannot be read or a
    /// value is not finite.
    pub fn read_rows(&self, rows: Range<usize>) -> Result<Array2<f32>, H5Error> {
        let total = self.obs_names.len();
        if rows.start > rows.end || rows.end > total {
            return Err(H5Error::misuse(self.source.path(), format!("rows {rows:?} were asked for, X has {total}")));
        }
        let wanted = (rows.len() as u64).saturating_mul(self.var_names.len() as u64).saturating_mul(4);
        let limit = self.source.limits.max_array_bytes;
        if wanted > limit {
            let problem = format!(
                "{} x {} values take {wanted} bytes, {limit} are allowed; read fewer rows or genes at once",
                rows.len(),
                self.var_names.len()
            );
            return Err(H5Error::limit(self.source.path(), "X", problem));
        }
        let mut out = Array2::zeros((rows.len(), self.var_names.len()));
        let step = self.block_rows();
        let mut start = rows.start;
        while start < rows.end {
            let end = (start - start % step).saturating_add(step).min(rows.end);
            let block = self.stored.rows(start..end, Values::Finite, self.loaded.as_ref())?;
            let mut part = out.slice_axis_mut(Axis(0), Slice::from(start - rows.start..end - rows.start));
            match &self.picked {
                None => part.assign(&block),
                Some(columns) => {
                    for (to, &from) in columns.iter().enumerate() {
                        part.index_axis_mut(Axis(1), to).assign(&block.index_axis(Axis(1), from));
                    }
                }
            }
            start = end;
        }
        Ok(out)
    }

    /// `obsm['spatial']`, level-0 pixels (x, y), one point a row; nothing if it is not there.
    ///
    /// # Errors
    /// [`H5Error`] if it has another shape or a number that is not finite.
    pub fn read_spatial(&self) -> Result<Option<Vec<Point<Level0>>>, H5Error> {
        spatial::centres(&self.source, self.obs_names.len())
    }

    /// Columns of `obs`; those of an encoding that is not supported are left out with a warning in the log.
    ///
    /// # Errors
    /// [`H5Error`] if a column is damaged or of another length.
    pub fn read_obs(&self) -> Result<Columns, H5Error> {
        frame::columns(&self.source, "obs", self.obs_names.len())
    }

    /// Columns of `var` for the wanted genes, as [`MatrixReader::read_obs`].
    ///
    /// # Errors
    /// As [`MatrixReader::read_obs`].
    pub fn read_var(&self) -> Result<Columns, H5Error> {
        let mut columns = frame::columns(&self.source, "var", self.stored_columns)?;
        if let Some(picked) = &self.picked {
            for column in columns.numeric.values_mut() {
                *column = picked.iter().map(|&i| column[i]).collect();
            }
            for column in columns.text.values_mut() {
                *column = picked.iter().map(|&i| column[i].clone()).collect();
            }
        }
        Ok(columns)
    }
}

/// Where the genes are among the names.
pub(crate) fn find(source: &Source, names: &[String], genes: &[String]) -> Result<Vec<usize>, H5Error> {
    const TWICE: usize = usize::MAX;
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        places.entry(name).and_modify(|p| *p = TWICE).or_insert(i);
    }
    let missing: Vec<&str> = genes.iter().map(String::as_str).filter(|g| !places.contains_key(g)).collect();
    if !missing.is_empty() {
        let first = missing.iter().take(5).copied().collect::<Vec<_>>().join("', '");
        let help = format!(
            "{} of the {} genes asked for are missing, first '{first}'; are the names of the same kind (symbols, Ensembl ids)?",
            missing.len(),
            genes.len()
        );
        return Err(H5Error::missing(source.path(), "var", help));
    }
    genes
        .iter()
        .map(|gene| match places[gene.as_str()] {
            TWICE => Err(H5Error::unsupported(
                source.path(),
                "var",
                format!("the gene '{gene}' is there twice; make the names unique (adata.var_names_make_unique())"),
            )),
            place => Ok(place),
        })
        .collect()
}
