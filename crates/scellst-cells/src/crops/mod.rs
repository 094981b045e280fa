mod sampler;
mod spec;
mod stream;

use ndarray::{Array4, Axis};
use scellst_slide::Slide;
use scellst_types::{Level0, Point};

use crate::CellsError;

pub use spec::{Border, CropSpec};
pub use stream::{CropBlock, CropStream};

/// The crops around some centroids in their order: `(cells, rows, columns, RGB)`, u8. For a few; all cells of a slide
/// are for [`CropStream`], since this holds every crop in memory.
///
/// # Errors
/// As [`CropStream::new`], and what reading the slide finds wrong.
pub fn crops(slide: &Slide, centroids: &[Point<Level0>], spec: &CropSpec) -> Result<Array4<u8>, CellsError> {
    let side = spec.centre_px as usize;
    let stream = CropStream::new(slide, centroids, spec)?;
    let mut all = Array4::zeros((centroids.len(), side, side, 3));
    for block in stream {
        let block = block?;
        for (cell, crop) in block.cells.iter().zip(block.crops.outer_iter()) {
            all.index_axis_mut(Axis(0), cell.get()).assign(&crop);
        }
    }
    Ok(all)
}
