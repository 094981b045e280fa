/// Texture of a region by the co-occurrence of its grey levels one pixel apart (Haralick et al. 1973,
/// doi 10.1109/TSMC.1973.4309314), by the definitions of scikit-image's `graycoprops`.
///
/// Each is the mean over the four directions (0, 45, 90, 135 degrees), pairs counted both ways. Only pairs count whose
/// pixels are both in the region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    /// Sum of p (i - j)^2: 0 where all is alike.
    pub contrast: f64,
    /// Sum of p |i - j|.
    pub dissimilarity: f64,
    /// Sum of p / (1 + (i - j)^2): 1 where all is alike.
    pub homogeneity: f64,
    /// Root of the sum of p^2: 1 where all is alike.
    pub energy: f64,
    /// Of the two pixels of a pair, -1 to 1; 1 where all is alike.
    pub correlation: f64,
    /// Sum of -p ln p: 0 where all is alike.
    pub entropy: f64,
}

/// Grey levels that are told apart.
pub(super) const LEVELS: usize = 32;

/// Memory that a thread uses again for each region.
pub(super) struct Counter {
    counts: Vec<u32>,
    /// Entries of `counts` that are not 0, each once.
    used: Vec<usize>,
}

impl Default for Counter {
    fn default() -> Self {
        Self { counts: vec![0; LEVELS * LEVELS], used: Vec::new() }
    }
}

impl Counter {
    /// `levels` holds the level of every pixel in row order, `None` outside of the region, with a rim of one pixel
    /// outside of it all around. `None` if no two pixels touch.
    pub(super) fn texture(&mut self, levels: &[Option<u8>], width: usize) -> Option<Texture> {
        let each = [1, width + 1, width, width - 1].map(|step| self.of_step(levels, step));
        if each.iter().all(Option::is_none) {
            return None;
        }
        // A direction without a pair has p = 0 throughout, and so a correlation of 1.
        const NOTHING: [f64; 6] = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let mean = |k: usize| each.iter().map(|e| e.unwrap_or(NOTHING)[k]).sum::<f64>() / 4.0;
        Some(Texture {
            contrast: mean(0),
            dissimilarity: mean(1),
            homogeneity: mean(2),
            energy: mean(3),
            correlation: mean(4),
            entropy: mean(5),
        })
    }

    fn of_step(&mut self, levels: &[Option<u8>], step: usize) -> Option<[f64; 6]> {
        let mut pairs = 0u32;
        for (a, b) in levels.iter().zip(levels.get(step..)?) {
            if let (Some(a), Some(b)) = (a, b) {
                let (a, b) = (usize::from(*a) % LEVELS, usize::from(*b) % LEVELS);
                for at in [a * LEVELS + b, b * LEVELS + a] {
                    if self.counts[at] == 0 {
                        self.used.push(at);
                    }
                    self.counts[at] += 1;
                }
                pairs += 2;
            }
        }
        // In one order, so that the sums are the same whatever was counted first.
        self.used.sort_unstable();
        let [mut contrast, mut dissimilarity, mut homogeneity, mut squares, mut entropy] = [0.0f64; 5];
        let [mut mean, mut square, mut product] = [0.0f64; 3];
        for at in self.used.drain(..) {
            let p = f64::from(std::mem::take(&mut self.counts[at])) / f64::from(pairs);
            let (i, j) = ((at / LEVELS) as f64, (at % LEVELS) as f64);
            let apart = (i - j) * (i - j);
            contrast += p * apart;
            dissimilarity += p * (i - j).abs();
            homogeneity += p / (1.0 + apart);
            squares += p * p;
            entropy -= p * p.ln();
            mean += p * i;
            square += p * i * i;
            product += p * i * j;
        }
        // Both pixels of a pair are counted as either, so mean and variance are the same for i and j.
        let variance = square - mean * mean;
        let correlation = if variance > 1e-12 { (product - mean * mean) / variance } else { 1.0 };
        (pairs > 0).then_some([contrast, dissimilarity, homogeneity, squares.sqrt(), correlation, entropy])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_region_has_no_texture() {
        let mut levels = vec![None; 5 * 5];
        for i in [6, 7, 8, 11, 12, 13] {
            levels[i] = Some(7);
        }
        let plain = Counter::default().texture(&levels, 5).unwrap();
        assert_eq!((plain.contrast, plain.dissimilarity, plain.entropy), (0.0, 0.0, 0.0));
        assert_eq!((plain.homogeneity, plain.energy, plain.correlation), (1.0, 1.0, 1.0));
        levels.fill(None);
        levels[12] = Some(3);
        assert!(Counter::default().texture(&levels, 5).is_none());
    }
}
