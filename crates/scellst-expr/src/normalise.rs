use ndarray::Array2;

use crate::{CsrMatrix, ExprError};

/// Counts that every observation is scaled to before the logarithm.
pub const TARGET_SUM: f64 = 10_000.0;

/// Scales every row to sum up to `target` (usually [`TARGET_SUM`]); a row without counts stays zero.
///
/// As scanpy's `pp.normalize_total(target_sum=target)`.
///
/// # Errors
/// [`ExprError::Setting`] unless `target` is positive and finite.
pub fn normalise(counts: &CsrMatrix, target: f64) -> Result<CsrMatrix, ExprError> {
    Ok(NormaliseConfig { target: TargetSum::Of(target), ..NormaliseConfig::default() }.apply(counts.clone())?.matrix)
}

/// What rows sum up to after [`NormaliseConfig::apply`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TargetSum {
    /// So much.
    Of(f64),
    /// The median total of the rows that have counts.
    Median,
}

/// How rows are brought to one depth, as scanpy's `pp.normalize_total`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormaliseConfig {
    /// What rows sum up to; [`TARGET_SUM`].
    pub target: TargetSum,
    /// Genes that make more than this share of any one row do not count for the totals (they are scaled all the
    /// same); scanpy's `exclude_highly_expressed` with its `max_fraction`. `None`, the default: all count.
    pub exclude_above: Option<f64>,
}

impl Default for NormaliseConfig {
    fn default() -> Self {
        Self { target: TargetSum::Of(TARGET_SUM), exclude_above: None }
    }
}

/// What [`NormaliseConfig::apply`] gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Normalised {
    /// The scaled values. A row without counts (of genes that count) stays as it is if it is empty, else it is 0.
    pub matrix: CsrMatrix,
    /// What each row was multiplied by; 0 for one without a total.
    pub factors: Vec<f64>,
    /// Columns that did not count for the totals, rising.
    pub excluded: Vec<usize>,
}

impl NormaliseConfig {
    /// Scales the rows of raw counts, in place.
    ///
    /// The median leaves rows without counts aside, as scanpy does for dense matrices (for sparse ones it counts
    /// them); filtered sections have none.
    ///
    /// # Errors
    /// [`ExprError::Setting`] for a target that is not positive and finite or a share that is not from 0 to 1;
    /// [`ExprError::NothingLeft`] for the median of no counts; [`ExprError::NotACount`] for a value below zero or a
    /// scaled value beyond `f32`.
    pub fn apply(&self, counts: CsrMatrix) -> Result<Normalised, ExprError> {
        counts.check_counts()?;
        let (mut totals, mut excluded) = (counts.row_sums(), Vec::new());
        if let Some(share) = self.exclude_above {
            if !(0.0..=1.0).contains(&share) {
                let (setting, expected) = ("share of genes to exclude", "from 0 to 1");
                return Err(ExprError::Setting { setting, expected, found: share.to_string() });
            }
            let mut high = vec![false; counts.cols()];
            for (row, total) in totals.iter().enumerate() {
                let (columns, values) = counts.row(row);
                for (&column, &value) in columns.iter().zip(values) {
                    high[column as usize] |= f64::from(value) > share * total;
                }
            }
            excluded = (0..counts.cols()).filter(|&column| high[column]).collect();
            if !excluded.is_empty() {
                for (row, total) in totals.iter_mut().enumerate() {
                    let (columns, values) = counts.row(row);
                    let counted = columns.iter().zip(values).filter(|(column, _)| !high[**column as usize]);
                    *total = counted.map(|(_, &value)| f64::from(value)).sum();
                }
            }
        }
        let target = match self.target {
            TargetSum::Of(target) => target,
            TargetSum::Median => {
                let mut sorted: Vec<f64> = totals.iter().copied().filter(|total| *total > 0.0).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                if sorted.is_empty() {
                    return Err(ExprError::NothingLeft {
                        after: "taking totals".to_owned(),
                        detail: format!("none of {} observations has counts; the median needs one", totals.len()),
                    });
                }
                median_of_sorted(&sorted)
            }
        };
        check_target(target)?;
        let factors: Vec<f64> =
            totals.into_iter().map(|total| if total > 0.0 { target / total } else { 0.0 }).collect();
        let matrix = counts.into_mapped(|row, value| (f64::from(value) * factors[row]) as f32)?;
        Ok(Normalised { matrix, factors, excluded })
    }
}

/// Natural logarithm of 1 + each value.
///
/// # Errors
/// [`ExprError::NotACount`] for a value of -1 or below.
pub fn log1p(matrix: &CsrMatrix) -> Result<CsrMatrix, ExprError> {
    matrix.map(|_, value| f64::from(value).ln_1p() as f32)
}

/// [`normalise`] to [`TARGET_SUM`], then [`log1p`], rounded to `f32` once.
///
/// # Errors
/// [`ExprError::NotACount`] for a value below zero.
pub fn normalise_log1p(counts: &CsrMatrix) -> Result<CsrMatrix, ExprError> {
    into_normalised_log1p(counts.clone())
}

/// As [`normalise_log1p`], in place: the counts are gone.
///
/// # Errors
/// As [`normalise_log1p`].
pub fn into_normalised_log1p(counts: CsrMatrix) -> Result<CsrMatrix, ExprError> {
    counts.check_counts()?;
    let factors = factors(&counts, TARGET_SUM);
    counts.into_mapped_rows(|row, values| {
        // Most counts of a row are small and whole: each logarithm is taken once.
        let mut known = [f32::NAN; 32];
        for value in values {
            let whole = *value as usize;
            *value = match known.get_mut(whole) {
                Some(known) if whole as f32 == *value => {
                    if known.is_nan() {
                        *known = log_value(*value, factors[row]);
                    }
                    *known
                }
                _ => log_value(*value, factors[row]),
            };
        }
    })
}

/// Each total over the median of all: the size factor of a negative binomial model.
///
/// The median of an even number is the mean of the middle two, as NumPy has it.
///
/// # Errors
/// [`ExprError::NothingLeft`] if there is no total or their median is 0.
pub fn size_factors(totals: &[f64]) -> Result<Vec<f64>, ExprError> {
    let mut sorted = totals.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (n, median) = (sorted.len(), median_of_sorted(&sorted));
    if median > 0.0 && median.is_finite() {
        Ok(totals.iter().map(|total| total / median).collect())
    } else {
        Err(ExprError::NothingLeft {
            after: "taking totals".to_owned(),
            detail: format!("the median total of {n} observations is {median}; filter out observations without counts"),
        })
    }
}

/// The middle value, the mean of the middle two for an even number, 0 for none.
pub(crate) fn median_of_sorted(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Log-normalised values of some columns; totals over all columns.
pub(crate) fn log_normalised_columns(counts: &CsrMatrix, columns: &[usize]) -> Result<Array2<f32>, ExprError> {
    let factors = factors(counts, TARGET_SUM);
    counts.dense_columns_with(columns, |row, value| log_value(value, factors[row]))
}

/// The log-normalised value of one count.
pub(crate) fn log_value(value: f32, factor: f64) -> f32 {
    (f64::from(value) * factor).ln_1p() as f32
}

/// `target / total` per row, 0 for a row without counts.
pub(crate) fn factors(counts: &CsrMatrix, target: f64) -> Vec<f64> {
    counts.row_sums().into_iter().map(|total| if total > 0.0 { target / total } else { 0.0 }).collect()
}

fn check_target(target: f64) -> Result<(), ExprError> {
    if target.is_finite() && target > 0.0 {
        Ok(())
    } else {
        Err(ExprError::Setting { setting: "target sum", expected: "above 0 and finite", found: target.to_string() })
    }
}
