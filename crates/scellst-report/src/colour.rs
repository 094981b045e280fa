//! Colours that people with colour blindness can tell apart.

/// A colour, red, green and blue.
pub type Rgb = [u8; 3];

/// What has no value.
pub(crate) const GREY: Rgb = [165, 165, 165];
pub(crate) const BLACK: Rgb = [20, 20, 20];
pub(crate) const WHITE: Rgb = [255, 255, 255];

/// From low to high: dark violet, blue, teal, green, yellow, each step lighter than the one before.
const ANCHORS: [Rgb; 6] = [[46, 16, 82], [58, 68, 138], [40, 114, 142], [38, 158, 126], [124, 200, 72], [248, 228, 48]];

/// Colours of classes: those of Okabe and Ito 2008 ("Color universal design") that stand out on H&E, most distinct first.
const CLASSES: [Rgb; 7] =
    [[0, 158, 115], [240, 228, 66], [0, 114, 178], [230, 159, 0], [86, 180, 233], [213, 94, 0], [204, 121, 167]];

/// The colour of a value from 0 (dark violet) to 1 (yellow), lightness rising all the way; values outside are held at
/// the ends, NaN is grey.
pub fn colour_of(value: f64) -> Rgb {
    if value.is_nan() {
        return GREY;
    }
    let last = ANCHORS.len() - 1;
    let place = value.clamp(0.0, 1.0) * last as f64;
    let i = (place as usize).min(last - 1);
    let t = place - i as f64;
    std::array::from_fn(|c| {
        let (low, high) = (f64::from(ANCHORS[i][c]), f64::from(ANCHORS[i + 1][c]));
        (low + (high - low) * t).round() as u8
    })
}

/// The colour of the `i`-th class; they repeat after seven.
pub fn class_colour(i: usize) -> Rgb {
    CLASSES[i % CLASSES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_rises_from_end_to_end() {
        // Rec. 709 luma.
        let light = |c: Rgb| 0.2126 * f64::from(c[0]) + 0.7152 * f64::from(c[1]) + 0.0722 * f64::from(c[2]);
        let steps: Vec<f64> = (0..=50).map(|i| light(colour_of(f64::from(i) / 50.0))).collect();
        assert!(steps.windows(2).all(|p| p[1] > p[0] + 1.0), "{steps:?}");
    }

    #[test]
    fn ends_hold_and_nan_is_grey() {
        assert_eq!(colour_of(-3.0), ANCHORS[0]);
        assert_eq!(colour_of(f64::INFINITY), ANCHORS[5]);
        assert_eq!(colour_of(0.2), ANCHORS[1]);
        assert_eq!(colour_of(f64::NAN), GREY);
        assert_eq!(class_colour(8), class_colour(1));
    }
}
