use std::path::Path;

use ndarray::{Array2, ArrayView2};
use scellst_metrics::{Conformal, ConformalOptions, Coverage, Residual};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

const FORMAT: &str = "scellst-conformal";
const VERSION: u32 = 1;
/// Of what is read: 100,000 genes at six levels have about 25 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Split-conformal intervals of spots, calibrated on bags that trained nothing.
///
/// They hold for spots: the mean of a spot's cells, in log-normalised expression. Nothing is known of how far single
/// cells are off, since nothing measured those.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpotIntervals {
    format: String,
    version: u32,
    /// On which spots, for the reader.
    pub calibrated_on: String,
    /// The intervals.
    pub conformal: Conformal,
}

impl SpotIntervals {
    /// Its name in a bundle.
    pub const FILE: &str = "conformal.json";
    /// Shares that intervals are calibrated for.
    pub const LEVELS: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

    /// From predictions and measurements of held-out bags (bags x genes, log-normalised).
    ///
    /// `groups` says which section or block each is of, so that each of those weighs the same. Up and down are taken
    /// apart, since expression is skewed. Fewer than about 40 bags leave the widest levels unbounded.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`].
    pub fn fit(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        genes: &[String],
        groups: Option<&[u32]>,
        calibrated_on: &str,
    ) -> Result<Self, PipelineError> {
        let options = ConformalOptions {
            residual: Residual::Signed,
            levels: &Self::LEVELS,
            groups,
            ..ConformalOptions::default()
        };
        let conformal = Conformal::fit(predicted, measured, genes, &options)?;
        Ok(Self { format: FORMAT.into(), version: VERSION, calibrated_on: calibrated_on.into(), conformal })
    }

    /// Lower and upper bounds of spots' predictions (spots x genes) for the level nearest to `share`; infinite where
    /// there were too few bags to calibrate on.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for another number of genes.
    pub fn apply(
        &self,
        share: f64,
        predicted: ArrayView2<'_, f32>,
    ) -> Result<(Array2<f32>, Array2<f32>), PipelineError> {
        let off = |level: &f64| (level - share).abs();
        let levels = self.conformal.levels.iter().enumerate();
        let nearest = levels.min_by(|a, b| off(a.1).total_cmp(&off(b.1))).map_or(0, |(at, _)| at);
        Ok(self.conformal.bounds(nearest, predicted, None)?)
    }

    /// What the intervals hold on spots of these genes that were not calibrated on, a subset of the model's in any
    /// order: the coverage curve.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`], naming a gene that is not the model's.
    pub fn coverage(
        &self,
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        genes: &[String],
    ) -> Result<Vec<Coverage>, PipelineError> {
        let chosen = self.conformal.for_genes(genes)?;
        Ok(chosen.coverage(predicted, measured, None)?)
    }

    /// As a file of the bundle.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, PipelineError> {
        serde_json::to_vec(self).map_err(|e| PipelineError::Misuse(format!("conformal intervals: {e}")))
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`PipelineError::Io`]; [`PipelineError::Description`] for what is no such file, of another version, too large or
    /// contradicts itself.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let bytes = super::outliers::read_within(path, MAX_BYTES)?;
        let found: Self = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("no conformal intervals: {e}")))?;
        if (found.format.as_str(), found.version) != (FORMAT, VERSION) {
            return Err(wrong(format!("expected {FORMAT} {VERSION}, found {} {}", found.format, found.version)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: usize, shift: usize) -> (Array2<f32>, Array2<f32>) {
        let noise =
            |i: usize, k: usize| (((i + shift) * 7919 + k * 104_729 + (i + shift).pow(2) * 31) % 9973) as f32 / 9973.0;
        let predicted = Array2::from_shape_fn((rows, 2), |(i, g)| 1.0 + noise(i, g + 10));
        let measured = Array2::from_shape_fn((rows, 2), |(i, g)| predicted[[i, g]] + noise(i, g).powi(2) - 0.3);
        (predicted, measured)
    }

    #[test]
    fn what_is_held_is_what_was_promised_and_survives_the_file() {
        let genes = ["A", "B"].map(String::from);
        let (p, m) = data(600, 0);
        let fitted = SpotIntervals::fit(p.view(), m.view(), &genes, None, "half of the spots").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SpotIntervals::FILE);
        std::fs::write(&path, fitted.to_json().unwrap()).unwrap();
        let read = SpotIntervals::read(&path).unwrap();
        assert_eq!(read, fitted);
        let (q, n) = data(600, 700);
        for c in read.coverage(q.view(), n.view(), &genes).unwrap() {
            assert!((c.covered.unwrap() - c.level).abs() < 0.04, "{c:?}");
        }
        // A subset, in another order.
        let b = read.coverage(q.slice(ndarray::s![.., 1..]), n.slice(ndarray::s![.., 1..]), &genes[1..]).unwrap();
        let both = read.coverage(q.view(), n.view(), &genes).unwrap();
        assert_eq!(b[4].genes[0], both[4].genes[1]);
        let (low, high) = read.apply(0.9, q.view()).unwrap();
        let within = n.indexed_iter().filter(|(at, v)| low[*at] <= **v && **v <= high[*at]).count();
        assert_eq!(within as f64 / 1200.0, both[4].covered.unwrap());
        assert!(read.coverage(q.view(), n.view(), &["A".into(), "X".into()]).unwrap_err().to_string().contains('X'));
    }

    #[test]
    fn broken_files_are_named() {
        let genes = ["A", "B"].map(String::from);
        let (p, m) = data(50, 0);
        let json = SpotIntervals::fit(p.view(), m.view(), &genes, None, "").unwrap().to_json().unwrap();
        let text = String::from_utf8(json).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let broken = [
            text.replace("scellst-conformal", "other"),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("[\"A\",\"B\"]", "[\"A\"]"),
            text.replace("0.95]", "1.5]"),
            text[..text.len() / 2].to_owned(),
        ];
        for bad in broken {
            assert_ne!(bad, text);
            std::fs::write(&path, &bad).unwrap();
            let e = SpotIntervals::read(&path).unwrap_err().to_string();
            assert!(e.contains("c.json"), "{e}");
        }
        assert!(SpotIntervals::read(&folder.path().join("none.json")).is_err());
    }
}
