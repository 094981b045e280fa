use ndarray::ArrayView2;
use scellst_metrics::{GeneScores, Metric, top_k};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Mean Pearson of a set of predictions over the genes with the most variance in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// What predicted.
    pub name: String,
    /// `(genes, mean Pearson)` for the 50 and 250 most variable genes and for all, as many as there are; a constant
    /// gene counts as 0.
    pub pearson: Vec<(usize, f64)>,
    /// Genes of all that have no correlation since predictions or measurements are constant.
    pub constant: usize,
    /// Spots or cells compared.
    pub observations: usize,
}

impl std::fmt::Display for Scored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<28}", self.name)?;
        for (genes, pearson) in &self.pearson {
            write!(f, "  top {genes}: {pearson:.3}")?;
        }
        if self.constant > 0 {
            write!(f, "  ({} constant genes counted as 0)", self.constant)?;
        }
        Ok(())
    }
}

/// Scores predictions `(bags, genes)` against measurements of the same shape; `variance` ranks the genes.
///
/// # Errors
/// [`PipelineError::Metrics`] for other shapes, fewer than three rows or values that are no numbers.
pub fn score_bags(
    name: &str,
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    variance: &[f64],
) -> Result<Scored, PipelineError> {
    summarise(name, &GeneScores::compute(predicted, measured, genes)?, variance)
}

pub(crate) fn summarise(name: &str, scores: &GeneScores, variance: &[f64]) -> Result<Scored, PipelineError> {
    let mut pearson = Vec::new();
    let mut sizes: Vec<usize> = [50, 250, scores.len()].iter().map(|&k| k.min(scores.len())).collect();
    sizes.dedup();
    for k in sizes {
        let mean = scores.mean_over(Metric::Pearson, &top_k(variance, k)?)?;
        pearson.push((k, mean.mean_with_constant_as_zero.unwrap_or(0.0)));
    }
    let constant = scores.pearson.iter().filter(|p| p.is_none()).count();
    Ok(Scored { name: name.to_owned(), pearson, constant, observations: scores.observations })
}
