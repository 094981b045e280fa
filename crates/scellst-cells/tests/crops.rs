//! Properties of crops.

use image::{Rgb, RgbImage};
use ndarray::{Array4, s};
use proptest::prelude::*;
use scellst_cells::{Border, CropSpec, CropStream, crops};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::{CellIndex, Level0, MicronsPerPixel, Point};

/// A picture that repeats nowhere, seen from a corner at `(dx, dy)`.
fn picture(w: u32, h: u32, dx: u32, dy: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        let (x, y) = (u64::from(x + dx), u64::from(y + dy));
        let mixed = ((x * 0x9e37_79b9) ^ (y * 0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35_27d4_eb4f);
        Rgb([(mixed >> 20) as u8, (mixed >> 30) as u8, (mixed >> 40) as u8])
    })
}

struct Opened {
    slide: Slide,
    _folder: tempfile::TempDir,
}

fn open(picture: &RgbImage, mpp: f64) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    picture.save(&path).unwrap();
    let mpp = Some(MicronsPerPixel::square(mpp).unwrap());
    let slide = Slide::open_with(&path, &OpenOptions { mpp, ..Default::default() }).unwrap();
    Opened { slide, _folder: folder }
}

fn at(x: f64, y: f64) -> Point<Level0> {
    Point::new(x, y)
}

fn scattered(n: usize, w: f64, h: f64) -> Vec<Point<Level0>> {
    // The golden ratio's and its square root's multiples spread evenly and repeat nowhere.
    (1..=n).map(|i| at((i as f64 * 0.618_034).fract() * w, (i as f64 * 0.754_878).fract() * h)).collect()
}

#[test]
fn a_crop_at_the_slides_resolution_is_a_copy() {
    let image = picture(60, 50, 0, 0);
    let opened = open(&image, 0.25);
    let spec = CropSpec { size_px: 20, centre_px: 20, mpp: 0.25, ..Default::default() };
    let crop = crops(&opened.slide, &[at(30.0, 25.0)], &spec).unwrap();
    for (i, j) in [(0, 0), (7, 3), (19, 19)] {
        let pixel = image.get_pixel(20 + i as u32, 15 + j as u32).0;
        assert_eq!([crop[[0, j, i, 0]], crop[[0, j, i, 1]], crop[[0, j, i, 2]]], pixel);
    }
}

#[test]
fn beyond_the_edge_the_slide_is_mirrored_or_white() {
    let image = picture(40, 40, 0, 0);
    let opened = open(&image, 0.25);
    let of = |border| {
        let spec = CropSpec { size_px: 16, centre_px: 16, mpp: 0.25, border };
        crops(&opened.slide, &[at(0.0, 40.0)], &spec).unwrap()
    };
    let (mirror, white) = (of(Border::Mirror), of(Border::White));
    for k in 0..8 {
        assert_eq!(mirror.slice(s![0, 2, 7 - k, ..]), mirror.slice(s![0, 2, 8 + k, ..]));
        assert_eq!(mirror.slice(s![0, 7 - k, 9, ..]), mirror.slice(s![0, 8 + k, 9, ..]));
        assert!(white.slice(s![0, .., k, ..]).iter().all(|&v| v == 255));
        assert!(white.slice(s![0, 8 + k, .., ..]).iter().all(|&v| v == 255));
    }
    assert_eq!(mirror.slice(s![0, ..8, 8.., ..]), white.slice(s![0, ..8, 8.., ..]));
    // A slide smaller than the crop is mirrored again and again.
    let small = open(&picture(5, 4, 0, 0), 0.25);
    let spec = CropSpec { size_px: 30, centre_px: 30, mpp: 0.25, ..Default::default() };
    let crop = crops(&small.slide, &[at(2.0, 2.0)], &spec).unwrap();
    assert_eq!(crop.slice(s![0, .., 0, ..]), crop.slice(s![0, .., 10, ..]));
}

#[test]
fn every_cell_comes_once_and_the_same_on_any_number_of_threads() {
    let opened = open(&picture(2300, 1300, 0, 0), 0.5);
    let centroids = scattered(3000, 2300.0, 1300.0);
    let spec = CropSpec { size_px: 24, centre_px: 16, mpp: 0.5, ..Default::default() };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let stream = CropStream::new(&opened.slide, &centroids, &spec).unwrap();
            assert_eq!(stream.cells_left(), 3000);
            stream.map(Result::unwrap).collect::<Vec<_>>()
        })
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one, three);
    let mut cells: Vec<CellIndex> = one.iter().flat_map(|b| b.cells.clone()).collect();
    assert!(one.iter().all(|b| b.crops.dim() == (b.cells.len(), 16, 16, 3) && b.cells.len() <= 1024));
    cells.sort();
    assert_eq!(cells, (0..3000).map(CellIndex).collect::<Vec<_>>());
    // Alone, a cell's crop is what it is among all.
    let block = &one[one.len() / 2];
    let alone = crops(&opened.slide, &[centroids[block.cells[0].get()]], &spec).unwrap();
    assert_eq!(alone.slice(s![0, .., .., ..]), block.crops.slice(s![0, .., .., ..]));

    let seen = std::sync::Mutex::new(0);
    let stream = CropStream::new(&opened.slide, &centroids, &spec).unwrap();
    let counted: Result<(), scellst_cells::CellsError> = stream.par_for_each(|block| {
        *seen.lock().unwrap() += block.cells.len();
        Ok(())
    });
    counted.unwrap();
    assert_eq!(*seen.lock().unwrap(), 3000);
}

#[test]
fn centroids_off_the_slide_and_bad_specs_are_refused() {
    let opened = open(&picture(40, 40, 0, 0), 0.25);
    for bad in [at(-0.1, 5.0), at(5.0, 40.1), at(f64::NAN, 1.0), at(1.0, f64::INFINITY)] {
        let error = CropStream::new(&opened.slide, &[at(1.0, 1.0), bad], &CropSpec::default()).err().unwrap();
        assert!(error.to_string().contains("centroid of cell 1"), "{error}");
    }
    let spec = CropSpec { centre_px: 100, ..Default::default() };
    assert!(CropStream::new(&opened.slide, &[], &spec).is_err());
    assert_eq!(CropStream::new(&opened.slide, &[], &CropSpec::default()).unwrap().count(), 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no_mpp.png");
    picture(40, 40, 0, 0).save(&path).unwrap();
    assert!(CropStream::new(&Slide::open(&path).unwrap(), &[], &CropSpec::default()).is_err());
}

fn full_and_centre(slide: &Slide, p: Point<Level0>, spec: &CropSpec) -> (Array4<u8>, Array4<u8>) {
    let full = crops(slide, &[p], &spec.full()).unwrap();
    (full, crops(slide, &[p], spec).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_centre_is_the_centre_of_the_full_crop(
        x in 0.0..120.0f64, y in 0.0..90.0f64, mpp in 0.1..0.9f64, white in any::<bool>(),
    ) {
        let opened = open(&picture(120, 90, 0, 0), mpp);
        let border = if white { Border::White } else { Border::Mirror };
        let spec = CropSpec { border, ..Default::default() };
        let (full, centre) = full_and_centre(&opened.slide, at(x, y), &spec);
        prop_assert_eq!(full.slice(s![0, 12..60, 12..60, ..]), centre.slice(s![0, .., .., ..]));
    }

    #[test]
    fn cropping_commutes_with_shifting_by_whole_pixels(
        x in 40.0..60.0f64, y in 40.0..50.0f64, dx in 1u32..30, dy in 1u32..30, mpp in 0.3..0.9f64,
    ) {
        let here = open(&picture(150, 130, 0, 0), mpp);
        let there = open(&picture(150, 130, dx, dy), mpp);
        // The numbers that both see are shifted exactly.
        let (x, y) = ((x * 1024.0).round() / 1024.0, (y * 1024.0).round() / 1024.0);
        let spec = CropSpec::default();
        let moved = at(x + f64::from(dx), y + f64::from(dy));
        let (a, b) = (crops(&here.slide, &[moved], &spec).unwrap(), crops(&there.slide, &[at(x, y)], &spec).unwrap());
        prop_assert_eq!(a, b);
    }
}
