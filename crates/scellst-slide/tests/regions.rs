//! Regions, their coordinates, and the cache.

mod common;

use std::sync::OnceLock;

use common::{Layout, PLAIN, Page, open_bytes, picture, tiff};
use proptest::prelude::*;
use rayon::prelude::*;
use scellst_slide::{Limits, OpenOptions, RgbImage, Slide, SlideError};
use scellst_types::{Level0, LevelIndex, Point, Rect, Size};

const SIZES: [(u32, u32); 3] = [(301, 203), (150, 101), (75, 50)];

/// Three levels of odd sizes, one tiled, one in strips, one tiled otherwise.
fn slide() -> &'static Slide {
    static SLIDE: OnceLock<(Slide, tempfile::NamedTempFile)> = OnceLock::new();
    &SLIDE
        .get_or_init(|| {
            let layouts = [
                Layout { tile: Some((32, 48)), compression: 8, ..PLAIN },
                Layout { rows: 7, compression: 5, ..PLAIN },
                Layout { tile: Some((16, 16)), ..PLAIN },
            ];
            let pages: Vec<Page> =
                SIZES.iter().zip(layouts).map(|(&(w, h), layout)| Page::of(&picture(w, h), layout)).collect();
            let (_, file) = open_bytes(&tiff(&pages, false, true, None));
            // A cache of a few tiles, so that it overflows.
            let options = OpenOptions { cache_bytes: 20_000, ..OpenOptions::default() };
            (Slide::open_with(file.path(), &options).unwrap(), file)
        })
        .0
}

/// What a region must be: the crop of the whole, white outside.
fn crop(image: &RgbImage, x: i64, y: i64, size: Size) -> RgbImage {
    RgbImage::from_fn(size.width, size.height, |i, j| {
        let (px, py) = (x + i64::from(i), y + i64::from(j));
        let inside = px >= 0 && py >= 0 && px < i64::from(image.width()) && py < i64::from(image.height());
        if inside { *image.get_pixel(px as u32, py as u32) } else { image::Rgb([255; 3]) }
    })
}

proptest! {
    #[test]
    fn a_region_is_a_crop_of_the_whole(
        level in 0..3_u32, x in -60..320_i64, y in -60..230_i64, w in 0..150_u32, h in 0..150_u32, cached: bool,
    ) {
        let region = slide().level(LevelIndex(level)).unwrap().region(x, y, Size::new(w, h));
        let found = if cached { slide().read(&region) } else { slide().read_uncached(&region) }.unwrap();
        let (width, height) = SIZES[level as usize];
        prop_assert!(found == crop(&picture(width, height), x, y, Size::new(w, h)));
    }

    #[test]
    fn coordinates_go_there_and_back(level in 0..3_u32, x in -999..999_i64, y in -999..999_i64, px in -9.0..99.0_f64, py in -9.0..99.0_f64) {
        let region = slide().level(LevelIndex(level)).unwrap().region(x, y, Size::new(10, 10));
        let (qx, qy) = region.from_level0(region.to_level0(px, py));
        prop_assert!((px - qx).abs() < 1e-9 && (py - qy).abs() < 1e-9);
    }

    #[test]
    fn a_covering_region_covers_and_no_more(level in 0..3_u32, x in -50.0..300.0_f64, y in -50.0..300.0_f64, w in 0.01..90.0_f64, h in 0.01..90.0_f64) {
        let level = slide().level(LevelIndex(level)).unwrap();
        let rect = Rect::<Level0>::new(Point::new(x, y), Point::new(x + w, y + h)).unwrap();
        let region = level.region_covering(rect);
        let (x0, y0) = region.from_level0(rect.min());
        let (x1, y1) = region.from_level0(rect.max());
        let (width, height) = (f64::from(region.size().width), f64::from(region.size().height));
        // Within a pixel on every side; the millionth is what is taken for rounding.
        prop_assert!(x0 > -1e-5 && x0 < 1.0 && y0 > -1e-5 && y0 < 1.0);
        prop_assert!(x1 < width + 1e-5 && x1 > width - 1.0 && y1 < height + 1e-5 && y1 > height - 1.0);
    }
}

#[test]
fn a_region_at_a_point_has_it_in_its_first_pixel() {
    for level in slide().levels() {
        for (i, j) in [(0, 0), (7, 3), (74, 49)] {
            let origin = level.region(i, j, Size::new(1, 1));
            // A pixel's own corner and centre lie in it.
            for inside in [0.0, 0.5] {
                let found = level.region_at(origin.to_level0(inside, inside), Size::new(5, 6));
                assert_eq!((found.x(), found.y(), found.size()), (i, j, Size::new(5, 6)));
            }
        }
    }
}

#[test]
fn far_regions_are_white_and_cheap() {
    let level = slide().level(LevelIndex(0)).unwrap();
    for (x, y) in [(i64::MAX, 0), (i64::MIN, i64::MIN), (0, i64::MAX), (301, 0), (-4, 0)] {
        let image = slide().read(&level.region(x, y, Size::new(4, 4))).unwrap();
        assert!(image.as_raw().iter().all(|&v| v == 255));
    }
    let nowhere = Point::<Level0>::new(f64::NAN, f64::INFINITY);
    assert_eq!(level.region_at(nowhere, Size::new(1, 1)).y(), i64::MAX);
}

#[test]
fn misuse_and_limits() {
    assert!(matches!(slide().level(LevelIndex(3)), Err(SlideError::Misuse { .. })));
    assert!(matches!(slide().thumbnail(0), Err(SlideError::Misuse { .. })));
    let level = slide().level(LevelIndex(0)).unwrap();
    let huge = level.region(0, 0, Size::new(u32::MAX, u32::MAX));
    assert!(matches!(slide().read(&huge), Err(SlideError::OverLimit { .. })));

    let (other, _file) = open_bytes(&tiff(&[Page::of(&picture(20, 20), PLAIN)], true, false, None));
    let other = other.unwrap();
    assert!(matches!(other.read(&level.region(0, 0, Size::new(1, 1))), Err(SlideError::Misuse { .. })));

    let limits = Limits { max_tile_bytes: 500, ..Limits::default() };
    let error = Slide::open_with(slide().path(), &OpenOptions { limits, ..OpenOptions::default() }).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { limit: 500, .. }), "{error}");
    assert!(error.to_string().contains("max_tile_bytes"));
}

/// An image in one raw strip is read in parts; only a packed one has to fit into the limit.
#[test]
fn one_strip() {
    let image = picture(100, 1000);
    for (compression, fits) in [(1, true), (8, false)] {
        let page = Page::of(&image, Layout { rows: 1000, compression, ..PLAIN });
        let (_, file) = open_bytes(&tiff(&[page], true, false, None));
        let limits = Limits { max_tile_bytes: 100_000, ..Limits::default() };
        let slide = Slide::open_with(file.path(), &OpenOptions { limits, ..OpenOptions::default() });
        match slide {
            Ok(slide) => assert!(fits && common::whole(&slide, 0).unwrap() == image),
            Err(error) => assert!(!fits && matches!(error, SlideError::OverLimit { .. }), "{error}"),
        }
    }
}

#[test]
fn threads_share_a_slide() {
    let level = slide().level(LevelIndex(0)).unwrap();
    let (width, height) = SIZES[0];
    let full = picture(width, height);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    pool.install(|| {
        (0..2000_i64).into_par_iter().for_each(|i| {
            let (x, y) = (i * 37 % 290, i * 53 % 190);
            let region = level.region(x, y, Size::new(40, 40));
            assert!(slide().clone().read(&region).unwrap() == crop(&full, x, y, region.size()));
        });
    });
}

/// Against the mean over squares worked out from the whole.
#[test]
fn thumbnails() {
    let image = RgbImage::from_fn(512, 384, |x, y| image::Rgb([(x / 2) as u8, (y / 2) as u8, 200]));
    let page = Page::of(&image, Layout { tile: Some((64, 64)), ..PLAIN });
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    let slide = slide.unwrap();
    let (small, downsample) = slide.thumbnail(64).unwrap();
    assert_eq!((small.dimensions(), downsample), ((64, 48), 8.0));
    for (x, y, pixel) in small.enumerate_pixels() {
        // The mean of x / 2 (rounded down) over 8 columns.
        let expected = [x * 4 + 2, y * 4 + 2, 200].map(|v| v as u8);
        // At the edges the filter has a side only.
        let inside = (1..63).contains(&x) && (1..47).contains(&y);
        for (a, b) in pixel.0.iter().zip(expected) {
            assert!(a.abs_diff(b) <= if inside { 1 } else { 2 }, "({x}, {y}): {pixel:?} for {expected:?}");
        }
    }
    // Larger than the slide: the slide.
    let (same, downsample) = slide.thumbnail(5000).unwrap();
    assert!(same == image && downsample == 1.0);
}
