//! Sequential JPEGs with a scan for each component (`cjpeg -scans` of libjpeg-turbo 2.1.5, quality 80,
//! of the same 64 x 48 px), which are rare and easily decoded wrongly.

mod common;

use scellst_slide::{OpenOptions, RgbImage, Slide};

fn decode(bytes: &'static [u8]) -> Result<RgbImage, scellst_slide::SlideError> {
    let slide = Slide::from_bytes("scans.jpg", bytes, &OpenOptions::default()).unwrap();
    common::whole(&slide, 0)
}

/// Against the same picture with all components in one scan, which is what `jpegtran` made of it.
#[test]
fn of_full_size_they_are_read() {
    let apart = decode(include_bytes!("data/scans-444.jpg")).unwrap();
    let together = decode(include_bytes!("data/scans-444-together.jpg")).unwrap();
    assert!(apart == together);
}

/// Until zune-jpeg reads them right: an error, no other picture.
#[test]
fn subsampled_they_are_refused() {
    let error = decode(include_bytes!("data/scans-420.jpg")).unwrap_err().to_string();
    assert!(error.contains("a scan for each"), "{error}");
}
