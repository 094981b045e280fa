use std::path::Path;

use ndarray::{Array2, ArrayView3};
use scellst_expr::Expression;
use scellst_types::{Level0, Point};
use serde_json::Value;

use crate::atomic::NewFile;
use crate::elements::{Writer, empty_groups};
use crate::write_spatial::{SpatialLibrary, check_library, write_centres, write_library};
use crate::{Column, Compression, H5Error};

/// What goes into the file of a section beside its counts.
#[derive(Debug, Clone, Default)]
pub struct SectionParts<'a> {
    /// Where each observation is, level-0 pixels: becomes `obsm['spatial']`.
    pub spatial: Option<&'a [Point<Level0>]>,
    /// Diameter of the spots, level-0 pixels: becomes
    /// `uns['spatial'][library_id]['scalefactors']['spot_diameter_fullres']`.
    pub spot_diameter_px: Option<f64>,
    /// The name of the library in `uns['spatial']`; `ST` if it is empty.
    pub library_id: &'a str,
    /// A small picture of the slide, rows x columns x RGB, and its pixels per level-0 pixel: becomes
    /// `uns['spatial'][library_id]['images']['hires']`; only beside a spot diameter.
    pub thumbnail: Option<(ArrayView3<'a, u8>, f64)>,
    /// Columns of `obs`.
    pub obs: Vec<(String, Column)>,
    /// Columns of `var`.
    pub var: Vec<(String, Column)>,
    /// More entries of `obsm`, observations x anything.
    pub obsm: Vec<(String, Array2<f32>)>,
    /// More of `uns`: nested maps of texts, numbers, booleans and flat lists; nulls are left out.
    pub uns: Value,
    /// How the file is packed.
    pub compression: Option<Compression>,
}

/// Writes a section in the HEST layout: `X` as CSR, 32-bit floats.
///
/// The file appears under its name only when it is whole. Memory: the counts and a copy of their indices.
///
/// # Errors
/// [`H5Error::Misuse`] if lengths or names do not fit, [`H5Error::Io`] and [`H5Error::Library`] if the
/// file cannot be written; nothing is left behind then.
///
/// ```
/// use scellst_expr::{CsrMatrix, Expression};
/// use scellst_h5::{SectionParts, read_h5ad, write_section};
/// use scellst_types::Point;
///
/// let dir = tempfile::tempdir()?;
/// let counts = CsrMatrix::new(2, 2, vec![0, 1, 2], vec![1, 0], vec![3.0, 4.0])?;
/// let expression = Expression::new(counts, vec!["A".into(), "B".into()], vec!["s0".into(), "s1".into()])?;
/// let spots = [Point::new(100.0, 50.0), Point::new(300.0, 50.0)];
/// let parts = SectionParts { spatial: Some(&spots), spot_diameter_px: Some(146.0), ..Default::default() };
/// write_section(dir.path().join("a.h5ad"), &expression, &parts)?;
///
/// let back = read_h5ad(dir.path().join("a.h5ad"))?;
/// assert_eq!(back.expression.counts(), expression.counts());
/// assert_eq!(back.require_spatial()?, spots);
/// assert_eq!(back.spot_diameter_px, Some(146.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_section(path: impl AsRef<Path>, expression: &Expression, parts: &SectionParts<'_>) -> Result<(), H5Error> {
    let path = path.as_ref();
    let rows = expression.observations().len();
    let library = library(path, parts)?;
    let new = NewFile::create(path)?;
    let writer = Writer::new(&new, parts.compression)?;
    writer.csr("X", expression.counts())?;
    writer.frame("obs", expression.observations(), &parts.obs)?;
    writer.frame("var", expression.genes(), &parts.var)?;
    writer.dict("obsm")?;
    if let Some(points) = parts.spatial {
        write_centres(&writer, path, points, rows)?;
    }
    for (name, values) in &parts.obsm {
        if name.is_empty() || name.contains(['/', '\0']) || (name == "spatial" && parts.spatial.is_some()) {
            return Err(H5Error::misuse(
                path,
                format!("'{}' cannot be the name of one more entry of obsm", name.escape_debug()),
            ));
        }
        if values.nrows() != rows {
            let found = values.nrows();
            return Err(H5Error::misuse(path, format!("obsm['{name}'] has {found} rows for {rows} observations")));
        }
        writer.dense(&format!("obsm/{name}"), values.view())?;
    }
    empty_groups(&writer)?;
    writer.map("uns", &parts.uns)?;
    if let Some(library) = &library {
        write_library(&writer, library)?;
    }
    new.finish()
}

/// The library that scanpy looks for, if there is one to write.
fn library<'a>(path: &Path, parts: &SectionParts<'a>) -> Result<Option<SpatialLibrary<'a>>, H5Error> {
    let Some(diameter_px) = parts.spot_diameter_px else {
        return match parts.thumbnail {
            Some(_) => Err(H5Error::misuse(path, "a thumbnail was given without a spot diameter")),
            None => Ok(None),
        };
    };
    if parts.uns.get("spatial").is_some() {
        return Err(H5Error::misuse(path, "uns['spatial'] was given beside the spot diameter, which goes there"));
    }
    let (thumbnail, thumbnail_scale) = parts.thumbnail.unzip();
    let thumbnail_scale = thumbnail_scale.unwrap_or_default();
    let library = SpatialLibrary { id: parts.library_id, thumbnail, thumbnail_scale, diameter_px };
    check_library(path, &library)?;
    Ok(Some(library))
}
