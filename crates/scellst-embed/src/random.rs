//! Random numbers as a function of what they are for: nothing is kept between calls, so that order, threads and
//! interruptions change nothing.

/// splitmix64's last steps (Steele, Lea and Flood 2014).
pub(crate) fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of these keys.
    pub(crate) fn of(keys: &[u64]) -> Self {
        Self(keys.iter().fold(0, |state, &key| mix(state ^ mix(key))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// In `[low, high)`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Whether something of this probability is so.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // Of 2^64 draws at most n fall unevenly.
        (self.next() % n.max(1) as u64) as usize
    }

    /// In a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_even_and_unrelated() {
        let mut stream = Stream::of(&[1, 2]);
        let n = 100_000;
        let values: Vec<f32> = (0..n).map(|_| stream.unit()).collect();
        let mean = values.iter().sum::<f32>() / n as f32;
        // Five deviations of a mean of uniform numbers.
        assert!((mean - 0.5).abs() < 5.0 / (12.0 * n as f32).sqrt(), "{mean}");
        let mut other = Stream::of(&[2, 1]);
        let product: f32 = values.iter().map(|v| (v - 0.5) * (other.unit() - 0.5)).sum::<f32>() / n as f32;
        assert!(product.abs() < 5.0 / 12.0 / (n as f32).sqrt(), "{product}");
        assert_eq!(Stream::of(&[1, 2]).unit(), values[0]);
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut seen = std::collections::BTreeMap::<[u8; 3], usize>::new();
        for seed in 0..6000 {
            let mut items = [0, 1, 2];
            Stream::of(&[seed]).shuffle(&mut items);
            *seen.entry(items).or_default() += 1;
        }
        // 1000 of each, deviation 29.
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|&n| (850..1150).contains(&n)), "{seen:?}");
    }
}
