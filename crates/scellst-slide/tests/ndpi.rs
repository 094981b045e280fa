//! Small NDPI files of every layout, and what is wrong with some of them.
#![allow(clippy::print_stderr)]

mod common;
#[path = "common/ndpi.rs"]
mod writer;

use std::io::Write;

use common::{open_bytes, shared, whole};
use jpeg_encoder::SamplingFactor;
use proptest::prelude::*;
use scellst_slide::{Format, Limits, MppSource, OpenOptions, RgbImage, Slide, SlideError};
use scellst_types::{LevelIndex, MicronsPerPixel, Size};
use writer::{FLOAT, LONG, Page, SHORT, SIGNED, header_len, jpeg, ndpi, starts, write};

/// Smooth, as slides are, so that JPEG keeps it.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |t: u32, by: f32| (127.0 + 100.0 * (t as f32 / by).sin()) as u8;
        image::Rgb([wave(x + y, 23.0), wave(x * 2 + 30, 31.0), wave(y * 3 + x, 41.0)])
    })
}

/// What a decoder makes of a stream as a whole.
fn decoded(stream: &[u8]) -> RgbImage {
    let (slide, _file) = open_bytes(stream);
    let slide = slide.unwrap();
    assert_eq!(slide.format(), Format::Jpeg);
    whole(&slide, 0).unwrap()
}

fn open(pages: &[Page]) -> (Slide, tempfile::NamedTempFile) {
    let (slide, file) = open_bytes(&ndpi(pages, None));
    (slide.unwrap(), file)
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Cut or not, listed or not, a level has the pixels of its stream. Where colours are stored at
    /// half the size, a decoder blends them across the edges of pieces when it has the whole stream:
    /// there pixels may differ, by little on the whole.
    #[test]
    fn every_layout_gives_its_pixels(
        w in 1..1400_u32, h in 1..180_u32, sampling in 0..3_usize, cuts in 1..9_u32, lines in 0..3_u32,
        off in prop::bool::weighted(0.1), listed: bool,
    ) {
        let (sampling, mcu) = [
            (SamplingFactor::F_1_1, 8), (SamplingFactor::F_2_1, 16), (SamplingFactor::F_2_2, 16),
        ][sampling];
        let row = w.div_ceil(mcu);
        // A part of the row that divides it, or some rows, or neither.
        let part = (1..=cuts).rev().find(|cuts| row % cuts == 0).map_or(row, |cuts| row / cuts);
        let interval = if lines > 0 { row * lines } else { part } + u32::from(off);
        let image = picture(w, h);
        let stream = jpeg(&image, interval as u16, sampling);
        let page = Page::of((w, h), 20.0, stream.clone());
        let page = if listed { page.listed() } else { page };
        let (slide, _file) = open(&[page]);
        prop_assert_eq!(slide.format(), Format::Ndpi);
        let found = whole(&slide, 0).unwrap();
        let expected = decoded(&stream);
        if sampling == SamplingFactor::F_1_1 {
            prop_assert!(found == expected);
        } else {
            prop_assert!(mean_difference(&found, &expected) < 0.5);
        }
        // Its pieces cover it once.
        let level = slide.level(LevelIndex(0)).unwrap();
        prop_assert_eq!(level.tiles().iter().map(|r| r.size().pixels()).sum::<u64>(), level.size().pixels());
        for region in level.tiles() {
            let part = slide.read_uncached(&region).unwrap();
            let crop = image::imageops::crop_imm(&found, region.x() as u32, region.y() as u32, part.width(), part.height());
            prop_assert!(part == crop.to_image());
        }
    }
}

/// Three levels, two focal planes, a macro picture and a map.
#[test]
fn what_a_slide_has() {
    let full = picture(1200, 800);
    let page = |image: &RgbImage, lens: f32| Page::level(image, lens, image.width().div_ceil(8) as u16).listed();
    let below = RgbImage::from_pixel(1200, 800, image::Rgb([9, 9, 9]));
    let label = picture(200, 70);
    let pages = [
        page(&below, 40.0).set(65424, SIGNED, &[u64::from(-1500_i32 as u32)]),
        page(&picture(300, 200), 10.0),
        page(&full, 40.0),
        page(&picture(600, 400), 20.0),
        page(&below, 40.0).set(65424, SIGNED, &[1500]),
        Page::level(&label, -1.0, 0),
        Page::level(&picture(90, 30), -2.0, 0).set(259, SHORT, &[1]),
    ];
    let (slide, file) = open(&pages);
    let sizes: Vec<Size> = slide.levels().map(|level| level.size()).collect();
    assert_eq!(sizes, [Size::new(1200, 800), Size::new(600, 400), Size::new(300, 200)]);
    assert!(whole(&slide, 0).unwrap() == decoded(&pages[2].jpeg));
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value, mpp.source), (MicronsPerPixel::square(0.25).unwrap(), MppSource::ResolutionTags));
    assert_eq!(slide.objective_power(), Some(40.0));
    let images: Vec<_> = slide.associated().iter().map(|a| (a.name.as_str(), a.size)).collect();
    assert_eq!(images, [("macro", Size::new(200, 70))]);
    assert!(slide.read_associated("macro").unwrap() == decoded(&pages[5].jpeg));
    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    let slide = Slide::open_with(file.path(), &options).unwrap();
    assert!(slide.associated().is_empty() && slide.read_associated("macro").is_err());
}

/// Segments of any stream, put together to one as wide as JPEG cannot say.
#[test]
fn wider_than_jpeg_can_be() {
    let parts: Vec<RgbImage> = (0..35_u8)
        .map(|i| RgbImage::from_fn(2000, 24, |x, y| image::Rgb([i * 7, (x / 8) as u8, (y * 8) as u8])))
        .collect();
    let streams: Vec<Vec<u8>> = parts.iter().map(|part| jpeg(part, 250, SamplingFactor::F_1_1)).collect();
    let mut stream = streams[0][..header_len(&streams[0])].to_vec();
    let frame = stream.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    stream[frame + 7..frame + 9].fill(0);
    let mut number = 0;
    for row in 0..3 {
        for part in &streams {
            let starts = starts(part);
            let start = starts[row] as usize;
            let end = starts.get(row + 1).map_or(part.len() - 2, |&next| next as usize - 2);
            if number > 0 {
                stream.extend([0xff, 0xd0 + (number - 1) % 8]);
            }
            number += 1;
            stream.extend(&part[start..end]);
        }
    }
    stream.extend([0xff, 0xd9]);
    for listed in [false, true] {
        let page = Page::of((70_000, 24), 40.0, stream.clone());
        let (slide, _file) = open(&[if listed { page.listed() } else { page }]);
        let level = slide.level(LevelIndex(0)).unwrap();
        assert_eq!((level.size(), level.tile_size()), (Size::new(70_000, 24), Some(Size::new(2000, 128))));
        for i in [34, 0, 17] {
            let part = slide.read(&level.region(i * 2000, 0, Size::new(2000, 24))).unwrap();
            assert!(part == decoded(&streams[i as usize]), "{i}");
        }
    }
}

/// Everything lies beyond 4 GiB, as in a slide whose finest level has that many bytes: the first
/// directory, the streams and the values. The file is sparse.
#[test]
fn beyond_4_gib() {
    let (fine, coarse) = (picture(640, 333), picture(320, 167));
    let pages = [Page::level(&fine, 40.0, 80).listed(), Page::level(&coarse, 20.0, 40), Page::level(&coarse, -1.0, 0)];
    for offset in [(1 << 32) - 1000, 5 << 30] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write(file.as_file_mut(), &pages, offset, None);
        assert!(file.as_file().metadata().unwrap().len() > 1 << 32);
        let slide = Slide::open(file.path()).unwrap();
        assert_eq!((slide.format(), slide.level_count()), (Format::Ndpi, 2));
        assert_eq!(slide.mpp().unwrap().value, MicronsPerPixel::square(0.25).unwrap());
        assert!(whole(&slide, 0).unwrap() == decoded(&pages[0].jpeg));
        assert!(whole(&slide, 1).unwrap() == decoded(&pages[1].jpeg));
        assert!(slide.read_associated("macro").unwrap() == decoded(&pages[2].jpeg));
    }
}

/// A slide of 100,000 px a side whose 10 GiB are a header and nothing else, and whose list of 312,500
/// segments is all zeros: it opens, and what is read fails at once, without all of it being searched.
#[test]
fn a_giant_without_content() {
    let mut stream = jpeg(&picture(8000, 8), 500, SamplingFactor::F_1_1);
    let frame = stream.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    stream[frame + 5..frame + 9].fill(0);
    stream.truncate(header_len(&stream));
    // Before the tags' values, which lie in what the tags call the stream.
    stream.resize(1 << 20, 0);
    let page = Page::of((100_000, 100_000), 40.0, stream).set(279, LONG, &[10 << 30]);
    for list in [vec![0; 25 * 12_500], Vec::new()] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write(file.as_file_mut(), &[page.clone().set(65426, LONG, &list)], 12, None);
        file.as_file().set_len(11 << 30).unwrap();
        let slide = Slide::open(file.path()).unwrap();
        let level = slide.level(LevelIndex(0)).unwrap();
        assert_eq!((level.size(), level.tile_size()), (Size::new(100_000, 100_000), Some(Size::new(4000, 64))));
        let error = slide.read(&level.region(50_000, 99_000, Size::new(512, 512))).unwrap_err();
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        // 500 units of 3 blocks, and what is searched at once.
        assert!(error.to_string().contains("page 0, restart segment 0: expected ff d0"), "{error}");
        assert!(error.to_string().contains("none within 786432 bytes"), "{error}");
    }
}

/// The list of segments is a hint: whatever it says, the pixels are those of the stream.
#[test]
fn wrong_lists() {
    let image = picture(1024, 300);
    let page = Page::level(&image, 40.0, 16);
    let expected = decoded(&page.jpeg);
    let right = starts(&page.jpeg);
    assert_eq!(right.len(), 38 * 8);
    let changed = |at: &[usize], to: u64| {
        let mut list = right.clone();
        at.iter().for_each(|&i| list[i] = to);
        list
    };
    for (what, list) in [
        ("right", right.clone()),
        ("none", Vec::new()),
        ("zeros", vec![0; right.len()]),
        ("beyond the end", vec![u64::from(u32::MAX); right.len()]),
        ("from another start", right.iter().map(|s| s + 12).collect()),
        ("too short", right[1..].to_vec()),
        ("too long", [&right[..], &[9]].concat()),
        ("one wrong", changed(&[9], 700)),
        ("one at another marker", changed(&[9], right[17])),
        ("many wrong at once", changed(&(40..60).collect::<Vec<_>>(), 3)),
        ("the last wrong", changed(&[right.len() - 1], right[2])),
        ("backwards", right.iter().rev().copied().collect()),
    ] {
        let (slide, _file) = open(&[page.clone().set(65426, LONG, &list)]);
        assert!(whole(&slide, 0).unwrap() == expected, "{what}");
    }
    // Halves that do not belong together.
    for high in [vec![0; right.len()], vec![1; right.len()], vec![0; 3]] {
        let (slide, _file) = open(&[page.clone().listed().set(65432, LONG, &high)]);
        assert!(whole(&slide, 0).unwrap() == expected, "{high:?}");
    }
}

/// Where markers are missing or wrong, the pieces that need them fail and say so; no other does.
#[test]
fn wrong_markers() {
    let image = picture(512, 2048);
    let base = Page::level(&image, 40.0, 64).listed();
    let expected = decoded(&base.jpeg);
    let starts = starts(&base.jpeg);
    // Segment 100 is in the second of four pieces.
    let at = starts[101] as usize - 2;
    for marker in [[0, 0], [0xff, 0xd5], [0xff, 0xd9], [0xff, 0x01]] {
        let mut page = base.clone();
        page.jpeg[at..at + 2].copy_from_slice(&marker);
        let (slide, _file) = open(std::slice::from_ref(&page));
        let level = slide.level(LevelIndex(0)).unwrap();
        assert_eq!(level.tile_size(), Some(Size::new(512, 512)));
        for (i, region) in level.tiles().into_iter().enumerate() {
            match slide.read(&region) {
                Ok(part) => {
                    let crop = image::imageops::crop_imm(&expected, 0, i as u32 * 512, 512, 512);
                    assert!(i != 1 && part == crop.to_image(), "{marker:02x?}, piece {i}");
                }
                Err(e) => {
                    assert!(i == 1 && matches!(e, SlideError::Broken { .. }), "{marker:02x?}, piece {i}: {e}");
                    assert!(e.to_string().contains("page 0, restart segment 100: expected ff d4"), "{e}");
                }
            }
        }
        // Without the list nothing behind it can be found.
        let (slide, _file) = open(&[page.set(65426, LONG, &[])]);
        let level = slide.level(LevelIndex(0)).unwrap();
        let read: Vec<bool> = level.tiles().iter().map(|region| slide.read(region).is_ok()).collect();
        assert_eq!(read, [true, false, false, false], "{marker:02x?}");
    }
    // None at all, though the header promises them.
    let mut page = base.clone();
    page.jpeg = jpeg(&image, 0, SamplingFactor::F_1_1);
    let scan = page.jpeg.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    page.jpeg.splice(scan..scan, [0xff, 0xdd, 0, 4, 0, 64]);
    let (slide, _file) = open(&[page]);
    let error = whole(&slide, 0).unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }) && error.to_string().contains("restart marker 0"), "{error}");
}

/// A region reads its pieces and nothing else: all other data is gone.
#[test]
fn a_region_reads_only_its_pieces() {
    let image = picture(1600, 1024);
    let mut page = Page::level(&image, 40.0, 100).listed();
    let expected = decoded(&page.jpeg);
    let starts = starts(&page.jpeg);
    // Two segments across; a piece is 800 x 256 px, or 32 rows of one segment.
    let kept = |i: usize| i % 2 == 1 && (64..128).contains(&i);
    for i in (0..starts.len()).filter(|&i| !kept(i)) {
        // Up to the marker behind it, or to the end.
        let end = starts.get(i + 1).map_or(page.jpeg.len(), |&next| next as usize - 2);
        page.jpeg[starts[i] as usize..end].fill(0);
    }
    let (slide, _file) = open(&[page]);
    let level = slide.level(LevelIndex(0)).unwrap();
    assert_eq!(level.tile_size(), Some(Size::new(800, 256)));
    let part = slide.read(&level.region(900, 300, Size::new(600, 200))).unwrap();
    assert!(part == image::imageops::crop_imm(&expected, 900, 300, 600, 200).to_image());
    let part = slide.read(&level.region(900, 600, Size::new(600, 200))).unwrap();
    assert!(part != image::imageops::crop_imm(&expected, 900, 600, 600, 200).to_image());
}

/// Streams that cannot be cut are read whole where they are small, and refused where they are not.
#[test]
fn streams_without_markers() {
    let image = picture(700, 500);
    let page = Page::level(&image, 40.0, 0);
    let (slide, file) = open(std::slice::from_ref(&page));
    assert_eq!(slide.level(LevelIndex(0)).unwrap().tile_size(), Some(Size::new(700, 500)));
    assert!(whole(&slide, 0).unwrap() == decoded(&page.jpeg));
    // The stream is a little smaller than the tags say.
    let (slide, _file) = open(&[page.clone().set(256, LONG, &[701])]);
    assert_eq!(slide.size(), Size::new(700, 500));
    let limits = Limits { max_tile_bytes: 1_000_000, ..Limits::default() };
    let error = Slide::open_with(file.path(), &OpenOptions { limits, ..OpenOptions::default() }).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { .. }) && error.to_string().contains("restart"), "{error}");
    // Too wide for a JPEG image.
    let (slide, _file) = open_bytes(&ndpi(&[page.set(256, LONG, &[70_000])], None));
    let error = slide.unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }) && error.to_string().contains("cannot be cut"), "{error}");
}

#[test]
fn contradictions_are_named() {
    let base = || Page::level(&picture(160, 80), 40.0, 20).listed();
    for (page, word) in [
        (base().set(256, LONG, &[0]), "image width"),
        (base().set(257, LONG, &[1 << 31]), "image height"),
        (base().set(256, LONG, &[168]), "168 x 80 px"),
        (base().set(257, LONG, &[88]), "160 x 88 px"),
        (base().set(256, LONG, &[160_000]), "at least 149998"),
        (base().set(256, LONG, &[70_008]), "restart interval 20"),
        (base().set(257, LONG, &[80_000_000]), "at least 149999998"),
        (base().set(273, LONG, &[1 << 29]), "cut off"),
        (base().set(273, LONG, &[2, 2]), "one strip offset"),
        (base().set(273, LONG, &[20]), "beginning with ff d8"),
        (base().set(279, LONG, &[0]), "beginning with ff d8"),
        (base().set(279, LONG, &[u64::from(u32::MAX)]), "cut off"),
        (base().set(279, LONG, &[200]), "start of scan"),
        (base().set(259, SHORT, &[22610]), "JPEG XR"),
        (base().set(259, SHORT, &[1]), "compression 1"),
        (base().set(65421, FLOAT, &[]), "tag 65421"),
        (base().set(65421, FLOAT, &[u64::from(f32::NAN.to_bits())]), "tag 65421"),
        (base().set(65421, FLOAT, &vec![1; 1 << 20]).set(259, FLOAT, &vec![1; 8 << 20]), "max_tag_bytes"),
    ] {
        let (slide, _file) = open_bytes(&ndpi(&[page], None));
        let error = slide.and_then(|slide| whole(&slide, 0)).map(|image| image.dimensions()).expect_err(word);
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn directories_without_end() {
    let page = || Page::level(&picture(16, 16), 40.0, 2);
    for next in [0, 1] {
        let (slide, _file) = open_bytes(&ndpi(&[page(), page()], Some(next)));
        let error = slide.unwrap_err();
        assert!(matches!(error, SlideError::Broken { .. }) && error.to_string().contains("comes back"), "{error}");
    }
    let pages: Vec<Page> = (0..1025).map(|_| page()).collect();
    let (slide, _file) = open_bytes(&ndpi(&pages, None));
    assert!(matches!(slide, Err(SlideError::OverLimit { limit: 1024, .. })));
}

/// The other formats of Hamamatsu are indexes in text.
#[test]
fn indexes_are_named() {
    for (start, word) in [
        ("[Virtual Microscope Specimen]\r\nNoLayers=1\r\n", "VMS"),
        ("[Uncompressed Virtual Microscope Specimen]\r\n", "VMU"),
        ("[NanoZoomer Digital Pathology Image Set]\r\nNoImages=3\r\n", "NDPIS"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(start.as_bytes()).unwrap();
        let error = Slide::open(file.path()).unwrap_err();
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word) && error.to_string().contains("convert it"), "{error}");
    }
}

#[test]
fn a_real_slide() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("wsi/test3-TRITC-2-560.ndpi")).unwrap();
    assert_eq!((slide.format(), slide.level_count()), (Format::Ndpi, 4));
    let mpp = slide.mpp().unwrap();
    // 43826 pixels a centimetre; what OpenSlide says too.
    assert_eq!((mpp.value.x(), mpp.source), (10_000.0 / 43_826.0, MppSource::ResolutionTags));
    assert_eq!(slide.objective_power(), Some(40.0));
    let images: Vec<_> = slide.associated().iter().map(|a| (a.name.as_str(), a.size)).collect();
    assert_eq!(images, [("macro", Size::new(1188, 406))]);
    assert_eq!(slide.read_associated("macro").unwrap().dimensions(), (1188, 406));
    let level = slide.level(LevelIndex(0)).unwrap();
    assert_eq!(level.tile_size(), Some(Size::new(3968, 64)));
}

/// The tags of a macro picture and its stream are of different sizes: a little, or of another image.
#[test]
fn a_macro_picture_of_another_size() {
    let stream = jpeg(&picture(40, 16), 0, SamplingFactor::F_1_1);
    let open_with = |size| {
        let pages = [Page::level(&picture(64, 64), 40.0, 8).listed(), Page::of(size, -1.0, stream.clone())];
        open(&pages)
    };
    for size in [(41, 15), (40, 16), (39, 17)] {
        let (slide, _file) = open_with(size);
        let image = slide.read_associated("macro").unwrap();
        assert_eq!(image.dimensions(), size);
        assert_eq!(slide.associated()[0].size, Size::new(size.0, size.1));
        assert_eq!(image.get_pixel(38, 14), decoded(&stream).get_pixel(38, 14));
    }
    let (slide, _file) = open_with((8, 11_024));
    let error = slide.read_associated("macro").unwrap_err().to_string();
    assert!(error.contains("8 x 11024") && error.contains("40 x 16"), "{error}");
}
