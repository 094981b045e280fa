use std::sync::mpsc::sync_channel;

use ndarray::{Array2, Array4, Axis};
use scellst_cells::{CellsError, CropBlock, CropSpec, CropStream, Normaliser};
use scellst_embed::{Encoder, PixelNorm, PixelStats};
use scellst_slide::Slide;
use scellst_types::{Level0, Point};

use crate::{Observer, PipelineError};

/// Features of the cells at these places, in their order: `(cells, encoder.dim())`.
///
/// Crops are streamed in the order of the slide's tiles and never kept; the next are cut while the encoder is at work,
/// unless the caller is in a rayon pool of its own.
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
    let seen = Pixels { stain, norm: None };
    embed_as(slide, places, crop, seen, encoder, observer)
}

/// What is done to crops before an encoder gets them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pixels<'a> {
    /// Their stain, first.
    pub(crate) stain: Option<&'a Normaliser>,
    /// In place of the encoder's own statistics.
    pub(crate) norm: Option<PixelNorm>,
}

impl Pixels<'_> {
    fn restain(&self, crops: &mut Array4<u8>) {
        if let Some((stain, pixels)) = self.stain.zip(crops.as_slice_mut()) {
            stain.apply(pixels);
        }
    }
}

/// Mean and deviation of the pixels of these crops, or nothing if they are of one colour.
pub(crate) fn pixel_norm(
    slide: &Slide,
    places: &[Point<Level0>],
    crop: &CropSpec,
    stain: Option<&Normaliser>,
) -> Result<Option<PixelNorm>, PipelineError> {
    let (mut stats, pixels) = (PixelStats::default(), Pixels { stain, norm: None });
    for block in CropStream::new(slide, places, crop)? {
        let mut block = block?;
        pixels.restain(&mut block.crops);
        stats.add(block.crops.view());
    }
    Ok(stats.norm())
}

/// Blocks of crops that are ready before the encoder wants them.
const BLOCKS_AHEAD: usize = 2;

pub(crate) fn embed_as(
    slide: &Slide,
    places: &[Point<Level0>],
    crop: &CropSpec,
    pixels: Pixels<'_>,
    encoder: &dyn Encoder,
    observer: &dyn Observer,
) -> Result<Array2<f32>, PipelineError> {
    observer.stage("embedding cells");
    let mut features = Array2::zeros((places.len(), encoder.dim()));
    let mut done = 0u64;
    ahead(CropStream::new(slide, places, crop)?, pixels, |block| {
        let rows = match pixels.norm {
            Some(norm) => encoder.embed_with(block.crops.view(), norm)?,
            None => encoder.embed(block.crops.view())?,
        };
        for (cell, row) in block.cells.iter().zip(rows.axis_iter(Axis(0))) {
            features.row_mut(cell.get()).assign(&row);
        }
        done += block.cells.len() as u64;
        observer.progress(done, places.len() as u64);
        Ok(())
    })?;
    Ok(features)
}

/// Hands on every block in the order of the stream while the next are being cut: a GPU that embeds need not wait for
/// them. At most [`BLOCKS_AHEAD`] wait.
fn ahead(
    stream: CropStream<'_>,
    pixels: Pixels<'_>,
    mut take: impl FnMut(CropBlock) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let seen = stream.map(move |block| {
        let mut block = block?;
        pixels.restain(&mut block.crops);
        Ok::<_, CellsError>(block)
    });
    // A caller who works in a pool of its own keeps to its threads.
    if rayon::current_thread_index().is_some() {
        return seen.into_iter().try_for_each(|block| take(block?));
    }
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(BLOCKS_AHEAD);
        scope.spawn(move || {
            for block in seen {
                let last = block.is_err();
                // Whoever does not listen any more has met an error.
                if send.send(block).is_err() || last {
                    return;
                }
            }
        });
        receive.into_iter().try_for_each(|block| take(block?))
    })
}

#[cfg(test)]
mod tests {
    use scellst_cells::{StainMethod, StainTarget, crops};
    use scellst_embed::Morphology;
    use scellst_slide::{OpenOptions, RgbImage};
    use scellst_types::MicronsPerPixel;

    use super::*;
    use crate::Quiet;

    /// A picture of two stains, both stronger the larger `strength`.
    fn stained(folder: &std::path::Path, strength: f64) -> Slide {
        let path = folder.join(format!("{strength}.png"));
        let density = |x: u32, y: u32| {
            let h = 1.2 * strength * (0.5 + 0.5 * (f64::from(x) / 7.0).sin()).powi(2);
            let e = 0.8 * strength * (0.5 + 0.5 * (f64::from(y) / 9.0 + f64::from(x) / 13.0).cos());
            [0.6 * h + 0.15 * e, 0.7 * h + 0.9 * e, 0.4 * h + 0.4 * e]
        };
        let value = |d: f64| (240.0 * (-d).exp() - 1.0).round() as u8;
        let pixels = (0..300u32 * 300).flat_map(|i| density(i % 300, i / 300).map(value)).collect();
        let picture = RgbImage::from_raw(300, 300, pixels).unwrap();
        picture.save(&path).unwrap();
        let mpp = Some(MicronsPerPixel::square(0.25).unwrap());
        Slide::open_with(&path, &OpenOptions { mpp, ..Default::default() }).unwrap()
    }

    #[test]
    fn features_are_those_of_normalised_crops() {
        let folder = tempfile::tempdir().unwrap();
        let [pale, dark] = [0.6, 1.0].map(|s| stained(folder.path(), s));
        let places: Vec<_> = (0..40).map(|i| Point::new(f64::from(i) * 7.0, f64::from(i * 53 % 300))).collect();
        let (spec, encoder) = (CropSpec::default(), Morphology::new());
        for method in StainMethod::ALL {
            let stain = StainTarget::of_slide(&dark, method).unwrap().normaliser(&pale).unwrap();
            let found = embed_cells_normalised(&pale, &places, &spec, Some(&stain), &encoder, &Quiet).unwrap();
            let mut pixels = crops(&pale, &places, &spec).unwrap();
            stain.apply(pixels.as_slice_mut().unwrap());
            assert_eq!(found, encoder.embed(pixels.view()).unwrap(), "{method}");
            // What the encoder sees is like the target: it is not the normaliser of another slide.
            let [target, before] = [&dark, &pale].map(|slide| crops(slide, &places, &spec).unwrap());
            let off = |a: &Array4<u8>| a.iter().zip(&target).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>();
            assert!(off(&pixels) < 0.5 * off(&before), "{method}: {} {}", off(&pixels), off(&before));
        }
    }

    /// Fails at the third block.
    struct Tired(std::sync::atomic::AtomicUsize, Morphology);

    impl Encoder for Tired {
        fn embed(&self, crops: ndarray::ArrayView4<'_, u8>) -> Result<Array2<f32>, scellst_embed::EmbedError> {
            if self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 {
                return Err(scellst_embed::EmbedError::Training { step: 3, problem: "tired".into() });
            }
            self.1.embed(crops)
        }

        fn spec(&self) -> &scellst_embed::EncoderSpec {
            self.1.spec()
        }
    }

    #[test]
    fn an_encoder_that_fails_ends_it_and_pools_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let slide = stained(folder.path(), 0.8);
        // Many blocks: no more than 1,024 crops come together.
        let places: Vec<_> = (0..9000).map(|i| Point::new(f64::from(i * 7 % 300), f64::from(i * 53 % 300))).collect();
        let spec = CropSpec { size_px: 24, centre_px: 24, ..CropSpec::default() };
        let embed = |encoder: &dyn Encoder| embed_cells(&slide, &places, &spec, encoder, &Quiet);
        let tired = Tired(0.into(), Morphology::new());
        let message = embed(&tired).unwrap_err().to_string();
        assert!(message.contains("tired") && tired.0.into_inner() == 3, "{message}");
        let all = embed(&Morphology::new()).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| embed(&Morphology::new())).unwrap(), all);
    }
}
