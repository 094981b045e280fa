use crate::KernelError;

/// A dropout mask as a function of a seed and an element's index: nothing is stored, forward, backward
/// and a resumed run agree, and so do devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    probability: f32,
    seed: u64,
}

impl Dropout {
    /// Elements are dropped with `probability` in `[0, 1)`; take another `seed` for each layer and step.
    ///
    /// # Errors
    /// [`KernelError::Dropout`] for another probability.
    pub fn new(probability: f32, seed: u64) -> Result<Self, KernelError> {
        if (0.0..1.0).contains(&probability) {
            Ok(Self { probability, seed })
        } else {
            Err(KernelError::Dropout(probability))
        }
    }

    /// What an element is multiplied with: 0, or `1 / (1 - probability)`.
    pub fn factor(&self, index: u64) -> f32 {
        // A draw of 24 bits, so that it compares exactly as f32.
        let draw = (mix(self.seed ^ mix(index)) >> 40) as f32 / (1u32 << 24) as f32;
        if draw < self.probability { 0.0 } else { 1.0 / (1.0 - self.probability) }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
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

    #[test]
    fn neighbouring_seeds_are_unrelated() {
        let (a, b) = (Dropout::new(0.5, 1).unwrap(), Dropout::new(0.5, 2).unwrap());
        let same = (0..100_000).filter(|&i| a.factor(i) == b.factor(i)).count() as f64 / 1e5;
        assert!((same - 0.5).abs() < 0.01, "{same}");
    }

    #[test]
    fn refuses_impossible_probabilities() {
        for p in [-0.1, 1.0, f32::NAN] {
            assert!(Dropout::new(p, 0).is_err());
        }
    }
}
