use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::columns::{self, ColumnScore, Scratch};

/// Rows that a correlation needs: through two points every line is perfect.
const LEAST_ROWS: usize = 3;
/// Columns gathered at once: a cache line of row-major `f32`.
const BLOCK: usize = 16;

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

/// Which number of a gene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Metric {
    /// [`GeneScores::pearson`].
    Pearson,
    /// [`GeneScores::spearman`].
    Spearman,
    /// [`GeneScores::mse`].
    Mse,
}

/// A mean over genes, and what it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Mean over the genes that have the number; `None` if none has.
    pub mean: Option<f64>,
    /// How many have it.
    pub defined: usize,
    /// How many have none since predictions or measurements are constant.
    pub constant: usize,
    /// Mean over all genes asked for, those without the number counted as 0; `None` if none was asked for.
    pub mean_with_constant_as_zero: Option<f64>,
}

impl GeneScores {
    /// Compares predictions with measurements, both observations x genes in the same order and unit.
    ///
    /// Sums are taken in `f64`; genes run in parallel, with the same result for any number of threads. Beside the
    /// input this needs about 1 KiB a row and thread.
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
        if rows < LEAST_ROWS {
            return Err(MetricsError::TooFew { found: rows, least: LEAST_ROWS });
        }
        if u32::try_from(rows).is_err() {
            return Err(MetricsError::Shape {
                what: "observations",
                expected: format!("at most {}", u32::MAX),
                found: rows.to_string(),
            });
        }
        let starts: Vec<usize> = (0..cols).step_by(BLOCK).collect();
        let blocks: Vec<Vec<ColumnScore>> = starts
            .into_par_iter()
            .map_init(Buffers::default, |buffers, start| {
                let end = (start + BLOCK).min(cols);
                gather(
                    "prediction",
                    predicted.slice_axis(Axis(1), Slice::from(start..end)),
                    start,
                    genes,
                    &mut buffers.predicted,
                )?;
                gather(
                    "measurement",
                    measured.slice_axis(Axis(1), Slice::from(start..end)),
                    start,
                    genes,
                    &mut buffers.measured,
                )?;
                let columns = buffers.predicted.chunks_exact(rows).zip(buffers.measured.chunks_exact(rows));
                Ok(columns.map(|(p, m)| columns::score(p, m, &mut buffers.scratch)).collect())
            })
            .collect::<Result<_, _>>()?;
        let scores: Vec<ColumnScore> = blocks.into_iter().flatten().collect();
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

    /// One number of one gene; `None` if it has none or there is no such gene.
    pub fn get(&self, metric: Metric, gene: usize) -> Option<f64> {
        match metric {
            Metric::Pearson => self.pearson.get(gene).copied().flatten(),
            Metric::Spearman => self.spearman.get(gene).copied().flatten(),
            Metric::Mse => self.mse.get(gene).copied(),
        }
    }

    /// The mean over these genes (columns).
    ///
    /// # Errors
    /// [`MetricsError::NoSuchGene`].
    pub fn mean_over(&self, metric: Metric, genes: &[usize]) -> Result<Summary, MetricsError> {
        if let Some(&found) = genes.iter().find(|&&gene| gene >= self.len()) {
            return Err(MetricsError::NoSuchGene { found, genes: self.len() });
        }
        let values: Vec<f64> = genes.iter().filter_map(|&gene| self.get(metric, gene)).collect();
        let sum: f64 = values.iter().sum();
        let mean = |count: usize| (count > 0).then(|| sum / count as f64);
        Ok(Summary {
            mean: mean(values.len()),
            defined: values.len(),
            constant: genes.len() - values.len(),
            mean_with_constant_as_zero: mean(genes.len()),
        })
    }

    /// The mean over all genes.
    ///
    /// # Errors
    /// None.
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

#[derive(Default)]
struct Buffers {
    predicted: Vec<f32>,
    measured: Vec<f32>,
    scratch: Scratch,
}

/// Copies a few columns one after the other, and finds values that are no numbers.
fn gather(
    side: &'static str,
    block: ArrayView2<'_, f32>,
    first: usize,
    genes: &[String],
    out: &mut Vec<f32>,
) -> Result<(), MetricsError> {
    let rows = block.nrows();
    out.clear();
    out.resize(rows * block.ncols(), 0.0);
    for (row, values) in block.rows().into_iter().enumerate() {
        for (column, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                let column = first + column;
                return Err(MetricsError::NotFinite { side, row, column, gene: genes[column].clone(), value });
            }
            out[column * rows + row] = value;
        }
    }
    Ok(())
}
