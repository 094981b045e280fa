use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use scellst_metrics::{Mahalanobis, OutlierSummary, OutlierThreshold, Shrinkage, sample_rows};

use crate::PipelineError;

const FORMAT: &str = "scellst-outlier";
const VERSION: &str = "1";
/// Training cells that are enough.
const MOST_CELLS: usize = 20_000;
/// Of them, this share is kept aside to set the threshold by.
const ASIDE: f64 = 0.25;
/// Share of those that may lie below the threshold.
const SHARE: f64 = 0.99;
/// Of what is read: a whitening matrix of 8,192 dimensions has 256 MB.
const MAX_BYTES: u64 = 512 << 20;

/// Which cells are unlike those that a model was trained on, by the Mahalanobis distance of their features.
///
/// A far cell's prediction is an extrapolation: the flag says to abstain from it. A near one is not therefore right.
#[derive(Debug, Clone, PartialEq)]
pub struct CellOutliers {
    distance: Mahalanobis,
    threshold: OutlierThreshold,
    cells: usize,
}

/// Cells of a slide beside those trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierCells {
    /// Distance of each to the training cells, about the root of the number of features for one like them.
    pub distance: Vec<f32>,
    /// Whether to abstain from each.
    pub abstain: Vec<bool>,
    /// The slide at a glance.
    pub summary: OutlierSummary,
}

impl CellOutliers {
    /// Its name in a bundle.
    pub const FILE: &str = "outlier.safetensors";

    /// From the features of the training cells (cells x features), a sample of at most 20,000 of them. A quarter of
    /// that sets the threshold, which 99 % of it stay below.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for fewer than four cells or values that are no numbers.
    pub fn fit(features: ArrayView2<'_, f32>, seed: u64) -> Result<Self, PipelineError> {
        let rows = sample_rows(features.nrows(), MOST_CELLS, seed);
        let aside = sample_rows(rows.len(), ((rows.len() as f64 * ASIDE) as usize).max(1), seed ^ 1);
        let mut is_aside = vec![false; rows.len()];
        aside.iter().for_each(|&at| is_aside[at] = true);
        let part = |wanted: bool| -> Vec<usize> {
            rows.iter().zip(&is_aside).filter(|(_, aside)| **aside == wanted).map(|(&row, _)| row).collect()
        };
        let distance = Mahalanobis::fit(features.select(Axis(0), &part(false)).view(), Shrinkage::LedoitWolf)?;
        // As it will be read.
        let distance = Mahalanobis::from_parts(
            distance.mean().mapv(|v| f64::from(v as f32)),
            distance.whitening().mapv(|v| f64::from(v as f32)),
            distance.shrinkage(),
        )?;
        let calibration = distance.distances(features.select(Axis(0), &part(true)).view())?;
        let threshold = OutlierThreshold::from_calibration(&calibration, SHARE)?;
        Ok(Self { distance, threshold, cells: rows.len() })
    }

    /// Features that it takes.
    pub fn dim(&self) -> usize {
        self.distance.mean().len()
    }

    /// The distance beyond which to abstain.
    pub fn threshold(&self) -> &OutlierThreshold {
        &self.threshold
    }

    /// Distances of cells (cells x features); by blocks for many.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for another number of features or values that are no numbers.
    pub fn distances(&self, features: ArrayView2<'_, f32>) -> Result<Vec<f32>, PipelineError> {
        Ok(self.distance.distances(features)?)
    }

    /// Flags and the summary of a slide's distances.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for a distance that is no number.
    pub fn judge(&self, distance: Vec<f32>) -> Result<OutlierCells, PipelineError> {
        let (abstain, summary) = (self.threshold.flags(&distance), self.threshold.summary(&distance)?);
        Ok(OutlierCells { distance, abstain, summary })
    }

    /// Both for a slide whose features are at hand.
    ///
    /// # Errors
    /// As [`distances`](Self::distances).
    pub fn apply(&self, features: ArrayView2<'_, f32>) -> Result<OutlierCells, PipelineError> {
        self.judge(self.distances(features)?)
    }

    /// As a file of the bundle: `mean` `(d)` and `whitening` `(d, d)`, f32; the threshold among the metadata.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if it cannot be packed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PipelineError> {
        let bytes = |values: &mut dyn Iterator<Item = f64>| -> Vec<u8> {
            values.flat_map(|v| (v as f32).to_le_bytes()).collect()
        };
        let mean = bytes(&mut self.distance.mean().iter().copied());
        let whitening = bytes(&mut self.distance.whitening().iter().copied());
        let dim = self.dim();
        let failed = |e: safetensors::SafeTensorError| PipelineError::Misuse(format!("{}: {e}", Self::FILE));
        let tensors = [
            ("mean", TensorView::new(Dtype::F32, vec![dim], &mean).map_err(failed)?),
            ("whitening", TensorView::new(Dtype::F32, vec![dim, dim], &whitening).map_err(failed)?),
        ];
        let about = [
            ("format", FORMAT.to_owned()),
            ("version", VERSION.to_owned()),
            ("distance", self.threshold.distance.to_string()),
            ("share", self.threshold.share.to_string()),
            ("shrinkage", self.distance.shrinkage().to_string()),
            ("cells", self.cells.to_string()),
        ];
        let about: HashMap<String, String> = about.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
        safetensors::serialize(tensors, Some(about)).map_err(failed)
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`PipelineError::Io`]; [`PipelineError::Description`] for what is no such file, of another version, too large or
    /// contradicts itself.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let bytes = read_within(path, MAX_BYTES)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let about = header.metadata().clone().unwrap_or_default();
        let text = |name: &str| about.get(name).cloned().unwrap_or_default();
        if (text("format").as_str(), text("version").as_str()) != (FORMAT, VERSION) {
            let found = format!("{} {}", text("format"), text("version"));
            return Err(wrong(format!("expected {FORMAT} {VERSION}, found {found}")));
        }
        let number = |name: &str| {
            let value: Option<f64> = text(name).parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0);
            value.ok_or_else(|| wrong(format!("{name}: expected a number, found '{}'", text(name))))
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
        let tensor = |name: &str| {
            let tensor = tensors.tensor(name).map_err(|e| wrong(e.to_string()))?;
            match tensor.dtype() {
                Dtype::F32 => Ok((tensor.shape().to_vec(), floats(tensor.data()))),
                other => Err(wrong(format!("{name}: expected F32, found {other:?}"))),
            }
        };
        let (mean_shape, mean) = tensor("mean")?;
        let (shape, whitening) = tensor("whitening")?;
        if mean_shape.len() != 1 || shape != [mean.len(), mean.len()] {
            return Err(wrong(format!("expected (d) and (d, d), found {mean_shape:?} and {shape:?}")));
        }
        let whitening =
            Array2::from_shape_vec((mean.len(), mean.len()), whitening).map_err(|e| wrong(e.to_string()))?;
        let distance = Mahalanobis::from_parts(Array1::from_vec(mean), whitening, number("shrinkage")?)
            .map_err(|e| wrong(e.to_string()))?;
        let threshold =
            OutlierThreshold::new(number("distance")? as f32, number("share")?).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { distance, threshold, cells: number("cells")? as usize })
    }
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
}

/// A file of at most so many bytes.
pub(crate) fn read_within(path: &Path, limit: u64) -> Result<Vec<u8>, PipelineError> {
    let file = std::fs::File::open(path).map_err(PipelineError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(PipelineError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let problem = format!("over the limit of {limit} bytes");
        return Err(PipelineError::Description { path: path.to_owned(), problem });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: usize, shift: f32, seed: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, 4), |(i, j)| {
            let n = ((i + seed) * 7919 + j * 104_729 + (i + seed) * (i + seed) * 31) % 9973;
            n as f32 / 9973.0 * (1.0 + j as f32) + shift
        })
    }

    #[test]
    fn like_cells_pass_and_others_are_flagged_before_and_after_the_file() {
        let fitted = CellOutliers::fit(features(2000, 0.0, 0).view(), 1).unwrap();
        let near = fitted.apply(features(1000, 0.0, 5000).view()).unwrap();
        assert!(near.summary.flagged_share.unwrap() < 0.04, "{:?}", near.summary);
        let far = fitted.apply(features(100, 3.0, 0).view()).unwrap();
        assert!(far.abstain.iter().all(|&flag| flag));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CellOutliers::FILE);
        std::fs::write(&path, fitted.to_bytes().unwrap()).unwrap();
        let read = CellOutliers::read(&path).unwrap();
        assert_eq!(read.apply(features(1000, 0.0, 5000).view()).unwrap(), near);
        assert_eq!((read.dim(), read.cells), (4, 2000));
        assert!(fitted.apply(Array2::zeros((2, 5)).view()).is_err());
        assert!(CellOutliers::fit(features(1, 0.0, 0).view(), 1).is_err());
    }

    #[test]
    fn broken_files_are_named() {
        let bytes = CellOutliers::fit(features(50, 0.0, 0).view(), 1).unwrap().to_bytes().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.safetensors");
        let mut other = bytes.clone();
        let at = other.windows(15).position(|w| w == b"scellst-outlier").unwrap();
        other[at] = b'x';
        let mut infinite = bytes.clone();
        let end = infinite.len();
        infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        for bad in [&other[..], &infinite, &bytes[..bytes.len() - 8], &bytes[..5], b""] {
            std::fs::write(&path, bad).unwrap();
            let e = CellOutliers::read(&path).unwrap_err().to_string();
            assert!(e.contains("o.safetensors"), "{e}");
        }
    }
}
