use ndarray::{Array2, Axis};
use scellst_cells::{CropSpec, CropStream, Normaliser};
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
    embed_cells_normalised(slide, places, crop, None, encoder, observer)
}

/// As [`embed_cells`] on crops whose stain is normalised first, where there is a normaliser: that of
/// [`StainTarget::normaliser`](scellst_cells::StainTarget::normaliser) for this slide.
///
/// # Errors
/// As [`embed_cells`].
pub fn embed_cells_normalised(
    slide: &Slide,
    places: &[Point<Level0>],
    crop: &CropSpec,
    stain: Option<&Normaliser>,
    encoder: &dyn Encoder,
    observer: &dyn Observer,
) -> Result<Array2<f32>, PipelineError> {
    observer.stage("embedding cells");
    let mut features = Array2::zeros((places.len(), encoder.dim()));
    let mut done = 0u64;
    for block in CropStream::new(slide, places, crop)? {
        let mut block = block?;
        if let Some((stain, pixels)) = stain.zip(block.crops.as_slice_mut()) {
            stain.apply(pixels);
        }
        let rows = encoder.embed(block.crops.view())?;
        for (cell, row) in block.cells.iter().zip(rows.axis_iter(Axis(0))) {
            features.row_mut(cell.get()).assign(&row);
        }
        done += block.cells.len() as u64;
        observer.progress(done, places.len() as u64);
    }
    Ok(features)
}
