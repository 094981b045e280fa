//! Resampling against Pillow (`data/resample.py`).

use proptest::prelude::*;
use scellst_slide::{RgbImage, Window, resample};
use scellst_types::Size;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    window: [f64; 4],
    width: u32,
    height: u32,
    rgb: String,
}

/// As in `data/resample.py`.
fn source() -> RgbImage {
    RgbImage::from_fn(61, 47, |x, y| {
        image::Rgb([(x * x * 7 + y * 13) as u8, (x * 31 + y * y * 3) as u8, if (x + y) % 2 == 1 { 255 } else { 0 }])
    })
}

/// The same filter with weights of the same precision: a difference of 1 is left to the rounding of
/// the weights' sum in another order of operations.
#[test]
fn as_pillow_does_it() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/resample.json")).unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let [x0, y0, x1, y1] = case.window;
        let found = resample(&source(), Window { x0, y0, x1, y1 }, Size::new(case.width, case.height));
        let golden = (0..case.rgb.len()).step_by(2).map(|i| u8::from_str_radix(&case.rgb[i..i + 2], 16).unwrap());
        assert_eq!(found.as_raw().len() * 2, case.rgb.len());
        let worst = found.as_raw().iter().zip(golden).map(|(a, b)| a.abs_diff(b)).max();
        assert!(worst <= Some(1), "{:?}: {worst:?}", case.window);
    }
}

#[test]
fn the_same_size_is_the_same_image() {
    assert!(resample(&source(), Window::whole(&source()), Size::new(61, 47)) == source());
    assert_eq!(resample(&source(), Window::whole(&source()), Size::new(0, 9)).dimensions(), (0, 9));
}

#[test]
fn beyond_the_frame_the_edge_is_repeated() {
    let image = source();
    let far = resample(&image, Window { x0: -30.0, y0: 10.0, x1: -20.0, y1: 11.0 }, Size::new(4, 1));
    assert!(far.pixels().all(|p| p == image.get_pixel(0, 10)));
    let far = resample(&image, Window { x0: 80.0, y0: 70.0, x1: 81.0, y1: 71.0 }, Size::new(3, 3));
    assert!(far.pixels().all(|p| p == image.get_pixel(60, 46)));
}

proptest! {
    /// A window of a part is the same as of the whole, if the filter finds what it needs in the part.
    #[test]
    fn the_rest_of_the_source_does_not_matter(x in 12.0..20.0_f64, y in 12.0..15.0_f64, side in 5.0..12.0_f64, out in 3..40_u32) {
        let margin = (side / f64::from(out)).max(1.0).ceil() as u32 + 1;
        let (left, top) = (x as u32 - margin, y as u32 - margin);
        let needed = side as u32 + 2 * margin + 2;
        let part = image::imageops::crop_imm(&source(), left, top, needed, needed).to_image();
        let whole = resample(&source(), Window { x0: x, y0: y, x1: x + side, y1: y + side }, Size::new(out, out));
        let (px, py) = (x - f64::from(left), y - f64::from(top));
        let again = resample(&part, Window { x0: px, y0: py, x1: px + side, y1: py + side }, Size::new(out, out));
        // Coordinates differ in their last bits, and so may a weight.
        prop_assert!(whole.as_raw().iter().zip(again.as_raw()).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    /// No value outside of those of the source.
    #[test]
    fn a_flat_image_stays_flat(value: u8, x in -20.0..20.0_f64, side in 0.01..90.0_f64, out in 1..50_u32) {
        let flat = RgbImage::from_pixel(10, 10, image::Rgb([value; 3]));
        let found = resample(&flat, Window { x0: x, y0: -x, x1: x + side, y1: -x + side }, Size::new(out, out));
        prop_assert!(found.as_raw().iter().all(|&v| v == value));
    }
}
