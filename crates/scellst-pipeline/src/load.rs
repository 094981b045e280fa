use scellst_expr::{PlacementDoubt, PlacementEvidence, Spots, check_placement};
use scellst_h5::{CountsOptions, SpotShape, read_counts_with};

use crate::{LoadedSection, PipelineError, SectionSource};

/// Opens a section's slide and reads its counts.
///
/// Counts may be of any format that [`read_counts`](scellst_h5::read_counts) knows, spots outside of the tissue apart.
/// The spots' diameter is the source's, else the files' (pixels are turned into um by the slide's mpp).
///
/// # Errors
/// What the files give; coordinates or an mpp that do not agree with the array's pitch, spots that are not on the slide
/// (see [`check_placement`]); counts without places or without any diameter; no mpp anywhere. All with the section's
/// name.
pub fn load_section(source: &SectionSource) -> Result<LoadedSection, PipelineError> {
    load(source).map_err(|e| e.in_section(&source.id))
}

fn load(source: &SectionSource) -> Result<LoadedSection, PipelineError> {
    let slide = source.open_slide()?;
    let mpp = slide.require_mpp()?;
    let mut options = CountsOptions::default();
    options.in_tissue_only = true;
    let counts = read_counts_with(&source.counts, &options)?;
    let centres = counts.require_spatial()?.to_vec();
    let size = counts.spots;
    let pitch_um = source.spot_pitch_um.or(size.and_then(|s| s.pitch_um));
    let evidence = PlacementEvidence {
        slide_px: [f64::from(slide.size().width), f64::from(slide.size().height)],
        mpp: Some(mpp.mean()),
        pitch_um,
        array: counts.array.as_deref(),
        hires_scale: counts.scale_factors.and_then(|f| f.tissue_hires_scalef),
        ..PlacementEvidence::default()
    };
    match check_placement(&centres, &evidence) {
        // Some slides are scanned through the glass.
        Some(doubt @ PlacementDoubt::Mirrored) => log::warn!("{}: {doubt}", source.counts.display()),
        Some(doubt) => return Err(PipelineError::Placement { path: source.counts.clone(), doubt }),
        None => {}
    }
    let of_file = size.and_then(|s| s.um.or(s.px.map(|px| px * mpp.mean())));
    let Some(diameter) = source.spot_diameter_um.or(of_file) else {
        return Err(PipelineError::Missing {
            what: "the spots' diameter".to_owned(),
            looked_for: format!(
                "spot_diameter_um of the section, uns['spatial'][library]['scalefactors']['spot_diameter_fullres'] of {}",
                source.counts.display()
            ),
        });
    };
    if size.is_some_and(|s| s.shape == SpotShape::Square) {
        log::warn!("{}: square bins are taken as discs of their side's diameter", source.counts.display());
    }
    let spots = Spots::new(centres, diameter)?;
    if let (Some(um), Some(px)) = (pitch_um, spots.pitch_px()) {
        slide.check_spot_pitch(px, um)?;
    }
    let cells = source.cells.clone();
    Ok(LoadedSection { id: source.id.clone(), slide, expression: counts.expression, spots, cells })
}
