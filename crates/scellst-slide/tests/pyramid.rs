//! Pyramids that we write, read back. (tifffile reads them too: see `data/check_pyramid.py`.)

mod common;

use common::{picture, whole};
use scellst_slide::{PyramidCompression, PyramidOptions, PyramidWriter, RgbImage, Slide, SlideError};
use scellst_types::{MicronsPerPixel, Size};

/// Mean of 2 x 2 pixels, or of those that there are, rounded to nearest.
fn half(image: &RgbImage) -> RgbImage {
    let (w, h) = image.dimensions();
    RgbImage::from_fn(w.div_ceil(2), h.div_ceil(2), |x, y| {
        let mut sum = [0_u32; 3];
        let mut n = 0;
        for (i, j) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            if let Some(pixel) = image.get_pixel_checked(2 * x + i, 2 * y + j) {
                n += 1;
                for (s, &p) in sum.iter_mut().zip(&pixel.0) {
                    *s += u32::from(p);
                }
            }
        }
        image::Rgb(sum.map(|s| ((s + n / 2) / n) as u8))
    })
}

#[test]
fn lossless_levels_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    for (w, h, tile, levels) in [(1500, 777, 256, 3), (511, 3, 256, 1), (513, 1025, 64, 3), (1, 1, 16, 1)] {
        let path = folder.path().join(format!("{w}x{h}.tif"));
        let image = picture(w, h);
        let mpp = MicronsPerPixel::new(0.2501, 0.75).unwrap();
        let options = PyramidOptions { tile, mpp: Some(mpp), ..PyramidOptions::default() };
        PyramidWriter::write_image(&path, &image, &options).unwrap();
        let slide = Slide::open(&path).unwrap();
        assert_eq!(slide.level_count(), levels);
        let found = slide.mpp().unwrap().value;
        assert!((found.x() / mpp.x() - 1.0).abs() < 1e-8 && (found.y() / mpp.y() - 1.0).abs() < 1e-8);
        let mut expected = image;
        for level in slide.levels() {
            assert_eq!(level.tile_size(), Some(Size::new(tile, tile)));
            assert!(whole(&slide, level.index().0).unwrap() == expected, "{w} x {h}, level {}", level.index());
            expected = half(&expected);
        }
    }
}

#[test]
fn rows_may_come_in_any_number() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(700, 900);
    let path = folder.path().join("rows.tif");
    let mut writer = PyramidWriter::create(&path, Size::new(700, 900), &PyramidOptions::default()).unwrap();
    let mut top = 0;
    for rows in [1, 254, 1, 1, 300, 343] {
        writer.push_rows(&image::imageops::crop_imm(&image, 0, top, 700, rows).to_image()).unwrap();
        top += rows;
    }
    assert_eq!(writer.next_rows(), None);
    writer.finish().unwrap();
    assert!(whole(&Slide::open(&path).unwrap(), 0).unwrap() == image);
}

#[test]
fn jpeg_is_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jpeg.tif");
    let image = RgbImage::from_fn(600, 500, |x, y| image::Rgb([(x / 3) as u8, (y / 2) as u8, ((x + y) / 5) as u8]));
    let compression = PyramidCompression::Jpeg { quality: 90 };
    PyramidWriter::write_image(&path, &image, &PyramidOptions { compression, ..PyramidOptions::default() }).unwrap();
    let slide = Slide::open(&path).unwrap();
    assert_eq!((slide.level_count(), slide.mpp()), (2, None));
    let found = whole(&slide, 0).unwrap();
    let sum: u64 = found.as_raw().iter().zip(image.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(sum < found.as_raw().len() as u64 * 2, "mean difference {}", sum as f64 / found.as_raw().len() as f64);
}

#[test]
fn nothing_is_left_of_what_is_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("never.tif");
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    let mut writer = PyramidWriter::create(&path, Size::new(10, 10), &PyramidOptions::default()).unwrap();
    assert_eq!(entries(), 1);
    assert!(matches!(writer.push_rows(&RgbImage::new(9, 1)), Err(SlideError::Misuse { .. })));
    assert!(matches!(writer.push_rows(&RgbImage::new(10, 11)), Err(SlideError::Misuse { .. })));
    writer.push_rows(&RgbImage::new(10, 9)).unwrap();
    assert!(matches!(writer.finish(), Err(SlideError::Misuse { .. })));
    assert_eq!(entries(), 0);

    // What was there stays until the new one is whole.
    std::fs::write(&path, b"old").unwrap();
    drop(PyramidWriter::create(&path, Size::new(10, 10), &PyramidOptions::default()).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    PyramidWriter::write_image(&path, &picture(10, 10), &PyramidOptions::default()).unwrap();
    assert_eq!(entries(), 1);
    assert!(Slide::open(&path).is_ok());

    let missing = folder.path().join("no/such/folder.tif");
    let error = PyramidWriter::create(&missing, Size::new(10, 10), &PyramidOptions::default()).unwrap_err();
    assert!(matches!(error, SlideError::Io { .. }), "{error}");
}

#[test]
fn options_are_checked() {
    let path = std::env::temp_dir().join("scellst-slide-never.tif");
    let misuse = |size, options: &PyramidOptions| {
        matches!(PyramidWriter::create(&path, size, options), Err(SlideError::Misuse { .. }))
    };
    let fine = Size::new(10, 10);
    assert!(misuse(Size::new(0, 5), &PyramidOptions::default()));
    assert!(misuse(fine, &PyramidOptions { tile: 100, ..PyramidOptions::default() }));
    let compression = PyramidCompression::Jpeg { quality: 0 };
    assert!(misuse(fine, &PyramidOptions { compression, ..PyramidOptions::default() }));
    assert!(!path.exists());
}
