//! Slides of 100,000 x 100,000 px of which nearly nothing is stored.

mod common;

use std::io::Write;

use common::{Layout, PLAIN, Page, picture, tiff};
use scellst_slide::{RgbImage, Slide, TissueConfig, TissueMask};
use scellst_types::{Level0, LevelIndex, MicronsPerPixel, Point, Size};

const SIDE: u32 = 100_000;
const TILE: u32 = 256;

/// Pink and purple with as much detail as tissue has.
fn tissue_tile() -> RgbImage {
    RgbImage::from_fn(TILE, TILE, |x, y| {
        let nucleus = (x / 40 + y / 56) % 3 == 0;
        image::Rgb(if nucleus { [90, 50, 140] } else { [220, 150, 190] })
    })
}

/// A level `shrink` times smaller than the slide; only the tiles over level-0 pixels 20,480 to 28,672 along both
/// axes are there, and they share their data.
fn level(shrink: u32, at: u64) -> Page {
    let side = SIDE.div_ceil(shrink);
    let layout = Layout { tile: Some((TILE, TILE)), compression: 8, ..PLAIN };
    let one = Page::of(&tissue_tile(), layout);
    let len = one.pieces[0].len() as u64;
    let across = side.div_ceil(TILE);
    let there = 20_480 / TILE / shrink..28_672 / TILE / shrink;
    let stored: Vec<bool> =
        (0..across * across).map(|i| there.contains(&(i % across)) && there.contains(&(i / across))).collect();
    let list = |value: u64| stored.iter().map(|&s| if s { value } else { 0 }).collect::<Vec<_>>();
    one.set(256, 4, &[side.into()]).set(257, 4, &[side.into()]).set(324, 16, &list(at)).set(325, 16, &list(len))
}

/// The file; its levels' data lie in front of their directories, the first behind the header of 16 bytes.
fn file(shrinks: &[u32]) -> tempfile::NamedTempFile {
    let mut pages = Vec::new();
    for &shrink in shrinks {
        let at = if pages.is_empty() { 16 } else { tiff(&pages, true, true, None).len() as u64 };
        pages.push(level(shrink, at));
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&tiff(&pages, true, true, None)).unwrap();
    file
}

/// The most memory that this process has had.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
fn with_and_without_coarser_levels() {
    for shrinks in [&[1][..], &[1, 4, 16]] {
        let file = file(shrinks);
        let slide = Slide::open(file.path()).unwrap();
        assert_eq!((slide.size(), slide.level_count()), (Size::new(SIDE, SIDE), shrinks.len()));
        assert_eq!(slide.level(LevelIndex(0)).unwrap().tiles().len(), 391 * 391);

        let (picture, downsample) = slide.thumbnail(1000).unwrap();
        assert_eq!((picture.dimensions(), downsample), ((1000, 1000), 100.0));
        assert_eq!(picture.get_pixel(100, 100).0, [255; 3]);
        assert_eq!(picture.get_pixel(999, 240).0, [255; 3]);
        assert!(picture.get_pixel(245, 245).0[1] < 160);

        let mpp = MicronsPerPixel::square(0.25).unwrap();
        let options = scellst_slide::OpenOptions { mpp: Some(mpp), ..Default::default() };
        let slide = Slide::open_with(file.path(), &options).unwrap();
        let mask = TissueMask::of_slide(&slide, &TissueConfig::default()).unwrap();
        let at = |x: f64, y: f64| mask.contains(Point::<Level0>::new(x, y));
        assert!(at(20_600.0, 20_600.0) && at(24_000.0, 24_000.0) && at(28_500.0, 28_500.0));
        assert!(!at(20_000.0, 24_000.0) && !at(29_100.0, 24_000.0) && !at(99_000.0, 99_000.0));
        let share = (8192.0_f64 / 1e5).powi(2);
        assert!((mask.area_share() / share - 1.0).abs() < 0.03, "{} and {share}", mask.area_share());
    }
    if let Some(peak) = peak_mib() {
        assert!(peak < 300, "{peak} MiB");
    }
}

/// A single strip, strips of an odd height, and strips that are cut at the seams of the bands.
#[test]
fn thumbnails_of_strips() {
    let image = picture(700, 1801);
    for rows in [7, 64, 100, 1801] {
        for compression in [1, 8] {
            let page = Page::of(&image, Layout { rows, compression, ..PLAIN });
            let (slide, _file) = common::open_bytes(&tiff(&[page], true, false, None));
            let (small, downsample) = slide.unwrap().thumbnail(100).unwrap();
            assert_eq!((small.height(), downsample), (100, 18.01), "strips of {rows} rows");
            let mean =
                |image: &RgbImage| image.as_raw().iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64;
            assert!((mean(&small) - mean(&image)).abs() < 1.0, "strips of {rows} rows: {}", mean(&small));
        }
    }
}
