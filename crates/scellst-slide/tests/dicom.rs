//! DICOM whole-slide images: what OpenSlide and pydicom read, what is refused, and hostile files.
//! The files of `data/dicom` and what OpenSlide makes of them are by `data/dicom/make.py`.
#![cfg(feature = "dicom")]

mod common;
#[path = "common/dicom.rs"]
mod dicom;
#[path = "common/memory.rs"]
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{picture, whole};
use dicom::{END, FRAMES, File, ITEMS, PER_FRAME, PIXELS, SIDE, SIZE, element, header, item, open, open_item};
use proptest::prelude::*;
use scellst_slide::{Compression, Format, Limits, MppSource, OpenOptions, RgbImage, Slide, SlideError};
use scellst_types::{LevelIndex, Size};
use serde::Deserialize;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dicom").join(name)
}

/// What OpenSlide says of a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Golden {
    Read {
        levels: Vec<(u32, u32)>,
        mpp: (f64, f64),
        power: String,
        associated: BTreeMap<String, (u32, u32)>,
    },
    Refused {
        #[allow(dead_code)]
        error: String,
    },
}

fn mean_difference(found: &RgbImage, expected: &RgbImage) -> f64 {
    assert_eq!(found.dimensions(), expected.dimensions());
    let sum: u64 = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / found.as_raw().len() as f64
}

fn png(name: &str) -> RgbImage {
    image::open(data(name)).unwrap().into_rgb8()
}

#[test]
fn what_openslide_says() {
    let golden: BTreeMap<String, Golden> = serde_json::from_str(include_str!("data/dicom/golden.json")).unwrap();
    let (mut read, mut refused) = (0, 0);
    for (name, golden) in golden {
        let slide = Slide::open(data(&name)).unwrap();
        let Golden::Read { levels, mpp, power, associated } = golden else {
            refused += 1;
            continue;
        };
        read += 1;
        let sizes: Vec<_> = slide.levels().map(|level| (level.size().width, level.size().height)).collect();
        assert_eq!(sizes, levels, "{name}");
        let found = slide.mpp().unwrap();
        assert_eq!((found.value.x(), found.value.y(), found.source), (mpp.0, mpp.1, MppSource::Dicom), "{name}");
        assert_eq!(slide.objective_power(), power.parse().ok(), "{name}");
        let images: BTreeMap<_, _> =
            slide.associated().iter().map(|a| (a.name.clone(), (a.size.width, a.size.height))).collect();
        assert_eq!(images, associated, "{name}");
    }
    assert_eq!((read, refused), (15, 6));
}

/// By its folder and by any of its files.
#[test]
fn a_slide() {
    let files = ["", "level0.dcm", "level1.dcm", "label.dcm", "overview.dcm", "thumbnail.dcm"];
    for name in files {
        let slide = Slide::open(data("slide").join(name)).unwrap();
        assert_eq!((slide.format(), slide.level_count()), (Format::Dicom, 2), "{name}");
        let level = slide.level(LevelIndex(0)).unwrap();
        assert_eq!((level.tile_size(), level.compression()), (Some(Size::new(48, 48)), Compression::Jpeg));
        for level in 0..2 {
            // Measured: 0.38.
            let difference = mean_difference(&whole(&slide, level).unwrap(), &png(&format!("level0-{level}.png")));
            assert!(difference < 0.6, "{name}, level {level}: {difference}");
        }
        assert!(slide.read_associated("label").unwrap() == picture(21, 15));
        for name in ["label", "macro", "thumbnail"] {
            // Measured: 0, 0.40 and 0.38.
            let difference = mean_difference(&slide.read_associated(name).unwrap(), &png(&format!("{name}.png")));
            assert!(difference < 0.6, "{name}: {difference}");
        }
    }
}

#[test]
fn without_label() {
    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    let slide = Slide::open_with(data("slide"), &options).unwrap();
    let names: Vec<_> = slide.associated().iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["thumbnail"]);
    assert!(slide.read_associated("label").is_err());
}

#[test]
fn every_way_to_store_frames() {
    for (name, golden, compression, most) in [
        // Measured: 0.38, 0.20 where a third is white, 0.007 where chroma is not halved,
        // 0.0001 of JPEG 2000.
        ("extended", "level0-0.png", Compression::Jpeg, 0.6),
        ("fragments", "level0-0.png", Compression::Jpeg, 0.6),
        ("sparse", "sparse-0.png", Compression::Jpeg, 0.3),
        ("jpeg-rgb", "jpeg-rgb-0.png", Compression::Jpeg, 0.02),
        ("jpeg2000", "jpeg2000-0.png", Compression::Jpeg2000, 0.01),
    ] {
        let slide = Slide::open(data("single").join(name).with_extension("dcm")).unwrap();
        assert_eq!(slide.level(LevelIndex(0)).unwrap().compression(), compression, "{name}");
        let difference = mean_difference(&whole(&slide, 0).unwrap(), &png(golden));
        assert!(difference <= most, "{name}: {difference}");
    }
    for (name, compression) in [
        ("explicit-little", Compression::None),
        ("implicit-little", Compression::None),
        ("explicit-big", Compression::None),
        ("planar", Compression::None),
        ("rle", Compression::PackBits),
        ("jpeg2000-lossless", Compression::Jpeg2000),
        ("sparse-planes", Compression::None),
        ("full-planes", Compression::None),
    ] {
        let slide = Slide::open(data("single").join(name).with_extension("dcm")).unwrap();
        assert_eq!(slide.level(LevelIndex(0)).unwrap().compression(), compression, "{name}");
        assert!(whole(&slide, 0).unwrap() == picture(22, 13), "{name}");
    }
}

/// Of JPEG 2000 a coarser resolution is decoded where that will do.
#[test]
fn thumbnails() {
    let thumbnail = |name: &str| Slide::open(data("single").join(name)).unwrap().thumbnail(10).unwrap().0;
    let difference = mean_difference(&thumbnail("jpeg2000.dcm"), &thumbnail("fragments.dcm"));
    // Measured: 1.5.
    assert!(difference < 2.5, "{difference}");
}

#[test]
fn tiles_that_are_missing_are_white() {
    let slide = Slide::open(data("single/sparse.dcm")).unwrap();
    let image = whole(&slide, 0).unwrap();
    // Of 3 x 2 tiles of 48 px, the second and the fifth.
    for (x, y) in [(48, 0), (95, 47), (48, 48), (95, 69)] {
        assert_eq!(image.get_pixel(x, y).0, [255; 3]);
        assert_ne!(image.get_pixel((x + 50) % 100, y).0, [255; 3]);
    }
}

#[test]
fn a_level_in_parts() {
    for name in ["", "part1.dcm", "part3.dcm"] {
        let slide = Slide::open(data("split").join(name)).unwrap();
        assert_eq!(slide.level_count(), 1);
        assert!(mean_difference(&whole(&slide, 0).unwrap(), &png("level0-0.png")) < 0.6);
    }
    let part = |i: u32| std::fs::read(data(&format!("split/part{i}.dcm"))).unwrap();
    for missing in 1..=3 {
        let [a, b] =
            [1, 2, 3].map(|i| if i == missing { 0 } else { i }).into_iter().filter(|&i| i > 0).collect::<Vec<_>>()[..]
        else {
            unreachable!()
        };
        let (slide, _folder) = open(&[("a", &part(a)), ("b", &part(b))]);
        let error = slide.unwrap_err();
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains("is a file missing?"), "{error}");
    }
}

#[test]
fn the_plain_file_of_the_tests() {
    let slide = File::native().open().unwrap();
    assert!(whole(&slide, 0).unwrap() == picture(SIZE.0, SIZE.1));
    assert_eq!((slide.mpp(), slide.objective_power()), (None, None));
}

#[test]
fn offset_tables() {
    let len = (SIDE * SIDE * 3) as usize;
    let starts: Vec<u32> = (0..FRAMES as u32).map(|i| i * (len as u32 + 8)).collect();
    let bytes = |offsets: &[u32]| offsets.iter().flat_map(|o| o.to_le_bytes()).collect::<Vec<u8>>();
    let longs = |offsets: &[u64]| offsets.iter().flat_map(|o| o.to_le_bytes()).collect::<Vec<u8>>();
    let wide: Vec<u64> = starts.iter().map(|&o| o.into()).collect();
    let extended = |offsets: &[u64], lengths: &[u64]| {
        File::items(&[]).put((0x7fe0, 1), "OV", &longs(offsets)).put((0x7fe0, 2), "OV", &longs(lengths))
    };
    for file in [
        File::items(&[]),
        File::items(&bytes(&starts)),
        extended(&wide, &[len as u64; FRAMES]),
        // In an older layout: the length of the sequence's items is marked.
        File::native()
            .raw(PER_FRAME, [header(PER_FRAME, "SQ", u32::MAX), open_item(&[]), item(&[]), END.to_vec()].concat()),
        // An unknown sequence of unknown length is implicit within, even of sequences.
        File::native().raw(
            (0x0021, 0x1001),
            [
                header((0x0021, 0x1001), "UN", u32::MAX),
                open_item(&[0x40, 0, 0x55, 5, 8, 0, 0, 0, 0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]),
                END.to_vec(),
            ]
            .concat(),
        ),
        // Pixel data of an icon, in fragments.
        File::native().put(
            (0x0088, 0x0200),
            "SQ",
            &item(&[header(PIXELS, "OB", u32::MAX), item(&[]), item(&[1, 2]), END.to_vec()].concat()),
        ),
    ] {
        assert!(whole(&file.open().unwrap(), 0).unwrap() == picture(SIZE.0, SIZE.1));
    }
    let mut far = starts.clone();
    far[3] = 1 << 30;
    let mut back = starts.clone();
    back[4] = 0;
    let mut odd = starts.clone();
    odd[2] += 2;
    let mut huge = wide.clone();
    huge[5] = u64::MAX;
    let read = |file: &File| memory::bounded(|| whole(&file.open()?, 0));
    for (file, word) in [
        (File::items(&bytes(&starts[1..])), "an offset table of 6 frames, found 20 bytes"),
        (File::items(&[0; 23]), "offset table"),
        (File::items(&bytes(&far)), "frame 3: expected its end at the next frame"),
        (File::items(&bytes(&back)), "frame 4"),
        (File::items(&bytes(&odd)), "frame 2"),
        // All are wrong: named is whichever is read first.
        (File::items(&bytes(&[1 << 31; FRAMES])), "frame "),
        (extended(&huge, &[len as u64; FRAMES]), "frame 6"),
        (extended(&wide, &[len as u64 - 2; FRAMES]), "frame 1: expected 192 bytes as in its item, found 190"),
        (extended(&wide, &[u64::MAX; FRAMES]), "frame 1"),
        (extended(&wide[1..], &[len as u64; FRAMES]), "extended offsets of 6 frames"),
        (extended(&wide, &[len as u64; 9]), "extended lengths of 6 frames"),
        (File::items(&[]).text((0x0028, 8), "IS", "7"), "expected 6 frames (6 tiles"),
        (File::items(&[]).sequence(&[], &item(&[0; 192]).repeat(5)), "fragments of 6 frames, found 5"),
        (File::items(&[]).sequence(&[], &item(&[0; 190]).repeat(6)), "192 bytes of pixels"),
        (File::items(&[]).put(PIXELS, "OB", &[0; 1152]), "frames in items"),
        (File::native().sequence(&[], &[]), "a length"),
        (File::native().put(PIXELS, "OB", &[0; 1150]), "1152 bytes of 6 frames, found 1150"),
        (File::native().without(PIXELS), "pixel data"),
    ] {
        let error = read(&file).expect_err(word);
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    // Two fragments a frame, and nothing that says so.
    let error = read(&File::items(&[]).sequence(&[], &item(&[0; 96]).repeat(12))).unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }) && error.to_string().contains("more than 6"), "{error}");
}

#[test]
fn what_is_not_read_is_named() {
    let native = File::native;
    let off_grid = [(1, 1), (9, 1), (17, 1), (1, 9), (9, 9), (16, 9)];
    for (file, word) in [
        (File { syntax: "1.2.840.10008.1.2.1.99", ..native() }, "deflated"),
        (File { syntax: "1.2.840.10008.1.2.4.80", ..native() }, "JPEG-LS"),
        (File { syntax: "1.2.840.10008.1.2.4.70", ..native() }, "JPEG lossless"),
        (File { syntax: "1.2.840.10008.1.2.4.202", ..native() }, "HTJ2K"),
        (File { syntax: "1.2.840.10008.1.2.4.107", ..native() }, "HEVC"),
        (File { syntax: "1.2.3.4", ..native() }, "1.2.3.4"),
        (File { class: "1.2.840.10008.5.1.4.1.1.2", ..native() }, "CT Image Storage"),
        (File { class: "1.2.840.10008.1.3.10", ..native() }, "Media Storage Directory"),
        (
            native().short((0x0028, 2), 1).text((0x0028, 4), "CS", "MONOCHROME2"),
            "1 samples of 8 bits in 8 (MONOCHROME2)",
        ),
        (native().short((0x0028, 0x0100), 16).short((0x0028, 0x0101), 12), "3 samples of 12 bits in 16"),
        (native().short((0x0028, 0x0100), 16).short((0x0028, 0x0101), 8), "3 samples of 8 bits in 16"),
        (native().text((0x0028, 4), "CS", "YBR_FULL_422"), "YBR_FULL_422"),
        (native().text((0x0020, 0x9311), "CS", "3D"), "frames organized as 3D"),
        (native().places(&off_grid), "frame 6: a frame of 8 x 8 px at column 16, row 9, which is not on the grid"),
    ] {
        let error = file.open().expect_err(word);
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn contradictions_are_named() {
    let native = File::native;
    let grid = [(1, 1), (9, 1), (17, 1), (1, 9), (9, 9), (17, 9)];
    assert!(whole(&native().places(&grid).open().unwrap(), 0).unwrap() == picture(SIZE.0, SIZE.1));
    for (file, word) in [
        (native().places(&grid[1..]), "positions of 6 frames, found 5"),
        (native().text((0x0020, 0x9311), "CS", "TILED_SPARSE"), "positions of 6 frames, found 0"),
        (native().places(&[(1, 1), (9, 1), (17, 1), (1, 9), (9, 9), (1, 9)]), "frames 4 and 6"),
        (native().places(&[(1, 1), (9, 1), (17, 1), (1, 9), (9, 9), (25, 9)]), "a place in 20 x 13 px"),
        (native().places(&[(0, 1), (9, 1), (17, 1), (1, 9), (9, 9), (17, 9)]), "a place in 20 x 13 px"),
        (native().places(&[(-7, 1), (9, 1), (17, 1), (1, 9), (9, 9), (17, 9)]), "a place in 20 x 13 px"),
        (native().text((0x0028, 8), "IS", "0"), "at least one frame"),
        (native().text((0x0028, 8), "IS", "-1"), "NumberOfFrames"),
        (native().text((0x0028, 8), "IS", "six"), "a number"),
        (native().text((0x0028, 8), "IS", "5"), "expected 6 frames"),
        (native().without((0x0028, 8)), "expected 6 frames"),
        (native().long((0x0048, 6), 25), "expected 8 frames"),
        (native().long((0x0048, 6), 0), "TotalPixelMatrixColumns from 1"),
        (native().without((0x0048, 7)), "TotalPixelMatrixRows"),
        (native().short((0x0028, 0x10), 0), "Rows from 1"),
        (native().put((0x0028, 0x11), "OB", &[8, 0]), "numbers in (0028,0011)"),
        (native().without((0x0020, 0x000e)), "SeriesInstanceUID"),
        (native().text((0x0008, 8), "CS", "ORIGINAL\\PRIMARY\\LABEL\\NONE"), "has VOLUME"),
        (native().raw((0x0021, 0x1001), item(&[])), "which is for sequences only"),
        (native().raw((0x0021, 0x1001), END.to_vec()), "which is for sequences only"),
        (native().raw((0x0021, 0x1001), dicom::ITEM_END.to_vec()), "delimiter of an item"),
        (native().raw((0x0021, 0x1001), header((0x0021, 0x1001), "UT", u32::MAX - 1)), "is the file cut off?"),
        (native().put((0x0048, 0x0105), "SQ", &item(&header((0x0048, 0x112), "DS", 40))), "a value that ends by"),
        (native().put((0x0048, 0x0105), "SQ", &[0xfe, 0xff, 0, 0xe0, 100, 0, 0, 0]), "a value that ends by"),
        (native().put((0x0048, 0x0105), "SQ", &END), "no end of a sequence here"),
        (native().put((0x0020, 0x0052), "UI", &[b'1'; 5000]), "at most 4096 bytes"),
    ] {
        let error = memory::bounded(|| file.open()).expect_err(word);
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

/// Headers that promise far more than there is.
#[test]
fn promises_take_no_memory() {
    let deep = |start: &[u8]| File::native().raw((0x0021, 0x1001), start.repeat(200_000));
    let sequence = header((0x0021, 0x1001), "SQ", u32::MAX);
    let start = [&sequence[..], &[0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff]].concat();
    let error = memory::bounded(|| deep(&start).open()).unwrap_err();
    assert!(error.to_string().contains("sequences in each other, 16 at most"), "{error}");

    let side = i32::MAX as u32;
    let large = |file: File| file.long((0x0048, 6), side).long((0x0048, 7), side);
    let tall = |file: File| file.long((0x0048, 6), 8).long((0x0048, 7), 8 << 25).text((0x0028, 8), "IS", "33554432");
    for (file, word) in [
        (large(File::native().places(&[(1, 1)]).text((0x0028, 8), "IS", "1")), "tiles, at most 4096"),
        (large(File::native()), "expected 72057594037927936 frames"),
        (tall(File::items(&[])), "33554432 frames"),
        (tall(File::native()), "33554432 frames"),
        (File::native().short((0x0028, 0x10), u16::MAX).short((0x0028, 0x11), u16::MAX), "max_tile_bytes"),
    ] {
        let error = memory::bounded(|| file.open()).expect_err(word);
        assert!(matches!(error, SlideError::OverLimit { .. } | SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }

    // Headers of more than 64 MiB, all of elements without a value.
    let nothing = element((0x0021, 0x1001), "CS", &[]).repeat((64 << 17) + 1);
    let error = memory::bounded(|| File::native().raw((0x0021, 0x1001), nothing).open()).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { .. }) && error.to_string().contains("max_tag_bytes"), "{error}");

    // A frame in fragments without end.
    let one = File::native().long((0x0048, 6), 8).long((0x0048, 7), 8).text((0x0028, 8), "IS", "1");
    let one = File { syntax: ITEMS, ..one }.sequence(&[], &item(&[]).repeat(1 << 17));
    let error = memory::bounded(|| whole(&one.open()?, 0)).unwrap_err();
    assert!(error.to_string().contains("fragments"), "{error}");
}

#[test]
fn folders() {
    let file =
        |series: &str, uid: &str| File::native().text((0x0020, 0xe), "UI", series).text((0x0008, 0x18), "UI", uid);
    let small = |file: File| file.long((0x0048, 6), 10).long((0x0048, 7), 7).text((0x0028, 8), "IS", "2");
    let a0 = file("1.1", "1.1.1").bytes();
    let a1 = small(file("1.1", "1.1.2")).bytes();
    let b0 = file("1.2", "1.2.1").bytes();
    let ct = File { class: "1.2.840.10008.5.1.4.1.1.2", ..File::native() }.bytes();
    let text: &[u8] = b"not of the kind";

    // Others beside it do not matter; a copy of an instance is one.
    let (slide, folder) = open(&[
        ("a0", &a0),
        ("a1", &a1),
        ("b0", &b0),
        ("ct", &ct),
        ("copy of a1", &a1),
        ("notes", text),
        ("empty", &[]),
    ]);
    assert_eq!(slide.unwrap().level_count(), 2);
    std::fs::create_dir(folder.path().join("more")).unwrap();
    let error = Slide::open(folder.path()).unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
    let message = error.to_string();
    for word in ["2 slides", "a0 (3 files) in series 1.1", "b0 (1 files) in series 1.2", "by one of its files"] {
        assert!(message.contains(word), "{message}");
    }
    // Without the second slide the folder is one.
    std::fs::remove_file(folder.path().join("b0")).unwrap();
    assert_eq!(Slide::open(folder.path()).unwrap().level_count(), 2);
    let limits = Limits { max_files: 5, ..Limits::default() };
    let error = Slide::open_with(folder.path(), &OpenOptions { limits, ..OpenOptions::default() }).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { limit: 5, .. }), "{error}");

    let (_, folder) = open(&[("ct", &ct), ("notes", text)]);
    let error = Slide::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("1 of CT Image Storage"), "{error}");
    let (_, folder) = open(&[("notes", text)]);
    let error = Slide::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("a folder without DICOM files"), "{error}");

    // What is no pyramid.
    let other_size = file("1.1", "1.1.3").bytes();
    let other_place = small(file("1.1", "1.1.3")).text((0x0020, 0x52), "UI", "9.9").bytes();
    let other_shape = file("1.1", "1.1.3").long((0x0048, 6), 7).text((0x0028, 8), "IS", "2").bytes();
    for (second, word) in
        [(other_size, "the size of"), (other_place, "frame of reference"), (other_shape, "another shape")]
    {
        let (slide, _folder) = open(&[("first", &a0), ("second", &second)]);
        let error = slide.unwrap_err();
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }

    // One that is cut off may be the finest level of this slide: to leave it out would be wrong.
    let (slide, _folder) = open(&[("a1", &a1), ("a0", &a0[..a0.len() - 100])]);
    assert!(slide.unwrap_err().to_string().contains("is the file cut off?"));
}

/// A pipe beside the slide never ends, and is not looked into.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_folder() {
    let (_, folder) = open(&[("slide", &File::native().bytes())]);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(Slide::open(folder.path()).unwrap().level_count(), 1);
}

/// As some old writers have it: file meta information without the preamble, or no meta information.
#[test]
fn beginnings() {
    let bytes = File::native().bytes();
    let (slide, _folder) = open(&[("slide", &bytes[132..])]);
    assert!(whole(&slide.unwrap(), 0).unwrap() == picture(SIZE.0, SIZE.1));
    let start = bytes.windows(4).position(|four| four == [8, 0, 8, 0]).unwrap();
    let (slide, _folder) = open(&[("slide", &bytes[start..])]);
    let error = slide.unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("without file meta information"), "{error}");
}

/// All that there is to read of files; the first error.
fn everything(files: &[(&str, &[u8])]) -> Result<(), SlideError> {
    memory::bounded(|| {
        let (slide, _folder) = open(files);
        let slide = slide?;
        for level in slide.levels() {
            for region in level.tiles().iter().take(64) {
                slide.read_uncached(region)?;
            }
        }
        for image in slide.associated() {
            slide.read_associated(&image.name)?;
        }
        slide.thumbnail(50)?;
        Ok(())
    })
}

/// All files of the tests but those that cannot be read.
fn fixtures() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = ["slide", "single"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            !["label", "overview", "thumbnail"].contains(&name)
        })
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Whatever the length, a file that is cut off is an error.
#[test]
fn cut_off_anywhere() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 15);
    for bytes in fixtures {
        assert!(everything(&[("slide", &bytes)]).is_ok());
        // The mark of the end may be missing where an offset table says where the frames end.
        for len in (0..bytes.len() - 9).step_by(31) {
            assert!(everything(&[("slide", &bytes[..len])]).is_err(), "{len} of {} bytes pass", bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes changed: an error or some picture, but no panic and no flood.
    #[test]
    fn damaged_bytes(which in 0..15_usize, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), header: bool) {
        use std::sync::LazyLock;
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(fixtures);
        let mut bytes = FILES[which].clone();
        // Half of the time only where the header is.
        let end = if header { bytes.len().min(1600) } else { bytes.len() };
        for (index, value) in flips {
            bytes[132 + index.index(end - 132)] = value;
        }
        let _ = everything(&[("slide", &bytes)]);
    }
}
