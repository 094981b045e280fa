//! Losses from the predictions of bags, with their gradients.
//!
//! Everything in f64: the log-likelihoods of counts are small differences of large numbers, and bags are few.

use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

use super::math::{exp_neg64, ln_gamma_digamma, ln64};
use super::panels::{LANES, panels};

/// Keeps logarithms finite.
const EPSILON: f64 = 1e-8;

/// What a bag's prediction `m`, the mean of its cells, is compared with its label `x` by.
///
/// For counts, `s` is the spot's size factor (its total of all genes over the median total), `a` (and `b`) are parameters
/// of a gene that are trained with the network. Squared errors are averaged over bags and genes, the others are minus
/// log-likelihoods, summed over genes and averaged over bags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `(m - x)^2`.
    #[default]
    Mse,
    /// Negative binomial of mean `s m` and inverse dispersion `exp(a)`.
    NbMean,
    /// Negative binomial of total count `s m` and logits `a`; its mean is `s m exp(a)`.
    NbTotal,
    /// Poisson of mean `s m`.
    Poisson,
    /// As `NbMean`, or zero with the odds `exp(b)`.
    ZeroInflatedNb,
}

impl Loss {
    /// Trained parameters of each gene beside the network.
    pub fn gene_parameters(self) -> usize {
        match self {
            Self::Mse | Self::Poisson => 0,
            Self::NbMean | Self::NbTotal => 1,
            Self::ZeroInflatedNb => 2,
        }
    }

    /// Whether labels are counts, which want a size factor.
    pub fn of_counts(self) -> bool {
        self != Self::Mse
    }

    /// What the sum over bags and genes is multiplied with; `bags` is their number, or the sum of what each counts for.
    pub fn normaliser(self, bags: f64, genes: usize) -> f64 {
        match self {
            Self::Mse => 1.0 / (bags * genes as f64),
            _ => 1.0 / bags,
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mse => "mse",
            Self::NbMean => "nb-mean",
            Self::NbTotal => "nb-total",
            Self::Poisson => "poisson",
            Self::ZeroInflatedNb => "zero-inflated-nb",
        })
    }
}

/// One value for each of a panel's genes.
pub type Genes = [f64; LANES];

/// A loss with what depends on the genes' parameters only.
pub struct BagLoss {
    loss: Loss,
    /// Panel by panel.
    tables: Vec<Table>,
}

/// For `nb-mean`: theta, its log, log-gamma and digamma (of theta + e), odds of zero; for `nb-total` the logits' log-sigmoids.
#[derive(Clone)]
struct Table {
    theta: Genes,
    log: Genes,
    gamma: Genes,
    digamma: Genes,
    other: Genes,
}

/// What [`BagLoss::bag`] gives for a panel's genes.
pub struct Gradient {
    /// Of the prediction.
    pub mean: Genes,
    /// Of the genes' parameters.
    pub parameters: [Genes; 2],
}

impl BagLoss {
    /// For so many genes.
    pub fn new(loss: Loss, genes: usize) -> Self {
        let zero = [0.0; LANES];
        let table = Table { theta: zero, log: zero, gamma: zero, digamma: zero, other: zero };
        let count = if loss.gene_parameters() > 0 { panels(genes) } else { 0 };
        Self { loss, tables: vec![table; count] }
    }

    /// Which.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Takes in the genes' parameters: one row after another, each padded to panels.
    ///
    /// # Panics
    /// If there are not as many as the loss has.
    pub fn prepare(&mut self, parameters: &[f32]) {
        let width = self.tables.len() * LANES;
        assert_eq!(parameters.len(), width * self.loss.gene_parameters(), "parameters of another number of genes");
        for (p, t) in self.tables.iter_mut().enumerate() {
            for j in 0..LANES {
                let at = p * LANES + j;
                let a = f64::from(parameters[at]);
                if self.loss == Loss::NbTotal {
                    // log sigmoid(-a), log sigmoid(a), sigmoid(a).
                    t.theta[j] = -softplus(a);
                    t.log[j] = -softplus(-a);
                    t.other[j] = sigmoid(a);
                    continue;
                }
                t.theta[j] = a.exp();
                t.log[j] = (t.theta[j] + EPSILON).ln();
                (t.gamma[j], t.digamma[j]) = ln_gamma_digamma(t.theta[j] + EPSILON);
                t.other[j] = parameters.get(width + at).map_or(0.0, |&b| b.into());
            }
        }
    }

    /// Loss of one bag for the genes of panel `p`, not normalised, and its gradient.
    #[inline(always)]
    pub(super) fn lanes(&self, p: usize, mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
        let mut loss = match self.loss {
            Loss::Mse => {
                d.mean = std::array::from_fn(|j| 2.0 * (mean[j] - label[j]));
                std::array::from_fn(|j| (mean[j] - label[j]) * (mean[j] - label[j]))
            }
            Loss::Poisson => poisson(mean, label, size, d),
            Loss::NbMean => nb_mean(&self.tables[p], mean, label, size, d),
            Loss::NbTotal => nb_total(&self.tables[p], mean, label, size, d),
            Loss::ZeroInflatedNb => zero_inflated(&self.tables[p], mean, label, size, d),
        };
        // The logarithm above knows no NaN; it must be seen.
        loss.iter_mut().zip(mean).for_each(|(loss, m)| *loss += m * 0.0);
        loss
    }

    /// Loss of one bag for the genes of panel `p`, not normalised, and its gradient; `mean` and `label` have a panel's
    /// width, `size` is the size factor.
    pub fn bag(&self, p: usize, mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
        struct Run<'a>(&'a BagLoss, usize, &'a Genes, &'a Genes, f64, &'a mut Gradient);
        impl WithSimd for Run<'_> {
            type Output = Genes;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Genes {
                self.0.lanes(self.1, self.2, self.3, self.4, self.5)
            }
        }
        Arch::new().dispatch(Run(self, p, mean, label, size, d))
    }
}

impl Default for Gradient {
    fn default() -> Self {
        Self { mean: [0.0; LANES], parameters: [[0.0; LANES]; 2] }
    }
}

#[inline(always)]
fn sigmoid(a: f64) -> f64 {
    let e = exp_neg64(a.abs());
    (if a > 0.0 { 1.0 } else { e }) / (1.0 + e)
}

#[inline(always)]
fn softplus(a: f64) -> f64 {
    (if a > 0.0 { a } else { 0.0 }) + ln64(1.0 + exp_neg64(a.abs()))
}

/// `log(x!)`, of what may be between whole numbers.
#[inline(always)]
fn ln_factorial(x: f64) -> f64 {
    ln_gamma_digamma(x + 1.0).0
}

#[inline(always)]
fn poisson(mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
    d.mean = std::array::from_fn(|j| size * (1.0 - label[j] / (size * mean[j] + EPSILON)));
    std::array::from_fn(|j| {
        let (mu, x) = (size * mean[j], label[j]);
        mu - x * ln64(mu + EPSILON) + ln_factorial(x)
    })
}

/// log NB(x; mu, theta) = theta (log(theta + e) - log(theta + mu + e)) + x (log(mu + e) - log(theta + mu + e))
///   + lgamma(x + theta + e) - lgamma(theta + e) - lgamma(x + 1)
#[inline(always)]
fn nb_mean(t: &Table, mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
    let mut loss = [0.0; LANES];
    for j in 0..LANES {
        let (mu, x, theta) = (size * mean[j], label[j], t.theta[j]);
        let both = theta + mu + EPSILON;
        let log_both = ln64(both);
        let (gamma, digamma) = ln_gamma_digamma(x + theta + EPSILON);
        let likelihood =
            theta * (t.log[j] - log_both) + x * (ln64(mu + EPSILON) - log_both) + gamma - t.gamma[j] - ln_factorial(x);
        loss[j] = -likelihood;
        d.mean[j] = size * ((theta + x) / both - x / (mu + EPSILON));
        let by_theta = t.log[j] - log_both + theta / (theta + EPSILON) - (theta + x) / both + digamma - t.digamma[j];
        d.parameters[0][j] = -theta * by_theta;
    }
    loss
}

/// log NB(x; r, a) = r log sigmoid(-a) + x log sigmoid(a) + lgamma(r + x) - lgamma(x + 1) - lgamma(r)
#[inline(always)]
fn nb_total(t: &Table, mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
    let mut loss = [0.0; LANES];
    for j in 0..LANES {
        // A prediction may underflow to zero, where log-gamma has none.
        let product = size * mean[j];
        let r = if product > 1e-30 { product } else { 1e-30 };
        let x = label[j];
        let (above, below) = (ln_gamma_digamma(r + x), ln_gamma_digamma(r));
        let likelihood = r * t.theta[j] + x * t.log[j] + (above.0 - below.0) - ln_factorial(x);
        loss[j] = -likelihood;
        d.mean[j] = -size * (t.theta[j] + above.1 - below.1);
        d.parameters[0][j] = r * t.other[j] - x * (1.0 - t.other[j]);
    }
    loss
}

/// A zero with probability sigmoid(b), else NB of a mean; as in scvi-tools.
#[inline(always)]
fn zero_inflated(t: &Table, mean: &Genes, label: &Genes, size: f64, d: &mut Gradient) -> Genes {
    let mut loss = nb_mean(t, mean, label, size, d);
    for j in 0..LANES {
        let (mu, x, theta, b) = (size * mean[j], label[j], t.theta[j], t.other[j]);
        let both = theta + mu + EPSILON;
        // log NB(0), log of the odds of its zero against the other, and its share of the zeros.
        let zero = theta * (t.log[j] - ln64(both));
        let share = sigmoid(zero - b);
        let by_theta = t.log[j] - ln64(both) + theta / (theta + EPSILON) - theta / both;
        let is_zero = x == 0.0;
        let normal = softplus(-b);
        loss[j] = if is_zero { normal - softplus(zero - b) } else { loss[j] + normal + b };
        d.mean[j] = if is_zero { share * size * theta / both } else { d.mean[j] };
        d.parameters[0][j] = if is_zero { -share * theta * by_theta } else { d.parameters[0][j] };
        d.parameters[1][j] = (if is_zero { share } else { 1.0 }) - sigmoid(-b);
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 5] = [Loss::Mse, Loss::NbMean, Loss::NbTotal, Loss::Poisson, Loss::ZeroInflatedNb];

    fn case() -> (Genes, Genes) {
        let mean = std::array::from_fn(|j| [0.003, 0.4, 1.7, 30.0][j % 4] * (1.0 + j as f64 / 50.0));
        (mean, std::array::from_fn(|j| [0.0, 1.0, 0.0, 3.0, 40.0, 2000.0][j % 6]))
    }

    fn parameters(loss: Loss) -> Vec<f32> {
        (0..loss.gene_parameters() * LANES).map(|i| (i % 7) as f32 * 0.5 - 1.5).collect()
    }

    #[test]
    fn gradients_are_central_differences() {
        let (mean, label) = case();
        for loss in ALL {
            let parameters = parameters(loss);
            let of = |mean: &Genes, parameters: &[f32]| {
                let mut bag = BagLoss::new(loss, LANES);
                bag.prepare(parameters);
                let mut d = Gradient::default();
                (bag.bag(0, mean, &label, 1.3, &mut d), d)
            };
            let (value, d) = of(&mean, &parameters);
            assert!(value.iter().all(|v| v.is_finite() && *v >= 0.0), "{loss}: {value:?}");
            for j in 0..LANES {
                let h = mean[j] * 1e-4;
                let at = |h: f64| {
                    let mut m = mean;
                    m[j] += h;
                    of(&m, &parameters).0[j]
                };
                // Five points: the truncation is h^4.
                let slope = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * h);
                assert!((slope - d.mean[j]).abs() < 1e-7 * slope.abs().max(1.0), "{loss} {j}: {} {slope}", d.mean[j]);
                for k in 0..loss.gene_parameters() {
                    // A step that f32 holds exactly.
                    let h = 1.0 / 512.0;
                    let at = |h: f32| {
                        let mut p = parameters.clone();
                        p[k * LANES + j] += h;
                        of(&mean, &p).0[j]
                    };
                    let slope = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * f64::from(h));
                    let found = d.parameters[k][j];
                    assert!((slope - found).abs() < 2e-8 * slope.abs().max(1.0), "{loss} {k} {j}: {found} {slope}");
                }
            }
        }
    }

    #[test]
    fn likelihoods_of_all_counts_add_up_to_one() {
        for loss in ALL.into_iter().filter(|l| l.of_counts()) {
            let mut bag = BagLoss::new(loss, LANES);
            bag.prepare(&parameters(loss));
            let (mean, mut sum) = ([0.9; LANES], [0.0; LANES]);
            for x in 0..4000 {
                let value = bag.bag(0, &mean, &[f64::from(x); LANES], 2.0, &mut Gradient::default());
                sum.iter_mut().zip(value).for_each(|(s, v)| *s += (-v).exp());
            }
            // The epsilon in the logarithms costs about as much.
            assert!(sum.iter().all(|s| (s - 1.0).abs() < 1e-6), "{loss}: {sum:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_seen() {
        for loss in ALL {
            let mut bag = BagLoss::new(loss, LANES);
            bag.prepare(&parameters(loss));
            let (mut mean, label) = case();
            mean[0] = f64::NAN;
            mean[1] = f64::NAN;
            let value = bag.bag(0, &mean, &label, 1.0, &mut Gradient::default());
            assert!(value[0].is_nan() && value[1].is_nan() && value[2].is_finite(), "{loss}: {value:?}");
        }
    }
}
