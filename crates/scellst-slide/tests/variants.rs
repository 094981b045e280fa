//! Small TIFFs of every layout, byte order and compression that is read.

mod common;

use common::{Layout, PLAIN, Page, open_bytes, picture, tiff, whole};
use proptest::prelude::*;
use scellst_slide::{Format, MppSource, RgbImage, SlideError};
use scellst_types::{LevelIndex, Size};

fn layouts() -> impl Strategy<Value = Layout> {
    let tile = prop_oneof![Just(None), (1..5_u32, 1..5_u32).prop_map(|(w, h)| Some((w * 16, h * 16)))];
    let compression = prop::sample::select(vec![1_u16, 5, 8, 32946, 32773, 50000, 34926, 50001, 34927]);
    (any::<bool>(), any::<bool>(), tile, 1..200_u32, compression, any::<bool>(), any::<bool>()).prop_map(
        |(little, big, tile, rows, compression, predictor, alpha)| {
            // To the others a predictor has no meaning.
            let predictor = predictor && [5, 8, 32946, 50000, 34926].contains(&compression);
            Layout { little, big, tile, rows, compression, predictor, alpha }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_layout_gives_its_pixels(layout in layouts(), w in 1..90_u32, h in 1..170_u32) {
        let image = picture(w, h);
        let bytes = tiff(&[Page::of(&image, layout)], layout.little, layout.big, None);
        let (slide, _file) = open_bytes(&bytes);
        let slide = slide.unwrap();
        prop_assert_eq!(slide.format(), if layout.big { Format::BigTiff } else { Format::Tiff });
        let level = slide.level(LevelIndex(0)).unwrap();
        prop_assert_eq!(level.tile_size(), layout.tile.map(|(w, h)| Size::new(w, h)));
        prop_assert!(whole(&slide, 0).unwrap() == image);
        // The pieces for going through it cover it once.
        let mut again = RgbImage::new(w, h);
        let mut pixels = 0;
        for region in level.tiles() {
            let part = slide.read_uncached(&region).unwrap();
            pixels += region.size().pixels();
            image::imageops::replace(&mut again, &part, region.x(), region.y());
        }
        prop_assert_eq!(pixels, level.size().pixels());
        prop_assert!(again == image);
    }
}

fn tiled(compression: u16) -> Layout {
    Layout { tile: Some((32, 32)), compression, ..PLAIN }
}

#[test]
fn levels_are_the_images_of_the_same_shape() {
    let page = |w, h| Page::of(&picture(w, h), tiled(8));
    let pages = [
        page(50, 40),                      // half
        page(100, 81),                     // full
        page(30, 30),                      // another shape
        page(25, 20),                      // quarter
        page(100, 81),                     // the full one again
        page(60, 47).set(254, 4, &[4]),    // a mask
        Page::of(&picture(12, 10), PLAIN), // an eighth, in strips
        page(200, 160).set(254, 4, &[1]),  // marked as reduced, and larger than the full one
    ];
    let (slide, _file) = open_bytes(&tiff(&pages, true, false, None));
    let slide = slide.unwrap();
    let sizes: Vec<_> = slide.levels().map(|l| (l.size().width, l.size().height)).collect();
    assert_eq!(sizes, [(100, 81), (50, 40), (25, 20), (12, 10)]);
    for (i, &(w, h)) in (0..).zip(&sizes) {
        assert!(whole(&slide, i).unwrap() == picture(w, h));
    }
    let names: Vec<_> = slide.associated().iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["page 2", "page 7"]);
}

#[test]
fn a_level_of_one_pixel() {
    let pages = [Page::of(&picture(37, 5), tiled(1)), Page::of(&picture(1, 1), tiled(1))];
    let (slide, _file) = open_bytes(&tiff(&pages, true, false, None));
    let slide = slide.unwrap();
    assert_eq!(slide.level_count(), 2);
    assert!(whole(&slide, 1).unwrap() == picture(1, 1));
}

/// As a sparse file has them: no bytes for a tile of bare glass.
#[test]
fn tiles_without_bytes_are_white() {
    let mut page = Page::of(&picture(64, 32), tiled(8));
    page.pieces[1].clear();
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    let image = whole(&slide.unwrap(), 0).unwrap();
    assert_eq!(image.get_pixel(31, 0), picture(64, 32).get_pixel(31, 0));
    assert_eq!(image.get_pixel(32, 0).0, [255; 3]);
}

#[test]
fn resolution_from_tags_and_ome() {
    let base = Page::of(&picture(20, 20), PLAIN);
    let tags = base.clone().set(282, 5, &[40_000, 1]).set(283, 5, &[20_000, 1]).set(296, 3, &[3]);
    let (slide, _file) = open_bytes(&tiff(std::slice::from_ref(&tags), false, true, None));
    let mpp = slide.unwrap().mpp().unwrap();
    assert_eq!((mpp.value.x(), mpp.value.y(), mpp.source), (0.25, 0.5, MppSource::ResolutionTags));

    let xml = b"<?xml?><OME><Image><Pixels PhysicalSizeX=\"0.3\" PhysicalSizeY=\"0.4\"/></Image></OME>";
    let xml: Vec<u64> = xml.iter().map(|&b| b.into()).collect();
    let (slide, _file) = open_bytes(&tiff(&[tags.clone().set(270, 2, &xml)], true, false, None));
    let slide = slide.unwrap();
    let mpp = slide.mpp().unwrap();
    assert_eq!(slide.format(), Format::OmeTiff);
    assert_eq!((mpp.value.x(), mpp.value.y(), mpp.source), (0.3, 0.4, MppSource::OmeXml));

    let (slide, _file) = open_bytes(&tiff(&[tags.set(283, 5, &[0, 0])], true, false, None));
    assert_eq!(slide.unwrap().mpp(), None);
}

#[test]
fn what_is_not_read_is_named() {
    let base = Page::of(&picture(20, 20), PLAIN);
    for (tag, values, word) in [
        (258, &[16, 16, 16][..], "16 bits"),
        (258, &[], "1 bits"),
        (259, &[50002], "JPEG XL"),
        (259, &[22610], "JPEG XR"),
        (259, &[34925], "LZMA"),
        (259, &[12345], "compression 12345"),
        (262, &[1], "grey"),
        (262, &[3], "palette"),
        (262, &[5], "CMYK"),
        (262, &[6], "YCbCr"),
        (277, &[5], "5 samples"),
        (284, &[2], "planar"),
        (339, &[3], "sample format 3"),
    ] {
        let page = base.clone().set(tag, 3, values);
        let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
        let error = slide.unwrap_err();
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let page = Page::of(&picture(20, 20), Layout { compression: 8, ..PLAIN }).set(317, 3, &[3]);
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    assert!(slide.unwrap_err().to_string().contains("predictor 3"));
}

/// A coarser level of an unknown kind is left out: the finest serves.
#[test]
fn a_coarser_level_may_be_unsupported() {
    let pages = [Page::of(&picture(40, 40), tiled(8)), Page::of(&picture(20, 20), tiled(8)).set(259, 3, &[50002])];
    let (slide, _file) = open_bytes(&tiff(&pages, true, false, None));
    assert_eq!(slide.unwrap().level_count(), 1);
}

#[test]
fn sub_images_are_levels() {
    // Written as pages first, then taken out of the chain and put under tag 330 of the first.
    let full = Page::of(&picture(64, 48), tiled(8));
    let half = Page::of(&picture(32, 24), tiled(8));
    let probe = tiff(&[half.clone(), full.clone().set(330, 4, &[0])], true, false, None);
    let start = u32::from_le_bytes(probe[4..8].try_into().unwrap());
    let mut bytes = tiff(&[half, full.set(330, 4, &[start.into()])], true, false, None);
    let count = usize::from(u16::from_le_bytes(bytes[start as usize..start as usize + 2].try_into().unwrap()));
    let link = start as usize + 2 + count * 12;
    let second: [u8; 4] = bytes[link..link + 4].try_into().unwrap();
    bytes[4..8].copy_from_slice(&second);
    bytes[link..link + 4].fill(0);
    let (slide, _file) = open_bytes(&bytes);
    let slide = slide.unwrap();
    assert_eq!(slide.level_count(), 2);
    assert!(whole(&slide, 1).unwrap() == picture(32, 24));
}

#[test]
fn png_and_jpeg() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(53, 31);
    // The name says nothing, the content everything.
    let path = folder.path().join("slide.svs");
    image.save_with_format(&path, image::ImageFormat::Png).unwrap();
    let slide = scellst_slide::Slide::open(&path).unwrap();
    assert_eq!((slide.format(), slide.mpp()), (Format::Png, None));
    assert!(whole(&slide, 0).unwrap() == image);

    let rgba = image::RgbaImage::from_fn(5, 4, |x, y| image::Rgba([x as u8, y as u8, 7, 9]));
    rgba.save_with_format(&path, image::ImageFormat::Png).unwrap();
    let found = whole(&scellst_slide::Slide::open(&path).unwrap(), 0).unwrap();
    assert!(found == RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8, y as u8, 7])));

    let smooth = RgbImage::from_fn(60, 40, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, 90]));
    smooth.save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
    let slide = scellst_slide::Slide::open(&path).unwrap();
    assert_eq!(slide.format(), Format::Jpeg);
    let found = whole(&slide, 0).unwrap();
    assert!(found.as_raw().iter().zip(smooth.as_raw()).all(|(a, b)| a.abs_diff(*b) < 20));

    for (name, word) in [("a.png", "L8"), ("a.jpg", "1 components")] {
        let path = folder.path().join(name);
        image::GrayImage::new(9, 9).save(&path).unwrap();
        let error = scellst_slide::Slide::open(&path).unwrap_err();
        assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let path = folder.path().join("sixteen.png");
    image::ImageBuffer::<image::Rgb<u16>, _>::new(3, 3).save(&path).unwrap();
    assert!(matches!(scellst_slide::Slide::open(&path), Err(SlideError::Unsupported { .. })));
}
