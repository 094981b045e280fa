use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::blocks::{is_constant, map_columns, refuse_not_finite};
use crate::moments::Moments;
use crate::pairs::{LEAST_PAIRS, Scratch};
use crate::ranks::spearman;

/// How well each gene was predicted over the observations (spots or cells).
///
/// A gene that is constant in the predictions or in the measurements has no correlation: `None`, and listed.
/// The mean squared error is always there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GeneScores {
    /// Names, one a column.
    pub genes: Vec<String>,
    /// Number of rows that were compared.
    pub observations: usize,
    /// Pearson correlation per gene, from -1 to 1.
    pub pearson: Vec<Option<f64>>,
    /// Spearman correlation per gene, equal values at their mean rank, from -1 to 1.
    pub spearman: Vec<Option<f64>>,
    /// Mean squared error per gene, in the square of the values' unit.
    pub mse: Vec<f64>,
    /// Columns whose predictions are all equal.
    pub constant_predicted: Vec<usize>,
    /// Columns whose measurements are all equal.
    pub constant_measured: Vec<usize>,
}

/// Which score. [`Agreement`](crate::Agreement) defines them; [`GeneScores`] has Pearson, Spearman and the mean squared
/// error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Pearson correlation.
    Pearson,
    /// Spearman correlation.
    Spearman,
    /// Mean squared error.
    Mse,
    /// Kendall's tau-b.
    Kendall,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// Coefficient of determination.
    R2,
    /// Lin's concordance correlation.
    Concordance,
    /// Cosine similarity.
    Cosine,
    /// Area under the ROC curve.
    Auroc,
    /// Average precision.
    AveragePrecision,
}

/// A mean over genes, and what it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Mean over the genes that have the number; `None` if none has.
    pub mean: Option<f64>,
    /// How many have it.
    pub defined: usize,
    /// How many have none: predictions or measurements are constant, or too few pairs are there.
    pub constant: usize,
    /// Mean over all genes asked for, those without the number counted as 0; `None` if none was asked for.
    pub mean_with_constant_as_zero: Option<f64>,
}

impl GeneScores {
    /// Compares predictions with measurements, both observations x genes in the same order and unit.
    ///
    /// Sums are taken in `f64`; genes run in parallel, with the same result for any number of threads. Beside the
    /// input this needs about
    /// 20 MiB a thread (128 bytes a row where that is more).
    ///
    /// # Errors
    /// [`MetricsError::Shape`] if shapes or names differ, [`MetricsError::TooFew`] below three rows,
    /// [`MetricsError::NotFinite`] for a value that is no number.
    pub fn compute(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        genes: &[String],
    ) -> Result<Self, MetricsError> {
        let (rows, cols) = predicted.dim();
        if measured.dim() != (rows, cols) {
            let shape = |(rows, cols)| format!("{rows} observations x {cols} genes");
            return Err(MetricsError::Shape {
                what: "measurements beside the predictions",
                expected: shape((rows, cols)),
                found: shape(measured.dim()),
            });
        }
        if genes.len() != cols {
            return Err(MetricsError::Shape {
                what: "names of genes",
                expected: cols.to_string(),
                found: genes.len().to_string(),
            });
        }
        if rows < LEAST_PAIRS {
            return Err(MetricsError::TooFew { found: rows, least: LEAST_PAIRS });
        }
        let most = i32::MAX as usize;
        if rows > most {
            return Err(MetricsError::shape("observations", format!("at most {most}"), rows));
        }
        let scores = map_columns(predicted, measured, None, |column, p, m, scratch: &mut Scratch| {
            refuse_not_finite(p, m, column, genes)?;
            Ok(ColumnScore::of(p, m, scratch))
        })?;
        let which = |f: fn(&ColumnScore) -> bool| (0..cols).filter(|&gene| f(&scores[gene])).collect();
        Ok(Self {
            genes: genes.to_vec(),
            observations: rows,
            pearson: scores.iter().map(|score| score.pearson).collect(),
            spearman: scores.iter().map(|score| score.spearman).collect(),
            mse: scores.iter().map(|score| score.mse).collect(),
            constant_predicted: which(|score| score.constant_predicted),
            constant_measured: which(|score| score.constant_measured),
        })
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.genes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.genes.is_empty()
    }

    /// One number of one gene; `None` if it has none, if there is no such gene, or for a score that is not held here.
    pub fn get(&self, metric: Metric, gene: usize) -> Option<f64> {
        match metric {
            Metric::Pearson => self.pearson.get(gene).copied().flatten(),
            Metric::Spearman => self.spearman.get(gene).copied().flatten(),
            Metric::Mse => self.mse.get(gene).copied(),
            _ => None,
        }
    }

    /// The mean over these genes (columns).
    ///
    /// # Errors
    /// [`MetricsError::NoSuchGene`]; [`MetricsError::NotComputed`] for a score that is not held here.
    pub fn mean_over(&self, metric: Metric, genes: &[usize]) -> Result<Summary, MetricsError> {
        if !matches!(metric, Metric::Pearson | Metric::Spearman | Metric::Mse) {
            return Err(MetricsError::NotComputed { metric, how: "compute Scores instead of GeneScores" });
        }
        Summary::over(genes, self.len(), |gene| self.get(metric, gene))
    }

    /// The mean over all genes.
    ///
    /// # Errors
    /// As [`mean_over`](Self::mean_over).
    pub fn mean_over_all(&self, metric: Metric) -> Result<Summary, MetricsError> {
        self.mean_over(metric, &(0..self.len()).collect::<Vec<_>>())
    }
}

/// The columns of the `k` highest numbers of a ranking (such as the training variance), highest first, equal ones in
/// order of the column; all if there are fewer.
///
/// # Errors
/// [`MetricsError::Ranking`] if a number is NaN.
pub fn top_k(ranking: &[f64], k: usize) -> Result<Vec<usize>, MetricsError> {
    if let Some(gene) = ranking.iter().position(|value| value.is_nan()) {
        return Err(MetricsError::Ranking { gene });
    }
    let mut order: Vec<usize> = (0..ranking.len()).collect();
    order.sort_by(|&a, &b| ranking[b].total_cmp(&ranking[a]));
    order.truncate(k);
    Ok(order)
}

impl Summary {
    pub(crate) fn over(
        chosen: &[usize],
        count: usize,
        get: impl Fn(usize) -> Option<f64>,
    ) -> Result<Self, MetricsError> {
        if let Some(&found) = chosen.iter().find(|&&gene| gene >= count) {
            return Err(MetricsError::NoSuchGene { found, genes: count });
        }
        let values: Vec<f64> = chosen.iter().filter_map(|&gene| get(gene)).collect();
        let sum: f64 = values.iter().sum();
        let mean = |count: usize| (count > 0).then(|| sum / count as f64);
        Ok(Self {
            mean: mean(values.len()),
            defined: values.len(),
            constant: chosen.len() - values.len(),
            mean_with_constant_as_zero: mean(chosen.len()),
        })
    }
}

struct ColumnScore {
    pearson: Option<f64>,
    spearman: Option<f64>,
    mse: f64,
    constant_predicted: bool,
    constant_measured: bool,
}

impl ColumnScore {
    fn of(p: &[f32], m: &[f32], scratch: &mut Scratch) -> Self {
        let (constant_predicted, constant_measured) = (is_constant(p), is_constant(m));
        let moments = Moments::of(p, m, None);
        let defined = !constant_predicted && !constant_measured;
        Self {
            pearson: if defined { moments.pearson() } else { None },
            spearman: if defined { spearman(p, m, &mut scratch.sorter, &mut scratch.ranks) } else { None },
            mse: moments.squares / moments.weight,
            constant_predicted,
            constant_measured,
        }
    }
}
