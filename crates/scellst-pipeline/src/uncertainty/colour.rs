use std::path::Path;
use std::sync::Mutex;

use ndarray::{Array1, Array2, ArrayView2, ArrayView3, Axis};
use scellst_cells::{CropSpec, CropStream, Normaliser};
use scellst_metrics::{Mahalanobis, OutlierThreshold, Shrinkage, sample_rows};
use scellst_slide::Slide;
use scellst_types::{Level0, Point, density};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

const FORMAT: &str = "scellst-colour";
const VERSION: u32 = 1;
const MAX_BYTES: u64 = 1 << 20;
/// Mean and standard deviation of the optical density of red, green, blue.
const FEATURES: usize = 6;
/// Training cells of a section that are enough.
const MOST_CELLS: usize = 20_000;
/// Share of the training cells that may lie below the threshold.
const SHARE: f64 = 0.995;
/// A slide is called unlike from so many standard deviations of cells on, however alike the training sections are.
const LEAST_LIMIT: f32 = 1.0;

/// How the pixels of training cells are coloured: what tells a slide of another stain or light, which an encoder that
/// was taught to look past colours hardly moves for.
///
/// Of each crop, as the encoder is given it: mean and standard deviation over its pixels of the optical density of red,
/// green and blue. A cell is far by the Mahalanobis distance to the training cells; a slide by that of the mean of its
/// cells, which finds a shift that each cell alone could be.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideColour {
    distance: Mahalanobis,
    threshold: OutlierThreshold,
    limit: f32,
}

/// The colours of a slide's cells beside those of training.
#[derive(Debug, Clone, PartialEq)]
pub struct ColourShift {
    /// Of each cell to the training cells.
    pub distance: Vec<f32>,
    /// Which cells no training cell is coloured like: 0.5 % of the training cells.
    pub unlike: Vec<bool>,
    /// Of the mean of the cells to that of the training cells, in standard deviations of training cells.
    pub shift: f32,
    /// The shift from which on the slide as a whole is unlike: twice that of the farthest training section from the
    /// others, at least 1.
    pub limit: f32,
}

impl ColourShift {
    /// Whether the slide as a whole is coloured otherwise than the training sections.
    pub fn is_unlike(&self) -> bool {
        self.shift > self.limit
    }

    /// Share of the cells that are unlike.
    pub fn unlike_share(&self) -> f64 {
        self.unlike.iter().filter(|&&unlike| unlike).count() as f64 / self.unlike.len().max(1) as f64
    }
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: String,
    version: u32,
    mean: Vec<f64>,
    whitening: Vec<Vec<f64>>,
    shrinkage: f64,
    threshold: f32,
    share: f64,
    limit: f32,
}

impl SlideColour {
    /// Its name in a bundle.
    pub const FILE: &str = "colour.json";

    /// From the colours of the training sections' cells, as [`cell_colours`] gives them.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for fewer than two cells or cells that are all the same.
    pub fn fit(sections: &[ArrayView2<'_, f32>], seed: u64) -> Result<Self, PipelineError> {
        let some = |part: &ArrayView2<'_, f32>| part.select(Axis(0), &sample_rows(part.nrows(), MOST_CELLS, seed));
        let parts: Vec<Array2<f32>> = sections.iter().filter(|part| part.nrows() > 0).map(some).collect();
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let all = ndarray::concatenate(Axis(0), &views)
            .map_err(|e| PipelineError::Misuse(format!("colours of the training cells: {e}")))?;
        let distance = Mahalanobis::fit(all.view(), Shrinkage::LedoitWolf)?;
        let threshold = OutlierThreshold::from_calibration(&distance.distances(all.view())?, SHARE)?;
        let means: Vec<Array1<f32>> = parts.iter().map(|part| mean(part.view())).collect();
        let mut limit = LEAST_LIMIT;
        for (at, own) in means.iter().enumerate().filter(|_| means.len() > 1) {
            let mut others = Array1::<f32>::zeros(FEATURES);
            means.iter().enumerate().filter(|(other, _)| *other != at).for_each(|(_, mean)| others += mean);
            others /= (means.len() - 1) as f32;
            // As far from the centre as this section is from the others.
            let off = own - &others + distance.mean().mapv(|v| v as f32);
            limit = limit.max(2.0 * distance.distances(off.insert_axis(Axis(0)).view())?[0]);
        }
        Ok(Self { distance, threshold, limit })
    }

    /// Holds a slide's cells against those of training.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for another number of features or values that are no numbers.
    pub fn judge(&self, colours: ArrayView2<'_, f32>) -> Result<ColourShift, PipelineError> {
        let distance = self.distance.distances(colours)?;
        let shift = match colours.nrows() {
            0 => 0.0,
            _ => self.distance.distances(mean(colours).insert_axis(Axis(0)).view())?[0],
        };
        Ok(ColourShift { unlike: self.threshold.flags(&distance), distance, shift, limit: self.limit })
    }

    /// As a file of the bundle.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, PipelineError> {
        let stored = Stored {
            format: FORMAT.into(),
            version: VERSION,
            mean: self.distance.mean().to_vec(),
            whitening: self.distance.whitening().rows().into_iter().map(|row| row.to_vec()).collect(),
            shrinkage: self.distance.shrinkage(),
            threshold: self.threshold.distance,
            share: self.threshold.share,
            limit: self.limit,
        };
        serde_json::to_vec_pretty(&stored).map_err(|e| PipelineError::Misuse(format!("{}: {e}", Self::FILE)))
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`PipelineError::Io`]; [`PipelineError::Description`] for what is no such file, of another version, too large or
    /// contradicts itself.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let bytes = super::read_within(path, MAX_BYTES)?;
        let found: Stored = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("no colours of cells: {e}")))?;
        if (found.format.as_str(), found.version) != (FORMAT, VERSION) {
            return Err(wrong(format!("expected {FORMAT} {VERSION}, found {} {}", found.format, found.version)));
        }
        let square = found.whitening.len() == FEATURES && found.whitening.iter().all(|row| row.len() == FEATURES);
        if found.mean.len() != FEATURES || !square || !(found.limit.is_finite() && found.limit > 0.0) {
            return Err(wrong(format!("expected {FEATURES} features and a limit above 0")));
        }
        let whitening = Array2::from_shape_vec((FEATURES, FEATURES), found.whitening.concat());
        let whitening = whitening.map_err(|e| wrong(e.to_string()))?;
        let distance = Mahalanobis::from_parts(Array1::from_vec(found.mean), whitening, found.shrinkage)
            .map_err(|e| wrong(e.to_string()))?;
        let threshold = OutlierThreshold::new(found.threshold, found.share).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { distance, threshold, limit: found.limit })
    }
}

fn mean(rows: ArrayView2<'_, f32>) -> Array1<f32> {
    let n = rows.nrows().max(1) as f64;
    rows.axis_iter(Axis(1)).map(|column| (column.iter().map(|&v| f64::from(v)).sum::<f64>() / n) as f32).collect()
}

/// Colours of the cells at these places, in their order `(cells, 6)`: mean and standard deviation of the optical density
/// (natural logarithm) of red, green, blue over a crop's pixels, after the stain is normalised, where it is.
///
/// # Errors
/// [`PipelineError::Slide`] and [`PipelineError::Cells`] from cropping.
pub fn cell_colours(
    slide: &Slide,
    places: &[Point<Level0>],
    crop: &CropSpec,
    stain: Option<&Normaliser>,
) -> Result<Array2<f32>, PipelineError> {
    let densities: Vec<f32> = (0..=u8::MAX).map(density).collect();
    let all = Mutex::new(Array2::zeros((places.len(), FEATURES)));
    CropStream::new(slide, places, crop)?.par_for_each(|mut block| {
        if let Some((stain, pixels)) = stain.zip(block.crops.as_slice_mut()) {
            stain.apply(pixels);
        }
        let rows: Vec<[f32; FEATURES]> = block.crops.outer_iter().map(|crop| colour(crop, &densities)).collect();
        // No other thread panics while it holds this.
        let mut all = all.lock().unwrap_or_else(|e| e.into_inner());
        for (cell, row) in block.cells.iter().zip(&rows) {
            all.row_mut(cell.get()).assign(&ndarray::aview1(row));
        }
        Ok::<(), PipelineError>(())
    })?;
    Ok(all.into_inner().unwrap_or_else(|e| e.into_inner()))
}

fn colour(crop: ArrayView3<'_, u8>, densities: &[f32]) -> [f32; FEATURES] {
    let (mut sum, mut square) = ([0.0f64; 3], [0.0f64; 3]);
    for pixel in crop.rows() {
        for ((&value, sum), square) in pixel.iter().zip(&mut sum).zip(&mut square) {
            let d = f64::from(densities[usize::from(value)]);
            *sum += d;
            *square += d * d;
        }
    }
    let n = (crop.len() / 3).max(1) as f64;
    std::array::from_fn(|at| {
        let channel = at % 3;
        let mean = sum[channel] / n;
        if at < 3 { mean as f32 } else { (square[channel] / n - mean * mean).max(0.0).sqrt() as f32 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of a section, its first feature shifted by so much.
    fn section(rows: usize, shift: f32, seed: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, FEATURES), |(i, j)| {
            let n = ((i + seed) * 7919 + j * 104_729 + (i + seed) * (i + seed) * 31) % 9973;
            n as f32 / 9973.0 * (1.0 + j as f32) + if j == 0 { shift } else { 0.0 }
        })
    }

    #[test]
    fn a_slide_like_them_passes_and_another_one_does_not() {
        let (a, b) = (section(2000, 0.0, 0), section(2000, 0.02, 3000));
        let fitted = SlideColour::fit(&[a.view(), b.view()], 1).unwrap();
        let near = fitted.judge(section(1000, 0.01, 9000).view()).unwrap();
        assert!(!near.is_unlike() && near.unlike_share() < 0.02, "{} of {}", near.shift, near.limit);
        let far = fitted.judge(section(1000, 2.0, 0).view()).unwrap();
        assert!(far.is_unlike() && far.unlike_share() > 0.5, "{} of {}", far.shift, far.limit);
        // Sections that differ more allow more.
        let c = section(2000, 1.0, 0);
        assert!(SlideColour::fit(&[a.view(), c.view()], 1).unwrap().limit > 2.0 * fitted.limit);
        assert_eq!(SlideColour::fit(&[a.view()], 1).unwrap().limit, LEAST_LIMIT);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SlideColour::FILE);
        std::fs::write(&path, fitted.to_json().unwrap()).unwrap();
        assert_eq!(SlideColour::read(&path).unwrap(), fitted);
        let text = String::from_utf8(fitted.to_json().unwrap()).unwrap();
        for bad in [text.replace("scellst-colour", "x"), text.replace("\"version\": 1", "\"version\": 7"), "{".into()] {
            assert_ne!(bad, text);
            std::fs::write(&path, bad).unwrap();
            assert!(SlideColour::read(&path).unwrap_err().to_string().contains("colour.json"));
        }
        assert!(fitted.judge(Array2::zeros((3, 5)).view()).is_err());
        assert_eq!(fitted.judge(Array2::zeros((0, FEATURES)).view()).unwrap().shift, 0.0);
    }

    #[test]
    fn colours_are_mean_and_deviation_of_densities() {
        let densities: Vec<f32> = (0..=u8::MAX).map(density).collect();
        let crop = ndarray::Array3::from_shape_fn((2, 2, 3), |(y, _, c)| if c == 0 && y == 0 { 255 } else { 51 });
        let found = colour(crop.view(), &densities);
        let ln5 = 5f32.ln();
        for (found, expected) in found.iter().zip([ln5 / 2.0, ln5, ln5, ln5 / 2.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}
