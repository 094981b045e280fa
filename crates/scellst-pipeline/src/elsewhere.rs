//! Features of cells that another program made.

use std::path::Path;

use ndarray::{Array2, ArrayView4};
use scellst_cells::{Cell, Cells};
use scellst_embed::{EmbedError, Encoder, EncoderSpec, PixelNorm, Precomputed};
use scellst_types::MicronsPerPixel;

use crate::PipelineError;

/// How far a row's place may be from its cell's, um: centroids are rounded, and nuclei are further apart.
const TOLERANCE_UM: f64 = 1.0;

/// Stands for an encoder whose features come in files, one row a cell, as [`SectionSource::embeddings`] and
/// [`PredictOptions::embeddings`] name them; it embeds nothing itself.
///
/// [`SectionSource::embeddings`]: crate::SectionSource::embeddings
/// [`PredictOptions::embeddings`]: crate::PredictOptions::embeddings
pub struct Elsewhere {
    spec: EncoderSpec,
}

impl Elsewhere {
    /// Its name in bundles.
    pub const NAME: &'static str = "precomputed";

    /// Of so many features.
    pub fn new(dim: usize) -> Self {
        let (name, pixels) = (Self::NAME.to_owned(), PixelNorm::UNIT);
        Self { spec: EncoderSpec { name, version: 1, dim, input_px: 0, pixels, weights: None } }
    }

    /// With as many features as a file's rows have.
    ///
    /// # Errors
    /// As [`read_features`].
    pub fn of_file(path: &Path) -> Result<Self, PipelineError> {
        Ok(Self::new(read_features(path)?.dim()))
    }
}

impl Encoder for Elsewhere {
    fn embed(&self, _crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        let problem = "this model takes features from files: give them for this slide too (--embeddings)".to_owned();
        Err(EmbedError::Features { path: Self::NAME.into(), problem })
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}

/// A table of features: `.npy`, safetensors, or with the feature `h5ad` the `.h5` of HEST-Benchmark, TRIDENT or
/// sCellST.
///
/// # Errors
/// [`PipelineError::Embed`] and [`PipelineError::H5`] for a file that is no such table.
pub fn read_features(path: &Path) -> Result<Precomputed, PipelineError> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Ok(Precomputed::read_npy(path)?),
        Some("safetensors") => Ok(Precomputed::read_safetensors(path)?),
        #[cfg(feature = "h5ad")]
        Some("h5" | "hdf5") => {
            let read = scellst_h5::read_embeddings(path)?;
            let table = Precomputed::from_table(path, read.features)?;
            Ok(match read.centres {
                Some(centres) => table.with_places(centres)?,
                None => table,
            })
        }
        _ => Err(PipelineError::Description {
            path: path.to_owned(),
            problem: "features are read from .npy, .safetensors and .h5".into(),
        }),
    }
}

/// The cells of a slide with their rows. `cells` are those of a file, if there is one: matched by place where the table
/// knows the places, else by order; without a file the cells are where the rows are.
pub(crate) fn cells_with_rows(
    path: &Path,
    cells: Option<Cells>,
    dim: usize,
    mpp: MicronsPerPixel,
) -> Result<(Cells, Array2<f32>), PipelineError> {
    let table = read_features(path)?;
    let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
    if table.dim() != dim {
        return Err(wrong(format!("rows of {} features, the model takes {dim}", table.dim())));
    }
    match cells {
        Some(cells) if table.places().is_some() => {
            let rows = table.by_place(cells.centroids(), TOLERANCE_UM / mpp.mean())?;
            Ok((cells, rows))
        }
        Some(cells) => {
            let rows = table.in_order(cells.len())?;
            Ok((cells, rows))
        }
        None => {
            let Some(places) = table.places() else {
                let problem = "it does not say where its rows are: give the cells too, in the same order";
                return Err(wrong(problem.into()));
            };
            let mut cells = Cells::new();
            for &place in places {
                cells.push(Cell::at(place))?;
            }
            let rows = table.in_order(cells.len())?;
            Ok((cells, rows))
        }
    }
}
