use crate::gene_list::{CommonGenes, common_genes};
use crate::loess::fit_quadratic;
use crate::normalise::median_of_sorted;
use crate::variance::deviations_about;
use crate::{CsrMatrix, ExprError, Expression, GeneScore};

/// Share of the genes in each neighbourhood of the mean-variance trend.
const SPAN: f64 = 0.3;

/// What orders genes of several sections; of one section both give the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HvgFlavor {
    /// By the median of the ranks, then by the number of sections: scanpy's `seurat_v3`.
    #[default]
    SeuratV3,
    /// By the number of sections, then by the median of the ranks: scanpy's `seurat_v3_paper`.
    SeuratV3Paper,
}

/// A gene that varies more than its mean explains.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VariableGene {
    /// Its name.
    pub gene: String,
    /// Normalised variance, the mean over the sections.
    pub normalised_variance: f64,
    /// The median of its ranks (from 0) among the first `k` of the sections that have it there.
    pub median_rank: f64,
    /// In how many sections it is among the first `k`.
    pub sections: usize,
}

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
    let chosen = highly_variable_by(sections, k, HvgFlavor::SeuratV3)?;
    let score = |(at, gene): (usize, VariableGene)| GeneScore {
        gene: gene.gene,
        score: gene.normalised_variance,
        rank: at + 1,
    };
    Ok(chosen.into_iter().enumerate().map(score).collect())
}

/// As [`highly_variable`], in the order of a flavour and with what scanpy tells of each gene; best first.
///
/// # Errors
/// As [`highly_variable`].
pub fn highly_variable_by(
    sections: &[&Expression],
    k: usize,
    flavor: HvgFlavor,
) -> Result<Vec<VariableGene>, ExprError> {
    let CommonGenes { genes, .. } = common_genes(sections)?;
    let mut scores = vec![0.0; genes.len()];
    let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); genes.len()];
    for section in sections {
        let variances = variances_of(section.counts(), &section.gene_positions(&genes)?)?;
        let mut order: Vec<usize> = (0..genes.len()).collect();
        order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
        for (rank, &gene) in order.iter().take(k).enumerate() {
            ranks[gene].push(rank);
        }
        for (score, variance) in scores.iter_mut().zip(&variances) {
            *score += variance / sections.len() as f64;
        }
    }
    let scored = genes.into_iter().zip(scores).zip(&ranks).filter(|(_, ranks)| !ranks.is_empty());
    let mut chosen: Vec<VariableGene> = scored
        .map(|((gene, normalised_variance), ranks)| VariableGene {
            gene,
            normalised_variance,
            median_rank: median(ranks),
            sections: ranks.len(),
        })
        .collect();
    // Stable, and the names are sorted already.
    chosen.sort_by(|a, b| {
        let (rank, sections) = (a.median_rank.total_cmp(&b.median_rank), b.sections.cmp(&a.sections));
        match flavor {
            HvgFlavor::SeuratV3 => rank.then(sections),
            HvgFlavor::SeuratV3Paper => sections.then(rank),
        }
    });
    chosen.truncate(k);
    Ok(chosen)
}

/// The normalised variance of each column of raw counts, as in [`highly_variable`].
///
/// # Errors
/// [`ExprError::NothingLeft`] if there are fewer than two rows, [`ExprError::NotACount`] for a value below zero.
pub fn normalised_variances(counts: &CsrMatrix) -> Result<Vec<f64>, ExprError> {
    variances_of(counts, &(0..counts.cols()).collect::<Vec<_>>())
}

/// Three passes over the stored values, whatever the columns: no copy of them is made.
fn variances_of(counts: &CsrMatrix, columns: &[usize]) -> Result<Vec<f64>, ExprError> {
    if counts.rows() < 2 {
        return Err(ExprError::NothingLeft {
            after: "choosing observations".to_owned(),
            detail: format!("a variance needs two observations, found {}", counts.rows()),
        });
    }
    counts.check_counts()?;
    let n = counts.rows() as f64;
    let mean: Vec<f64> = counts.column_sums().into_iter().map(|sum| sum / n).collect();
    let variance: Vec<f64> = deviations_about(counts, &mean).into_iter().map(|sum| sum / (n - 1.0)).collect();

    let varying: Vec<usize> = columns.iter().copied().filter(|&gene| variance[gene] > 0.0).collect();
    let x: Vec<f64> = varying.iter().map(|&gene| mean[gene].log10()).collect();
    let y: Vec<f64> = varying.iter().map(|&gene| variance[gene].log10()).collect();
    // A constant gene has an expected deviation of 1, as in scanpy; its score is 0 all the same.
    let mut expected = vec![1.0; counts.cols()];
    for (&gene, log) in varying.iter().zip(fit_quadratic(&x, &y, SPAN)) {
        expected[gene] = 10_f64.powf(log).sqrt();
    }
    let clip: Vec<f64> = expected.iter().zip(&mean).map(|(deviation, mean)| deviation * n.sqrt() + mean).collect();
    let clipped = counts.fold_columns(
        |(sum, squares): &mut (f64, f64), gene, value| {
            let clipped = value.min(clip[gene]);
            *sum += clipped;
            *squares += clipped * clipped;
        },
        |(sum, squares), more| {
            *sum += more.0;
            *squares += more.1;
        },
    );
    let score = |&gene: &usize| {
        let (sum, squares) = clipped[gene];
        let about_mean = n * mean[gene] * mean[gene] + squares - 2.0 * sum * mean[gene];
        let score = about_mean / ((n - 1.0) * expected[gene] * expected[gene]);
        // Values near the ends of f32 may be expected to vary by nothing or by infinitely much.
        if score.is_finite() { score } else { 0.0 }
    };
    Ok(columns.iter().map(score).collect())
}

fn median(ranks: &[usize]) -> f64 {
    let mut sorted: Vec<f64> = ranks.iter().map(|&rank| rank as f64).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}
