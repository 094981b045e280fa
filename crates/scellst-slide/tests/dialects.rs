//! The vendors' TIFFs, and the storage of samples that only some of them have.
#![allow(clippy::print_stderr)]

mod common;

use std::process::Command;

use common::vendors::*;
use common::{Layout, PLAIN, Page, open_bytes, picture, shared, tiff, whole};
use proptest::prelude::*;
use scellst_slide::{Format, MppSource, OpenOptions, RgbImage, Slide, SlideError};
use scellst_types::{LevelIndex, Size};
use serde::Deserialize;

fn opened(bytes: &[u8]) -> (Slide, tempfile::NamedTempFile) {
    let (slide, file) = open_bytes(bytes);
    (slide.unwrap(), file)
}

fn refused(bytes: &[u8]) -> String {
    let (slide, _file) = open_bytes(bytes);
    let error = slide.unwrap_err();
    assert!(matches!(error, SlideError::Unsupported { .. }), "{error}");
    error.to_string()
}

fn broken(bytes: &[u8]) -> String {
    let (slide, _file) = open_bytes(bytes);
    let error = slide.unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }), "{error}");
    error.to_string()
}

fn sizes(slide: &Slide) -> Vec<(u32, u32)> {
    slide.levels().map(|level| (level.size().width, level.size().height)).collect()
}

fn names(slide: &Slide) -> Vec<&str> {
    slide.associated().iter().map(|a| a.name.as_str()).collect()
}

fn ome_page(page: Page, inside: &str) -> Page {
    text(page, 270, &ome(inside))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn planes_give_their_pixels(
        (little, big, predictor) in (any::<bool>(), any::<bool>(), any::<bool>()),
        tile in prop_oneof![Just(None), Just(Some((16, 32))), Just(Some((48, 16)))],
        rows in 1..150_u32,
        compression in prop_oneof![Just(1_u16), Just(5), Just(8)],
        (w, h) in (1..70_u32, 1..150_u32),
    ) {
        let predictor = predictor && compression != 1;
        let layout = Layout { little, big, tile, rows, compression, predictor, alpha: false };
        let image = picture(w, h);
        let (slide, _file) = open_bytes(&tiff(&[planar(&image, layout)], little, big, None));
        prop_assert!(whole(&slide.unwrap(), 0).unwrap() == image);
    }
}

#[test]
fn grey_and_palettes() {
    let value = |x: u32, y: u32| (x * 5 + y * 11) as u8;
    for layout in [PLAIN, tiled(16), Layout { compression: 5, predictor: true, ..PLAIN }] {
        let page = grey(value, (40, 30), layout);
        let expect = |page: Page, colour: &dyn Fn(u8) -> [u8; 3]| {
            let image = whole(&opened(&tiff(&[page], true, false, None)).0, 0).unwrap();
            assert!(image == RgbImage::from_fn(40, 30, |x, y| image::Rgb(colour(value(x, y)))));
        };
        expect(page.clone(), &|v| [v; 3]);
        expect(page.clone().set(262, 3, &[0]), &|v| [255 - v; 3]);
        // One channel is in planes of its own, whatever is said of it.
        expect(page.clone().set(284, 3, &[2]), &|v| [v; 3]);
        let map: Vec<u64> =
            (0..768_u64).map(|i| [i * 257, (i - i.min(256)) * 256 + 7, 65535][i as usize / 256] & 0xffff).collect();
        let colour = |v: u8| [v, v, 255];
        expect(page.clone().set(262, 3, &[3]).set(320, 3, &map), &colour);
        let text = broken(&tiff(&[page.set(262, 3, &[3]).set(320, 3, &map[..767])], true, false, None));
        assert!(text.contains("colour map") && text.contains("767"), "{text}");
    }
}

#[test]
fn samples_that_are_not_read_are_named() {
    let rgb = planar(&picture(20, 20), PLAIN);
    for (page, word) in [
        (rgb.clone().set(258, 3, &[16; 3]), "16 bits"),
        (rgb.clone().set(284, 3, &[3]), "planar configuration 3"),
        (rgb.clone().set(259, 3, &[7]), "planar RGB with JPEG"),
        (rgb.clone().set(262, 3, &[5]), "CMYK"),
        (rgb.clone().set(262, 3, &[8]), "L*a*b*"),
        (grey(|_, _| 0, (20, 20), PLAIN).set(258, 3, &[16]), "16 bits"),
        (grey(|_, _| 0, (20, 20), PLAIN).set(277, 3, &[2]), "grey image (2 samples"),
    ] {
        let text = refused(&tiff(&[page], true, false, None));
        assert!(text.contains(word) && text.contains("convert it"), "{word}: {text}");
    }
    // A third of the pieces is no plane image.
    let mut short = rgb;
    short.pieces.truncate(4);
    assert!(broken(&tiff(&[short], true, false, None)).contains("3 planes"));
}

/// Its planes are LZW; the checksum is that of tifffile 2026.3.3:
/// `zlib.crc32(tifffile.imread("cells.ome.tif").transpose(1, 2, 0).tobytes())`.
#[test]
fn a_real_planar_ome_tiff() {
    let Some(root) = shared() else { return };
    let slide = Slide::open(root.join("wsi/cells.ome.tif")).unwrap();
    assert_eq!((slide.format(), slide.size()), (Format::OmeTiff, Size::new(93, 131)));
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value.x(), mpp.value.y(), mpp.source), (0.25, 0.25, MppSource::OmeXml));
    let mut crc = flate2::Crc::new();
    crc.update(whole(&slide, 0).unwrap().as_raw());
    assert_eq!(crc.sum(), 1_741_756_988);
}

const RGB_CHANNELS: &str = r#"<Channel ID="Channel:0:0" Name="Green"/><Channel ID="Channel:0:1" Name="red"/><Channel ID="Channel:0:2" Name="B"/>"#;

/// A grey page a channel, each with its sub-images; channels out of order, planes too.
#[test]
fn three_channels_of_an_ome_tiff_are_a_picture() {
    let channel = |k: usize, (w, h): (u32, u32)| {
        let image = picture(w, h);
        grey(move |x, y| image.get_pixel(x, y).0[k], (w, h), tiled(16))
    };
    let inside = format!(
        r#"<Instrument ID="I"><Objective ID="O" NominalMagnification="20"/></Instrument>
        <Image Name="scan"><ObjectiveSettings ID="O"/><Pixels DimensionOrder="XYZCT" SizeX="80" SizeY="60" SizeC="3" SizeZ="2" SizeT="1"
        PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.26" Type="uint8">{RGB_CHANNELS}
        <TiffData FirstC="0" IFD="1"/><TiffData FirstC="1" IFD="0"/><TiffData FirstC="2" IFD="2" PlaneCount="1"/></Pixels></Image>"#
    );
    let (full, half) = ((80, 60), (40, 30));
    // Page 0 is red, page 1 green, page 2 blue.
    let pages = [
        ome_page(channel(0, full), &inside),
        channel(0, half),
        channel(1, full),
        channel(1, half),
        channel(2, full),
        channel(2, half),
    ];
    let (slide, _file) = opened(&with_sub_images(&pages, &[None, Some(0), None, Some(2), None, Some(4)]));
    assert_eq!((slide.format(), sizes(&slide)), (Format::OmeTiff, vec![full, half]));
    assert!(whole(&slide, 0).unwrap() == picture(80, 60));
    assert!(whole(&slide, 1).unwrap() == picture(40, 30));
    assert_eq!(slide.channels(), ["Green", "red", "B"]);
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value.x(), mpp.value.y()), (0.25, 0.26));
    assert_eq!(slide.objective_power(), Some(20.0));

    // One channel of three samples, stored as three pages all the same.
    let inside = r#"<Image><Pixels SizeC="3"><Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image>"#;
    let pages = [ome_page(channel(0, full), inside), channel(1, full), channel(2, full)];
    let (slide, _file) = opened(&tiff(&pages, true, false, None));
    assert!(whole(&slide, 0).unwrap() == picture(80, 60));
    // A channel of another layout is no channel of the picture.
    let pages = [ome_page(channel(0, full), inside), channel(1, half), channel(2, full)];
    assert!(broken(&tiff(&pages, true, false, None)).contains("40 x 30"));
    // And one page is no three channels.
    let inside = inside.replace(
        "<TiffData/>",
        r#"<TiffData FirstC="0" IFD="0"/><TiffData FirstC="1" IFD="0"/><TiffData FirstC="2" IFD="0"/>"#,
    );
    assert!(broken(&tiff(&[ome_page(channel(0, full), &inside)], true, false, None)).contains("three"));
}

#[test]
fn fluorescence_is_named() {
    let page = grey(|x, _| x as u8, (30, 20), PLAIN);
    let inside = r#"<Image><Pixels SizeC="3"><Channel Name="DAPI"/><Channel Name="CD3 &amp; CD8"/><Channel/><TiffData/></Pixels></Image>"#;
    let pages = [ome_page(page.clone(), inside), page.clone(), page.clone()];
    let text = refused(&tiff(&pages, true, false, None));
    assert!(text.contains("a fluorescence image of 3 channels: DAPI, CD3 & CD8, #3"), "{text}");
    // A single channel is a grey picture.
    let inside = r#"<Image><Pixels SizeC="1" SizeZ="2"><Channel Name="BF"/><TiffData/></Pixels></Image>"#;
    let (slide, _file) = opened(&tiff(&[ome_page(page.clone(), inside), page], true, false, None));
    assert_eq!(whole(&slide, 0).unwrap().get_pixel(7, 3).0, [7; 3]);
    assert_eq!((slide.level_count(), slide.channels()), (1, &["BF".to_owned()][..]));
}

#[test]
fn images_of_an_ome_tiff_by_their_names() {
    let rgb = r#"<Pixels SizeC="3"><Channel SamplesPerPixel="3"/><TiffData IFD="#;
    let image = |name: &str, ifd: u32| format!(r#"<Image Name="{name}">{rgb}"{ifd}"/></Pixels></Image>"#);
    // The label is the largest, and an image is there that nobody has a name for.
    let inside = image("Label Image", 0) + &image("scan", 1) + &image("macro", 3) + &image("", 2);
    let pages = [
        ome_page(Page::of(&picture(90, 90), PLAIN), &inside),
        Page::of(&picture(80, 60), tiled(32)),
        Page::of(&picture(13, 50), PLAIN),
        Page::of(&picture(44, 22), PLAIN),
        Page::of(&picture(40, 30), tiled(32)),
    ];
    let bytes = with_sub_images(&pages, &[None, None, None, None, Some(1)]);
    let (slide, file) = opened(&bytes);
    assert_eq!(sizes(&slide), [(80, 60), (40, 30)]);
    assert_eq!(names(&slide), ["label", "macro", "page 2"]);
    assert!(slide.read_associated("label").unwrap() == picture(90, 90));
    assert!(slide.read_associated("macro").unwrap() == picture(44, 22));
    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    assert_eq!(names(&Slide::open_with(file.path(), &options).unwrap()), [""; 0]);

    // Levels as images of their own.
    let inside = image("a", 0) + &image("a 2", 1);
    let pages = [ome_page(Page::of(&picture(80, 60), PLAIN), &inside), Page::of(&picture(40, 30), PLAIN)];
    let (slide, _file) = opened(&tiff(&pages, true, false, None));
    assert_eq!(sizes(&slide), [(80, 60), (40, 30)]);
}

#[test]
fn ome_xml_that_is_wrong_or_elsewhere() {
    let page = Page::of(&picture(20, 20), PLAIN);
    let with = |xml: &str| tiff(&[text(page.clone(), 270, xml)], true, false, None);
    for (inside, word) in [
        ("", "an Image"),
        ("<Image/>", "Pixels"),
        ("<Image><Pixels SizeC='x'/></Image>", "a number, found x"),
        ("<Image><Pixels SizeC='3'><TiffData IFD='7'/></Pixels></Image>", "page 7"),
        ("<Image><Pixels SizeC='3'><TiffData FirstC='9' IFD='0'/></Pixels></Image>", "channel 0"),
        ("<Image>", "well-formed"),
    ] {
        let text = broken(&with(&ome(inside)));
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(broken(&with("<!DOCTYPE OME [<!ENTITY a 'b'>]><OME/>")).contains("document type"));
    assert!(refused(&with("<OME><BinaryOnly MetadataFile='a.companion.ome'/></OME>")).contains("another file"));
    let other =
        "<Image><Pixels SizeC='3'><TiffData><UUID FileName='b.ome.tif'>urn:uuid:b</UUID></TiffData></Pixels></Image>";
    assert!(refused(&with(&ome(other))).contains("b.ome.tif"));
    // By its own UUID it is this file under another name.
    let own = other.replace("urn:uuid:b", "urn:uuid:self");
    assert_eq!(opened(&with(&ome(&own))).0.size(), Size::new(20, 20));
}

/// An image with the pixels of `tile` white from `x` on.
fn philips_finest() -> RgbImage {
    let mut image = picture(192, 128);
    for y in 0..64 {
        for x in 64..128 {
            image.put_pixel(x, y, image::Rgb([255; 3]));
        }
    }
    image
}

#[test]
fn a_philips_slide() {
    let (slide, file) = opened(&philips());
    assert_eq!((slide.format(), sizes(&slide)), (Format::PhilipsTiff, PHILIPS_LEVELS.to_vec()));
    assert!(whole(&slide, 0).unwrap() == philips_finest());
    assert!(whole(&slide, 1).unwrap() == picture(96, 64));
    assert!(whole(&slide, 2).unwrap() == picture(48, 32));
    let mpp = slide.mpp().unwrap();
    assert_eq!(mpp.source, MppSource::PhilipsXml);
    assert!((mpp.value.x() - 0.25).abs() < 1e-4 && (mpp.value.y() - 0.3).abs() < 1e-4, "{mpp:?}");
    assert_eq!(names(&slide), ["label", "macro"]);
    let label = slide.read_associated("label").unwrap();
    assert!(label.as_raw().iter().zip(smooth(40, 30).as_raw()).all(|(a, b)| a.abs_diff(*b) < 16));
    let options = OpenOptions { without_label: true, ..OpenOptions::default() };
    assert_eq!(names(&Slide::open_with(file.path(), &options).unwrap()), [""; 0]);
}

#[test]
fn philips_xml_that_is_wrong() {
    let with = |xml: &str| {
        let mut pages = philips_pages();
        pages[0] = text(pages[0].clone(), 270, xml);
        tiff(&pages, true, false, None)
    };
    let xml = philips_xml(3);
    assert!(open_bytes(&with(&xml)).0.is_ok());
    assert!(broken(&with(&philips_xml(2))).contains("each of 3 levels"));
    assert!(broken(&with(&xml.replace("\"0.00", "\"-0.00"))).contains("each of 3 levels"));
    assert!(
        broken(&with(&xml.replace("\"0.0006", "\"0.0000006").replace("\"0.0005", "\"0.0000005"))).contains("level 1")
    );
    assert!(refused(&with(&xml.replace(">LABELIMAGE<", ">WSI<"))).contains("2 slide images"));
    assert!(refused(&with(&xml.replace(">WSI<", ">OTHER<"))).contains("0 slide images"));
    // A label that cannot be read keeps nobody from the slide.
    let (slide, _file) = opened(&with(&xml.replace("/9j/", "////")));
    assert_eq!((names(&slide), slide.level_count()), (vec![], 3));
}

#[test]
fn a_leica_slide_of_two_areas() {
    let (slide, _file) = opened(&leica());
    assert_eq!((slide.format(), sizes(&slide)), (Format::LeicaScn, vec![(400, 320), (100, 80)]));
    for (level, scale) in [(0, 1), (1, 4)] {
        let mut expected = RgbImage::from_pixel(400 / scale, 320 / scale, image::Rgb([255; 3]));
        for ((x, y), (w, h)) in LEICA_AREAS {
            let (x, y) = (i64::from(x / scale), i64::from(y / scale));
            image::imageops::replace(&mut expected, &picture(w / scale, h / scale), x, y);
        }
        assert!(whole(&slide, level).unwrap() == expected, "level {level}");
        // Regions that lie across tiles and areas.
        let level = slide.level(LevelIndex(level)).unwrap();
        for (x, y, w, h) in [(30, 10, 50, 30), (0, 0, 7, 90), (39, 19, 2, 2), (90, 70, 30, 30)] {
            let region = slide.read(&level.region(x, y, Size::new(w, h))).unwrap();
            for (dx, dy, pixel) in region.enumerate_pixels() {
                let at = expected.get_pixel_checked(x as u32 + dx, y as u32 + dy);
                assert_eq!(*pixel, at.copied().unwrap_or(image::Rgb([255; 3])), "({x} + {dx}, {y} + {dy})");
            }
        }
    }
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value.x(), mpp.value.y(), mpp.source), (0.25, 0.25, MppSource::LeicaXml));
    assert_eq!(slide.objective_power(), Some(40.0));
    assert_eq!(names(&slide), ["macro"]);
    assert!(slide.read_associated("macro").unwrap() == picture(50, 40));
}

#[test]
fn leica_xml_that_is_not_read() {
    let with = |xml: &str| {
        let mut pages = leica_pages();
        pages[0] = text(pages[0].clone(), 270, xml);
        tiff(&pages, true, true, None)
    };
    let xml = leica_xml("brightfield");
    assert!(refused(&with(&leica_xml("fluorescence"))).contains("fluorescence slide"));
    assert!(refused(&with(&xml.replacen("<objective>40", "<objective>20", 1))).contains("objectives 20 and 40"));
    assert!(refused(&with(&xml.replacen("sizeX=\"40000\"", "sizeX=\"44000\"", 1))).contains("nm a pixel"));
    assert!(broken(&with(&xml.replacen("ifd=\"3\"", "ifd=\"33\"", 1))).contains("page 33"));
    assert!(
        broken(&with(&xml.replacen("sizeX=\"160\" sizeY=\"96\" r", "sizeX=\"161\" sizeY=\"96\" r", 1))).contains("161")
    );
    assert!(broken(&with(&xml.replacen("sizeX=\"100000\"", "sizeX=\"-1\"", 1))).contains("1 nm to 1 m"));
    // A collection that is all but empty, in more pieces than a list of tiles may have.
    let huge = xml.replace("sizeX=\"100000\" sizeY=\"80000\"", "sizeX=\"1000000000\" sizeY=\"1000000000\"");
    let (slide, _file) = open_bytes(&with(&huge));
    assert!(matches!(slide, Err(SlideError::OverLimit { what: "pieces", .. })));
}

#[test]
fn a_ventana_slide() {
    let (slide, _file) = opened(&ventana(0));
    assert_eq!((slide.format(), sizes(&slide)), (Format::VentanaBif, VENTANA_LEVELS.to_vec()));
    for (i, (w, h)) in (0..).zip(VENTANA_LEVELS) {
        assert!(whole(&slide, i).unwrap() == picture(w, h));
    }
    let mpp = slide.mpp().unwrap();
    assert_eq!((mpp.value.x(), mpp.value.y(), mpp.source), (0.2325, 0.2325, MppSource::VentanaXml));
    assert_eq!(slide.objective_power(), Some(40.0));
    assert_eq!(names(&slide), ["macro", "thumbnail"]);
    let text = refused(&ventana(12));
    assert!(text.contains("overlap (6 of 6 joints, by up to 12 px)") && text.contains("openslide"), "{text}");
    // Where the lowest area begins is nobody's business; where an area lies across is.
    assert!(open_bytes(&ventana_at(0, 0, 70)).0.is_ok());
    assert!(refused(&ventana_at(0, 64, 0)).contains("at 0, 0 px instead of 64, 0"));
}

#[test]
fn a_trestle_slide_is_named() {
    let page = text(Page::of(&picture(20, 20), PLAIN), 305, "MedScan 1.2");
    assert!(refused(&tiff(&[page], true, false, None)).contains("Trestle"));
}

#[derive(Deserialize)]
struct View {
    vendor: String,
    mpp: [f64; 2],
    power: f64,
    levels: Vec<Picture>,
    associated: std::collections::BTreeMap<String, Picture>,
}

#[derive(Deserialize)]
struct Picture {
    size: (u32, u32),
    rgb: String,
}

/// OpenSlide reads the files that the tests above are made of, and sees the same: where the Python of
/// SCELLST_PEER_PYTHON has it.
#[test]
fn openslide_sees_the_same() {
    let Some(python) = peer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = [("philips", "a.tiff", philips()), ("leica", "b.scn", leica()), ("ventana", "c.bif", ventana(0))];
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/openslide_view.py"));
    for (_, name, bytes) in &files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let views: Vec<View> = lines(&mut command);
    assert_eq!(views.len(), 3);
    for ((vendor, name, _), view) in files.iter().zip(views) {
        assert_eq!(view.vendor, *vendor);
        let slide = Slide::open(folder.path().join(name)).unwrap();
        assert_eq!(sizes(&slide), view.levels.iter().map(|l| l.size).collect::<Vec<_>>(), "{vendor}");
        for (i, level) in (0..).zip(&view.levels) {
            assert!(hex(whole(&slide, i).unwrap().as_raw()) == level.rgb, "{vendor} level {i}");
        }
        let mpp = slide.mpp().unwrap().value;
        for (ours, theirs) in [mpp.x(), mpp.y()].into_iter().zip(view.mpp) {
            // Philips: ours is of level 0's own entry, which the file gives 1 in 10,000 more.
            assert!((ours / theirs - 1.0).abs() < 2e-4, "{vendor}: {ours} and {theirs}");
        }
        assert!(view.power == 0.0 || slide.objective_power() == Some(view.power), "{vendor}");
        assert_eq!(names(&slide), view.associated.keys().map(String::as_str).collect::<Vec<_>>(), "{vendor}");
        for (name, theirs) in &view.associated {
            let ours = slide.read_associated(name).unwrap();
            assert_eq!(ours.dimensions(), theirs.size);
            let theirs =
                (0..theirs.rgb.len()).step_by(2).map(|i| u8::from_str_radix(&theirs.rgb[i..i + 2], 16).unwrap());
            let apart: u64 = ours.as_raw().iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(b))).sum();
            // Two JPEG decoders; the lossless ones are equal.
            let most = if *vendor == "philips" { ours.as_raw().len() as u64 } else { 0 };
            assert!(apart <= most, "{vendor} {name}: {apart}");
        }
    }
}

#[derive(Deserialize)]
struct Written {
    file: String,
    levels: Vec<Picture>,
}

/// OME-TIFFs and other storage as tifffile writes them, and Pillow sees them: where the Python of
/// SCELLST_PEER_PYTHON has both.
#[test]
fn tifffile_and_pillow_see_the_same() {
    let Some(python) = peer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tifffile_view.py");
    let written: Vec<Written> = lines(Command::new(python).arg(script).arg(folder.path()));
    assert_eq!(written.len(), 7);
    for Written { file, levels } in written {
        let slide = Slide::open(folder.path().join(&file)).unwrap();
        assert_eq!(sizes(&slide), levels.iter().map(|l| l.size).collect::<Vec<_>>(), "{file}");
        for (i, level) in (0..).zip(&levels) {
            assert!(hex(whole(&slide, i).unwrap().as_raw()) == level.rgb, "{file} level {i}");
        }
        assert_eq!(names(&slide), if file == "pyramid.ome.tif" { vec!["label"] } else { vec![] }, "{file}");
    }
}

fn peer() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SCELLST_PEER_PYTHON");
    if python.is_none() {
        eprintln!("skipped: SCELLST_PEER_PYTHON names no Python with openslide-python, tifffile and pillow");
    }
    python
}

/// The objects that a program prints, one a line.
fn lines<T: serde::de::DeserializeOwned>(command: &mut Command) -> Vec<T> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
