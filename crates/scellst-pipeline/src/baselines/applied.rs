use std::path::Path;

use ndarray::Array2;
use scellst_bags::Bags;
use scellst_slide::Slide;
use scellst_types::{Level0, Point};

use super::{Sight, SpotFeatures, embed_patches};
use crate::context::SlideCells;
use crate::elsewhere::Elsewhere;
use crate::features::Pixels;
use crate::{Bundle, Observer, PipelineError};

/// Cells that are embedded at a time.
const BLOCK: usize = 16_384;

/// Cells of a slide in groups that something was measured of: spots, or single cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    /// Centres of all the slide's cells, level-0 pixels: those that were predicted.
    pub cells: Vec<Point<Level0>>,
    /// The groups; cells in none are seen as neighbours only.
    pub bags: Bags,
    /// Centre of each group, level-0 pixels.
    pub centres: Vec<Point<Level0>>,
}

/// What a bundle's baselines predict of groups of cells on a slide: `(groups, genes)` each, in log-normalised expression
/// and the bundle's order of genes, by name. Empty for a bundle without baselines, or whose features were made elsewhere.
///
/// They see what the model saw: the same cells, crops, stain, scale and context, means of the very groups that the model
/// is measured on. The patch baseline sees a patch around each centre.
/// Only cells in groups are embedded (with a context those around them too), by blocks; kept are means of groups.
///
/// # Errors
/// [`PipelineError::Slide`] without an mpp, [`PipelineError::Embed`] if the encoder's weights are missing or others, and
/// what cropping and embedding give.
pub fn predict_baselines(
    bundle: &Bundle,
    slide: &Slide,
    grouped: &Grouped,
    encoder_weights: Option<&Path>,
    observer: &dyn Observer,
) -> Result<Vec<(String, Array2<f32>)>, PipelineError> {
    let Some(baselines) = bundle.baselines() else { return Ok(Vec::new()) };
    let manifest = bundle.manifest();
    if manifest.encoder.name == Elsewhere::NAME {
        observer.note("no baseline is applied: the model's features were made elsewhere");
        return Ok(Vec::new());
    }
    let encoder = bundle.open_encoder(encoder_weights, bundle.models().members()[0].device())?;
    let stain = manifest.stain.as_ref().map(|target| target.normaliser(slide)).transpose()?;
    let mut seen = SlideCells {
        slide,
        places: &grouped.cells,
        crop: &manifest.crop,
        coarse: manifest.coarse.as_ref(),
        pixels: Pixels { stain: stain.as_ref(), norm: None },
        encoder: encoder.as_ref(),
        made: None,
        scale: None,
        // The dearest part, and only for whoever looks at it.
        context: manifest.context.as_ref().filter(|_| baselines.iter().any(|(sight, _)| sight == Sight::Context)),
    };
    if manifest.slide_pixels {
        seen.pixels.norm = Some(seen.measure_pixels(observer)?);
    }
    let scale = manifest.slide_scale.then(|| seen.measure_scale(observer)).transpose()?;
    seen.scale = scale.as_ref();
    let own = manifest.own_width();
    let cells = means(&seen, &grouped.bags, seen.context.map_or(own, |context| context.width(own)), observer)?;
    let patches = baselines
        .patch()
        .map(|crop| embed_patches(slide, &grouped.centres, crop, seen.pixels, encoder.as_ref(), observer))
        .transpose()?;
    baselines.predict(&SpotFeatures { cells, own, patches })
}

/// Mean features of each bag's cells.
fn means(
    seen: &SlideCells<'_>,
    bags: &Bags,
    width: usize,
    observer: &dyn Observer,
) -> Result<Array2<f32>, PipelineError> {
    observer.stage("embedding cells for the baselines");
    let bag_of: Vec<usize> = bags.iter().enumerate().flat_map(|(bag, (_, cells))| vec![bag; cells.len()]).collect();
    let mut sums = Array2::<f64>::zeros((bags.len(), width));
    seen.for_each_block(bags.cells(), BLOCK, observer, |range, features| {
        for (row, &bag) in features.rows().into_iter().zip(&bag_of[range]) {
            sums.row_mut(bag).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        }
        Ok(())
    })?;
    for (mut row, (_, cells)) in sums.rows_mut().into_iter().zip(bags.iter()) {
        row /= cells.len().max(1) as f64;
    }
    Ok(sums.mapv(|v| v as f32))
}
