use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::blocks::{map_columns, refuse_not_finite};
use crate::table::check_shapes;
use crate::units::check_level;

/// How far a measurement lies from its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residual {
    /// Either way: an interval reaches as far down as up.
    #[default]
    Absolute,
    /// Up and down apart, half of the misses on each side: for values that are skewed, such as expression.
    Signed,
}

/// How to calibrate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConformalOptions<'a> {
    /// How distance is taken.
    pub residual: Residual,
    /// Shares of measurements that intervals are to hold, each between 0 and 1.
    pub levels: &'a [f64],
    /// The section (or block, or patient) of each observation: each then weighs the same, however many spots it has.
    pub groups: Option<&'a [u32]>,
    /// How unsure the model is of each value (such as the standard deviation of an ensemble), positive, shaped as the
    /// predictions: intervals are wide where it is high.
    pub spread: Option<ArrayView2<'a, f32>>,
    /// No lower bound is below this; 0 for expression.
    pub least: Option<f64>,
}

impl Default for ConformalOptions<'_> {
    /// Either way, 90 %, observations weigh the same, no spread, bounds not below 0.
    fn default() -> Self {
        Self { residual: Residual::Absolute, levels: &[0.9], groups: None, spread: None, least: Some(0.0) }
    }
}

/// Split-conformal prediction intervals of each gene (Vovk, Gammerman and Shafer 2005; Lei et al. 2018).
///
/// Calibrated on observations that the model has not seen. If those and the new ones are exchangeable, an interval of
/// level `l` holds the measurement with a chance of at least `l`. Spots of another section are not quite exchangeable
/// with those of the calibration's: calibrate on held-out sections or blocks, and look at [`coverage`](Self::coverage)
/// on a section that is in neither.
///
/// ```
/// use ndarray::Array2;
/// use scellst_metrics::{Conformal, ConformalOptions};
///
/// let predicted = Array2::from_elem((99, 1), 10.0);
/// let measured = Array2::from_shape_fn((99, 1), |(row, _)| 10.0 + row as f32 / 99.0);
/// let fit = Conformal::fit(predicted.view(), measured.view(), &["A".into()], &ConformalOptions::default())?;
/// // The 90th of 99 residuals.
/// assert!((fit.offsets(0, 0).1.unwrap() - 89.0 / 99.0).abs() < 1e-6);
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
#[non_exhaustive]
pub struct Conformal {
    /// Names of the genes.
    pub genes: Vec<String>,
    /// Levels of the intervals.
    pub levels: Vec<f64>,
    /// How distance was taken.
    pub residual: Residual,
    /// Whether offsets are multiples of a spread.
    pub with_spread: bool,
    /// No lower bound is below this.
    pub least: Option<f64>,
    /// Observations calibrated on.
    pub observations: usize,
    /// For each level, for each gene: from the prediction down and up to the bounds. `None`: too few observations for
    /// that level, unbounded.
    offsets: Vec<Vec<Offsets>>,
}

/// From a prediction down to the lower bound and up to the upper one; `None` is unbounded.
type Offsets = (Option<f64>, Option<f64>);

/// As it is read, before it is known to agree with itself.
#[derive(Deserialize)]
struct Stored {
    genes: Vec<String>,
    levels: Vec<f64>,
    residual: Residual,
    with_spread: bool,
    least: Option<f64>,
    observations: usize,
    offsets: Vec<Vec<Offsets>>,
}

impl TryFrom<Stored> for Conformal {
    type Error = MetricsError;
    fn try_from(stored: Stored) -> Result<Self, MetricsError> {
        let Stored { genes, levels, residual, with_spread, least, observations, offsets } = stored;
        levels.iter().try_for_each(|&level| check_level(level))?;
        MetricsError::same_length("levels of the offsets", levels.len(), offsets.len())?;
        for level in &offsets {
            MetricsError::same_length("genes of the offsets", genes.len(), level.len())?;
            let all: Vec<f64> = level.iter().flat_map(|&(down, up)| [down, up]).flatten().collect();
            MetricsError::finite("offset of an interval", &all)?;
        }
        MetricsError::finite("least bound", least.as_slice())?;
        Ok(Self { genes, levels, residual, with_spread, least, observations, offsets })
    }
}

/// What intervals of one level hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coverage {
    /// What they should hold.
    pub level: f64,
    /// Share of all measurements that lie within (bounds included), 0 to 1; `None` without a measurement.
    pub covered: Option<f64>,
    /// The same of each gene.
    pub genes: Vec<Option<f64>>,
    /// Mean width of the bounded intervals, in the values' unit.
    pub mean_width: Option<f64>,
    /// Genes whose intervals are unbounded: too few observations to calibrate on.
    pub unbounded: usize,
}

impl Conformal {
    /// Calibrates on predictions and measurements, both observations x genes, that the model was not trained on.
    ///
    /// # Errors
    /// [`MetricsError::Shape`], [`MetricsError::TooFew`] without an observation, [`MetricsError::NotFinite`],
    /// [`MetricsError::Setting`] for a level or a spread that is out of range.
    pub fn fit(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        genes: &[String],
        options: &ConformalOptions<'_>,
    ) -> Result<Self, MetricsError> {
        check_shapes(predicted, measured)?;
        MetricsError::same_length("names of genes", predicted.ncols(), genes.len())?;
        options.levels.iter().try_for_each(|&level| check_level(level))?;
        check_spread(predicted, options.spread)?;
        let rows = predicted.nrows();
        if rows == 0 {
            return Err(MetricsError::TooFew { found: 0, least: 1 });
        }
        let weights = weights(rows, options.groups)?;
        let by_gene = map_columns(predicted, measured, None, |column, p, m, residuals: &mut Vec<(f64, f64)>| {
            refuse_not_finite(p, m, column, genes)?;
            residuals.clear();
            residuals.extend((0..rows).map(|row| {
                let spread = options.spread.map_or(1.0, |spread| f64::from(spread[[row, column]]));
                let residual = (f64::from(m[row]) - f64::from(p[row])) / spread;
                (if options.residual == Residual::Absolute { residual.abs() } else { residual }, weights[row])
            }));
            residuals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let offsets = |&level: &f64| match options.residual {
                Residual::Absolute => {
                    let width = upper(residuals.iter(), rows, level);
                    (width, width)
                }
                Residual::Signed => {
                    let level = (1.0 + level) / 2.0;
                    let down = upper(residuals.iter().rev(), rows, level).map(|residual| -residual);
                    (down, upper(residuals.iter(), rows, level))
                }
            };
            Ok(options.levels.iter().map(offsets).collect::<Vec<Offsets>>())
        })?;
        let of_level = |level: usize| by_gene.iter().map(|levels| levels[level]).collect();
        Ok(Self {
            genes: genes.to_vec(),
            levels: options.levels.to_vec(),
            residual: options.residual,
            with_spread: options.spread.is_some(),
            least: options.least,
            observations: rows,
            offsets: (0..options.levels.len()).map(of_level).collect(),
        })
    }

    /// From the prediction down and up to the bounds (multiples of the spread where there is one); `None` is unbounded,
    /// or no such level or gene.
    pub fn offsets(&self, level: usize, gene: usize) -> (Option<f64>, Option<f64>) {
        self.offsets.get(level).and_then(|genes| genes.get(gene)).copied().unwrap_or((None, None))
    }

    /// The same for some of the genes, in any order.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] naming a gene that was not calibrated.
    pub fn for_genes(&self, genes: &[String]) -> Result<Self, MetricsError> {
        let place: std::collections::HashMap<&String, usize> = self.genes.iter().zip(0..).collect();
        let chosen: Vec<usize> = genes
            .iter()
            .map(|gene| {
                let found = || MetricsError::shape("genes of the intervals", "calibrated ones", gene);
                place.get(gene).copied().ok_or_else(found)
            })
            .collect::<Result<_, _>>()?;
        let offsets = self.offsets.iter().map(|level| chosen.iter().map(|&gene| level[gene]).collect()).collect();
        Ok(Self { genes: genes.to_vec(), offsets, ..self.clone() })
    }

    /// Lower and upper bounds of predictions (observations x genes) at the level of this number; infinite where
    /// unbounded. For big predictions call it by blocks of rows.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for other genes or a missing spread, [`MetricsError::Setting`] for a level that there is
    /// not or a spread that is not positive.
    pub fn bounds(
        &self,
        level: usize,
        predicted: ArrayView2<'_, f32>,
        spread: Option<ArrayView2<'_, f32>>,
    ) -> Result<(Array2<f32>, Array2<f32>), MetricsError> {
        self.check(predicted, spread)?;
        if level >= self.levels.len() {
            return Err(MetricsError::setting("number of a level", format!("below {}", self.levels.len()), level));
        }
        let spread_at = |at| spread.map_or(1.0, |spread| f64::from(spread[at]));
        let bound = |at: (usize, usize)| self.bound(level, at.1, f64::from(predicted[at]), spread_at(at));
        let low = Array2::from_shape_fn(predicted.dim(), |at| bound(at).0 as f32);
        Ok((low, Array2::from_shape_fn(predicted.dim(), |at| bound(at).1 as f32)))
    }

    /// What intervals of every level hold on measurements that were not calibrated on: the coverage curve.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds), and [`MetricsError::NotFinite`].
    pub fn coverage(
        &self,
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        spread: Option<ArrayView2<'_, f32>>,
    ) -> Result<Vec<Coverage>, MetricsError> {
        check_shapes(predicted, measured)?;
        self.check(predicted, spread)?;
        let rows = predicted.nrows();
        let by_gene = map_columns(predicted, measured, None, |column, p, m, (): &mut ()| {
            refuse_not_finite(p, m, column, &self.genes)?;
            let level = |level: usize| {
                let (mut within, mut width) = (0_usize, 0.0);
                for row in 0..rows {
                    let spread = spread.map_or(1.0, |spread| f64::from(spread[[row, column]]));
                    let (low, high) = self.bound(level, column, f64::from(p[row]), spread);
                    within += usize::from(low <= f64::from(m[row]) && f64::from(m[row]) <= high);
                    width += high - low;
                }
                (within, width)
            };
            Ok((0..self.levels.len()).map(level).collect::<Vec<(usize, f64)>>())
        })?;
        let of_level = |(at, &level): (usize, &f64)| {
            let share = |within: usize, of: usize| (of > 0).then(|| within as f64 / of as f64);
            let bounded: Vec<f64> = by_gene.iter().map(|gene| gene[at].1).filter(|width| width.is_finite()).collect();
            let values = bounded.len() * rows;
            Coverage {
                level,
                covered: share(by_gene.iter().map(|gene| gene[at].0).sum(), rows * by_gene.len()),
                genes: by_gene.iter().map(|gene| share(gene[at].0, rows)).collect(),
                mean_width: (values > 0).then(|| bounded.iter().sum::<f64>() / values as f64),
                unbounded: by_gene.len() - bounded.len(),
            }
        };
        Ok(self.levels.iter().enumerate().map(of_level).collect())
    }

    fn bound(&self, level: usize, gene: usize, predicted: f64, spread: f64) -> (f64, f64) {
        let (down, up) = self.offsets[level][gene];
        let low = down.map_or(f64::NEG_INFINITY, |down| predicted - down * spread);
        let high = up.map_or(f64::INFINITY, |up| predicted + up * spread);
        match self.least {
            Some(least) => (low.max(least), high.max(least)),
            None => (low, high),
        }
    }

    fn check(&self, predicted: ArrayView2<'_, f32>, spread: Option<ArrayView2<'_, f32>>) -> Result<(), MetricsError> {
        MetricsError::same_length("genes of the predictions", self.genes.len(), predicted.ncols())?;
        if self.with_spread != spread.is_some() {
            let named = |there| if there { "a spread" } else { "none" };
            return Err(MetricsError::shape(
                "spread beside the predictions, as for the calibration",
                named(self.with_spread),
                named(spread.is_some()),
            ));
        }
        check_spread(predicted, spread)
    }
}

fn check_spread(predicted: ArrayView2<'_, f32>, spread: Option<ArrayView2<'_, f32>>) -> Result<(), MetricsError> {
    let Some(spread) = spread else { return Ok(()) };
    check_shapes(predicted, spread)?;
    match spread.iter().find(|&&value| !(value > 0.0 && value.is_finite())) {
        Some(value) => Err(MetricsError::setting("spread of a prediction", "positive and finite", value)),
        None => Ok(()),
    }
}

/// Of each row, as many in all as there are rows.
fn weights(rows: usize, groups: Option<&[u32]>) -> Result<Vec<f64>, MetricsError> {
    let Some(groups) = groups else { return Ok(vec![1.0; rows]) };
    MetricsError::same_length("groups, one an observation", rows, groups.len())?;
    let mut sizes = std::collections::HashMap::new();
    groups.iter().for_each(|group| *sizes.entry(group).or_insert(0.0) += 1.0);
    let share = rows as f64 / sizes.len() as f64;
    Ok(groups.iter().map(|group| share / sizes[group]).collect())
}

/// The residual that `level` of the weight does not exceed, the new observation itself counted as one above all.
fn upper<'a>(sorted: impl Iterator<Item = &'a (f64, f64)>, rows: usize, level: f64) -> Option<f64> {
    // Rounding must not ask for one more.
    const ROUNDING: f64 = 1e-9;
    let wanted = level * (rows as f64 + 1.0) - ROUNDING;
    let mut weight = 0.0;
    for &(residual, w) in sorted {
        weight += w;
        if weight >= wanted {
            return Some(residual);
        }
    }
    None
}
