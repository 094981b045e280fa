use crate::gene_list::common_genes;
use crate::loess::fit_quadratic;
use crate::variance::deviations_about;
use crate::{CsrMatrix, ExprError, Expression, GeneScore};

/// Share of the genes in each neighbourhood of the mean-variance trend.
const SPAN: f64 = 0.3;

/// `hvg:k`: the `k` genes whose raw counts vary most for their mean, as scanpy's `seurat_v3`.
///
/// Within each section the variance that is expected at a gene's mean comes from LOESS (degree 2, span 0.3) of
/// log10 variance on log10 mean; counts are clipped at `sqrt(n)` expected deviations above the mean; the score is the
/// variance of what is left over the expected one, its mean over the sections. Sections are batches: genes are ordered
/// by the median of their ranks among the sections' first `k`, then by the number of sections that have them there,
/// then by name. Give raw counts, filtered as wished.
///
/// Stuart et al., Comprehensive integration of single-cell data, Cell 177 (2019) 1888.
///
/// # Errors
/// [`ExprError::NoCommonGenes`]; [`ExprError::NothingLeft`] if a section has fewer than two observations.
pub fn highly_variable(sections: &[&Expression], k: usize) -> Result<Vec<GeneScore>, ExprError> {
    let genes = common_genes(sections)?.genes;
    let mut scores = vec![0.0; genes.len()];
    let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); genes.len()];
    for section in sections {
        let columns = section.gene_positions(&genes)?;
        let variances: Vec<f64> = if columns.len() == section.genes().len() {
            // All genes of the section: no copy is needed, only their order.
            let in_own_order = normalised_variances(section.counts())?;
            columns.iter().map(|&column| in_own_order[column]).collect()
        } else {
            normalised_variances(&section.counts().select_columns(&columns)?)?
        };
        let mut order: Vec<usize> = (0..genes.len()).collect();
        order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
        for (rank, &gene) in order.iter().take(k).enumerate() {
            ranks[gene].push(rank);
        }
        for (score, variance) in scores.iter_mut().zip(&variances) {
            *score += variance / sections.len() as f64;
        }
    }
    let mut chosen: Vec<usize> = (0..genes.len()).filter(|&gene| !ranks[gene].is_empty()).collect();
    let medians: Vec<f64> = ranks.iter_mut().map(|ranks| median(ranks)).collect();
    // Stable, and the names are sorted already.
    chosen.sort_by(|&a, &b| medians[a].total_cmp(&medians[b]).then(ranks[b].len().cmp(&ranks[a].len())));
    chosen.truncate(k);
    let score = |(at, gene): (usize, usize)| GeneScore { gene: genes[gene].clone(), score: scores[gene], rank: at + 1 };
    Ok(chosen.into_iter().enumerate().map(score).collect())
}

/// The normalised variance of each column of raw counts, as in [`highly_variable`].
///
/// # Errors
/// [`ExprError::NothingLeft`] if there are fewer than two rows.
pub fn normalised_variances(counts: &CsrMatrix) -> Result<Vec<f64>, ExprError> {
    if counts.rows() < 2 {
        return Err(ExprError::NothingLeft {
            after: "choosing observations".to_owned(),
            detail: format!("a variance needs two observations, found {}", counts.rows()),
        });
    }
    let n = counts.rows() as f64;
    let mean: Vec<f64> = counts.column_sums().into_iter().map(|sum| sum / n).collect();
    let variance: Vec<f64> = deviations_about(counts, &mean).into_iter().map(|sum| sum / (n - 1.0)).collect();

    let varying: Vec<usize> = (0..counts.cols()).filter(|&gene| variance[gene] > 0.0).collect();
    let x: Vec<f64> = varying.iter().map(|&gene| mean[gene].log10()).collect();
    let y: Vec<f64> = varying.iter().map(|&gene| variance[gene].log10()).collect();
    // A constant gene has an expected deviation of 1, as in scanpy; its score is 0 all the same.
    let mut expected = vec![1.0; counts.cols()];
    for (&gene, log) in varying.iter().zip(fit_quadratic(&x, &y, SPAN)) {
        expected[gene] = 10_f64.powf(log).sqrt();
    }
    let clip: Vec<f64> = expected.iter().zip(&mean).map(|(deviation, mean)| deviation * n.sqrt() + mean).collect();
    let sums = counts.fold_columns(|sum, gene, value| *sum += f64::from(value).min(clip[gene]));
    let squares = counts.fold_columns(|sum, gene, value| {
        let clipped = f64::from(value).min(clip[gene]);
        *sum += clipped * clipped;
    });
    let score = |gene: usize| {
        let about_mean = n * mean[gene] * mean[gene] + squares[gene] - 2.0 * sums[gene] * mean[gene];
        about_mean / ((n - 1.0) * expected[gene] * expected[gene])
    };
    Ok((0..counts.cols()).map(score).collect())
}

fn median(ranks: &mut [usize]) -> f64 {
    ranks.sort_unstable();
    let n = ranks.len();
    match n {
        0 => f64::INFINITY,
        _ if n % 2 == 1 => ranks[n / 2] as f64,
        _ => (ranks[n / 2 - 1] + ranks[n / 2]) as f64 / 2.0,
    }
}
