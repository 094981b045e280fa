use std::collections::BTreeSet;

use ndarray::ArrayView2;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::random::stream;

/// How to choose the genes to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreOptions {
    /// Genes drawn from each level of expression.
    pub control_size: usize,
    /// Levels of expression.
    pub bins: usize,
    /// Of the draw.
    pub seed: u64,
}

impl Default for ScoreOptions {
    /// scanpy's: 50 genes from each of 25 levels.
    fn default() -> Self {
        Self { control_size: 50, bins: 25, seed: 0 }
    }
}

/// The score of a signature in each observation: the mean of its genes less that of genes of like expression.
///
/// As scanpy's `score_genes` (1.11, `ctrl_as_ref=True`; Satija et al. 2015), except for the random numbers: the same result where
/// `control_size` is not below the size of a level, so that nothing is drawn. `signature` are columns; one that comes
/// twice counts once; `pool`, the columns to compare with, is all where there is none.
///
/// # Errors
/// [`MetricsError::NoSuchGene`], [`MetricsError::NotFinite`], [`MetricsError::Setting`] for fewer than two bins,
/// [`MetricsError::TooFew`] for an empty signature, or if no gene is left to compare with: a smaller signature, a larger
/// pool or fewer bins mend that.
pub fn score_genes(
    values: ArrayView2<'_, f32>,
    signature: &[usize],
    pool: Option<&[usize]>,
    options: &ScoreOptions,
) -> Result<Vec<f64>, MetricsError> {
    let genes = values.ncols();
    let given = signature.iter().chain(pool.unwrap_or(&[]));
    if let Some(&found) = given.copied().find(|&gene| gene >= genes).as_ref() {
        return Err(MetricsError::NoSuchGene { found, genes });
    }
    if options.bins < 2 {
        return Err(MetricsError::setting("bins of expression", "at least 2", options.bins));
    }
    if let Some(((row, column), &value)) = values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(MetricsError::NotFinite { side: "value", row, column, gene: column.to_string(), value });
    }
    let signature: BTreeSet<usize> = signature.iter().copied().collect();
    let pool: BTreeSet<usize> = pool.map_or_else(|| (0..genes).collect(), |pool| pool.iter().copied().collect());
    // A gene of the signature outside of the pool has no level of its own.
    if signature.is_empty() || pool.is_empty() {
        return Err(MetricsError::TooFew { found: 0, least: 1 });
    }
    let mut means: Vec<(f32, usize)> = pool.iter().map(|&gene| (mean_f32(values, gene), gene)).collect();
    means.sort_by(|a, b| a.0.total_cmp(&b.0));
    let per_bin = ((pool.len() as f64 / (options.bins - 1) as f64).round_ties_even() as usize).max(1);
    // Equal means are of the same level: that of the first.
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut rank = 1;
    for equal in means.chunk_by(|a, b| a.0 == b.0) {
        let bin = rank / per_bin;
        bins.resize_with(bins.len().max(bin + 1), Vec::new);
        bins[bin].extend(equal.iter().map(|&(_, gene)| gene));
        rank += equal.len();
    }
    let mut control = BTreeSet::new();
    for (bin, members) in bins.iter_mut().enumerate().filter(|(_, bin)| bin.iter().any(|g| signature.contains(g))) {
        members.sort_unstable();
        let drawn: Vec<usize> = if options.control_size < members.len() {
            let chosen = index::sample(&mut stream(options.seed, bin), members.len(), options.control_size);
            chosen.iter().map(|at| members[at]).collect()
        } else {
            members.clone()
        };
        control.extend(drawn.into_iter().filter(|gene| !signature.contains(gene)));
    }
    if control.is_empty() {
        return Err(MetricsError::TooFew { found: 0, least: 1 });
    }
    let mean = |row: ndarray::ArrayView1<'_, f32>, genes: &BTreeSet<usize>| {
        genes.iter().map(|&gene| f64::from(row[gene])).sum::<f64>() / genes.len() as f64
    };
    Ok(values.rows().into_iter().map(|row| mean(row, &signature) - mean(row, &control)).collect())
}

fn mean_f32(values: ArrayView2<'_, f32>, gene: usize) -> f32 {
    (values.column(gene).iter().map(|&v| f64::from(v)).sum::<f64>() / values.nrows() as f64) as f32
}
