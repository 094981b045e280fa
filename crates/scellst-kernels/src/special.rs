//! The negative binomial of counts, for the CPU, in f64: differences of log-gammas cancel at large counts.

/// Added to means and dispersions, so that a mean of 0 has a logarithm (the published code does so).
const SMALL: f64 = 1e-8;

/// Minus the log-likelihood of `count` under a negative binomial of `mean` and dispersion `theta` (variance
/// `mean + mean^2 / theta`).
pub(crate) fn negative_binomial(mean: f64, theta: f64, count: f64) -> f64 {
    let (m, t) = (mean + SMALL, theta + SMALL);
    let total = (theta + m).ln();
    let gammas = libm::lgamma(count + t) - libm::lgamma(t) - libm::lgamma(count + 1.0);
    -(theta * (t.ln() - total) + count * (m.ln() - total) + gammas)
}

/// Its derivative by the mean.
pub(crate) fn negative_binomial_by_mean(mean: f64, theta: f64, count: f64) -> f64 {
    let m = mean + SMALL;
    (theta + count) / (theta + m) - count / m
}

/// Its derivative by `log(theta)`.
pub(crate) fn negative_binomial_by_log_theta(mean: f64, theta: f64, count: f64) -> f64 {
    let (m, t) = (mean + SMALL, theta + SMALL);
    let logs = (t / (theta + m)).ln() + theta / t - (theta + count) / (theta + m);
    -theta * (logs + digamma(count + t) - digamma(t))
}

/// The derivative of log-gamma, for `x > 0`: Abramowitz & Stegun 6.3.5 up to 10, then the asymptotic series 6.3.18.
fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    // Bernoulli numbers over their index; the next term is below 1e-13.
    let series = s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s * (1.0 / 240.0 - s * (1.0 / 132.0)))));
    sum + x.ln() - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_at_known_places() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        for (x, y) in
            [(1.0, -EULER), (2.0, 1.0 - EULER), (0.5, -EULER - 2.0 * 2f64.ln()), (10.0, 2.251_752_589_066_721)]
        {
            assert!((digamma(x) - y).abs() < 1e-13, "{x}: {}", digamma(x));
        }
        // Far out it is log(x) - 1 / 2x.
        assert!((digamma(1e8) - (1e8f64.ln() - 0.5e-8)).abs() < 1e-14);
    }

    /// Probabilities of all counts sum to one, their mean is the mean.
    #[test]
    fn is_a_distribution() {
        let (mut sum, mut mean) = (0.0, 0.0);
        for count in 0..4000 {
            let p = (-negative_binomial(7.5, 1.3, count.into())).exp();
            sum += p;
            mean += p * f64::from(count);
        }
        assert!((sum - 1.0).abs() < 1e-6 && (mean - 7.5).abs() < 1e-5, "{sum} {mean}");
    }
}
