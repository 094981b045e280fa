//! What real slides say of themselves, and which are refused.

mod common;

use common::shared;
use scellst_slide::{Compression, Format, MppSource, OpenOptions, Slide, SlideError};
use scellst_types::{LevelIndex, MicronsPerPixel, Size};

#[test]
fn an_aperio_slide() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("wsi/cmu-1-small-region.svs")).unwrap();
    assert_eq!(slide.format(), Format::AperioSvs);
    assert_eq!((slide.size(), slide.level_count()), (Size::new(2220, 2967), 1));
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value, mpp.source), (MicronsPerPixel::square(0.499).unwrap(), MppSource::AperioDescription));
    assert_eq!(slide.objective_power(), Some(20.0));
    let names: Vec<_> = slide.associated().iter().map(|a| (a.name.as_str(), a.size)).collect();
    let expected =
        [("thumbnail", Size::new(574, 768)), ("label", Size::new(387, 463)), ("macro", Size::new(1280, 431))];
    assert_eq!(names, expected);
}

#[test]
fn a_generic_pyramid() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("hest/wsis/C2.tif")).unwrap();
    assert_eq!(slide.format(), Format::BigTiff);
    let mpp = slide.mpp().unwrap();
    assert_eq!(mpp.source, MppSource::ResolutionTags);
    assert!((mpp.value.x() - 0.686).abs() < 1e-6 && (mpp.value.y() - 0.686).abs() < 1e-6);
    let level = slide.level(LevelIndex(3)).unwrap();
    assert_eq!((level.size(), level.tile_size()), (Size::new(1159, 1238), Some(Size::new(512, 512))));
    assert_eq!(level.compression(), Compression::Jpeg);
    assert!((level.mpp().unwrap().x() - 8.0 * 0.686).abs() < 0.01);
    // Halving 9911 rows makes the downsampling a little more than the power of two.
    for (wanted, index) in [(0.5, 0), (1.0, 0), (1.9, 0), (2.0, 1), (7.9, 2), (8.0, 3), (1000.0, 5)] {
        assert_eq!(slide.level_for_downsample(wanted).index(), LevelIndex(index), "{wanted}");
    }
    let own = MicronsPerPixel::new(0.5, 0.25).unwrap();
    let options = OpenOptions { mpp: Some(own), ..OpenOptions::default() };
    let mpp = Slide::open_with(slide.path(), &options).unwrap().mpp().unwrap();
    assert_eq!((mpp.value, mpp.source), (own, MppSource::Caller));
}

/// Its Exif block says 98 x 106 dots per inch.
#[test]
fn a_photograph_has_no_resolution() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("hest/wsis/C5.jpg")).unwrap();
    assert_eq!((slide.format(), slide.size()), (Format::Jpeg, Size::new(9272, 9901)));
    assert_eq!(slide.mpp(), None);
    assert!(matches!(slide.require_mpp(), Err(SlideError::NoMpp { .. })));
}

#[test]
fn resolution_tags_of_a_print_are_no_resolution() {
    let Some(root) = shared() else { return };
    for name in ["boxes.tiff", "tiff-variants/tiled-rect-rgb-u8.tif", "tiff-variants/tiled-jpeg-ycbcr.tif"] {
        assert_eq!(Slide::open(root.join("wsi").join(name)).unwrap().mpp(), None, "{name}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    let Some(root) = shared() else { return };
    for (name, word) in [("test3-TRITC-2-560.ndpi", "Hamamatsu NDPI"), ("cells.ome.tif", "planar RGB")] {
        let error = Slide::open(root.join("wsi").join(name)).unwrap_err();
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(word) && text.contains(name) && text.contains("convert it"), "{text}");
    }
}

/// Its JPEG tables are damaged: it opens, and fails where it is read.
#[test]
fn a_broken_slide_says_where() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("wsi/unreadable.svs")).unwrap();
    let error = common::whole(&slide, 0).unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }), "{error}");
    assert!(error.to_string().contains("page 0, tile 0"), "{error}");
}

/// A thumbnail has the colours of the slide. (0.57 of 255 apart for C3, whose coarser levels, made by
/// others, are that much lighter than its finest.)
#[test]
fn a_thumbnail_looks_like_the_slide() {
    let Some(root) = shared() else { return };
    for name in ["C3.tif", "C5.jpg"] {
        let slide = Slide::open(root.join("hest/wsis").join(name)).unwrap();
        let (image, downsample) = slide.thumbnail(620).unwrap();
        assert_eq!(image.height(), 620);
        assert!((f64::from(slide.size().height) / downsample - 620.0).abs() < 1e-9);
        let means = |image: &scellst_slide::RgbImage| {
            let sum = image.pixels().fold([0_u64; 3], |s, p| [0, 1, 2].map(|k| s[k] + u64::from(p.0[k])));
            sum.map(|s| s as f64 / f64::from(image.width() * image.height()))
        };
        let full = common::whole(&slide, 0).unwrap();
        for (a, b) in means(&image).iter().zip(means(&full)) {
            assert!((a - b).abs() < 1.0, "{name}: {a} and {b}");
        }
    }
}
