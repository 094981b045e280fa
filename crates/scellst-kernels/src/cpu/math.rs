//! Elementary functions without branches, so that loops over them become vector code.
//!
//! f32 for the cells x genes pass, f64 for the likelihoods of counts, where differences of log-gammas cancel.

use std::f64::consts::LN_2;

/// `exp(-a)` for `a >= 0`, within 2 units in the last place; below 1e-38 it stays there.
#[inline(always)]
pub fn exp_neg(a: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to a whole number, which then lies in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4; // few bits, so that n times it is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if a < 87.0 { -a } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor: |r| <= ln(2) / 2 leaves 5e-9 after the seventh power.
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23) * p
}

/// `log(1 + e)` for `0 <= e <= 1`, relative to its own size within 3 units in the last place.
#[inline(always)]
pub fn ln_1p_unit(e: f32) -> f32 {
    // 2 atanh(s), s = e / (2 + e) <= 1/3; the ninth term of the series is below 1e-8 of the first.
    let s = e / (2.0 + e);
    let q = s * s;
    let mut p = 1.0 / 15.0;
    for c in [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        p = p * q + c;
    }
    2.0 * s + 2.0 * s * (q * p)
}

/// `(softplus(z), its derivative)` for a sharpness `beta`; NaN and infinity give NaN, so that they are noticed.
#[inline(always)]
pub fn softplus_and_slope(z: f32, beta: f32, inverse_beta: f32) -> (f32, f32) {
    let t = beta * z;
    let e = exp_neg(t.abs());
    let positive = t > 0.0;
    let value = (if positive { z } else { 0.0 }) + ln_1p_unit(e) * inverse_beta + z * 0.0;
    let slope = (if positive { 1.0 } else { e }) / (1.0 + e);
    (value, slope)
}

/// `exp(-a)` for `a >= 0` in f64; below 1e-307 it stays there.
#[inline(always)]
pub fn exp_neg64(a: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if a < 707.0 { -a } else { -707.0 };
    let shifted = x * std::f64::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor to the thirteenth power: 0.3466^14 / 14! = 4e-18.
    let mut p = 1.0 / 6_227_020_800.0;
    for c in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + c;
    }
    f64::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(1023) << 52) * p
}

/// Natural logarithm of a positive, normal f64, within 2e-16 of its size or of 1.
#[inline(always)]
pub fn ln64(x: f64) -> f64 {
    /// Bits of sqrt(1/2): what is above keeps the exponent, so that the fraction is in `[sqrt(1/2), sqrt(2))`.
    const HALF_ROOT: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits();
    let above = bits.wrapping_sub(HALF_ROOT) as i64 >> 52;
    let m = f64::from_bits(bits.wrapping_sub((above as u64) << 52));
    // Whole numbers by their bits: a conversion that every instruction set has.
    let e = f64::from_bits((above as u64).wrapping_add(0x4338_0000_0000_0000)) - 6_755_399_441_055_744.0;
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let mut p = 1.0 / 21.0;
    for c in
        [1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0]
    {
        p = p * q + c;
    }
    e * LN_2 + 2.0 * s * p
}

/// `(log Gamma(y), its derivative digamma(y))` for `y > 0`.
///
/// Below 8 by the recurrence from `y + 8`, from there by Stirling's series (Abramowitz and Stegun 6.1.40, 6.3.18).
#[inline(always)]
pub fn ln_gamma_digamma(y: f64) -> (f64, f64) {
    let small = y < 8.0;
    // The product y (y + 1) ... (y + 7) and its derivative; 1 stands in where it is not wanted.
    let w = if small { y } else { 1.0 };
    let (mut product, mut slope) = (w, 1.0);
    for i in 1..8 {
        let f = w + f64::from(i);
        slope = slope * f + product;
        product *= f;
    }
    let z = if small { y + 8.0 } else { y };
    let (log, r) = (ln64(z), 1.0 / z);
    let q = r * r;
    let value = (z - 0.5) * log - z
        + 0.918_938_533_204_672_8
        + r * (1.0 / 12.0
            + q * (-1.0 / 360.0
                + q * (1.0 / 1260.0 + q * (-1.0 / 1680.0 + q * (1.0 / 1188.0 + q * (-691.0 / 360_360.0))))));
    let derivative = log
        - 0.5 * r
        - q * (1.0 / 12.0
            + q * (-1.0 / 120.0
                + q * (1.0 / 252.0 + q * (-1.0 / 240.0 + q * (1.0 / 132.0 + q * (-691.0 / 32_760.0))))));
    let (log_product, ratio) = (ln64(product), slope / product);
    (value - if small { log_product } else { 0.0 }, derivative - if small { ratio } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_and_logarithms_are_those_of_the_standard_library() {
        for i in 0..200_000 {
            let a = i as f32 * 4e-4;
            let expected = (-f64::from(a)).exp();
            assert!((f64::from(exp_neg(a)) / expected - 1.0).abs() < 2.4e-7, "exp(-{a})");
            let e = i as f32 / 200_000.0;
            let expected = f64::from(e).ln_1p();
            assert!((f64::from(ln_1p_unit(e)) - expected).abs() <= 3e-7 * expected, "ln(1 + {e})");
            let a = f64::from(i) * 3.5e-3;
            assert!((exp_neg64(a) / (-a).exp() - 1.0).abs() < 1e-15, "exp(-{a})");
            let x = (f64::from(i) - 100_000.0).exp2_scaled();
            assert!((ln64(x) - x.ln()).abs() <= 3e-16 * x.ln().abs().max(1.0), "ln {x}");
        }
        assert!(exp_neg(1e30) < 1e-37 && exp_neg64(1e300) < 1e-306);
    }

    trait Scaled {
        fn exp2_scaled(self) -> f64;
    }
    impl Scaled for f64 {
        /// From 1e-300 to 1e300.
        fn exp2_scaled(self) -> f64 {
            (self / 100.3).exp2()
        }
    }

    #[test]
    fn softplus_is_smooth_and_knows_what_is_no_number() {
        for i in -4000..4000 {
            let z = i as f32 * 1e-3;
            let t = 20.0 * f64::from(z);
            let (value, slope) = softplus_and_slope(z, 20.0, 1.0 / 20.0);
            let expected = (t.exp().ln_1p() / 20.0, 1.0 / (1.0 + (-t).exp()));
            // The exponent itself is a rounded f32.
            let tolerance = 4e-7 + 6e-8 * t.abs().min(100.0);
            assert!((f64::from(value) - expected.0).abs() < tolerance * expected.0 + 1e-38, "{z}");
            assert!((f64::from(slope) - expected.1).abs() < tolerance * expected.1 + 1e-37, "{z}");
        }
        assert!(softplus_and_slope(f32::NAN, 20.0, 0.05).0.is_nan());
        assert!(softplus_and_slope(f32::INFINITY, 20.0, 0.05).0.is_nan());
    }

    #[test]
    fn log_gamma_and_digamma_have_their_known_values_and_recurrence() {
        // log((n - 1)!), and -gamma + the harmonic numbers.
        let (mut log_factorial, mut harmonic) = (0.0, -0.577_215_664_901_532_9);
        for n in 1..200 {
            let (value, slope) = ln_gamma_digamma(f64::from(n));
            assert!((value - log_factorial).abs() < 1e-13 * f64::max(log_factorial, 1.0), "{n}: {value}");
            assert!((slope - harmonic).abs() < 1e-13 * f64::max(harmonic, 1.0), "{n}: {slope}");
            log_factorial += f64::from(n).ln();
            harmonic += 1.0 / f64::from(n);
        }
        let (half, slope) = ln_gamma_digamma(0.5);
        assert!((half - std::f64::consts::PI.sqrt().ln()).abs() < 1e-14);
        assert!((slope + 0.577_215_664_901_532_9 + 2.0 * LN_2).abs() < 1e-13);
        for y in [1e-8, 1e-3, 0.7, 3.3, 7.999, 8.0, 55.5, 1e5, 1e12] {
            let ((a, da), (b, db)) = (ln_gamma_digamma(y), ln_gamma_digamma(y + 1.0));
            assert!((b - a - y.ln()).abs() < 2e-14 * a.abs().max(1.0), "{y}");
            assert!((db - da - 1.0 / y).abs() < 1e-13 * (1.0 / y).max(1.0), "{y}");
        }
    }
}
