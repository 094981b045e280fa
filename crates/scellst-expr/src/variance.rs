use crate::gene_list::common_genes;
use crate::normalise::{TARGET_SUM, factors, log_value};
use crate::{CsrMatrix, ExprError, Expression, GeneScore};

/// A gene must be seen in more than this share of all observations for [`most_variable`].
const MIN_SHARE: f64 = 0.1;

/// `var:k`: the `k` genes most variable after [`normalise_log1p`](crate::normalise_log1p), among those with a
/// count in more than a tenth of all observations.
///
/// Sections are taken as given (filter them before) and each is normalised over all of its own genes; the variance is
/// the population variance over the observations of all sections, of the genes that all have. Score: that variance.
/// Equal scores in order of the name.
///
/// # Errors
/// [`ExprError::NoCommonGenes`].
pub fn most_variable(sections: &[&Expression], k: usize) -> Result<Vec<GeneScore>, ExprError> {
    let genes = common_genes(sections)?.genes;
    let moments = Moments::of(sections, &genes)?;
    let least = MIN_SHARE * moments.observations as f64;
    let mut scores: Vec<GeneScore> = genes
        .into_iter()
        .zip(moments.variance.iter().zip(&moments.seen))
        .filter(|(_, (_, seen))| **seen as f64 > least)
        .map(|(gene, (&score, _))| GeneScore { gene, score, rank: 0 })
        .collect();
    // Stable, and the names are sorted already: equal scores stay in order of the name.
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    scores.truncate(k);
    for (at, score) in scores.iter_mut().enumerate() {
        score.rank = at + 1;
    }
    Ok(scores)
}

/// Population variance of each of these genes after [`normalise_log1p`](crate::normalise_log1p), over the
/// observations of all sections: the ranking that scores are reported by.
///
/// # Errors
/// [`ExprError::MissingGenes`] if a section lacks one.
pub fn log_normalised_variance<S: AsRef<str>>(sections: &[&Expression], genes: &[S]) -> Result<Vec<f64>, ExprError> {
    Ok(Moments::of(sections, genes)?.variance)
}

struct Moments {
    observations: usize,
    variance: Vec<f64>,
    seen: Vec<usize>,
}

impl Moments {
    fn of<S: AsRef<str>>(sections: &[&Expression], genes: &[S]) -> Result<Self, ExprError> {
        let mut logs = Vec::with_capacity(sections.len());
        for section in sections {
            let factors = factors(section.counts(), TARGET_SUM);
            let log = section.counts().map(|row, value| log_value(value, factors[row]))?;
            logs.push((log, section.gene_positions(genes)?));
        }
        let n: usize = logs.iter().map(|(log, _)| log.rows()).sum();
        let mut seen = vec![0; genes.len()];
        let mut mean = vec![0.0; genes.len()];
        for (log, columns) in &logs {
            let (sums, nonzeros) = (log.column_sums(), log.column_nonzeros());
            for (gene, &column) in columns.iter().enumerate() {
                mean[gene] += sums[column] / n as f64;
                seen[gene] += nonzeros[column];
            }
        }
        let mut variance = vec![0.0; genes.len()];
        for (log, columns) in &logs {
            let squares = squared_deviations(log, columns, &mean);
            for (sum, square) in variance.iter_mut().zip(squares) {
                *sum += square / n as f64;
            }
        }
        Ok(Self { observations: n, variance, seen })
    }
}

/// Per chosen column the sum of `(value - mean)^2` over all rows, zeros included.
fn squared_deviations(matrix: &CsrMatrix, columns: &[usize], mean: &[f64]) -> Vec<f64> {
    let mut of_column = vec![0.0; matrix.cols()];
    for (&column, &mean) in columns.iter().zip(mean) {
        of_column[column] = mean;
    }
    let squares = deviations_about(matrix, &of_column);
    columns.iter().map(|&column| squares[column]).collect()
}

/// Per column the sum of `(value - mean)^2` over all rows, zeros included.
pub(crate) fn deviations_about(matrix: &CsrMatrix, mean: &[f64]) -> Vec<f64> {
    #[derive(Clone, Copy, Default)]
    struct Square {
        sum: f64,
        stored: usize,
    }
    let squares = matrix.fold_columns(
        |square: &mut Square, column, value| {
            let deviation = value - mean[column];
            square.sum += deviation * deviation;
            square.stored += 1;
        },
        |square, more| {
            square.sum += more.sum;
            square.stored += more.stored;
        },
    );
    let with_zeros = |(square, mean): (Square, &f64)| square.sum + (matrix.rows() - square.stored) as f64 * mean * mean;
    squares.into_iter().zip(mean).map(with_zeros).collect()
}
