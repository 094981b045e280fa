//! Against scikit-image and Pillow; see `data/generate.py`.

use image::{Rgb, RgbImage};
use scellst_cells::{CropSpec, crops, hed};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::{MicronsPerPixel, Point};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("data/golden.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn stains_are_those_of_rgb2hed() {
    let golden = golden();
    let rows = golden["rgb"].as_array().unwrap().iter().zip(golden["hed"].as_array().unwrap());
    for (rgb, want) in rows {
        let rgb = numbers(rgb);
        let got = hed([rgb[0] as u8, rgb[1] as u8, rgb[2] as u8]);
        for (g, w) in got.iter().zip(numbers(want)) {
            // f32 sums of three entries of a table, where scikit-image reckons in f64.
            assert!((f64::from(*g) - w).abs() < 2e-6, "{rgb:?}: {got:?} for {want}");
        }
    }
}

#[test]
fn crops_are_those_of_pillow() {
    let golden = golden();
    let (w, h) = (golden["width"].as_u64().unwrap() as u32, golden["height"].as_u64().unwrap() as u32);
    let picture =
        RgbImage::from_fn(w, h, |x, y| Rgb([0, 57, 114].map(|c| ((x * 37 + y * 91 + x * y * 13 + c) % 251) as u8)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    picture.save(&path).unwrap();
    for crop in golden["crops"].as_array().unwrap() {
        let number = |key: &str| crop[key].as_f64().unwrap();
        let mpp = MicronsPerPixel::square(number("mpp")).unwrap();
        let slide = Slide::open_with(&path, &OpenOptions { mpp: Some(mpp), ..Default::default() }).unwrap();
        let size = number("size") as u32;
        let spec = CropSpec { size_px: size, centre_px: size, mpp: number("want"), ..Default::default() };
        let got = crops(&slide, &[Point::new(number("x"), number("y"))], &spec).unwrap();
        let want = numbers(&crop["pixels"]);
        assert_eq!(got.len(), want.len());
        let worst = got.iter().zip(&want).map(|(&g, w)| (f64::from(g) - w).abs()).fold(0.0, f64::max);
        // Both round to whole numbers after each pass; weights differ in their last bit.
        assert!(worst <= 1.0, "mpp {mpp}: off by {worst}");
    }
}
