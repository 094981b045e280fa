//! Weights that nobody trained.

use crate::random::mix;

/// Values of a tensor of a convolutional network: filters uniform with He's variance (2 over what a unit gets), batch
/// norms that change nothing, except that the last of a residual block leaves a third: sixteen sums would grow else.
pub(crate) fn values(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let fan: usize = shape.iter().skip(1).product();
    if shape.len() < 2 {
        let last = name.starts_with("layer") && (name.contains("bn2.") || name.contains("bn3."));
        let value = match name {
            n if n.ends_with("running_var") => 1.0,
            n if n.ends_with(".weight") => {
                if last {
                    0.3
                } else {
                    1.0
                }
            }
            _ => 0.0,
        };
        return vec![value; count];
    }
    let bound = (6.0 / fan.max(1) as f64).sqrt();
    // FNV-1a of the name: each tensor has its own stream.
    let stream =
        name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let uniform = |i: usize| {
        let z = mix(stream.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        (z >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    (0..count).map(|i| (bound * uniform(i)) as f32).collect()
}
