//! The face of a MIRAX slide is a picture: it must not pass for the slide.

use scellst_slide::{RgbImage, Slide, SlideError};

#[test]
fn a_mirax_slide_is_not_its_small_picture() {
    let folder = tempfile::tempdir().unwrap();
    let face = folder.path().join("case.MRXS");
    RgbImage::new(60, 40).save_with_format(&face, image::ImageFormat::Jpeg).unwrap();
    // A picture that somebody named so.
    assert!(Slide::open(&face).is_ok());
    std::fs::create_dir(folder.path().join("case")).unwrap();
    std::fs::write(folder.path().join("case/Slidedat.ini"), "[GENERAL]\r\n").unwrap();
    // With OpenSlide built in, it is asked and does not know so poor a slide either.
    let error = Slide::open(&face).unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. } | SlideError::Broken { .. }), "{error}");
    if cfg!(not(feature = "openslide")) {
        assert!(error.to_string().contains("MIRAX"), "{error}");
    }
}
