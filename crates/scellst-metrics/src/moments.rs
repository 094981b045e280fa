//! First and second moments of a pair of columns, from which most scores follow.

/// Sums are kept in this many lanes, so that they vectorise, in an order that does not depend on the machine.
const LANES: usize = 8;

/// Weighted moments of predictions `p` and measurements `m`; unweighted where every weight is 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    /// Sum of the weights.
    pub weight: f64,
    pub mean_p: f64,
    pub mean_m: f64,
    /// Sums of squares and of products of the deviations from the means.
    pub pp: f64,
    pub mm: f64,
    pub pm: f64,
    /// Sums of the squared and of the absolute differences.
    pub squares: f64,
    pub absolute: f64,
}

impl Moments {
    /// Of one pair of columns of equal length, in two passes (means first).
    pub fn of(p: &[f32], m: &[f32], weights: Option<&[f64]>) -> Self {
        match weights {
            Some(weights) => sums(p, m, |at| weights[at]),
            None => sums(p, m, |_| 1.0),
        }
    }

    pub fn pearson(&self) -> Option<f64> {
        let r = (self.pm / self.pp.sqrt()) / self.mm.sqrt();
        r.is_finite().then(|| r.clamp(-1.0, 1.0))
    }

    pub fn mse(&self) -> Option<f64> {
        finite(self.squares / self.weight)
    }

    pub fn mae(&self) -> Option<f64> {
        finite(self.absolute / self.weight)
    }

    pub fn r2(&self) -> Option<f64> {
        (self.mm > 0.0).then(|| 1.0 - self.squares / self.mm).and_then(finite)
    }

    pub fn concordance(&self) -> Option<f64> {
        let apart = self.weight * (self.mean_p - self.mean_m).powi(2);
        finite(2.0 * self.pm / (self.pp + self.mm + apart))
    }

    pub fn cosine(&self) -> Option<f64> {
        let square = |about_mean: f64, mean: f64| about_mean + self.weight * mean * mean;
        let product = self.pm + self.weight * self.mean_p * self.mean_m;
        finite(product / square(self.pp, self.mean_p).sqrt() / square(self.mm, self.mean_m).sqrt())
            .map(|cosine| cosine.clamp(-1.0, 1.0))
    }
}

pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn sums(p: &[f32], m: &[f32], weight: impl Fn(usize) -> f64) -> Moments {
    let [total, sum_p, sum_m] = accumulate(p, m, &weight, |w, p, m| [w, w * p, w * m]);
    let (mean_p, mean_m) = (sum_p / total, sum_m / total);
    let [pp, mm, pm, squares, absolute] = accumulate(p, m, &weight, |w, p, m| {
        let (a, b, d) = (p - mean_p, m - mean_m, p - m);
        [w * a * a, w * b * b, w * a * b, w * d * d, w * d.abs()]
    });
    Moments { weight: total, mean_p, mean_m, pp, mm, pm, squares, absolute }
}

/// Sums of some terms over all rows.
fn accumulate<const N: usize>(
    p: &[f32],
    m: &[f32],
    weight: &impl Fn(usize) -> f64,
    terms: impl Fn(f64, f64, f64) -> [f64; N],
) -> [f64; N] {
    let mut lanes = [[0.0; LANES]; N];
    let whole = p.len() - p.len() % LANES;
    for (chunk, (p, m)) in p.chunks_exact(LANES).zip(m.chunks_exact(LANES)).enumerate() {
        for lane in 0..LANES {
            let term = terms(weight(chunk * LANES + lane), f64::from(p[lane]), f64::from(m[lane]));
            for (sum, term) in lanes.iter_mut().zip(term) {
                sum[lane] += term;
            }
        }
    }
    let mut out = lanes.map(|sum| sum.iter().sum());
    for (at, (&p, &m)) in p.iter().zip(m).enumerate().skip(whole) {
        for (sum, term) in out.iter_mut().zip(terms(weight(at), f64::from(p), f64::from(m))) {
            *sum += term;
        }
    }
    out
}
