use ndarray::{Array2, ArrayView2, Axis};
use scellst_cells::CropSpec;
use serde::{Deserialize, Serialize};

use super::{Baseline, FittedBaseline};
use crate::PipelineError;

/// What a baseline sees of a spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Sight {
    /// The mean features of its cells.
    Cells,
    /// Those and the means around them: what a model with context is given.
    Context,
    /// The features of one patch around its centre, by the same encoder; no cell is looked for.
    Patch,
}

/// The baselines of a model: fitted on the bags that trained it, kept with it, so that they can be held against it
/// wherever it is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineSet {
    pub(super) fitted: Vec<(Sight, FittedBaseline)>,
    /// The patches of [`Sight::Patch`], if any.
    pub(super) patch: Option<CropSpec>,
}

/// What there is to see of some spots, a row each.
#[derive(Debug, Clone)]
pub(crate) struct SpotFeatures {
    /// Mean features of their cells: the cells' own, then those of their context, if there is one.
    pub(crate) cells: Array2<f32>,
    /// How many are the cells' own.
    pub(crate) own: usize,
    /// Features of the patches around them, if any were made.
    pub(crate) patches: Option<Array2<f32>>,
}

/// How many features there are to see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpotWidths {
    /// Of a patch.
    pub(crate) patch: usize,
    /// Of a cell.
    pub(crate) own: usize,
    /// Of a cell with its context.
    pub(crate) with_context: usize,
}

impl SpotFeatures {
    fn of(&self, sight: Sight) -> Option<ArrayView2<'_, f32>> {
        match sight {
            Sight::Cells => Some(self.cells.slice_axis(Axis(1), (..self.own).into())),
            Sight::Context => (self.cells.ncols() > self.own).then(|| self.cells.view()),
            Sight::Patch => self.patches.as_ref().map(|patches| patches.view()),
        }
    }

    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self {
            cells: self.cells.select(Axis(0), rows),
            own: self.own,
            patches: self.patches.as_ref().map(|patches| patches.select(Axis(0), rows)),
        }
    }
}

impl BaselineSet {
    /// Its name in a bundle.
    pub const FILE: &str = "baselines.safetensors";

    /// All kinds on the cells' own features, a ridge on those with context, a ridge and HEST-Benchmark's recipe
    /// on patches: as far as there are such features. Nothing from fewer than three spots.
    pub(crate) fn fit(
        spots: &SpotFeatures,
        measured: ArrayView2<'_, f32>,
        patch: Option<&CropSpec>,
    ) -> Result<Option<Self>, PipelineError> {
        if measured.nrows() < 3 {
            return Ok(None);
        }
        let on_cells = Baseline::ALL.map(|kind| (Sight::Cells, kind));
        // The recipe hardly penalises, which few spots suffer from: an honest ridge beside it.
        let on_patches = [Baseline::Ridge, Baseline::PcaRidge(256)].map(|kind| (Sight::Patch, kind));
        let mut fitted = Vec::new();
        for (sight, kind) in [(Sight::Context, Baseline::Ridge)].into_iter().chain(on_cells).chain(on_patches) {
            if let Some(features) = spots.of(sight) {
                fitted.push((sight, kind.fit(features, measured)?));
            }
        }
        Ok(Some(Self { fitted, patch: patch.filter(|_| spots.patches.is_some()).cloned() }))
    }

    /// What each predicts of spots in log-normalised expression (spots x genes), by name; those that want features which
    /// are not there are left out.
    pub(crate) fn predict(&self, spots: &SpotFeatures) -> Result<Vec<(String, Array2<f32>)>, PipelineError> {
        let with_features = self.fitted.iter().filter_map(|(sight, fitted)| Some((*sight, fitted, spots.of(*sight)?)));
        with_features
            .map(|(sight, fitted, features)| Ok((self.name(sight, fitted.kind()), fitted.predict(features)?)))
            .collect()
    }

    /// What they are called, in order.
    pub fn names(&self) -> Vec<String> {
        self.fitted.iter().map(|(sight, fitted)| self.name(*sight, fitted.kind())).collect()
    }

    /// Each with what it sees.
    pub fn iter(&self) -> impl Iterator<Item = (Sight, &FittedBaseline)> {
        self.fitted.iter().map(|(sight, fitted)| (*sight, fitted))
    }

    /// The patches that a baseline sees, if one does.
    pub fn patch(&self) -> Option<&CropSpec> {
        self.patch.as_ref()
    }

    fn name(&self, sight: Sight, kind: Baseline) -> String {
        match (sight, &self.patch) {
            (Sight::Context, _) => format!("{kind} with context"),
            (Sight::Patch, Some(crop)) => {
                let kind = if kind == Baseline::Ridge { "ridge".to_owned() } else { kind.to_string() };
                format!("{kind} on patches of {:.0} um", f64::from(crop.centre_px) * crop.mpp)
            }
            _ => kind.to_string(),
        }
    }

    /// Whether they fit a model of so many genes and features.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(crate) fn check(&self, genes: usize, widths: SpotWidths) -> Result<(), String> {
        for (sight, fitted) in self.iter() {
            let expected = match sight {
                Sight::Context => widths.with_context,
                Sight::Patch => widths.patch,
                Sight::Cells => widths.own,
            };
            let name = self.name(sight, fitted.kind());
            if fitted.genes() != genes {
                return Err(format!("{name}: {} genes, expected {genes}", fitted.genes()));
            }
            if fitted.features().is_some_and(|found| found != expected) {
                return Err(format!("{name}: {} features, expected {expected}", fitted.features().unwrap_or(0)));
            }
        }
        let sees_patches = self.iter().any(|(sight, _)| sight == Sight::Patch);
        match (&self.patch, sees_patches) {
            (None, true) => Err("a baseline on patches, but nothing says of which size".into()),
            (Some(crop), _) => crop.validate().map_err(|e| e.to_string()),
            (None, false) => Ok(()),
        }
    }
}
