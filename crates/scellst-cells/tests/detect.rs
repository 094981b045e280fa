//! Detection on drawn pictures and on a real section.

#![allow(clippy::print_stdout)] // The figures are for the reader of the log.

mod support;

use image::{Rgb, RgbImage};
use proptest::prelude::*;
use scellst_cells::{Cells, DetectConfig, detect, detect_in_image};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::MicronsPerPixel;

/// Tissue with nuclei of all sizes, touching and alone, on uneven stroma. Depends on the place alone.
fn tissue(w: u32, h: u32, mpp: f64, seed: u64) -> RgbImage {
    let hash = |a: i64, b: i64, k: u64| {
        let mixed = ((a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
            .wrapping_add(k.wrapping_mul(0x1656_67b1_9e37_79f9) ^ seed);
        let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
        ((mixed ^ (mixed >> 27)) >> 40) as f64 / f64::from(1 << 24)
    };
    let cell = 9.0;
    RgbImage::from_fn(w, h, |x, y| {
        let (x, y) = (f64::from(x) * mpp, f64::from(y) * mpp);
        let (i, j) = ((x / cell).floor() as i64, (y / cell).floor() as i64);
        let mut stain: f64 = 0.0;
        for (a, b) in (-1..=1).flat_map(|dj| (-1..=1).map(move |di| (i + di, j + dj))) {
            if hash(a, b, 0) < 0.3 {
                continue;
            }
            let (cx, cy) = ((a as f64 + hash(a, b, 1)) * cell, (b as f64 + hash(a, b, 2)) * cell);
            let (rx, ry) = (2.0 + 3.0 * hash(a, b, 3), 2.0 + 2.5 * hash(a, b, 4));
            let d = ((x - cx) / rx).hypot((y - cy) / ry);
            stain = stain.max((0.5 + 0.5 * hash(a, b, 5)) * (1.0 / (1.0 + ((d - 1.0) * 8.0).exp())));
        }
        let noise = hash((x * 7.0) as i64, (y * 7.0) as i64, 6) * 0.08;
        let (haematoxylin, eosin) = (1.2 * stain + noise, 0.25 + 0.1 * (x / 40.0).sin() * (y / 55.0).cos());
        let channel = |h: f64, e: f64| (245.0 * (-(h * haematoxylin + e * eosin)).exp()) as u8;
        Rgb([channel(0.65, 0.07), channel(0.70, 0.99), channel(0.29, 0.11)])
    })
}

fn mpp(value: f64) -> MicronsPerPixel {
    MicronsPerPixel::square(value).unwrap()
}

fn with_tiles(image: &RgbImage, at: f64, tile_px: u32) -> Cells {
    detect_in_image(image, mpp(at), &DetectConfig { tile_px, ..Default::default() }).unwrap()
}

#[test]
fn the_same_cells_whatever_the_tile_size() {
    let image = tissue(1500, 1100, 0.4, 1);
    let whole = with_tiles(&image, 0.4, 8192);
    assert!(whole.len() > 1500, "{} cells", whole.len());
    for tile_px in [100, 233, 512, 700] {
        let tiled = with_tiles(&image, 0.4, tile_px);
        // Ids, order, centroids, outlines, areas and scores, to the last bit.
        assert!(tiled == whole, "tiles of {tile_px} px: {} cells for {}", tiled.len(), whole.len());
    }
}

#[test]
fn the_same_cells_whatever_the_number_of_threads() {
    let image = tissue(700, 600, 0.5, 2);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| with_tiles(&image, 0.5, 128))
    };
    assert!(run(1) == run(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_tiling_of_any_picture(seed in any::<u64>(), tile_px in 64u32..500, at in 0.2f64..0.75) {
        let image = tissue(330, 290, at, seed);
        prop_assert!(with_tiles(&image, at, tile_px) == with_tiles(&image, at, 8192));
    }
}

#[test]
fn one_configuration_for_all_resolutions() {
    let truth = with_tiles(&tissue(2000, 1600, 0.25, 3), 0.25, 1024);
    for at in [0.35, 0.5, 0.69] {
        let scale = 0.25 / at;
        let found = with_tiles(&tissue((2000.0 * scale) as u32, (1600.0 * scale) as u32, at, 3), at, 1024);
        let moved: Vec<_> =
            found.centroids().iter().map(|p| scellst_types::Point::new(p.x / scale, p.y / scale)).collect();
        let mut score = support::Score::default();
        score.add(&moved, truth.centroids(), 2.0 / 0.25);
        assert!(score.f1() > 0.9, "{at} um/px: {score:?}");
    }
}

#[test]
fn glass_and_array_dots_hold_no_cells() {
    let glass = RgbImage::from_fn(600, 600, |x, y| {
        if x % 150 < 70 && y % 150 < 70 { Rgb([222, 206, 222]) } else { Rgb([236, 220, 233]) }
    });
    for tissue in [None, DetectConfig::default().tissue] {
        let config = DetectConfig { tissue, ..Default::default() };
        assert_eq!(detect_in_image(&glass, mpp(0.7), &config).unwrap().len(), 0);
    }
    assert!(detect_in_image(&RgbImage::new(0, 5), mpp(0.5), &DetectConfig::default()).is_err());
    let one = RgbImage::from_pixel(1, 1, Rgb([80, 60, 140]));
    assert!(detect_in_image(&one, mpp(0.5), &DetectConfig::default()).unwrap().is_empty());
}

#[test]
fn brown_and_black_specks_and_ink_are_no_nuclei() {
    let mut image = tissue(600, 600, 0.5, 5);
    let clean = with_tiles(&image, 0.5, 1024);
    let places = [
        (100.0, 100.0, [90, 60, 20]),
        (300.0, 420.0, [60, 45, 15]),
        (500.0, 200.0, [35, 33, 30]),
        (180.0, 500.0, [20, 110, 115]),
    ];
    for (cx, cy, colour) in places {
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let d = (f64::from(x) + 0.5 - cx).hypot(f64::from(y) + 0.5 - cy);
            // A ring of stroma sets the speck apart from the nuclei around.
            if d < 8.0 {
                *pixel = Rgb(colour);
            } else if d < 30.0 {
                *pixel = Rgb([235, 190, 235]);
            }
        }
    }
    let near = |cells: &Cells| {
        let at = |p: &scellst_types::Point<_>| places.iter().any(|(x, y, _)| (p.x - x).hypot(p.y - y) < 9.0);
        cells.centroids().iter().filter(|p| at(p)).count()
    };
    let all =
        detect_in_image(&image, mpp(0.5), &DetectConfig { max_brown: 100.0, max_ink: 100.0, ..Default::default() })
            .unwrap();
    assert_eq!(near(&all), 4, "the specks are dark enough to be found");
    let found = with_tiles(&image, 0.5, 1024);
    assert_eq!(near(&found), 0);
    assert!(found.len() * 10 > clean.len() * 9);
}

#[test]
fn outlines_surround_their_centroids() {
    let cells = with_tiles(&tissue(800, 700, 0.3, 4), 0.3, 512);
    let mut within = 0;
    for i in 0..cells.len() {
        let (ring, p) = (cells.outline(i), cells.centroids()[i]);
        assert!(ring.len() >= 6);
        let mut inside = false;
        let mut twice = 0.0;
        for (k, a) in ring.iter().enumerate() {
            let b = ring[(k + 1) % ring.len()];
            let (ax, ay, bx, by) = (f64::from(a[0]), f64::from(a[1]), f64::from(b[0]), f64::from(b[1]));
            twice += ax * by - bx * ay;
            if (ay > p.y) != (by > p.y) && p.x < ax + (p.y - ay) / (by - ay) * (bx - ax) {
                inside = !inside;
            }
        }
        within += usize::from(inside);
        let area = twice / 2.0 * 0.09;
        let pixels = f64::from(cells.area_um2()[i]);
        // The smoothed outline keeps the area of the pixels.
        assert!((area - pixels).abs() < 0.25 * pixels + 2.0, "{area} for {pixels}");
    }
    // A bent nucleus may have its centroid outside.
    assert!(within * 100 >= cells.len() * 98, "{within} of {}", cells.len());
}

#[test]
fn a_real_section() {
    let Some(path) = support::shared("hest/wsis/C2.tif") else {
        println!("skipped: no shared data");
        return;
    };
    let slide = Slide::open_with(path, &OpenOptions::default()).unwrap();
    let done = std::sync::Mutex::new((0, 0));
    let began = std::time::Instant::now();
    let cells = detect(&slide, &DetectConfig::default(), &|n, of| {
        let mut done = done.lock().unwrap();
        *done = (done.0.max(n), of);
    })
    .unwrap();
    println!("C2: {} nuclei in {:.1} s", cells.len(), began.elapsed().as_secs_f64());
    let done = *done.lock().unwrap();
    assert!(done.0 == done.1 && done.1 > 10, "{done:?}");
    assert!((25_000..=40_000).contains(&cells.len()), "{} cells", cells.len());
    assert_eq!(cells.inside(slide.size()).unwrap().len(), cells.len());
    // The section lies in the lower middle; glass, array dots and the smear of eosin beside it hold nothing.
    let stray = cells.centroids().iter().filter(|p| p.y < 3000.0 || p.x < 1700.0 || p.x > 8100.0 || p.y > 8300.0);
    assert_eq!(stray.count(), 0);
    let other = detect(&slide, &DetectConfig { tile_px: 700, ..Default::default() }, &|_, _| {}).unwrap();
    assert!(cells == other);
}
