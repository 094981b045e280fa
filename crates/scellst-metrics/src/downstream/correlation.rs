use ndarray::{Array2, ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::blocks::{is_constant, map_columns, unusable};
use crate::ranks::{Sorter, average_ranks};
use crate::{Metric, MetricsError};

/// Correlation of every gene with every other, over the observations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GeneCorrelation {
    /// Genes x genes, -1 to 1; 0 for a gene that is constant, with itself too.
    pub matrix: Array2<f64>,
    /// Columns that are constant: they have no correlation, and their zeros stand for nothing.
    pub constant: Vec<usize>,
}

impl GeneCorrelation {
    /// Of two genes; `None` if one is constant or does not exist.
    pub fn get(&self, a: usize, b: usize) -> Option<f64> {
        let there = |gene: &usize| self.constant.binary_search(gene).is_err();
        self.matrix.get([a, b]).copied().filter(|_| there(&a) && there(&b))
    }
}

/// Correlates genes ([`Metric::Pearson`] as NumPy's `corrcoef`, or [`Metric::Spearman`] as SciPy's `spearmanr`).
///
/// Needs 8 bytes a pair of genes and 8 a value.
///
/// # Errors
/// [`MetricsError::TooFew`] below three observations, [`MetricsError::NotFinite`], [`MetricsError::NotComputed`] for
/// another score.
pub fn gene_correlation(values: ArrayView2<'_, f32>, metric: Metric) -> Result<GeneCorrelation, MetricsError> {
    /// Observations and genes of a block of the product.
    const BLOCK: usize = 256;
    if !matches!(metric, Metric::Pearson | Metric::Spearman) {
        return Err(MetricsError::NotComputed { metric, how: "genes are correlated by Pearson or Spearman" });
    }
    let (rows, genes) = values.dim();
    if rows < 3 {
        return Err(MetricsError::TooFew { found: rows, least: 3 });
    }
    let columns = map_columns(values, values, None, |column, v, _, sorter: &mut Sorter| {
        if let Some((row, value)) = unusable(v, false) {
            return Err(MetricsError::NotFinite { side: "value", row, column, gene: column.to_string(), value });
        }
        let mut out: Vec<f64> = v.iter().map(|&v| f64::from(v)).collect();
        if metric == Metric::Spearman {
            average_ranks(v, sorter, &mut out);
        }
        let mean = out.iter().sum::<f64>() / rows as f64;
        out.iter_mut().for_each(|v| *v -= mean);
        let norm = out.iter().map(|v| v * v).sum::<f64>().sqrt();
        let constant = is_constant(v) || norm == 0.0;
        out.iter_mut().for_each(|v| *v = if constant { 0.0 } else { *v / norm });
        Ok((constant, out))
    })?;
    let constant = (0..genes).filter(|&gene| columns[gene].0).collect();
    let mut unit = Array2::zeros((genes, rows));
    for (mut out, (_, column)) in unit.rows_mut().into_iter().zip(&columns) {
        out.iter_mut().zip(column).for_each(|(out, v)| *out = *v);
    }
    drop(columns);
    let mut matrix = Array2::zeros((genes, genes));
    matrix.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter().enumerate().for_each(|(part, mut out)| {
        let first = part * BLOCK;
        let rows = unit.slice_axis(Axis(0), Slice::from(first..first + out.nrows()));
        out.assign(&rows.dot(&unit.t()));
        out.mapv_inplace(|r: f64| r.clamp(-1.0, 1.0));
    });
    Ok(GeneCorrelation { matrix, constant })
}
