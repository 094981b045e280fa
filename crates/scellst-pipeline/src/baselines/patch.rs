use ndarray::Array2;
use scellst_cells::CropSpec;
use scellst_embed::{Encoder, Morphology};
use scellst_slide::Slide;
use scellst_types::{Level0, Point};

use crate::elsewhere::Elsewhere;
use crate::features::{Pixels, embed_as};
use crate::{Observer, PipelineError};

/// The picture around a spot that patch encoders are given: 224 px at 0.5 um/px, 112 um wide (HEST-Benchmark, Jaume et
/// al. 2024). `None` for an encoder that looks for one nucleus in the middle, to which a patch means nothing, and where
/// features were made elsewhere.
pub fn patch_crop(encoder: &dyn Encoder) -> Option<CropSpec> {
    const SIDE: u32 = 224;
    let blind = [Morphology::NAME, Elsewhere::NAME].contains(&encoder.spec().name.as_str());
    (!blind).then(|| CropSpec { size_px: SIDE, centre_px: SIDE, mpp: 0.5, ..CropSpec::default() })
}

/// Features of the patches around these centres, in their order: `(centres, encoder.dim())`. A centre off the slide is
/// taken to its edge.
pub(crate) fn embed_patches(
    slide: &Slide,
    centres: &[Point<Level0>],
    crop: &CropSpec,
    pixels: Pixels<'_>,
    encoder: &dyn Encoder,
    observer: &dyn Observer,
) -> Result<Array2<f32>, PipelineError> {
    observer.stage("embedding patches for a baseline");
    let (width, height) = (f64::from(slide.size().width), f64::from(slide.size().height));
    let on_slide: Vec<_> = centres.iter().map(|p| Point::new(p.x.clamp(0.0, width), p.y.clamp(0.0, height))).collect();
    embed_as(slide, &on_slide, crop, pixels, encoder, observer)
}
