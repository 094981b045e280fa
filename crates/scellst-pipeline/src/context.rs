use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use ndarray::{Array2, ArrayView1, Axis};
use scellst_bags::Context;
use scellst_cells::CropSpec;
use scellst_embed::{Encoder, PixelNorm};
use scellst_slide::Slide;
use scellst_types::{Level0, Point};
use serde::{Deserialize, Serialize};

use crate::features::{Pixels, embed_as, pixel_norm};
use crate::near::{Near, Part};
use crate::{Observer, PipelineError, SlideScale};

/// The neighbourhood that a cell is seen in: beside its own features those of all cells within some radii of it, itself
/// among them.
///
/// Its features are then, `(2 + radii) x dim + radii` of them: its own; their means within each radius, the smallest
/// first; their standard deviations within the largest; for each radius log1p of the number of cells. A cell keeps a
/// prediction of its own; what it sees makes spots near each other more alike, so that a random split flatters more
/// (see [`scellst_bags::check_leakage`]).
///
/// ```
/// use scellst_pipeline::ContextSpec;
///
/// let context: ContextSpec = "50,100,200".parse()?;
/// assert_eq!((context.width(512), context.largest_um()), (2563, 200.0));
/// # Ok::<(), scellst_pipeline::PipelineError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct ContextSpec {
    radii_um: Vec<f64>,
}

const MOST_RADII: usize = 16;
const RADII_UM: (f64, f64) = (1.0, 10_000.0);

impl ContextSpec {
    /// Within each of these radii, um.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] unless they are 1 to 16, rise, and lie between 1 and 10,000 um.
    pub fn new(radii_um: Vec<f64>) -> Result<Self, PipelineError> {
        let rise = radii_um.windows(2).all(|pair| pair[0] < pair[1]);
        let sound = radii_um.iter().all(|r| (RADII_UM.0..=RADII_UM.1).contains(r));
        if !(rise && sound && (1..=MOST_RADII).contains(&radii_um.len())) {
            return Err(PipelineError::Misuse(format!(
                "radii of the context: expected 1 to {MOST_RADII} that rise, each 1 to 10,000 um, found {radii_um:?}"
            )));
        }
        Ok(Self { radii_um })
    }

    /// The radii, um, rising.
    pub fn radii_um(&self) -> &[f64] {
        &self.radii_um
    }

    /// How far a cell sees, um.
    pub fn largest_um(&self) -> f64 {
        self.radii_um.iter().copied().fold(0.0, f64::max)
    }

    /// Number of features of a cell whose own are `dim`.
    pub fn width(&self, dim: usize) -> usize {
        dim * (2 + self.radii_um.len()) + self.radii_um.len()
    }
}

impl TryFrom<Vec<f64>> for ContextSpec {
    type Error = PipelineError;

    fn try_from(radii_um: Vec<f64>) -> Result<Self, PipelineError> {
        Self::new(radii_um)
    }
}

impl From<ContextSpec> for Vec<f64> {
    fn from(spec: ContextSpec) -> Self {
        spec.radii_um
    }
}

impl FromStr for ContextSpec {
    type Err = PipelineError;

    /// Radii in um with commas between them.
    fn from_str(text: &str) -> Result<Self, PipelineError> {
        let number = |part: &str| {
            let wrong = |_| PipelineError::Misuse(format!("radii of the context (um): '{part}' is no number"));
            part.trim().parse::<f64>().map_err(wrong)
        };
        Self::new(text.split(',').map(number).collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for ContextSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let radii: Vec<String> = self.radii_um.iter().map(f64::to_string).collect();
        write!(f, "{} um", radii.join(", "))
    }
}

/// Features of a cell without its context, if an encoder gives `dim` of a crop.
pub(crate) fn own_width(dim: usize, coarse: Option<&CropSpec>) -> usize {
    if coarse.is_some() { 2 * dim } else { dim }
}

/// The cells of a slide and all that their features depend on.
pub(crate) struct SlideCells<'a> {
    pub(crate) slide: &'a Slide,
    /// Centres of all its cells, level-0 pixels.
    pub(crate) places: &'a [Point<Level0>],
    pub(crate) crop: &'a CropSpec,
    /// A wider crop, whose features are joined to the first's.
    pub(crate) coarse: Option<&'a CropSpec>,
    pub(crate) pixels: Pixels<'a>,
    pub(crate) encoder: &'a dyn Encoder,
    /// Features of all cells that another program made.
    pub(crate) made: Option<&'a Array2<f32>>,
    /// What the slide's features are standardised by, if they are.
    pub(crate) scale: Option<&'a SlideScale>,
    pub(crate) context: Option<&'a ContextSpec>,
}

/// Cells whose features are made and kept at a time.
const BLOCK: usize = 16_384;

impl SlideCells<'_> {
    /// Features of these cells, in their order: `(cells, dim)`, with context as many as [`ContextSpec::width`] says.
    pub(crate) fn features(&self, cells: &[u32], observer: &dyn Observer) -> Result<Array2<f32>, PipelineError> {
        let dim = self.own();
        let mut all = Array2::zeros((cells.len(), self.context.map_or(dim, |context| context.width(dim))));
        observer.stage("embedding cells");
        self.for_each_block(cells, BLOCK, observer, |range, features| {
            all.slice_axis_mut(Axis(0), range.into()).assign(&features);
            Ok(())
        })?;
        Ok(all)
    }

    /// The same, `block` cells at a time, in order.
    pub(crate) fn for_each_block(
        &self,
        cells: &[u32],
        block: usize,
        observer: &dyn Observer,
        mut take: impl FnMut(Range<usize>, Array2<f32>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let block = block.max(1);
        let ranges = (0..cells.len()).step_by(block).map(|start| start..(start + block).min(cells.len()));
        let Some(context) = self.context else {
            for range in ranges {
                let part = Part { observer, start: range.start as u64, total: cells.len() as u64 };
                take(range.clone(), self.embed(&cells[range], &part)?)?;
            }
            return Ok(());
        };
        self.for_each_near(cells, block, context.largest_um(), observer, |range, near| {
            take(range.clone(), self.joined(&cells[range], context, near)?)
        })
    }

    /// Features of a cell without its context.
    pub(crate) fn own(&self) -> usize {
        own_width(self.encoder.dim(), self.coarse)
    }

    pub(crate) fn embed(&self, cells: &[u32], observer: &dyn Observer) -> Result<Array2<f32>, PipelineError> {
        let mut features = match self.made {
            Some(made) => made.select(Axis(0), &cells.iter().map(|&cell| cell as usize).collect::<Vec<_>>()),
            None => self.seen(cells, observer)?,
        };
        if let Some(scale) = self.scale {
            scale.apply(&mut features);
        }
        Ok(features)
    }

    /// What the encoder makes of the cells' crops.
    fn seen(&self, cells: &[u32], observer: &dyn Observer) -> Result<Array2<f32>, PipelineError> {
        let places: Vec<_> = cells.iter().map(|&cell| self.places[cell as usize]).collect();
        let of = |crop: &CropSpec| embed_as(self.slide, &places, crop, self.pixels, self.encoder, observer);
        let mut features = of(self.crop)?;
        if let Some(coarse) = self.coarse {
            // Of one number of rows: they can be joined.
            features.append(Axis(1), of(coarse)?.view()).map_err(|e| PipelineError::Misuse(e.to_string()))?;
            features = features.as_standard_layout().into_owned();
        }
        Ok(features)
    }

    /// Mean and deviation of the pixels of this slide's crops, from an even sample of its cells.
    pub(crate) fn measure_pixels(&self, observer: &dyn Observer) -> Result<PixelNorm, PipelineError> {
        observer.stage("measuring the slide's pixels");
        let places: Vec<_> = self.sample().map(|cell| self.places[cell as usize]).collect();
        let norm = pixel_norm(self.slide, &places, self.crop, self.pixels.stain)?;
        norm.ok_or_else(|| {
            let slide = self.slide.path().display();
            PipelineError::Misuse(format!("all cells of {slide} are of one colour: is it a slide of tissue?"))
        })
    }

    fn sample(&self) -> impl Iterator<Item = u32> + use<> {
        let step = self.places.len().div_ceil(SlideScale::SAMPLE).max(1);
        (0..self.places.len() as u32).step_by(step)
    }

    /// What to standardise the features of this slide by, from an even sample of its cells.
    pub(crate) fn measure_scale(&self, observer: &dyn Observer) -> Result<SlideScale, PipelineError> {
        observer.stage("measuring the slide's features");
        let sample: Vec<u32> = self.sample().collect();
        Ok(SlideScale::of(SlideCells { scale: None, ..*self }.embed(&sample, observer)?.view()))
    }

    /// Own features and means around.
    fn joined(&self, cells: &[u32], context: &ContextSpec, near: &Near) -> Result<Array2<f32>, PipelineError> {
        let dim = self.own();
        let mut out = Array2::zeros((cells.len(), context.width(dim)));
        out.slice_axis_mut(Axis(1), (..dim).into()).assign(&near.own(cells));
        let radii = context.radii_um().len();
        for block in Context::new(&near.places, near.features.view(), &near.centres(cells), context.radii_um())? {
            for (at, &centre) in block.centres.iter().enumerate() {
                let mut row = out.row_mut(centre as usize);
                let mut part = |number: usize, values: ArrayView1<'_, f32>| {
                    let columns = number * dim..(number + 1) * dim;
                    row.slice_axis_mut(Axis(0), columns.into()).assign(&values);
                };
                (0..radii).for_each(|radius| part(1 + radius, block.mean(at, radius)));
                part(1 + radii, block.spread(at, radii - 1));
                for radius in 0..radii {
                    row[(2 + radii) * dim + radius] = (block.counts[(at, radius)] as f32).ln_1p();
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use scellst_embed::Morphology;
    use scellst_slide::{OpenOptions, RgbImage};
    use scellst_types::MicronsPerPixel;

    use super::*;
    use crate::Quiet;

    #[test]
    fn radii_are_checked() {
        let spec: ContextSpec = " 50, 100,200".parse().unwrap();
        assert_eq!((spec.radii_um(), spec.to_string().as_str()), (&[50.0, 100.0, 200.0][..], "50, 100, 200 um"));
        for bad in ["", "50,x", "50,50", "100,50", "0", "-1", "NaN", "inf", "20000"] {
            let e = bad.parse::<ContextSpec>().unwrap_err().to_string();
            assert!(e.contains("radii of the context"), "{bad}: {e}");
        }
        assert!(serde_json::from_str::<ContextSpec>("[5.0, 4.0]").unwrap_err().to_string().contains("rise"));
    }

    /// Whatever the order and the blocks, a cell's features are its own and the plain means around it.
    #[test]
    fn features_are_own_and_means_around() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.png");
        let pixels = (0..900u32 * 700).flat_map(|i| {
            let (x, y) = (f64::from(i % 900), f64::from(i / 900));
            let v = |a: f64| (150.0 + 80.0 * (x / a).sin() * (y / (a + 3.0)).cos()) as u8;
            [v(9.0), v(14.0), v(31.0)]
        });
        RgbImage::from_raw(900, 700, pixels.collect()).unwrap().save(&path).unwrap();
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        let slide = Slide::open_with(&path, &OpenOptions { mpp: Some(mpp), ..Default::default() }).unwrap();
        // 350 x 450 um, cells all over in no order.
        let places: Vec<Point<Level0>> =
            (0..240u32).map(|i| Point::new(f64::from(i * 389 % 900), f64::from(i * 211 % 700))).collect();
        let (crop, encoder) = (CropSpec::default(), Morphology::new());
        let context = ContextSpec::new(vec![20.0, 75.0]).unwrap();
        let seen = SlideCells {
            slide: &slide,
            places: &places,
            crop: &crop,
            coarse: None,
            pixels: Pixels::default(),
            encoder: &encoder,
            made: None,
            scale: None,
            context: Some(&context),
        };
        let own = crate::embed_cells(&slide, &places, &crop, &encoder, &Quiet).unwrap();
        let asked: Vec<u32> = (0..240).rev().filter(|i| i % 3 != 1).collect();
        let found = seen.features(&asked, &Quiet).unwrap();
        let dim = encoder.dim();
        for (row, &cell) in found.rows().into_iter().zip(&asked) {
            let at = mpp.to_micron(places[cell as usize]);
            assert_eq!(row.slice_axis(Axis(0), (..dim).into()), own.row(cell as usize));
            for (r, radius) in [20.0, 75.0].into_iter().enumerate() {
                let near: Vec<usize> = (0..240).filter(|&j| mpp.to_micron(places[j]).distance(at) <= radius).collect();
                let n = near.len() as f64;
                assert_eq!(row[4 * dim + r], (near.len() as f32).ln_1p());
                for k in 0..dim {
                    let mean = near.iter().map(|&j| f64::from(own[(j, k)])).sum::<f64>() / n;
                    let ours = f64::from(row[(1 + r) * dim + k]);
                    assert!((ours - mean).abs() < 1e-4 * (1.0 + mean.abs()), "cell {cell}, {radius} um, {k}");
                    if r == 1 {
                        let variance = near.iter().map(|&j| (f64::from(own[(j, k)]) - mean).powi(2)).sum::<f64>() / n;
                        let ours = f64::from(row[3 * dim + k]);
                        assert!((ours - variance.sqrt()).abs() < 1e-3 * (1.0 + mean.abs()), "cell {cell}, spread {k}");
                    }
                }
            }
        }
        // Standardised: each slide's own features have mean 0 and deviation 1.
        let scale = seen.measure_scale(&Quiet).unwrap();
        let scaled = SlideCells { scale: Some(&scale), context: None, ..seen };
        let all: Vec<u32> = (0..240).collect();
        let of_slide = scaled.features(&all, &Quiet).unwrap();
        for (k, column) in of_slide.columns().into_iter().enumerate() {
            assert!(column.mean().unwrap().abs() < 1e-3, "{k}");
            let deviation = column.std(0.0);
            assert!((deviation - 1.0).abs() < 1e-2 || deviation < 1e-3, "{k}: {deviation}");
        }
        let mut back = of_slide;
        scale.undo(back.view_mut());
        assert!(back.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b.abs())));
        // The same from small blocks, each cell embedded once.
        let counting = Counting(std::sync::Mutex::new(0));
        let mut blocks = Vec::new();
        seen.for_each_block(&asked, 7, &counting, |range, rows| {
            blocks.push((range, rows));
            Ok(())
        })
        .unwrap();
        assert_eq!(blocks.len(), asked.len().div_ceil(7));
        for (range, rows) in blocks {
            let difference = (&rows - &found.slice_axis(Axis(0), range.into())).mapv(f32::abs);
            assert!(difference.iter().all(|&d| d < 1e-3), "{difference}");
        }
        assert!(*counting.0.lock().unwrap() <= 240);
    }

    struct Counting(std::sync::Mutex<u64>);

    impl Observer for Counting {
        fn progress(&self, done: u64, total: u64) {
            let mut most = self.0.lock().unwrap();
            *most = (*most).max(done);
            assert!(done <= total);
        }
    }
}
