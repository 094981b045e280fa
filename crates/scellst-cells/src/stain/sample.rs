use scellst_slide::{Slide, TissueConfig, TissueMask};
use scellst_types::{Level0, Point, Size};

use crate::CellsError;

/// Places that are looked at.
const PLACES: usize = 100;
/// Side of what is read at each, px.
const SIDE: u32 = 128;
/// Resolution at which it is read, um/px: fine enough for a nucleus not to mix with what is around it.
const MPP: f64 = 1.0;

/// Pixels from all over a slide's tissue, three bytes each; of the whole slide where no tissue is found.
pub(crate) fn tissue(slide: &Slide) -> Result<Vec<u8>, CellsError> {
    let mpp = slide.require_mpp()?;
    let mask = TissueMask::of_slide(slide, &TissueConfig::default())?;
    let width = mask.size().width.max(1) as usize;
    let any = mask.as_slice().iter().any(|&m| m);
    let inside: Vec<usize> = (0..mask.as_slice().len()).filter(|&i| !any || mask.as_slice()[i]).collect();
    let level = slide.level_for_downsample((MPP / mpp.mean()).max(1.0));
    let half = f64::from(SIDE) / 2.0;
    let mut pixels = Vec::new();
    for at in inside.iter().step_by(inside.len().div_ceil(PLACES).max(1)) {
        let centre = ((at % width) as f64 + 0.5, (at / width) as f64 + 0.5);
        let corner = Point::<Level0>::new(
            centre.0 * mask.step().0 - half * level.downsample_x(),
            centre.1 * mask.step().1 - half * level.downsample_y(),
        );
        let image = slide.read(&level.region_at(corner, Size::new(SIDE, SIDE)))?;
        pixels.extend_from_slice(image.as_raw());
    }
    Ok(pixels)
}
