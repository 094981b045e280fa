//! Files that are cut off, damaged or made to harm: an error each, no panic, little memory.

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/ndpi.rs"]
mod ndpi;

use common::{Layout, PLAIN, Page, open_bytes, picture, tiff, whole};
use proptest::prelude::*;
use scellst_slide::{PyramidCompression, PyramidOptions, PyramidWriter, RgbImage, Slide, SlideError};

/// Opens and reads all there is; the first error. Asserts that it takes little memory (with what the
/// tests beside it take at the time).
fn everything(bytes: &[u8]) -> Result<(), SlideError> {
    memory::bounded(|| open_and_read(bytes))
}

fn open_and_read(bytes: &[u8]) -> Result<(), SlideError> {
    let (slide, _file) = open_bytes(bytes);
    let slide = slide?;
    for level in slide.levels() {
        for region in level.tiles().iter().take(64) {
            slide.read_uncached(region)?;
        }
    }
    slide.thumbnail(50)?;
    Ok(())
}

fn small(compression: u16) -> Vec<u8> {
    let layout = Layout { tile: Some((32, 32)), compression, predictor: compression != 1, ..PLAIN };
    let pages = [Page::of(&picture(70, 50), layout), Page::of(&picture(35, 25), layout)];
    tiff(&pages, true, false, None)
}

/// A pyramid of JPEG tiles, as a file.
fn small_jpeg() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.tif");
    let image = RgbImage::from_fn(90, 60, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, (x + y) as u8]));
    let compression = PyramidCompression::Jpeg { quality: 80 };
    PyramidWriter::write_image(&path, &image, &PyramidOptions { tile: 64, compression, ..Default::default() }).unwrap();
    std::fs::read(path).unwrap()
}

fn encoded(format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_fn(60, 50, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]))
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

/// A progressive JPEG of 24 x 16 px, by Pillow 13.0.0: `Image.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 50)
/// .convert("RGB").save(.., quality=50, progressive=True)`.
const PROGRESSIVE: &[u8] = include_bytes!("data/progressive.jpg");

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.tif");
    let error = Slide::open(&path).unwrap_err();
    assert!(matches!(error, SlideError::Io { .. }) && error.to_string().contains("missing.tif"), "{error}");
    assert!(matches!(Slide::open(folder.path()), Err(SlideError::Unsupported { .. })));
    let (slide, _file) = open_bytes(&[]);
    let error = slide.unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }) && error.to_string().contains("empty"), "{error}");
    let (slide, _file) = open_bytes(b"nothing of the kind");
    assert!(matches!(slide, Err(SlideError::Unsupported { .. })));
}

/// Whatever the length, a file that is cut off is an error. The last bytes of a TIFF made here are
/// the offset of the next directory, so that none can be missing.
#[test]
fn cut_off_anywhere() {
    let packed = [1, 8, 5, 50000, 32773, 50001].map(small);
    for bytes in packed.into_iter().chain([small_jpeg(), PROGRESSIVE.to_vec()]) {
        assert!(everything(&bytes).is_ok());
        // All of the header and the directories at the end, and some in between.
        let lengths =
            (0..200).chain((200..bytes.len()).step_by(97)).chain(bytes.len().saturating_sub(300)..bytes.len());
        let whole = bytes.len();
        for len in lengths.filter(|&len| len < whole) {
            // A JPEG without its end marker alone has lost no pixel.
            let complete = bytes == PROGRESSIVE && len + 2 >= whole;
            let result = everything(&bytes[..len]);
            assert!(result.is_err() || complete, "{len} of {whole} bytes pass");
        }
    }
    for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg] {
        let bytes = encoded(format);
        assert!(everything(&bytes).is_ok());
        for len in (0..bytes.len() - 16).step_by(11) {
            assert!(everything(&bytes[..len]).is_err(), "{format:?}: {len} of {} bytes pass", bytes.len());
        }
    }
}

#[test]
fn contradictions_are_named() {
    let base = || Page::of(&picture(70, 50), Layout { tile: Some((32, 32)), ..PLAIN });
    let strips = || Page::of(&picture(70, 50), PLAIN);
    for (page, word) in [
        (base().set(256, 4, &[0]), "image width"),
        (base().set(256, 4, &[]), "image width"),
        (base().set(257, 4, &[1 << 31]), "image height"),
        (base().set(322, 3, &[0]), "tile side"),
        (base().set(323, 4, &[]), "tile side"),
        (base().set(256, 4, &[700]), "44 tiles"),
        (base().set(324, 4, &[9, 9]), "6 tiles"),
        (base().set(324, 4, &[1 << 30; 6]), "page 0, tile 0"),
        (base().set(325, 4, &[u64::from(u32::MAX); 6]), "cut off"),
        (base().set(325, 4, &[100; 6]), "3072 bytes of pixels"),
        (base().set(273, 4, &[8]), "either tiles or strips"),
        (base().set(262, 3, &[]), "photometric"),
        (strips().set(278, 4, &[0]), "rows per strip"),
        (strips().set(273, 4, &[]).set(273, 4, &[8]), "offsets of 4 strips"),
        (strips().set(279, 4, &[1, 1, 1, 1]), "bytes of pixels"),
        (base().set(259, 3, &[7]), "beginning with ff d8"),
        (base().set(259, 3, &[7]).set(347, 7, &[1, 2, 3]), "JPEG tables"),
        (base().set(259, 3, &[8]), "deflate"),
        (base().set(330, 4, &[1 << 29]), "sub-image 0"),
    ] {
        let error = everything(&tiff(&[page], true, false, None)).expect_err(word);
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn directories_without_end() {
    let page = || Page::of(&picture(8, 8), PLAIN);
    for (next, big) in [(0, false), (1, true)] {
        let error = everything(&tiff(&[page(), page()], false, big, Some(next))).unwrap_err();
        assert!(matches!(error, SlideError::Broken { .. }), "{error}");
        assert!(error.to_string().contains("comes back"), "{error}");
    }
    let pages: Vec<Page> = (0..1025).map(|_| page()).collect();
    let error = everything(&tiff(&pages, true, false, None)).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { limit: 1024, .. }), "{error}");
}

/// Headers that promise far more than there is.
#[test]
fn promises_take_no_memory() {
    // 2^31 - 1 px a side in one tile, without its bytes.
    let side = i32::MAX as u64;
    let page = Page { tags: Page::of(&picture(8, 8), PLAIN).tags, pieces: vec![vec![0; 8]] };
    let page = page.set(256, 4, &[side]).set(257, 4, &[side]).set(278, 4, &[side]);
    let deflate = page.clone().set(259, 3, &[8]);
    assert!(matches!(everything(&tiff(&[deflate], true, false, None)), Err(SlideError::OverLimit { .. })));
    let error = everything(&tiff(&[page], true, false, None)).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { .. } | SlideError::Broken { .. }), "{error}");

    // Many large tiles without bytes are one white tile.
    let page = Page::of(&picture(8, 8), Layout { tile: Some((16, 16)), ..PLAIN });
    let page = Page { pieces: vec![Vec::new(); 16], ..page };
    let page = page.set(256, 4, &[20_000]).set(257, 4, &[20_000]).set(322, 4, &[5008]).set(323, 4, &[5008]);
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    let (image, _) = slide.unwrap().thumbnail(50).unwrap();
    assert!(image.as_raw().iter().all(|&v| v == 255));

    // A tag of 2^32 - 1 values.
    let mut bytes = small(1);
    let first = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let count = usize::from(bytes[first]);
    for i in 0..count {
        let at = first + 2 + i * 12 + 4;
        let old: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        bytes[at..at + 4].fill(0xff);
        let error = everything(&bytes).unwrap_err();
        assert!(matches!(error, SlideError::Broken { .. } | SlideError::OverLimit { .. }), "{error}");
        bytes[at..at + 4].copy_from_slice(&old);
    }

    // A JPEG and a PNG whose headers say 65,500 and 16,384 px a side.
    let mut jpeg = encoded(image::ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let error = everything(&jpeg).unwrap_err();
    assert!(matches!(&error, SlideError::Broken { .. }) && error.to_string().contains("long enough"), "{error}");
    let mut png = encoded(image::ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let mut check = flate2::Crc::new();
    check.update(&png[12..29]);
    png[29..33].copy_from_slice(&check.sum().to_be_bytes());
    let error = everything(&png).unwrap_err();
    assert!(matches!(&error, SlideError::Broken { .. }) && error.to_string().contains("long enough"), "{error}");

    // A larger JPEG as the tile of a small image: the tile's size is what counts.
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0, 90, 0, 90]);
    let page = Page { tags: Page::of(&picture(8, 8), PLAIN).tags, pieces: vec![jpeg] };
    let error = everything(&tiff(&[page.set(259, 3, &[7]).set(262, 3, &[6])], true, false, None)).unwrap_err();
    assert!(error.to_string().contains("at most 8 x 8 px"), "{error}");
}

/// Streams that say they are as large as may be of JPEG 2000 without more bytes, and in which next to nothing is.
#[test]
fn small_streams_of_large_tiles() {
    let cases: std::collections::BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("data/jpeg2000.json")).unwrap();
    let hex = cases["plain"]["stream"].as_str().unwrap();
    let stream: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    let page = |stream: Vec<u8>, compression: u64, side: u64| {
        let page = Page { tags: Page::of(&picture(8, 8), PLAIN).tags, pieces: vec![stream] };
        let page = page.set(256, 4, &[side]).set(257, 4, &[side]).set(259, 3, &[compression]);
        page.set(278, 4, &[]).set(322, 4, &[side]).set(323, 4, &[side])
    };
    for (side, bytes) in [(2048_u64, [0, 0, 8, 0]), (6000, [0, 0, 0x17, 0x70])] {
        let mut stream = stream.clone();
        for at in [8, 12, 24, 28] {
            stream[at..at + 4].copy_from_slice(&bytes);
        }
        let result = everything(&tiff(&[page(stream, 33005, side)], true, false, None));
        assert!(side == 2048 || result.unwrap_err().to_string().contains("long enough"));
    }
    // A lossless WebP of 16383 px a side, and a Zstandard frame that asks for a window of 2 GiB.
    let webp = b"RIFF\x14\0\0\0WEBPVP8L\x08\0\0\0\x2f\xfe\xbf\xff\x0f\0\0\0".to_vec();
    let error = everything(&tiff(&[page(webp, 50001, 64)], true, false, None)).unwrap_err();
    assert!(error.to_string().contains("at most 64 x 64 px"), "{error}");
    let zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 3, 0, 0, 7];
    let error = everything(&tiff(&[page(zstd, 50000, 64)], true, false, None)).unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }), "{error}");
}

/// Many directories that share one large value must not multiply it.
#[test]
fn shared_values_are_paid_for_each_time() {
    let value = vec![1_u64; 1 << 20];
    let pages: Vec<Page> = (0..40).map(|_| Page::of(&picture(8, 8), PLAIN).set(279, 3, &value)).collect();
    let error = everything(&tiff(&pages, true, false, None)).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { .. }) && error.to_string().contains("max_tag_bytes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes changed: an error or some picture, but no panic and no flood.
    #[test]
    fn damaged_bytes(which in 0..10_usize, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), tail: bool) {
        use std::sync::LazyLock;
        static FILES: LazyLock<[Vec<u8>; 10]> = LazyLock::new(|| {
            let (png, jpeg) = (encoded(image::ImageFormat::Png), encoded(image::ImageFormat::Jpeg));
            let [raw, lzw, deflate, zstd, pack_bits, webp] = [1, 5, 8, 50000, 32773, 50001].map(small);
            [raw, lzw, deflate, small_jpeg(), png, jpeg, PROGRESSIVE.to_vec(), zstd, pack_bits, webp]
        });
        let mut bytes = FILES[which].clone();
        // Half of the time only where the directories and a JPEG's last scans are.
        let start = if tail { bytes.len().saturating_sub(600) } else { 0 };
        for (index, value) in flips {
            let at = start + index.index(bytes.len() - start);
            bytes[at] = value;
        }
        let _ = everything(&bytes);
    }

    /// Damage to the header and markers of a JPEG, where a decoder is most easily led astray.
    #[test]
    fn damaged_jpeg_headers(progressive: bool, flips in prop::collection::vec((0..700_usize, any::<u8>()), 1..6)) {
        let mut bytes = if progressive { PROGRESSIVE.to_vec() } else { encoded(image::ImageFormat::Jpeg) };
        for (at, value) in flips {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        let _ = everything(&bytes);
    }
}

/// The whole of a level that is damaged in one tile fails; the other tiles are still there.
#[test]
fn one_bad_tile_leaves_the_others() {
    let mut page = Page::of(&picture(64, 64), Layout { tile: Some((32, 32)), compression: 8, ..PLAIN });
    page.pieces[2].truncate(40);
    let (slide, _file) = open_bytes(&tiff(&[page], true, false, None));
    let slide = slide.unwrap();
    let error = whole(&slide, 0).unwrap_err();
    assert!(error.to_string().contains("page 0, tile 2"), "{error}");
    let tiles: Vec<bool> =
        slide.levels().next().unwrap().tiles().iter().map(|region| slide.read(region).is_ok()).collect();
    assert_eq!(tiles, [true, true, false, true]);
}

/// XML made to take long or much: an error each, quickly and in little memory.
#[test]
fn xml_that_would_take_long() {
    use common::vendors::text;
    const LENGTH: usize = 4 << 20;
    let many = |unit: &str| unit.repeat(LENGTH / unit.len());
    let attributes = |n: usize| (0..n).map(|i| format!("b{i:06}='' ")).collect::<String>();
    for (what, inside) in [
        ("nodes", many("<a/>")),
        ("as many nodes as may be", "<a b='' c=''>".repeat(199_000)),
        ("attributes", many("<a b='' c='' d='' e='' f='' g='' h='' i='' j=''/>")),
        ("attributes of one element", format!("<a {}/>", attributes(100_000))),
        ("as many attributes as may be", format!("<a {}/>", attributes(250)).repeat(1_900)),
        ("namespaces", "<a xmlns:b='c'>".repeat(100_000)),
        ("as many namespaces as may be", (0..250).map(|i| format!("<a xmlns:b{i}='c{i}'>")).collect()),
        ("CDATA", "<![CDATA[x]]>".repeat(100_000)),
        ("as much CDATA as may be", format!("<![CDATA[{}]]>", "x".repeat(LENGTH / 250)).repeat(250)),
        ("entities", many("&amp;")),
        ("an open comment", format!("<!--{}", many("x"))),
        ("an open quote", format!("<a b=\"{}", many("x<"))),
        ("length", many("xxxxxxxx").repeat(4)),
    ] {
        let page = text(Page::of(&picture(8, 8), PLAIN), 270, &format!("<OME>{inside}"));
        let error = everything(&tiff(&[page], true, false, None)).expect_err(what);
        assert!(matches!(error, SlideError::Broken { .. } | SlideError::OverLimit { .. }), "{what}: {error}");
        assert!(error.to_string().contains("XML"), "{what}: {error}");
    }
}

/// Three levels and a macro picture: cut with a list of starts, cut without, not cut.
fn small_ndpi() -> Vec<u8> {
    let page = |w, h, lens, interval| {
        let image = RgbImage::from_fn(w, h, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, (x + y) as u8]));
        ndpi::Page::level(&image, lens, interval)
    };
    let pages = [page(96, 64, 40.0, 4).listed(), page(48, 32, 20.0, 6), page(24, 16, 10.0, 0), page(40, 16, -1.0, 0)];
    ndpi::ndpi(&pages, None)
}

#[test]
fn an_ndpi_cut_off_anywhere() {
    let bytes = small_ndpi();
    assert!(everything(&bytes).is_ok());
    // All but the upper halves of the last directory's 15 offsets, which matter beyond 4 GiB.
    for len in (0..bytes.len() - 15 * 4).rev().step_by(7) {
        assert!(everything(&bytes[..len]).is_err(), "{len} of {} bytes pass", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The vendors' files with bytes changed anywhere, or characters of their XML.
    #[test]
    fn damaged_dialects(which in 0..4_usize, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), xml: bool) {
        use common::vendors::{grey, leica, ome, philips, text, tiled, ventana};
        use std::sync::LazyLock;
        static FILES: LazyLock<[(Vec<u8>, Vec<usize>); 4]> = LazyLock::new(|| {
            let inside = "<Image><Pixels SizeC='3' SizeZ='1'><Channel SamplesPerPixel='3'/><TiffData IFD='0' PlaneCount='3'/></Pixels></Image>";
            let channel = || grey(|x, y| (x * y) as u8, (40, 30), tiled(16));
            let pages = [text(channel(), 270, &ome(inside)), channel(), channel()];
            [philips(), leica(), ventana(0), tiff(&pages, true, false, None)].map(|bytes| {
                // Where the XML's numbers are.
                let text = bytes.windows(2).enumerate().filter(|(_, w)| w[0] == b'"' && w[1].is_ascii_digit());
                let places = text.map(|(i, _)| i + 1).collect();
                (bytes, places)
            })
        });
        let (bytes, places) = &FILES[which];
        let mut bytes = bytes.clone();
        for (index, value) in flips {
            let (at, value) = if xml && !places.is_empty() {
                (places[index.index(places.len())], b"0123456789-.e\"<x"[usize::from(value) % 16])
            } else {
                (index.index(bytes.len()), value)
            };
            bytes[at] = value;
        }
        let _ = everything(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Any bytes of an NDPI changed, with its macro picture.
    #[test]
    fn damaged_ndpi(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), place in 0..4_usize) {
        use std::sync::LazyLock;
        static FILE: LazyLock<Vec<u8>> = LazyLock::new(small_ndpi);
        let mut bytes = FILE.clone();
        // Anywhere, or in the header, or in a directory of 16 entries and what goes before it.
        let first = u64::from_le_bytes(bytes[4..12].try_into().unwrap()) as usize;
        let range = [0..bytes.len(), 0..700, first..first + 2 + 16 * 12 + 8, first - 100..first + 50][place].clone();
        for (index, value) in flips {
            bytes[range.start + index.index(range.len())] = value;
        }
        let _ = everything(&bytes);
        if let (Ok(slide), _file) = open_bytes(&bytes) {
            let _ = slide.read_associated("macro");
        }
    }
}
