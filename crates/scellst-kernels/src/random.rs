use crate::KernelError;

/// A dropout mask as a function of a seed and an element's index: nothing is stored, forward, backward
/// and a resumed run agree, and so do devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    seed: u64,
    /// Of 24 random bits those below this are dropped: integers only, so that every device decides alike.
    threshold: u32,
    /// What is kept is multiplied with it.
    factor: f32,
}

impl Dropout {
    /// Elements are dropped with `probability` in `[0, 1)`; take another `seed` for each layer and step.
    ///
    /// # Errors
    /// [`KernelError::Dropout`] for another probability.
    pub fn new(probability: f32, seed: u64) -> Result<Self, KernelError> {
        if !(0.0..1.0).contains(&probability) {
            return Err(KernelError::Dropout(probability));
        }
        // bits / 2^24 < probability, both exact in f32.
        let threshold = (f64::from(probability) * f64::from(1u32 << 24)).ceil() as u32;
        Ok(Self { seed, threshold, factor: 1.0 / (1.0 - probability) })
    }

    /// What an element is multiplied with: 0, or `1 / (1 - probability)`.
    pub fn factor(&self, index: u64) -> f32 {
        if ((mix(self.seed ^ mix(index)) >> 40) as u32) < self.threshold { 0.0 } else { self.factor }
    }

    /// What a kept element is multiplied with.
    pub fn scale(&self) -> f32 {
        self.factor
    }

    /// Multiplies elements with [`factor`](Self::factor)s from the one of index `first` on.
    #[inline(always)]
    pub(crate) fn apply(&self, first: u64, elements: &mut [f32; 32]) {
        let threshold = u64::from(self.threshold);
        for (i, x) in (first..).zip(elements) {
            let kept = mix(self.seed ^ mix(i)) >> 40 >= threshold;
            *x = if kept { *x * self.factor } else { 0.0 };
        }
    }

    /// Seed, threshold and factor, as a kernel wants them.
    #[allow(dead_code)] // on the CPU alone
    pub(crate) fn parts(&self) -> (u64, u32, f32) {
        (self.seed, self.threshold, self.factor)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
#[inline(always)]
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_share_and_the_mean() {
        let n = 200_000;
        for p in [0.0, 0.1, 0.5] {
            let d = Dropout::new(p, 7).unwrap();
            let kept = (0..n).filter(|&i| d.factor(i) > 0.0).count() as f32 / n as f32;
            // Five standard deviations of a binomial share.
            assert!((kept - (1.0 - p)).abs() <= 5.0 * (p * (1.0 - p) / n as f32).sqrt(), "{p}: {kept}");
        }
    }

    /// The threshold decides as the fraction does, whichever of the 2^24 draws.
    #[test]
    fn thresholds_are_the_probability() {
        for p in [0.0, f32::MIN_POSITIVE, 1e-7, 0.1, 0.25, 0.3, 0.5, 0.999_999_9] {
            let threshold = Dropout::new(p, 7).unwrap().threshold;
            let below = |draw: u32| (draw as f32 / (1u32 << 24) as f32) < p;
            assert!(threshold == 0 || below(threshold - 1), "{p}");
            assert!(threshold == 1 << 24 || !below(threshold), "{p}");
        }
    }

    #[test]
    fn neighbouring_seeds_are_unrelated() {
        let (a, b) = (Dropout::new(0.5, 1).unwrap(), Dropout::new(0.5, 2).unwrap());
        let same = (0..100_000).filter(|&i| a.factor(i) == b.factor(i)).count() as f64 / 1e5;
        assert!((same - 0.5).abs() < 0.01, "{same}");
    }

    #[test]
    fn rows_are_multiplied_by_the_same_factors() {
        for p in [0.0, 0.1, 0.3, 0.5, 0.999] {
            let d = Dropout::new(p, 99).unwrap();
            for first in [0, 7, 1 << 40, 123_456_789] {
                let mut x = [2.0; 32];
                d.apply(first, &mut x);
                let expected: Vec<f32> = (first..first + 32).map(|i| 2.0 * d.factor(i)).collect();
                assert_eq!(x, expected[..]);
            }
        }
    }

    #[test]
    fn refuses_impossible_probabilities() {
        for p in [-0.1, 1.0, f32::NAN] {
            assert!(Dropout::new(p, 0).is_err());
        }
    }
}
