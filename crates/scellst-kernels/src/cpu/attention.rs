//! Gated attention over the cells of a bag (Ilse, Tomczak and Welling 2018, equation 9), on panels.
//!
//! A cell's score is `w . (tanh(V h + b) * sigmoid(U h + c))`, its weight the softmax of the scores of its bag. The two
//! products are [`Product`](super::product::Product)s; here is what lies between them and the weights, and back.

use pulp::{Arch, Simd, WithSimd};

use super::head::BagRows;
use super::math::exp_neg;
use super::panels::LANES;

/// From the sums `V h` and `U h` to scores; the sums become the gates' values, which [`GateBack`] takes.
pub struct Gate<'a> {
    /// Panels of `V h`, then `tanh(V h + b)`.
    pub tanh: &'a mut [f32],
    /// Panels of `U h`, then `sigmoid(U h + c)`.
    pub sigmoid: &'a mut [f32],
    /// `b`, as long as the padded units, zero beyond them.
    pub tanh_bias: &'a [f32],
    /// `c`.
    pub sigmoid_bias: &'a [f32],
    /// `w`.
    pub score: &'a [f32],
    /// One for each row, set.
    pub scores: &'a mut [f32],
}

impl Gate<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        let size = self.scores.len() * self.score.len();
        let biases = self.tanh_bias.len() == self.score.len() && self.sigmoid_bias.len() == self.score.len();
        assert!(biases && self.tanh.len() == size && self.sigmoid.len() == size, "gates of another size");
        self.scores.fill(0.0);
        if size > 0 {
            Arch::new().dispatch(self);
        }
    }
}

/// The sum of 32 numbers in a fixed order that becomes vector code.
#[inline(always)]
pub(super) fn horizontal(mut x: [f32; LANES]) -> f32 {
    let mut n = LANES / 2;
    while n > 0 {
        for j in 0..n {
            x[j] += x[j + n];
        }
        n /= 2;
    }
    x[0]
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let size = self.scores.len() * LANES;
        let panels = self.tanh.chunks_mut(size).zip(self.sigmoid.chunks_mut(size));
        let constants = self.tanh_bias.as_chunks::<LANES>().0.iter().zip(self.sigmoid_bias.as_chunks::<LANES>().0);
        let constants = constants.zip(self.score.as_chunks::<LANES>().0);
        for ((tanh, sigmoid), ((b, c), w)) in panels.zip(constants) {
            let rows = tanh.as_chunks_mut::<LANES>().0.iter_mut().zip(sigmoid.as_chunks_mut::<LANES>().0);
            for ((t, g), score) in rows.zip(self.scores.iter_mut()) {
                let mut parts = [0f32; LANES];
                for j in 0..LANES {
                    let (u, v) = (t[j] + b[j], g[j] + c[j]);
                    let (e, f) = (exp_neg(2.0 * u.abs()), exp_neg(v.abs()));
                    // What is no number stays none.
                    let size = (1.0 - e) / (1.0 + e) + u * 0.0;
                    t[j] = if u < 0.0 { -size } else { size };
                    g[j] = (if v > 0.0 { 1.0 } else { f }) / (1.0 + f) + v * 0.0;
                    parts[j] = w[j] * t[j] * g[j];
                }
                *score += horizontal(parts);
            }
        }
    }
}

/// Softmax over the rows of each bag, in place.
pub fn softmax(scores: &mut [f32], bags: &[BagRows]) {
    for bag in bags {
        let scores = &mut scores[bag.rows.clone()];
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            // `max` passes over NaN, the product does not.
            *score = exp_neg(most - *score) + *score * 0.0;
            sum += *score;
        }
        scores.iter_mut().for_each(|s| *s /= sum);
    }
}

/// The gradient of the scores from that of the weights, in place.
pub fn softmax_back(weights: &[f32], gradient: &mut [f32], bags: &[BagRows]) {
    for bag in bags {
        let (weights, gradient) = (&weights[bag.rows.clone()], &mut gradient[bag.rows.clone()]);
        let mean: f32 = weights.iter().zip(gradient.iter()).map(|(w, g)| w * g).sum();
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g = w * (*g - mean));
    }
}

/// From the gradient of the scores to those of the sums, in place of the gates' values, of the biases and of `w`.
pub struct GateBack<'a> {
    /// Panels of the gates' values, then the gradient of `V h`.
    pub tanh: &'a mut [f32],
    /// The same for `U h`.
    pub sigmoid: &'a mut [f32],
    /// `w`.
    pub score: &'a [f32],
    /// Gradient of each row's score.
    pub gradient: &'a [f32],
    /// Gradient of `b`, set.
    pub tanh_bias: &'a mut [f32],
    /// Gradient of `c`, set.
    pub sigmoid_bias: &'a mut [f32],
    /// Gradient of `w`, set.
    pub score_gradient: &'a mut [f32],
}

impl GateBack<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        let (units, size) = (self.score.len(), self.gradient.len() * self.score.len());
        let biases = self.tanh_bias.len() == units && self.sigmoid_bias.len() == units;
        assert!(biases && self.score_gradient.len() == units, "gates of other units");
        assert!(self.tanh.len() == size && self.sigmoid.len() == size, "gates of another size");
        if size > 0 {
            Arch::new().dispatch(self);
        }
    }
}

impl WithSimd for GateBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let size = self.gradient.len() * LANES;
        let panels = self.tanh.chunks_mut(size).zip(self.sigmoid.chunks_mut(size)).enumerate();
        for (p, (tanh, sigmoid)) in panels {
            let at = p * LANES..(p + 1) * LANES;
            let w: [f32; LANES] = std::array::from_fn(|j| self.score[p * LANES + j]);
            let mut sums = [[0f32; LANES]; 3];
            let rows = tanh.as_chunks_mut::<LANES>().0.iter_mut().zip(sigmoid.as_chunks_mut::<LANES>().0);
            for ((t, g), &d) in rows.zip(self.gradient) {
                for j in 0..LANES {
                    let (value, gate) = (t[j], g[j]);
                    sums[2][j] += d * value * gate;
                    t[j] = d * w[j] * gate * (1.0 - value * value);
                    g[j] = d * w[j] * value * gate * (1.0 - gate);
                    sums[0][j] += t[j];
                    sums[1][j] += g[j];
                }
            }
            self.tanh_bias[at.clone()].copy_from_slice(&sums[0]);
            self.sigmoid_bias[at.clone()].copy_from_slice(&sums[1]);
            self.score_gradient[at].copy_from_slice(&sums[2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 7;

    fn bags() -> Vec<BagRows> {
        let bag = |rows| BagRows { rows, weight: 1.0, label: 0, size: 1.0, importance: 1.0 };
        vec![bag(0..4), bag(4..5), bag(5..7)]
    }

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 300.0 - 1.6).collect()
    }

    /// The formula, in f64.
    fn weights(u: &[f32], v: &[f32], b: &[f32], c: &[f32], w: &[f32]) -> Vec<f64> {
        let score = |row: usize| -> f64 {
            let at = |x: &[f32], j: usize| f64::from(x[row * LANES + j]);
            let gate = |j| (at(u, j) + f64::from(b[j])).tanh() / (1.0 + (-at(v, j) - f64::from(c[j])).exp());
            (0..LANES).map(|j| f64::from(w[j]) * gate(j)).sum()
        };
        let mut all = Vec::new();
        for bag in bags() {
            let e: Vec<f64> = bag.rows.map(|r| score(r).exp()).collect();
            let sum: f64 = e.iter().sum();
            all.extend(e.iter().map(|e| e / sum));
        }
        all
    }

    #[test]
    fn weights_are_the_formulas_and_gradients_their_central_differences() {
        let (u, v) = (numbers(ROWS * LANES, 1), numbers(ROWS * LANES, 2));
        let constants: Vec<Vec<f32>> = (3..6).map(|s| numbers(LANES, s)).collect();
        let [b, c, w] = &constants[..] else { unreachable!() };
        let (mut t, mut g, mut found) = (u.clone(), v.clone(), vec![f32::NAN; ROWS]);
        let (tanh, sigmoid) = (&mut t[..], &mut g[..]);
        Gate { tanh, sigmoid, tanh_bias: b, sigmoid_bias: c, score: w, scores: &mut found }.run();
        softmax(&mut found, &bags());
        for (f, e) in found.iter().zip(weights(&u, &v, b, c, w)) {
            assert!((f64::from(*f) - e).abs() < 4e-6 * e, "{f} {e}");
        }
        assert_eq!(found[4], 1.0);
        // The gradient of a sum of the weights times other numbers.
        let other = numbers(ROWS, 9);
        let mut d = other.clone();
        softmax_back(&found, &mut d, &bags());
        let mut out = vec![vec![f32::NAN; LANES]; 3];
        let [tb, sb, wd] = &mut out[..] else { unreachable!() };
        let (tanh_bias, sigmoid_bias, score_gradient) = (&mut tb[..], &mut sb[..], &mut wd[..]);
        let (tanh, sigmoid) = (&mut t[..], &mut g[..]);
        GateBack { tanh, sigmoid, score: w, gradient: &d, tanh_bias, sigmoid_bias, score_gradient }.run();
        let value = |all: &[Vec<f32>]| -> f64 {
            let weights = weights(&all[0], &all[1], &all[2], &all[3], &all[4]);
            weights.iter().zip(&other).map(|(w, o)| w * f64::from(*o)).sum()
        };
        let all = vec![u, v, b.clone(), c.clone(), w.clone()];
        for (k, found) in [&t, &g, &out[0], &out[1], &out[2]].into_iter().enumerate() {
            for (j, &found) in found.iter().enumerate() {
                let at = |h: f32| {
                    let mut all = all.clone();
                    all[k][j] += h;
                    (value(&all), f64::from(all[k][j]))
                };
                let h = 1.0 / 256.0;
                let ((above, x1), (below, x0)) = (at(h), at(-h));
                let slope = (above - below) / (x1 - x0);
                assert!((f64::from(found) - slope).abs() < 2e-5, "{k} {j}: {found} {slope}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_seen_and_large_scores_are_not_too_large() {
        let mut scores = [1e30, -1e30, 3.0, 4.0, f32::INFINITY, f32::NAN, 0.0];
        softmax(&mut scores, &bags());
        assert_eq!(scores[..4], [1.0, exp_neg(100.0), exp_neg(100.0), exp_neg(100.0)]);
        assert!(scores[4..].iter().all(|s| s.is_nan()), "{scores:?}");
    }
}
