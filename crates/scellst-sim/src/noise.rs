//! Noise that depends on a place and a seed alone, so that a picture can be drawn in any order.

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): scatters the bits of a number.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A random number for a place on a lattice.
pub(crate) fn at_lattice(seed: u64, x: i32, y: i32) -> u64 {
    mix(seed ^ (u64::from(x as u32) << 32 | u64::from(y as u32)))
}

/// 0 to 1 from the upper bits.
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u32 << 24) as f32
}

/// Smooth noise of 0 to 1: random values on a square lattice, blended between its points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    seed: u64,
    per_um: f32,
}

impl Noise {
    /// Of a grain of `scale_um`; different `channel`s of one seed are independent.
    pub(crate) fn new(seed: u64, channel: u64, scale_um: f32) -> Self {
        Self { seed: mix(seed ^ mix(channel)), per_um: 1.0 / scale_um }
    }

    pub(crate) fn at(&self, x_um: f32, y_um: f32) -> f32 {
        let (x, y) = (x_um * self.per_um, y_um * self.per_um);
        let (fx, fy) = (x.floor(), y.floor());
        let (ix, iy) = (fx as i32, fy as i32);
        let (u, v) = (fade(x - fx), fade(y - fy));
        let corner = |dx: i32, dy: i32| unit(at_lattice(self.seed, ix.wrapping_add(dx), iy.wrapping_add(dy)));
        let upper = lerp(corner(0, 0), corner(1, 0), u);
        let lower = lerp(corner(0, 1), corner(1, 1), u);
        lerp(upper, lower, v)
    }

    /// Three octaves, each half as strong as the one before; 0 to 1.
    pub(crate) fn rough(&self, x_um: f32, y_um: f32) -> f32 {
        let octave = |i: u64, f: f32| {
            let finer = Self { seed: mix(self.seed ^ i), per_um: self.per_um * f };
            finer.at(x_um, y_um)
        };
        (4.0 * octave(0, 1.0) + 2.0 * octave(1, 2.0) + octave(2, 4.0)) / 7.0
    }
}

fn fade(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn step(low: f32, high: f32, v: f32) -> f32 {
    let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Three numbers of mean 0 and standard deviation 1, nearly normal (sums of two uniform ones), for a pixel.
pub(crate) fn grain(seed: u64, x: i32, y: i32) -> [f32; 3] {
    let bits = at_lattice(seed, x, y);
    std::array::from_fn(|c| {
        let pair = (bits >> (16 * c)) as u16;
        let sum = i32::from((pair >> 8) as u8) + i32::from(pair as u8) - 255;
        // Two uniform bytes have a variance of 2 * (256^2 - 1) / 12.
        sum as f32 / 104.51
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_and_fills_its_range() {
        let noise = Noise::new(7, 1, 5.0);
        let values: Vec<f32> = (0..4000).map(|i| noise.at(i as f32 * 0.5, 3.0)).collect();
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        let mean = values.iter().sum::<f32>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
        assert!(values.iter().any(|&v| v > 0.9) && values.iter().any(|&v| v < 0.1));
        // The steepest slope of the blend is 1.875 in a lattice step.
        assert!(values.windows(2).all(|p| (p[0] - p[1]).abs() <= 1.875 * 0.1 + 1e-5));
        assert_ne!(noise.at(1.0, 1.0), Noise::new(7, 2, 5.0).at(1.0, 1.0));
    }

    #[test]
    fn grain_has_the_spread_it_says() {
        let all: Vec<f32> = (0..20_000).flat_map(|i| grain(3, i % 200, i / 200)).collect();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        let sd = (all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32).sqrt();
        assert!(mean.abs() < 0.02 && (sd - 1.0).abs() < 0.02, "{mean} {sd}");
    }
}
