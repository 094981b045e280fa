//! Features of cells or patches that other programs made.

use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use scellst_types::{Level0, Point};

use crate::source::{Kind, Source};
use crate::{H5Error, ReadLimits};

/// Where a file keeps its features, by whom: HEST-Benchmark, sCellST, TRIDENT and others.
const FEATURES: [&str; 5] = ["embeddings", "embedding", "features", "feats", "X"];
/// Names of the rows.
const NAMES: [&str; 3] = ["barcodes", "barcode", "ids"];
/// Side of a patch, level-0 px: of TRIDENT and of HEST, as attributes of the coordinates, the pictures or the file.
const SIDES: [&str; 2] = ["patch_size_level0", "patch_size_src"];

/// Features that another program made, with what it says of whose they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// `(rows, features)`, as stored or converted to f32; not checked for values that are no numbers.
    pub features: Array2<f32>,
    /// Middles of what was embedded, level-0 pixels, if the file knows.
    pub centres: Option<Vec<Point<Level0>>>,
    /// Names of the rows, if they stand in a list.
    pub names: Option<Vec<String>>,
}

/// Reads the features that HEST-Benchmark, TRIDENT or sCellST left in an `.h5`:
///
/// | what | dataset |
/// |---|---|
/// | features | the first of `embeddings`, `embedding`, `features`, `feats`, `X`: `(rows, features)`, `(1, rows, features)` or `(rows, 1, features)`, of any type of number |
/// | places | `centroid` `(rows, 2)`: the middles; else `coords` `(rows, 2)`: upper left corners, to which half of the attribute `patch_size_level0` or `patch_size_src` is added. x and y in level-0 pixels |
/// | names | the first of `barcodes`, `barcode`, `ids`, if it is a list of texts |
///
/// `coords` without the side of a patch are no middles: then no places are known.
///
/// # Errors
/// [`H5Error::Missing`] without features, [`H5Error::Broken`] if numbers of rows do not agree, and those of reading.
///
/// ```no_run
/// let made = scellst_h5::read_embeddings("C2.h5")?;
/// println!("{:?}, places {}", made.features.dim(), made.centres.is_some());
/// # Ok::<(), scellst_h5::H5Error>(())
/// ```
pub fn read_embeddings(path: impl AsRef<Path>) -> Result<Embeddings, H5Error> {
    let path = path.as_ref();
    let source = Source::open(path, ReadLimits::default())?;
    let Some(name) = first_dataset(&source, &FEATURES)? else {
        let there = source.members("")?.join(", ");
        return Err(H5Error::missing(
            path,
            FEATURES[0],
            format!("a table of features was expected, there are {there}"),
        ));
    };
    let features = source.dataset(name)?.table::<f32>()?;
    let rows = features.nrows();
    let centres = centres(&source, rows)?;
    let names = match first_dataset(&source, &NAMES)? {
        Some(name) => {
            let list = source.dataset(name)?;
            (list.shape().len() == 1 && list.is_text()).then(|| list.texts()).transpose()?
        }
        None => None,
    };
    if let Some(names) = names.as_ref().filter(|names| names.len() != rows) {
        return Err(source.broken("/", format!("{} names for {rows} rows of features", names.len())));
    }
    Ok(Embeddings { features, centres, names })
}

fn first_dataset(source: &Source, names: &[&'static str]) -> Result<Option<&'static str>, H5Error> {
    for name in names {
        if source.kind(name)? == Some(Kind::Dataset) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn centres(source: &Arc<Source>, rows: usize) -> Result<Option<Vec<Point<Level0>>>, H5Error> {
    let (name, offset) = match first_dataset(source, &["centroid", "coords"])? {
        Some("centroid") => ("centroid", 0.0),
        Some(name) => match side(source)? {
            Some(side) => (name, side / 2.0),
            None => return Ok(None),
        },
        None => return Ok(None),
    };
    let values = source.dataset(name)?.table::<f64>()?;
    if values.dim() != (rows, 2) {
        return Err(source.broken(name, format!("({rows}, 2) was expected, found {:?}", values.dim())));
    }
    if let Some(((row, _), v)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(source.broken(name, format!("row {row} has a value of {v}")));
    }
    Ok(Some(values.rows().into_iter().map(|p| Point::new(p[0] + offset, p[1] + offset)).collect()))
}

/// Side of a patch, level-0 px.
fn side(source: &Source) -> Result<Option<f64>, H5Error> {
    for object in ["coords", "img", "features", "/"] {
        for name in SIDES {
            let value = source.int_list_attr(object, name)?;
            if let Some(&side) = value.as_deref().and_then(<[i64]>::first) {
                if side < 1 {
                    return Err(source.broken(object, format!("a patch of {side} pixels ('{name}')")));
                }
                return Ok(Some(side as f64));
            }
        }
    }
    Ok(None)
}
