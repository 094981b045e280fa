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
    check_target(target)?;
    let factors = factors(counts, target);
    counts.map(|row, value| (f64::from(value) * factors[row]) as f32)
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
/// None for the counts of an [`Expression`](crate::Expression).
pub fn normalise_log1p(counts: &CsrMatrix) -> Result<CsrMatrix, ExprError> {
    let factors = factors(counts, TARGET_SUM);
    counts.map(|row, value| log_value(value, factors[row]))
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
