//! Faults on real sections: none where there is none, and found where they were made.

#![allow(clippy::print_stderr)] // what is skipped

mod common;

use common::shared;
use image::Rgb;
use rayon::ThreadPoolBuilder;
use scellst_slide::{
    OpenOptions, PyramidOptions, PyramidWriter, QcConfig, QcFlag, QcSummary, RgbImage, Slide, SlideQc,
};
use scellst_types::{Level0, LevelIndex, MicronsPerPixel, Point, Size};

const MPP: f64 = 0.686;

fn open(name: &str) -> Option<Slide> {
    let options = OpenOptions { mpp: Some(MicronsPerPixel::square(MPP).unwrap()), ..OpenOptions::default() };
    Some(Slide::open_with(shared()?.join(name), &options).unwrap())
}

fn look(slide: &Slide) -> SlideQc {
    SlideQc::of_slide(slide, &QcConfig::default()).unwrap()
}

/// 1.5 mm of C2 with the edge of the section to the upper left, and glass beyond.
fn section() -> Option<RgbImage> {
    let slide = open("hest/wsis/C2.tif")?;
    let level = slide.level(LevelIndex(0)).unwrap();
    Some(slide.read(&level.region(2800, 4000, Size::new(2200, 2200))).unwrap())
}

/// By way of a file, as a slide.
fn look_at(image: &RgbImage) -> SlideQc {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    let options = PyramidOptions { mpp: Some(MicronsPerPixel::square(MPP).unwrap()), ..PyramidOptions::default() };
    PyramidWriter::write_image(&path, image, &options).unwrap();
    look(&Slide::open(&path).unwrap())
}

/// Of the pixels of the masks that are sure to have the fault the share that is flagged, and of those flagged the
/// share that may have it. `has` is asked at a place, in px, and how far about, in um.
fn recall_and_precision(
    qc: &SlideQc,
    flag: QcFlag,
    sure: impl Fn(f64, f64) -> bool,
    may: impl Fn(f64, f64) -> bool,
) -> (f64, f64) {
    let mask = qc.mask(flag);
    let (step, width) = (mask.step().0, mask.size().width as usize);
    let (mut sure_count, mut found, mut flagged, mut right) = (0.0, 0.0, 0.0, 0.0);
    for (at, &is_flagged) in mask.as_slice().iter().enumerate() {
        let (x, y) = (((at % width) as f64 + 0.5) * step, ((at / width) as f64 + 0.5) * step);
        let add = |to: &mut f64, condition: bool| *to += f64::from(u8::from(condition));
        add(&mut sure_count, sure(x, y));
        add(&mut found, sure(x, y) && is_flagged);
        add(&mut flagged, is_flagged);
        add(&mut right, is_flagged && may(x, y));
    }
    (found / sure_count, right / f64::max(flagged, 1.0))
}

#[test]
fn real_sections_have_few_faults() {
    for name in ["C2.tif", "C3.tif", "C4.tif", "C5.jpg"] {
        let Some(slide) = open(&format!("hest/wsis/{name}")) else { return };
        let QcSummary { tissue_mm2, blurred_share, pen_share, fold_share, good_share, blur_um, .. } =
            look(&slide).summary();
        assert!((7.0..7.6).contains(&tissue_mm2), "{name}: {tissue_mm2}");
        assert_eq!((blurred_share, pen_share), (Some(0.0), 0.0), "{name}");
        assert!(fold_share > 0.001 && fold_share < 0.02, "{name}: {fold_share}");
        assert!((good_share + fold_share - 1.0).abs() < 1e-9, "{name}: {good_share}");
        assert!((0.5..0.75).contains(&blur_um.unwrap()), "{name}: {blur_um:?}");
    }
}

/// A section with true folds along its edges (JPEG 2000: skipped where that is not read). Its resolution is not in the
/// file; nuclei are about 5 px wide. Fields of the camera that are out of focus beside others that are sharp.
#[test]
fn folds_and_fields_out_of_focus() {
    let Some(root) = shared() else { return };
    let options = OpenOptions { mpp: Some(MicronsPerPixel::square(2.0).unwrap()), ..OpenOptions::default() };
    let slide = match Slide::open_with(root.join("wsi/tcga-cr-7395-01a-01-ts1.svs"), &options) {
        Err(scellst_slide::SlideError::Unsupported { .. }) => {
            eprintln!("skipped: JPEG 2000 is not read");
            return;
        }
        slide => slide.unwrap(),
    };
    let qc = look(&slide);
    let scale = f64::from(slide.size().width) / 1200.0;
    let at = |x: f64, y: f64| qc.flags_at(Point::<Level0>::new(x * scale, y * scale));
    for (x, y) in [(32.0, 500.0), (890.0, 14.0), (1188.0, 600.0), (754.0, 915.0), (154.0, 325.0)] {
        assert!(at(x, y).fold, "{x}, {y}");
    }
    for (x, y) in [(200.0, 450.0), (450.0, 420.0), (820.0, 650.0), (1050.0, 890.0)] {
        assert!(at(x, y).blurred, "{x}, {y}");
    }
    for (x, y) in [(350.0, 800.0), (720.0, 730.0), (900.0, 250.0), (560.0, 700.0)] {
        assert!(at(x, y).is_good(), "{x}, {y}: {:?}", at(x, y));
    }
    assert!(!at(750.0, 550.0).tissue && !at(728.0, 775.0).tissue && !at(125.0, 180.0).tissue);
    let QcSummary { tissue_share, pen_share, glass_colour, .. } = qc.summary();
    assert!((0.61..0.64).contains(&tissue_share) && pen_share == 0.0, "{tissue_share}, {pen_share}");
    // JPEG 2000 decoders may differ by one.
    let glass = glass_colour.unwrap();
    assert!(glass.iter().zip([241, 236, 239]).all(|(&a, b)| a.abs_diff(b) <= 1), "{glass:?}");
}

/// The dark ridge along the fibres of C4, and the small one at the lower edge.
#[test]
fn folds_of_a_real_section() {
    let Some(slide) = open("hest/wsis/C4.tif") else { return };
    let qc = look(&slide);
    let scale = f64::from(slide.size().width) / 1064.0;
    let at = |x: f64, y: f64| qc.flags_at(Point::<Level0>::new(x * scale, y * scale));
    for (x, y) in [(400.0, 435.0), (331.0, 641.0)] {
        assert!(at(x, y).tissue && at(x, y).fold && !at(x, y).is_good(), "{x}, {y}");
    }
    for (x, y) in [(300.0, 450.0), (450.0, 550.0), (640.0, 600.0)] {
        assert!(at(x, y).is_good(), "{x}, {y}: {:?}", at(x, y));
    }
    assert!(!at(900.0, 200.0).tissue && !at(900.0, 200.0).is_good());
    assert_eq!(qc.flags_at(Point::new(-1.0, f64::NAN)), Default::default());
}

/// The lower half of a section is blurred; the windows of 60 um that see the sharp half may hide it.
#[test]
fn blur_is_found() {
    let Some(section) = section() else { return };
    let tissue = look_at(&section).tissue().clone();
    let on_tissue = |x: f64, y: f64| tissue.contains(Point::new(x, y));
    for (sigma_um, expected) in [(1.0, 0.0..=0.0), (2.0, 0.98..=1.0), (6.0, 0.98..=1.0)] {
        let half = section.height() / 2;
        let lower = image::imageops::crop_imm(&section, 0, half, section.width(), half).to_image();
        let mut image = section.clone();
        let lower = image::imageops::blur(&lower, (sigma_um / MPP) as f32);
        image::imageops::replace(&mut image, &lower, 0, i64::from(half));
        let qc = look_at(&image);
        let edge = f64::from(half);
        let (recall, precision) = recall_and_precision(
            &qc,
            QcFlag::Blurred,
            |x, y| y > edge + 60.0 / MPP && on_tissue(x, y),
            |_, y| y > edge - 12.0 / MPP,
        );
        assert!(expected.contains(&recall), "{sigma_um} um: {recall}");
        assert!(recall == 0.0 || precision > 0.99, "{sigma_um} um: {precision}");
    }
}

/// Two crossing strokes of 300 um over tissue and glass, of uneven thickness.
#[test]
fn ink_is_found() {
    let Some(section) = section() else { return };
    let distance = |x: f64, y: f64| {
        let first = (y - 0.6 * x - 200.0).abs() / 1.36_f64.sqrt();
        let second = (x - 1700.0 - 150.0 * (y / 300.0).sin()).abs();
        first.min(second) * MPP
    };
    for (name, ink) in [
        ("blue", [60.0, 120.0, 190.0]),
        ("green", [40.0, 150.0, 90.0]),
        ("red", [205.0, 35.0, 40.0]),
        ("black", [45.0, 45.0, 48.0]),
    ] {
        let image = RgbImage::from_fn(section.width(), section.height(), |x, y| {
            let Rgb(pixel) = *section.get_pixel(x, y);
            let (fx, fy) = (f64::from(x), f64::from(y));
            if distance(fx, fy) > 150.0 {
                return Rgb(pixel);
            }
            let thickness = 1.0 + 0.25 * (fx / 90.0).sin() * (fy / 130.0).cos();
            Rgb(std::array::from_fn(|k| (f64::from(pixel[k]) * (ink[k] / 255.0_f64).powf(thickness)) as u8))
        });
        let qc = look_at(&image);
        let (recall, precision) =
            recall_and_precision(&qc, QcFlag::Pen, |x, y| distance(x, y) < 135.0, |x, y| distance(x, y) < 170.0);
        assert!(recall > 0.9, "{name}: {recall}");
        assert!(precision > 0.97, "{name}: {precision}");
        // A place of glass under the stroke, far from the tissue.
        let flags = qc.flags_at(Point::new(100.0, 260.0));
        assert!(flags.pen && !flags.tissue, "{name}: {flags:?}");
    }
}

#[test]
fn threads_change_nothing_and_the_picture_shows_it() {
    let Some(slide) = open("hest/wsis/C4.tif") else { return };
    let with = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| look(&slide))
    };
    let qc = with(1);
    assert_eq!(qc, with(5));
    let picture = qc.picture(&slide, 620).unwrap();
    assert_eq!(picture.height(), 620);
    let has = |colour: [u8; 3]| picture.pixels().any(|p| p.0 == colour);
    assert!(has([0, 160, 60]) && has(QcFlag::Fold.colour()));
    assert!(!has(QcFlag::Pen.colour()) && !has(QcFlag::Blurred.colour()));
    let text = serde_json::to_string(&qc.summary()).unwrap();
    let QcSummary { blurred_share, fold_share, glass_colour, .. } = serde_json::from_str(&text).unwrap();
    assert_eq!((blurred_share, glass_colour), (Some(0.0), Some([230, 213, 228])));
    assert!((fold_share - qc.summary().fold_share).abs() < 1e-12);
}

/// On pixels of more than 2 um nobody can tell.
#[test]
fn a_coarse_slide_is_not_judged() {
    let image = common::picture(600, 400);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coarse.png");
    image.save(&path).unwrap();
    let mpp = Some(MicronsPerPixel::square(4.0).unwrap());
    let slide = Slide::open_with(&path, &OpenOptions { mpp, ..OpenOptions::default() }).unwrap();
    let qc = look(&slide);
    assert_eq!((qc.share_of_tissue(QcFlag::Blurred), qc.summary().blur_um), (None, None));
    assert!(qc.share_of_tissue(QcFlag::Fold).is_some());
}
