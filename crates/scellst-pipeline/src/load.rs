use scellst_expr::{PlacementDoubt, PlacementEvidence, Spots, check_placement};
use scellst_h5::{CountsOptions, MatrixChoice, read_counts_with};
use scellst_types::{Level0, Point, SpotShape};

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
    options.matrix = match &source.layer {
        Some(layer) => MatrixChoice::Layer(layer.clone()),
        None if source.use_raw => MatrixChoice::Raw,
        None => MatrixChoice::X,
    };
    options.genome.clone_from(&source.genome);
    options.positions.clone_from(&source.positions);
    (options.names, options.duplicates) = (source.gene_names, source.duplicate_genes);
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
    let shape = source.spot_shape.or(size.map(|s| s.shape)).unwrap_or_default();
    let turn = counts.array.as_deref().and_then(|array| angle(array, &centres)).unwrap_or(0.0);
    let spots = match (Spots::new(centres, diameter)?, shape) {
        (discs, SpotShape::Disc) => discs,
        (spots, SpotShape::Square) => spots.squares(turn)?,
    };
    if let (Some(um), Some(px)) = (pitch_um, spots.pitch_px()) {
        slide.check_spot_pitch(px, um)?;
    }
    Ok(LoadedSection {
        id: source.id.clone(),
        patient: source.patient.clone(),
        batch: source.batch.clone(),
        slide,
        expression: counts.expression,
        spots,
        cells: source.cells.clone(),
        embeddings: source.embeddings.clone(),
    })
}

/// By how much the array's rows of columns lie askew on the slide, radians from the x axis towards the y axis: where the
/// columns' numbers rise to, by least squares. `None` if all spots lie in one column or row.
pub(crate) fn angle(array: &[(i32, i32)], centres: &[Point<Level0>]) -> Option<f64> {
    let n = array.len() as f64;
    let mean = |of: &dyn Fn(usize) -> f64| (0..array.len()).map(of).sum::<f64>() / n;
    let (row, column) = (mean(&|i| f64::from(array[i].0)), mean(&|i| f64::from(array[i].1)));
    let (x, y) = (mean(&|i| centres[i].x), mean(&|i| centres[i].y));
    let (mut rr, mut rc, mut cc) = (0.0, 0.0, 0.0);
    let (mut rx, mut cx, mut ry, mut cy) = (0.0, 0.0, 0.0, 0.0);
    for (&(r, c), centre) in array.iter().zip(centres) {
        let (r, c, dx, dy) = (f64::from(r) - row, f64::from(c) - column, centre.x - x, centre.y - y);
        (rr, rc, cc) = (rr + r * r, rc + r * c, cc + c * c);
        (rx, cx, ry, cy) = (rx + r * dx, cx + c * dx, ry + r * dy, cy + c * dy);
    }
    let determinant = rr * cc - rc * rc;
    if determinant.is_nan() || determinant <= 1e-9 * rr * cc {
        return None;
    }
    // The columns' part of the plane through x and y over row and column.
    let (along_x, along_y) = ((cx * rr - rx * rc) / determinant, (cy * rr - ry * rc) / determinant);
    (along_x != 0.0 || along_y != 0.0).then(|| along_y.atan2(along_x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_lies_askew() {
        let array: Vec<(i32, i32)> = (0..12).map(|i| (i / 4, i % 4)).collect();
        for turn in [0.0, 0.03, -1.2, 3.0f64] {
            let place = |&(r, c): &(i32, i32)| {
                let (x, y) = (29.0 * f64::from(c), 29.0 * f64::from(r));
                Point::new(500.0 + x * turn.cos() - y * turn.sin(), 80.0 + x * turn.sin() + y * turn.cos())
            };
            let centres: Vec<_> = array.iter().map(place).collect();
            assert!((angle(&array, &centres).unwrap() - turn).abs() < 1e-12);
            assert_eq!(angle(&array[..4], &centres[..4]), None);
        }
    }
}
