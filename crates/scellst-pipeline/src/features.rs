use ndarray::{Array2, Axis};
use scellst_cells::{CropSpec, CropStream};
use scellst_embed::Encoder;
use scellst_slide::Slide;
use scellst_types::{Level0, Point};

use crate::{Observer, PipelineError};

/// Features of the cells at these places, in their order: `(cells, encoder.dim())`.
///
/// Crops are streamed in the order of the slide's tiles and never kept.
///
/// # Errors
/// [`PipelineError::Slide`] and [`PipelineError::Cells`] from cropping, [`PipelineError::Embed`].
pub fn embed_cells(
    slide: &Slide,
    places: &[Point<Level0>],
    crop: &CropSpec,
    encoder: &dyn Encoder,
    observer: &dyn Observer,
) -> Result<Array2<f32>, PipelineError> {
    observer.stage("embedding cells");
    let mut features = Array2::zeros((places.len(), encoder.dim()));
    let mut done = 0u64;
    for block in CropStream::new(slide, places, crop)? {
        let block = block?;
        let rows = encoder.embed(block.crops.view())?;
        for (cell, row) in block.cells.iter().zip(rows.axis_iter(Axis(0))) {
            features.row_mut(cell.get()).assign(&row);
        }
        done += block.cells.len() as u64;
        observer.progress(done, places.len() as u64);
    }
    Ok(features)
}
