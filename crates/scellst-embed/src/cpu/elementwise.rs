//! What transformers do beside products, row by row.

use super::lanes::Isa;

/// Layer norm of rows of `weight.len()` values, every `ld`.
pub(crate) fn layer_norm(
    isa: Isa,
    (x, ld): (&[f32], usize),
    (weight, bias): (&[f32], &[f32]),
    epsilon: f32,
    y: &mut [f32],
) {
    let n = weight.len();
    isa.run(|| {
        for (x, y) in x.chunks_exact(ld).zip(y.chunks_exact_mut(ld)) {
            let (x, y) = (&x[..n], &mut y[..n]);
            let mean = sum(x, |v| v) / n as f32;
            let variance = sum(x, |v| (v - mean) * (v - mean)) / n as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = (x - mean) * scale * w + b;
            }
        }
    });
}

/// Softmax of the first `n` values of rows every `ld`.
pub(crate) fn softmax(isa: Isa, x: &mut [f32], ld: usize, n: usize) {
    isa.run(|| {
        for row in x.chunks_exact_mut(ld) {
            let row = &mut row[..n];
            let largest = row.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
            row.iter_mut().for_each(|v| *v = exp(*v - largest));
            let scale = 1.0 / sum(row, |v| v);
            row.iter_mut().for_each(|v| *v *= scale);
        }
    });
}

/// Rows of `x` to `n` values of rows of `y`: GELU, or the SiLU of the first `n` times the next `n`.
pub(crate) fn activate(isa: Isa, (x, ld): (&[f32], usize), (y, ld_out): (&mut [f32], usize), n: usize, gated: bool) {
    isa.run(|| {
        for (x, y) in x.chunks_exact(ld).zip(y.chunks_exact_mut(ld_out)) {
            let y = &mut y[..n];
            if gated {
                let (a, b) = x.split_at(n);
                for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                    *y = a / (1.0 + exp(-*a)) * b;
                }
            } else {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = gelu(*x);
                }
            }
        }
    });
}

/// In sixteen sums, so that the compiler can add in vectors; the same on every machine.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (pieces, rest) = x.as_chunks::<16>();
    for piece in pieces {
        for (s, v) in sums.iter_mut().zip(piece) {
            *s += f(*v);
        }
    }
    for (s, v) in sums.iter_mut().zip(rest) {
        *s += f(*v);
    }
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

/// `e^x` to 2e-7 of it, without a branch: `2^n e^r` with `|r| <= ln 2 / 2`, by its Taylor series.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 x 2^23 rounds to whole numbers and leaves them in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `x / 2 (1 + erf(x / sqrt 2))`, the error function to 2e-7 (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let erf = 1.0 - p * t * exp(-z * z);
    0.5 * x + 0.5 * x.abs() * erf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_gelu_are_those_of_f64() {
        for i in -8_800..8_800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 3e-7 || x < -87.0, "{x}: {}", exp(x));
        }
        // x / 2 (1 + math.erf(x / sqrt 2)) by Python 3.11, to eight places.
        for (x, expected) in [
            (0.0, 0.00000000),
            (0.1, 0.05398278),
            (0.5, 0.34573123),
            (1.0, 0.84134475),
            (2.5, 2.48447584),
            (-0.3, -0.11462657),
            (-1.0, -0.15865525),
            (-4.0, -0.00012668),
            (12.0, 12.00000000),
            (-12.0, -0.00000000),
        ] {
            assert!((f64::from(gelu(x as f32)) - expected).abs() < 1e-6, "{x}: {}", gelu(x as f32));
        }
    }

    #[test]
    fn rows_are_normed_on_every_isa() {
        let (n, ld) = (37, 40);
        let x: Vec<f32> = (0..3 * ld).map(|i| (i * 29 % 17) as f32 - 5.0).collect();
        let (weight, bias) = (vec![2.0; n], vec![0.5; n]);
        for isa in Isa::available() {
            let mut y = vec![0.0; 3 * ld];
            layer_norm(isa, (&x, ld), (&weight, &bias), 1e-6, &mut y);
            let mut s = x.clone();
            softmax(isa, &mut s, ld, n);
            for row in 0..3 {
                let (x, y, s) = (&x[row * ld..][..n], &y[row * ld..][..n], &s[row * ld..][..n]);
                let mean = x.iter().sum::<f32>() / n as f32;
                let sd = (x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n as f32).sqrt();
                let total: f64 = x.iter().map(|v| f64::from(*v).exp()).sum();
                for i in 0..n {
                    assert!((y[i] - (2.0 * (x[i] - mean) / sd + 0.5)).abs() < 1e-5, "{isa:?}");
                    assert!((f64::from(s[i]) - f64::from(x[i]).exp() / total).abs() < 1e-6, "{isa:?}");
                }
            }
        }
    }
}
