use scellst_expr::Spots;
use scellst_h5::read_h5ad;

use crate::{LoadedSection, PipelineError, SectionSource};

/// Opens a section's slide and reads its counts.
///
/// The spots' diameter is the source's, else the h5ad's (in pixels, turned into um by the slide's mpp).
///
/// # Errors
/// What the files give; coordinates or an mpp that do not agree with the array's pitch; an h5ad without `obsm['spatial']` or without any diameter; no mpp anywhere. All with the
/// section's name.
pub fn load_section(source: &SectionSource) -> Result<LoadedSection, PipelineError> {
    load(source).map_err(|e| e.in_section(&source.id))
}

fn load(source: &SectionSource) -> Result<LoadedSection, PipelineError> {
    let slide = source.open_slide()?;
    let mpp = slide.require_mpp()?;
    let section = read_h5ad(&source.counts)?;
    let centres = section.require_spatial()?.to_vec();
    let diameter = match source.spot_diameter_um {
        Some(um) => um,
        None => section.require_spot_diameter_px()? * mpp.mean(),
    };
    let spots = Spots::new(centres, diameter)?;
    if let (Some(um), Some(px)) = (source.spot_pitch_um, spots.pitch_px()) {
        slide.check_spot_pitch(px, um)?;
    }
    let cells = source.cells.clone();
    Ok(LoadedSection { id: source.id.clone(), slide, expression: section.expression, spots, cells })
}
