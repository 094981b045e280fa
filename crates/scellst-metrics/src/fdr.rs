use crate::MetricsError;

/// False discovery rates of p-values by Benjamini and Hochberg (1995): the lowest rate at which each would be called.
///
/// As SciPy's `false_discovery_control(method="bh")` and statsmodels' `multipletests(method="fdr_bh")`.
///
/// ```
/// let q = scellst_metrics::benjamini_hochberg(&[0.01, 0.04, 0.03, 0.5])?;
/// assert!((q[0] - 0.04).abs() < 1e-12 && (q[1] - 0.16 / 3.0).abs() < 1e-12 && q[3] == 0.5);
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
///
/// # Errors
/// [`MetricsError::PValue`] for one that is not from 0 to 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>, MetricsError> {
    if let Some(at) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(MetricsError::PValue { at, value: p_values[at] });
    }
    let n = p_values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut rates = vec![0.0; n];
    let mut lowest = 1.0_f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        lowest = lowest.min(p_values[at] * n as f64 / (rank + 1) as f64);
        rates[at] = lowest;
    }
    Ok(rates)
}
