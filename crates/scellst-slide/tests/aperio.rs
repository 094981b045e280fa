//! Slides put together as Aperio's scanners and those who follow them do.

mod common;

use std::collections::BTreeMap;

use common::{Layout, PLAIN, Page, open_bytes, picture, tiff, whole};
use scellst_slide::{Compression, Format, OpenOptions, RgbImage, Slide, SlideError};
use scellst_types::Size;

const TILED: Layout = Layout { tile: Some((32, 32)), compression: 8, ..PLAIN };

fn described(page: Page, text: &str) -> Page {
    page.set(270, 2, &text.bytes().chain([0]).map(u64::from).collect::<Vec<_>>())
}

fn level(width: u32, height: u32) -> Page {
    described(Page::of(&picture(width, height), TILED), "Aperio Image Library v11\r\n(32x32) J2K|AppMag = 20|MPP = 0.5")
}

fn strips(width: u32, height: u32, compression: u16) -> Page {
    Page::of(&picture(width, height), Layout { rows: 7, compression, predictor: compression == 5, ..PLAIN })
}

fn open(pages: &[Page]) -> (Slide, tempfile::NamedTempFile) {
    let (slide, file) = open_bytes(&tiff(pages, true, false, None));
    (slide.unwrap(), file)
}

fn names(slide: &Slide) -> Vec<&str> {
    slide.associated().iter().map(|image| image.name.as_str()).collect()
}

fn sizes(slide: &Slide) -> Vec<(u32, u32)> {
    slide.levels().map(|level| (level.size().width, level.size().height)).collect()
}

/// The thumbnail is the second page, between the levels; the others are named by their descriptions.
#[test]
fn pictures_in_strips_lie_between_the_levels() {
    let (slide, _file) = open(&[
        level(333, 257),
        described(strips(100, 77, 1), "Aperio Image Library v11\n333x257 -> 100x77 - |AppMag = 20"),
        level(83, 64),
        level(20, 16),
        described(strips(38, 46, 5), "Aperio Image Library v11\nlabel 38x46").set(254, 4, &[1]),
        described(strips(128, 43, 8), "Aperio Image Library v11\nmacro 128x43").set(254, 4, &[9]),
    ]);
    assert_eq!(slide.format(), Format::AperioSvs);
    assert_eq!(sizes(&slide), [(333, 257), (83, 64), (20, 16)]);
    assert_eq!(names(&slide), ["thumbnail", "label", "macro"]);
    for (i, &(w, h)) in (0..).zip(&sizes(&slide)) {
        assert!(whole(&slide, i).unwrap() == picture(w, h));
    }
    for (name, w, h) in [("thumbnail", 100, 77), ("label", 38, 46), ("macro", 128, 43)] {
        assert!(slide.read_associated(name).unwrap() == picture(w, h), "{name}");
    }
}

/// As a GT450 writes them: their subfile types say which is which.
#[test]
fn label_and_macro_without_descriptions() {
    let pages = [
        level(320, 240),
        strips(96, 72, 8),
        level(80, 60),
        strips(40, 44, 8).set(254, 4, &[1]),
        strips(128, 43, 8).set(254, 4, &[9]),
        strips(50, 50, 8),
    ];
    let (slide, file) = open(&pages);
    assert_eq!(names(&slide), ["thumbnail", "label", "macro", "page 5"]);
    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    let slide = Slide::open_with(file.path(), &options).unwrap();
    assert_eq!(names(&slide), ["thumbnail"]);
    // A second page of another shape is no thumbnail: it may be the label.
    let (slide, _file) = open(&[level(320, 240), strips(40, 44, 8), level(80, 60)]);
    assert_eq!(names(&slide), ["page 1"]);
}

/// Sides cut down more than once, and sides that are a little off.
#[test]
fn levels_of_uneven_sizes() {
    let (slide, _file) = open(&[level(333, 259), level(166, 129), level(83, 64), level(41, 32), level(10, 8)]);
    assert_eq!(sizes(&slide), [(333, 259), (166, 129), (83, 64), (41, 32), (10, 8)]);
    let (slide, _file) = open(&[level(1000, 800), level(254, 200), level(64, 51)]);
    assert_eq!(sizes(&slide), [(1000, 800), (254, 200), (64, 51)]);
    // Not of a slide: another region.
    let (slide, _file) = open(&[level(1000, 800), level(250, 190)]);
    assert_eq!((sizes(&slide), names(&slide)), (vec![(1000, 800)], vec!["page 1"]));
}

/// A JPEG stream taken apart as in Aperio's files: shared tables, and no marker that names its colours.
fn bare(image: &RgbImage) -> (Vec<u8>, Vec<u8>) {
    let mut whole = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut whole, 95).encode_image(image).unwrap();
    let (mut tables, mut rest) = (vec![0xff, 0xd8], vec![0xff, 0xd8]);
    let mut at = 2;
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        match whole[at + 1] {
            0xdb | 0xc4 => tables.extend(&whole[at..end]),
            0xe0 => {}
            _ => rest.extend(&whole[at..end]),
        }
        at = end;
    }
    rest.extend(&whole[at..]);
    tables.extend([0xff, 0xd9]);
    (tables, rest)
}

/// Two sets of tiles: components that are RGB, and YCbCr; and an associated image in strips of JPEG.
#[test]
fn jpeg_of_both_colours() {
    let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([120 + (x / 2) as u8, 110 + (y / 2) as u8, 130]));
    let (tables, stream) = bare(&image);
    let tables: Vec<u64> = tables.iter().map(|&b| b.into()).collect();
    let page = |photometric: u64| {
        let tags = level(64, 64).tags;
        let page = Page { tags, pieces: vec![stream.clone()] };
        page.set(322, 3, &[64]).set(323, 3, &[64]).set(259, 3, &[7]).set(262, 3, &[photometric]).set(347, 7, &tables)
    };
    let near = |a: [u8; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (f64::from(*a) - b).abs() < 4.0);
    let (slide, _file) = open(&[page(6)]);
    assert_eq!(slide.levels().next().unwrap().compression(), Compression::Jpeg);
    for (x, y, pixel) in whole(&slide, 0).unwrap().enumerate_pixels() {
        assert!(near(pixel.0, image.get_pixel(x, y).0.map(f64::from)), "{x}, {y}: {pixel:?}");
    }
    let (slide, _file) = open(&[page(2)]);
    for (x, y, pixel) in whole(&slide, 0).unwrap().enumerate_pixels() {
        let [r, g, b] = image.get_pixel(x, y).0.map(f64::from);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let components = [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402];
        assert!(near(pixel.0, components), "{x}, {y}: {pixel:?} for {components:?}");
    }
    let strip = Page { tags: strips(64, 64, 7).tags, pieces: vec![stream.clone()] };
    let strip = strip.set(278, 4, &[64]).set(262, 3, &[6]).set(347, 7, &tables).set(254, 4, &[9]);
    let (slide, _file) = open(&[level(320, 240), strip]);
    assert!(near(slide.read_associated("macro").unwrap().get_pixel(9, 9).0, image.get_pixel(9, 9).0.map(f64::from)));
}

#[derive(serde::Deserialize)]
struct Case {
    stream: String,
}

fn jpeg2000(name: &str) -> Vec<u8> {
    let cases: BTreeMap<String, Case> = serde_json::from_str(include_str!("data/jpeg2000.json")).unwrap();
    let hex = &cases[name].stream;
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Tiles of 48 x 40 px that are all the same stream.
fn of_jpeg2000(name: &str, (width, height): (u32, u32), compression: u64, photometric: u64, text: &str) -> Page {
    let count = width.div_ceil(48) * height.div_ceil(40);
    let tags = described(Page::of(&picture(8, 8), TILED), text).tags;
    Page { tags, pieces: vec![jpeg2000(name); count as usize] }
        .set(256, 4, &[width.into()])
        .set(257, 4, &[height.into()])
        .set(322, 3, &[48])
        .set(323, 3, &[40])
        .set(259, 3, &[compression])
        .set(262, 3, &[photometric])
}

/// The pixel at 0, 0 of the planes that all streams of `jpeg2000.py` without a colour transform hold.
const COMPONENTS: [u8; 3] = [20, 100, 160];
const CONVERTED: [u8; 3] = [65, 7, 0];
/// And of the picture that the others hold.
const PICTURE: [u8; 3] = [20, 200, 182];

#[test]
fn jpeg2000_by_the_number_of_its_compression() {
    for (compression, photometric, text, stream, expected) in [
        // Aperio's numbers say what the components are, whatever the photometric interpretation.
        (33003, 2, "Aperio Image Library", "4:4:4", CONVERTED),
        (33003, 6, "Aperio Image Library", "4:4:4", CONVERTED),
        (33003, 2, "Aperio Image Library", "4:2:2", CONVERTED),
        (33005, 2, "Aperio Image Library", "4:4:4", COMPONENTS),
        (33005, 6, "Aperio Image Library", "4:4:4", COMPONENTS),
        (33005, 2, "Aperio Image Library", "plain", PICTURE),
        // Others use the first for any JPEG 2000.
        (33003, 2, "", "4:4:4", COMPONENTS),
        (33003, 2, "", "plain", PICTURE),
        (33004, 2, "", "plain", PICTURE),
        (34712, 2, "", "jp2", PICTURE),
        (34712, 6, "", "4:2:0", CONVERTED),
        (34712, 6, "", "plain", PICTURE),
    ] {
        let (slide, _file) = open(&[of_jpeg2000(stream, (90, 70), compression, photometric, text)]);
        let at = format!("{compression}, {photometric}, {text}, {stream}");
        assert_eq!(slide.levels().next().unwrap().compression(), Compression::Jpeg2000, "{at}");
        let image = whole(&slide, 0).unwrap();
        for (x, y) in [(0, 0), (48, 0), (0, 40), (48, 40)] {
            let found = image.get_pixel(x, y).0;
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{at}: {found:?}");
        }
    }
    let page = of_jpeg2000("plain", (90, 70), 33005, 2, "").set(277, 3, &[4]).set(258, 3, &[8; 4]);
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    assert!(matches!(slide, Err(SlideError::Unsupported { .. })));
}

/// Tiles that their codec shrinks give nearly what means over all pixels give, edges included.
#[test]
fn thumbnails_of_jpeg2000() {
    let size = (48 * 21 + 17, 40 * 19 + 3);
    let (slide, _file) = open(&[of_jpeg2000("layers", size, 33005, 2, "Aperio")]);
    let (slow, _file) = open(&[Page::of(&whole(&slide, 0).unwrap(), Layout { tile: Some((48, 40)), ..PLAIN })]);
    // By 8, 16 (which 40 rows cannot be divided by) and 4.
    for side in [120, 60, 250] {
        let (fast, slow) = (slide.thumbnail(side).unwrap(), slow.thumbnail(side).unwrap());
        assert_eq!((fast.0.dimensions(), fast.1), (slow.0.dimensions(), slow.1));
        let off: u64 = fast.0.as_raw().iter().zip(slow.0.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off <= 2 * fast.0.as_raw().len() as u64, "{side}: {off} of {}", fast.0.as_raw().len());
        assert!(side != 250 || off == 0, "by 4 all pixels count");
    }
    assert_eq!(slide.size(), Size::new(size.0, size.1));
}
