use std::path::{Path, PathBuf};

use scellst_expr::{CsrMatrix, Expression, make_unique};
use scellst_types::{Level0, Point};

use crate::matrix::{StoredMatrix, Values};
use crate::source::Source;
use crate::table::find;
use crate::wanted::{LEFT_OUT, Wanted};
use crate::{H5Error, MatrixChoice, ReadOptions, frame, spatial};

/// A spatial-transcriptomics section as an `.h5ad` file holds it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct H5adSection {
    /// `X` as sparse counts with the names of `obs` and `var`; rows sorted by gene, repeated
    /// entries added up, no stored zeros, whatever the file's storage.
    pub expression: Expression,
    /// `obsm['spatial']`: centre of each observation, level-0 pixels (x, y).
    pub spatial: Option<Vec<Point<Level0>>>,
    /// `uns['spatial'][library]['scalefactors']['spot_diameter_fullres']`, level-0 pixels; nothing
    /// where the file names none or its libraries disagree.
    pub spot_diameter_px: Option<f64>,
    /// The first library of `uns['spatial']`, by name.
    pub library_id: Option<String>,
    /// Names of all libraries in `uns['spatial']`, sorted.
    pub libraries: Vec<String>,
    /// What `obsm` contains, sorted.
    pub obsm_keys: Vec<String>,
    path: PathBuf,
}

impl H5adSection {
    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The centres of the observations, level-0 pixels.
    ///
    /// # Errors
    /// [`H5Error::Missing`] if the file has no `obsm['spatial']`; says what `obsm` has instead.
    pub fn require_spatial(&self) -> Result<&[Point<Level0>], H5Error> {
        self.spatial.as_deref().ok_or_else(|| {
            let found = match self.obsm_keys.join("', '") {
                keys if keys.is_empty() => "obsm is empty".to_owned(),
                keys => format!("obsm has '{keys}'"),
            };
            H5Error::missing(
                &self.path,
                "obsm['spatial']",
                format!("{found}; store the spots' centres there as level-0 pixels (x, y), one row an observation"),
            )
        })
    }

    /// The spots' diameter, level-0 pixels.
    ///
    /// # Errors
    /// [`H5Error::Missing`] if the file names none, or several that differ.
    pub fn require_spot_diameter_px(&self) -> Result<f64, H5Error> {
        self.spot_diameter_px.ok_or_else(|| {
            let found = match &self.libraries[..] {
                [] => "uns['spatial'] has no library".to_owned(),
                [_] => "its library has no such number".to_owned(),
                many => format!("none, or different ones, in the libraries '{}'", many.join("', '")),
            };
            H5Error::missing(
                &self.path,
                "uns['spatial'][library]['scalefactors']['spot_diameter_fullres']",
                format!("{found}; store the diameter there in level-0 pixels, or give it in um by hand"),
            )
        })
    }
}

/// Reads a section: sparse counts, names and where the spots lie.
///
/// `X` may be CSR, CSC or dense, of any integer, floating-point or boolean type, its indices in any
/// order; a value that a 32-bit float does not hold exactly (a count over 2^24) is rounded.
/// Genes of one name are told apart as by anndata's `var_names_make_unique`, with a warning in the log.
/// Memory: the sparse matrix once. For layers, `raw` and parts see [`read_h5ad_with`].
///
/// # Errors
/// [`H5Error`]: the file is missing, not HDF5, truncated or contradicts itself; a count is negative
/// or not finite; an encoding is not supported; an array is over the default [`ReadLimits`](crate::ReadLimits).
/// A missing `obsm['spatial']` is no error here but of [`H5adSection::require_spatial`].
pub fn read_h5ad(path: impl AsRef<Path>) -> Result<H5adSection, H5Error> {
    read_h5ad_with(path, &ReadOptions::default())
}

/// As [`read_h5ad`], of another matrix or only some rows and genes: the rest of the matrix is not held, nor is it read
/// where the storage allows (rows of CSR and dense matrices, genes of CSC).
///
/// # Errors
/// As [`read_h5ad`]; [`H5Error::Missing`] for a layer, a column or genes that are not there, [`H5Error::Misuse`] for
/// rows that are not.
pub fn read_h5ad_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<H5adSection, H5Error> {
    let source = Source::open(path.as_ref(), options.limits)?;
    let (place, var) = match &options.matrix {
        MatrixChoice::X => ("X".to_owned(), "var"),
        MatrixChoice::Raw => ("raw/X".to_owned(), "raw/var"),
        MatrixChoice::Layer(name) => (format!("layers/{name}"), "var"),
    };
    if options.matrix == MatrixChoice::Raw && source.kind("raw")?.is_none() {
        return Err(H5Error::missing(source.path(), "raw", "the file has no raw; read X or a layer"));
    }
    let mut genes = frame::names(&source, var)?;
    if let Some(column) = &options.gene_column {
        genes = frame::text_column(&source, var, column, genes.len())?;
    }
    let mut observations = frame::names(&source, "obs")?;
    let (rows, columns) = (observations.len(), genes.len());
    let mut spatial = spatial::centres(&source, rows)?;
    let libraries = spatial::libraries(&source)?;
    let stored = StoredMatrix::open(&source, &place, rows, columns)?;
    let renamed = make_unique(&mut genes);
    if renamed > 0 {
        log::warn!(
            "{}: {renamed} of {columns} genes have a name that is there already; made unique by a suffix",
            source.path().display()
        );
    }
    let mut wanted = Wanted::everything(rows);
    if let Some(names) = &options.genes {
        let mut places = vec![LEFT_OUT; columns];
        for (to, from) in find(&source, &genes, names)?.into_iter().enumerate() {
            if places[from] != LEFT_OUT {
                return Err(H5Error::misuse(source.path(), format!("the gene '{}' was asked for twice", names[to])));
            }
            places[from] = to as u32;
        }
        wanted.places = Some(places);
        genes.clone_from(names);
    }
    if let Some(range) = &options.observations {
        if range.start > range.end || range.end > rows {
            let what = format!("rows {range:?} were asked for, {place} has {rows}");
            return Err(H5Error::misuse(source.path(), what));
        }
        wanted.rows = range.clone();
        observations = observations.drain(range.clone()).collect();
        spatial = spatial.map(|mut s| s.drain(range.clone()).collect());
    }
    let csr = stored.part_to_csr(&wanted, Values::Counts)?;
    let counts = CsrMatrix::new(observations.len(), genes.len(), csr.pointers, csr.indices, csr.values)
        .map_err(|e| source.broken(&place, e.to_string()))?;
    let expression = Expression::new(counts, genes, observations).map_err(|e| source.broken("/", e.to_string()))?;

    let mut diameters = libraries.iter().filter_map(|l| l.spot_diameter_px);
    let first = diameters.next();
    let spot_diameter_px = first.filter(|&d| diameters.all(|other| other == d));
    Ok(H5adSection {
        expression,
        spatial,
        spot_diameter_px,
        library_id: libraries.first().map(|l| l.id.clone()),
        libraries: libraries.into_iter().map(|l| l.id).collect(),
        obsm_keys: source.members("obsm")?,
        path: source.path().into(),
    })
}
