//! Our readers beside the OpenSlide library, and slides that only it reads.
#![cfg(feature = "openslide")]
#![allow(clippy::print_stderr)]

mod common;

use std::path::Path;

use common::{picture, whole};
use scellst_slide::{
    Compression, Format, MppSource, OpenOptions, PyramidOptions, PyramidWriter, RgbImage, Slide, SlideError,
    UseOpenSlide,
};
use scellst_types::{MicronsPerPixel, Size};

fn by(path: &Path, openslide: UseOpenSlide) -> Result<Slide, SlideError> {
    Slide::open_with(path, &OpenOptions { openslide, ..OpenOptions::default() })
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

/// Sizes, resolution and pixels of every level, in squares over the level.
fn same(own: &Slide, library: &Slide, lossless: bool) {
    let at = own.path().display();
    let sizes = |slide: &Slide| slide.levels().map(|l| l.size()).collect::<Vec<_>>();
    // The library makes more levels of an NDPI by decoding the coarsest at reduced size.
    assert!(sizes(library).starts_with(&sizes(own)), "{at}: {:?}, {:?}", sizes(own), sizes(library));
    assert!(sizes(own).len() == sizes(library).len() || own.format() == Format::Ndpi, "{at}");
    let mpp = |slide: &Slide| slide.mpp().map(|m| (m.value.x(), m.value.y()));
    match (mpp(own), mpp(library)) {
        (Some(a), Some(b)) => {
            assert!((a.0 / b.0 - 1.0).abs() < 1e-6 && (a.1 / b.1 - 1.0).abs() < 1e-6, "{at}: {a:?}, {b:?}");
        }
        (a, b) => assert_eq!(a, b, "{at}"),
    }
    assert_eq!(own.objective_power(), library.objective_power(), "{at}");
    for (a, b) in own.levels().zip(library.levels()) {
        let (w, h) = (a.size().width, a.size().height);
        // Debian's libtiff 4.5.0-6+deb12u3 and later (CVE-2025-9900 mended) makes its OpenSlide 3.4.1 garble
        // what is smaller than a tile and not JPEG: "raster width adapted". OpenSlide 4.0.1 reads it right.
        if lossless && a.tile_size().is_some_and(|tile| tile.width > w || tile.height > h) {
            continue;
        }
        // The library is asked by level-0 pixels. At a downsampling by 2.0005 most places of a level lie between two
        // of them, and the library mixes neighbours (1 to 4 of 255 apart), but not in the piece at the corner. There
        // the places must agree: a pixel aside it is at least twice as far off.
        let whole = b.downsample().fract() == 0.0;
        let side = Size::new(w.min(700), h.min(700));
        for (i, j) in [(0, 0), (2, 0), (0, 2), (2, 2), (1, 1)] {
            // Corners and the middle.
            let place = |full: u32, side: u32, k: u32| i64::from(full - side) * i64::from(k) / 2;
            let (x, y) = (place(w, side.width, i), place(h, side.height, j));
            let piece = b.tile_size().unwrap_or(side);
            let at_corner = (i, j) == (0, 0);
            let side = if at_corner { Size::new(w.min(piece.width), h.min(piece.height)) } else { side };
            let at = format!("{at} level {} at ({x}, {y})", a.index());
            let theirs = library.read(&b.region(x, y, side)).unwrap();
            let shifted_by = |by| mean_difference(&own.read(&a.region(x + by, y, side)).unwrap(), &theirs);
            let difference = shifted_by(0);
            if whole || at_corner {
                assert!(difference <= if lossless { 0.0 } else { 1.0 }, "{at}: {difference}");
            } else if difference > 1.0 {
                let aside = shifted_by(1).min(shifted_by(-1));
                assert!(difference < aside / 2.0, "{at}: {difference}, and {aside} a pixel aside");
            }
        }
    }
}

#[test]
fn our_readers_agree_with_the_library() {
    let Some(root) = common::shared() else { return };
    for (file, lossless) in [
        ("hest/wsis/C2.tif", false),
        ("hest/wsis/C3.tif", false),
        ("hest/wsis/C4.tif", false),
        ("wsi/cmu-1-small-region.svs", false),
        ("wsi/boxes.tiff", true),
        ("wsi/tiff-variants/tiled-rgb-u8.tif", true),
    ] {
        let path = root.join(file);
        let library = by(&path, UseOpenSlide::Always).unwrap();
        assert!(matches!(library.format(), Format::OpenSlide(_)));
        let own = by(&path, UseOpenSlide::Fallback).unwrap();
        assert!(!matches!(own.format(), Format::OpenSlide(_)), "{file}");
        same(&own, &library, lossless);
    }
}

#[test]
fn what_we_do_not_read_the_library_does() {
    let Some(root) = common::shared() else { return };
    for (file, vendor) in [("wsi/tcga-cr-7395-01a-01-ts1.svs", "aperio"), ("wsi/test3-TRITC-2-560.ndpi", "hamamatsu")] {
        let path = root.join(file);
        let library = by(&path, UseOpenSlide::Always).unwrap();
        assert_eq!(library.format(), Format::OpenSlide(vendor));
        assert!(library.format().to_string().contains(vendor));
        assert!(library.levels().all(|l| l.compression() == Compression::Unknown && l.tile_size().is_some()));
        match by(&path, UseOpenSlide::Never) {
            // A reader of ours has come since.
            Ok(own) => same(&own, &library, false),
            Err(e) => {
                assert!(matches!(e, SlideError::Unsupported { .. }), "{e}");
                let found = by(&path, UseOpenSlide::Fallback).unwrap();
                assert_eq!(found.format(), library.format());
                let (a, b) = (found.thumbnail(200).unwrap().0, library.thumbnail(200).unwrap().0);
                assert!(a == b && a.as_raw().iter().any(|&v| v < 200));
            }
        }
    }
}

#[test]
fn pictures_beside_and_labels() {
    let Some(root) = common::shared() else { return };
    let path = root.join("wsi/cmu-1-small-region.svs");
    let options = OpenOptions { openslide: UseOpenSlide::Always, ..OpenOptions::default() };
    let slide = Slide::open_with(&path, &options).unwrap();
    let own = by(&path, UseOpenSlide::Never).unwrap();
    assert_eq!(slide.mpp().unwrap().source, MppSource::OpenSlide);
    for name in ["label", "macro", "thumbnail"] {
        let (a, b) = (own.read_associated(name).unwrap(), slide.read_associated(name).unwrap());
        assert!(mean_difference(&a, &b) <= 1.0, "{name}");
    }
    let slide = Slide::open_with(&path, &OpenOptions { without_label: true, ..options }).unwrap();
    let names: Vec<&str> = slide.associated().iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["thumbnail"]);
    assert!(matches!(slide.read_associated("label"), Err(SlideError::Misuse { .. })));
}

#[test]
fn our_pyramids_are_read_by_the_library() {
    let folder = tempfile::tempdir().unwrap();
    // Halving odd sizes gives a downsampling that is no whole number: the library then mixes pixels.
    for (w, h, lossless) in [(2048, 1024, true), (1501, 1777, true)] {
        let path = folder.path().join(format!("{w}.tif"));
        let options =
            PyramidOptions { mpp: Some(MicronsPerPixel::new(0.25, 0.5).unwrap()), ..PyramidOptions::default() };
        let smooth = RgbImage::from_fn(w, h, |x, y| image::Rgb([(x / 9) as u8, (y / 9) as u8, ((x + y) / 20) as u8]));
        PyramidWriter::write_image(&path, &smooth, &options).unwrap();
        let library = by(&path, UseOpenSlide::Always).unwrap();
        assert_eq!(library.format(), Format::OpenSlide("generic-tiff"));
        same(&by(&path, UseOpenSlide::Never).unwrap(), &library, lossless);
        assert!(whole(&library, 0).unwrap() == smooth);
    }
}

#[test]
fn errors_are_ours() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.mrxs");
    std::fs::write(&text, "no slide").unwrap();
    // Nobody knows it: the error that says more.
    let error = by(&text, UseOpenSlide::Fallback).unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }) && error.to_string().contains("6e 6f 20"), "{error}");
    let error = by(&text, UseOpenSlide::Always).unwrap_err();
    assert!(error.to_string().contains("OpenSlide library does not know"), "{error}");
    let error = by(&folder.path().join("none.svs"), UseOpenSlide::Fallback).unwrap_err();
    assert!(matches!(error, SlideError::Io { .. }), "{error}");
    assert!(by(&folder.path().join("none.svs"), UseOpenSlide::Always).is_err());

    // The library sees a TIFF in a file whose tiles lie beyond its end.
    let path = folder.path().join("cut.tif");
    PyramidWriter::write_image(&path, &picture(300, 300), &PyramidOptions::default()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4;
    bytes[20..middle].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let slide = by(&path, UseOpenSlide::Always).unwrap();
    let error = whole(&slide, 0).unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }), "{error}");
}
