//! What a model has to beat: simple regressions from the mean features of a spot's cells, or from the picture around it.

mod applied;
mod file;
mod linear;
mod neighbours;
mod patch;
mod set;

use ndarray::{Array2, ArrayView2, Axis};
use scellst_model::ModelError;
use serde::{Deserialize, Serialize};

use self::linear::Linear;
use self::neighbours::NearestSpots;
use crate::PipelineError;

pub use applied::{Grouped, predict_baselines};
pub(crate) use patch::embed_patches;
pub use patch::patch_crop;
pub use set::{BaselineSet, Sight};
pub(crate) use set::{SpotFeatures, SpotWidths};

/// A kind of baseline. What features it takes of a spot is a [`Sight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Baseline {
    /// The mean of the training spots for every spot: correlates with nothing, but its error is what an R2 is held
    /// against.
    Mean,
    /// Ridge regression on standardised features, the penalty by leave-one-out error.
    Ridge,
    /// HEST-Benchmark's recipe (Jaume et al. 2024): standardised, so many principal components, ridge with a penalty of
    /// 100 over components times genes.
    PcaRidge(usize),
    /// The mean of so many training spots with the most alike standardised features, of at most 5,000 drawn ones.
    NearestSpots(usize),
}

impl Baseline {
    /// Those that run beside every model.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Ridge, Self::PcaRidge(256), Self::NearestSpots(10)];
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mean => f.write_str("mean of the training spots"),
            Self::Ridge => f.write_str("ridge on spot means"),
            Self::PcaRidge(k) => write!(f, "PCA-{k} + ridge"),
            Self::NearestSpots(k) => write!(f, "{k} nearest spots"),
        }
    }
}

/// A baseline that has learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedBaseline {
    kind: Baseline,
    fit: Fit,
}

#[derive(Debug, Clone, PartialEq)]
enum Fit {
    Mean(Vec<f32>),
    Linear(Linear),
    Near(NearestSpots),
}

impl Baseline {
    /// Learns labels (spots x genes) from features (spots x features), both finite.
    ///
    /// Fewer spots or features than components or neighbours are taken as they are.
    ///
    /// # Errors
    /// [`PipelineError::Model`], [`PipelineError::Metrics`]: fewer than three spots, other numbers of spots, values
    /// that are no numbers; [`PipelineError::Misuse`] for no component or neighbour.
    pub fn fit(self, x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>) -> Result<FittedBaseline, PipelineError> {
        if x.nrows() != y.nrows() || x.nrows() < 3 {
            let expected = if x.nrows() < 3 { "at least 3".to_owned() } else { x.nrows().to_string() };
            let found = y.nrows().to_string();
            return Err(ModelError::Shape { what: "spots of a baseline", expected, found }.into());
        }
        for (what, values) in [("a spot's features", x), ("a spot's label", y)] {
            if let Some(((row, column), &value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return Err(ModelError::NotFinite { what, row, column, value }.into());
            }
        }
        let fit = match self {
            Self::Mean => Fit::Mean(mean(y)),
            Self::Ridge => Fit::Linear(Linear::ridge(x, y)?),
            Self::PcaRidge(k) => Fit::Linear(Linear::on_components(x, y, k)?),
            Self::NearestSpots(0) => {
                return Err(PipelineError::Misuse("nearest spots: at least 1 is needed, found 0".into()));
            }
            Self::NearestSpots(k) => Fit::Near(NearestSpots::fit(x, y, k)),
        };
        Ok(FittedBaseline { kind: self, fit })
    }
}

impl FittedBaseline {
    /// What it is.
    pub fn kind(&self) -> Baseline {
        self.kind
    }

    /// Features that it takes; `None` if any number does.
    pub fn features(&self) -> Option<usize> {
        match &self.fit {
            Fit::Mean(_) => None,
            Fit::Linear(linear) => Some(linear.weights.nrows()),
            Fit::Near(near) => Some(near.training.ncols()),
        }
    }

    /// Genes that it predicts.
    pub fn genes(&self) -> usize {
        match &self.fit {
            Fit::Mean(mean) => mean.len(),
            Fit::Linear(linear) => linear.intercept.len(),
            Fit::Near(near) => near.labels.ncols(),
        }
    }

    /// Rows x features to rows x genes.
    ///
    /// # Errors
    /// [`PipelineError::Model`], [`PipelineError::Metrics`] for another number of features.
    pub fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, PipelineError> {
        match &self.fit {
            Fit::Mean(mean) => Ok(Array2::from_shape_fn((x.nrows(), mean.len()), |(_, gene)| mean[gene])),
            Fit::Linear(linear) => linear.predict(x),
            Fit::Near(near) => near.predict(x),
        }
    }
}

fn mean(y: ArrayView2<'_, f32>) -> Vec<f32> {
    let n = y.nrows() as f64;
    y.axis_iter(Axis(1)).map(|c| (c.iter().map(|&v| f64::from(v)).sum::<f64>() / n) as f32).collect()
}

fn same_features(expected: usize, found: usize) -> Result<(), PipelineError> {
    if expected == found {
        return Ok(());
    }
    let what = "features of a baseline";
    Err(ModelError::Shape { what, expected: expected.to_string(), found: found.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Array2::from_shape_fn((6, 3), |(i, j)| ((i * 5 + j * 3) % 7) as f32);
        let y = Array2::from_shape_fn((6, 2), |(i, j)| (i + j) as f32);
        for baseline in Baseline::ALL {
            let fitted = baseline.fit(x.view(), y.view()).unwrap();
            assert_eq!((fitted.kind(), fitted.predict(x.view()).unwrap().dim()), (baseline, (6, 2)), "{baseline}");
            if baseline != Baseline::Mean {
                assert!(fitted.predict(y.view()).is_err(), "{baseline}");
            }
            assert!(baseline.fit(x.view(), x.slice(ndarray::s![..5, ..])).is_err());
            assert!(baseline.fit(x.slice(ndarray::s![..2, ..]), y.slice(ndarray::s![..2, ..])).is_err());
            let mut bad = x.clone();
            bad[[4, 1]] = f32::INFINITY;
            assert!(baseline.fit(bad.view(), y.view()).unwrap_err().to_string().contains("row 4, column 1"));
        }
        assert!(Baseline::NearestSpots(0).fit(x.view(), y.view()).is_err());
        assert!(Baseline::PcaRidge(0).fit(x.view(), y.view()).is_err());
        // All spots alike in their features: nothing but the mean is left.
        let same = Array2::from_elem((6, 3), 1.0f32);
        let flat = Baseline::PcaRidge(4).fit(same.view(), y.view()).unwrap().predict(same.view()).unwrap();
        assert!(flat.column(0).iter().all(|v| (v - 2.5).abs() < 1e-6), "{flat}");
    }
}
