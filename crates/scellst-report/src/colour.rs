//! Values to colours.

use image::Rgb;

/// For what is no number.
pub(crate) const MISSING: Rgb<u8> = Rgb([150, 150, 150]);

/// From low to high, each lighter than the one before.
const ANCHORS: [[f32; 3]; 6] = [
    [24.0, 18.0, 92.0],
    [38.0, 70.0, 148.0],
    [22.0, 126.0, 150.0],
    [52.0, 176.0, 116.0],
    [160.0, 212.0, 68.0],
    [252.0, 236.0, 66.0],
];

/// The colour of a share from 0 to 1, held to that; grey for what is no number.
pub(crate) fn colour(share: f32) -> Rgb<u8> {
    if share.is_nan() {
        return MISSING;
    }
    let at = share.clamp(0.0, 1.0) * (ANCHORS.len() - 1) as f32;
    let below = (at as usize).min(ANCHORS.len() - 2);
    let t = at - below as f32;
    Rgb(std::array::from_fn(|c| (ANCHORS[below][c] * (1.0 - t) + ANCHORS[below + 1][c] * t).round() as u8))
}

/// The 2nd and the 98th percentile of the finite values: what the ends of a colour bar stand for.
/// Apart by at least something, so that equal values get one colour.
pub(crate) fn limits(values: &[f32]) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: f32| sorted.get(((sorted.len().saturating_sub(1)) as f32 * share).round() as usize).copied();
    let (low, high) = (at(0.02).unwrap_or(0.0), at(0.98).unwrap_or(1.0));
    if high > low { (low, high) } else { (low, low + 1.0) }
}

pub(crate) fn share(value: f32, (low, high): (f32, f32)) -> f32 {
    (value - low) / (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_rises() {
        let lightness = |c: Rgb<u8>| 0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2]);
        let steps: Vec<f32> = (0..=100).map(|i| lightness(colour(i as f32 / 100.0))).collect();
        assert!(steps.windows(2).all(|w| w[1] >= w[0] - 0.6), "{steps:?}"); // rounding to whole numbers
        assert!(steps[100] - steps[0] > 150.0);
        assert_eq!(colour(f32::NAN), MISSING);
        assert_eq!(colour(9.0), colour(1.0));
    }

    #[test]
    fn limits_of_anything() {
        assert_eq!(limits(&[]), (0.0, 1.0));
        assert_eq!(limits(&[f32::NAN, 3.0, 3.0]), (3.0, 4.0));
        let v: Vec<f32> = (0..=100).map(|i| i as f32).collect();
        assert_eq!(limits(&v), (2.0, 98.0));
    }
}
