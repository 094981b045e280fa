use crate::MetricsError;
use crate::special::student_two_sided;
use crate::units::check_level;

/// Mean of repeated measurements, such as one score a seed, a fold or a section, and Student's t interval of it, lower
/// and upper bound; no interval from fewer than two.
///
/// It says how the repeats vary, and takes them for independent: folds that share training data vary less than new
/// ones would.
///
/// ```
/// let (mean, interval) = scellst_metrics::mean_interval(&[0.70, 0.72, 0.71], 0.95)?;
/// let (low, high) = interval.unwrap();
/// assert!((mean - 0.71).abs() < 1e-12 && (high - mean - 0.0248).abs() < 1e-4 && (mean - low - 0.0248).abs() < 1e-4);
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
///
/// # Errors
/// [`MetricsError::TooFew`] without a value, [`MetricsError::Setting`] for a value that is no number or a level that is not
/// between 0 and 1.
pub fn mean_interval(values: &[f64], level: f64) -> Result<(f64, Option<(f64, f64)>), MetricsError> {
    check_level(level)?;
    if values.is_empty() {
        return Err(MetricsError::TooFew { found: 0, least: 1 });
    }
    if let Some(value) = values.iter().find(|v| !v.is_finite()) {
        return Err(MetricsError::setting("a repeated measurement", "a number", value));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return Ok((mean, None));
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = student_quantile(1.0 - level, n - 1.0) * (variance / n).sqrt();
    Ok((mean, Some((mean - half, mean + half))))
}

/// The t that is exceeded, either way, with this probability: halving between its logarithms.
fn student_quantile(two_sided: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (-30.0f64, 30.0f64);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if student_two_sided(middle.exp(), freedom) > two_sided { low = middle } else { high = middle }
    }
    (0.5 * (low + high)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.interval` of SciPy 1.17.1.
    #[test]
    fn intervals_are_those_of_scipy() {
        let cases: [(&[f64], f64, (f64, f64)); 2] = [
            (&[1.0, 2.0, 4.0, 8.0], 0.95, (-1.175_943_048_230_293_7, 8.675_943_048_230_295)),
            (&[0.5, 0.7], 0.9, (-0.031_375_151_467_504_36, 1.231_375_151_467_503_5)),
        ];
        for (values, level, expected) in cases {
            let (mean, interval) = mean_interval(values, level).unwrap();
            assert!((mean - values.iter().sum::<f64>() / values.len() as f64).abs() < 1e-12);
            let (low, high) = interval.unwrap();
            assert!((low - expected.0).abs() < 1e-9 && (high - expected.1).abs() < 1e-9, "{low} {high} {expected:?}");
        }
    }

    #[test]
    fn one_has_no_interval_and_bad_ones_are_refused() {
        assert_eq!(mean_interval(&[2.0], 0.95).unwrap(), (2.0, None));
        assert_eq!(mean_interval(&[2.0, 2.0], 0.95).unwrap(), (2.0, Some((2.0, 2.0))));
        assert!(mean_interval(&[], 0.95).is_err());
        assert!(mean_interval(&[f64::NAN, 1.0], 0.95).unwrap_err().to_string().contains("NaN"));
        assert!(mean_interval(&[1.0, 2.0], 1.5).is_err());
    }
}
