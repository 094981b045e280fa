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

/// JPEG 2000 in tiles, a thumbnail of JPEG between the levels, and nothing of the resolution.
#[test]
fn an_aperio_slide_of_jpeg2000() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("wsi/tcga-cr-7395-01a-01-ts1.svs")).unwrap();
    assert_eq!(slide.format(), Format::AperioSvs);
    let levels: Vec<_> = slide.levels().map(|level| (level.size(), level.compression())).collect();
    let expected = [(4443, 3567), (2221, 1783)].map(|(w, h)| (Size::new(w, h), Compression::Jpeg2000));
    assert_eq!((levels, slide.mpp()), (expected.to_vec(), None));
    let names: Vec<_> = slide.associated().iter().map(|a| (a.name.as_str(), a.size)).collect();
    assert_eq!(names, [("thumbnail", Size::new(956, 768))]);
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

/// A slide without its label is one whose label nobody can read.
#[test]
fn without_the_label() {
    let Some(root) = shared() else { return };
    let path = root.join("wsi/cmu-1-small-region.svs");
    let slide = Slide::open(&path).unwrap();
    for image in slide.associated() {
        let pixels = slide.read_associated(&image.name).unwrap();
        assert_eq!(pixels.dimensions(), (image.size.width, image.size.height), "{}", image.name);
        assert!(pixels.pixels().any(|p| p != pixels.get_pixel(0, 0)), "{} is of one colour", image.name);
    }
    assert!(slide.read_associated("nothing").unwrap_err().to_string().contains("label"));

    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    let slide = Slide::open_with(&path, &options).unwrap();
    let names: Vec<_> = slide.associated().iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["thumbnail"]);
    assert!(slide.read_associated("thumbnail").is_ok());
    assert!(slide.read_associated("label").is_err() && slide.read_associated("macro").is_err());
}

/// Spots of C2 lie 200 um apart; taken for a Visium slide's, or with another level's mpp, they do not.
#[test]
fn the_array_tells_whether_the_resolution_is_right() {
    let Some(root) = shared() else { return };
    let open = |mpp: f64| {
        let options = OpenOptions { mpp: Some(MicronsPerPixel::square(mpp).unwrap()), ..OpenOptions::default() };
        Slide::open_with(root.join("hest/wsis/C2.tif"), &options).unwrap()
    };
    assert!(open(0.686).check_spot_pitch(291.0, 200.0).is_ok());
    let error = open(0.686).check_spot_pitch(291.0, 100.0).unwrap_err();
    assert!(matches!(error, SlideError::MppConflict { .. }), "{error}");
    assert!(open(1.372).check_spot_pitch(291.0, 200.0).is_err());
    assert!(open(0.686).check_spot_pitch(f64::NAN, 200.0).is_err());
}
