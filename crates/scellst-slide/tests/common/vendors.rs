//! Small slides as the vendors' scanners write them, after the public descriptions of their formats.

use std::fmt::Write as _;

use base64::Engine as _;
use scellst_slide::RgbImage;

use super::{Layout, PLAIN, Page, picture, tiff};

/// Tiles of a side, deflate.
pub fn tiled(side: u32) -> Layout {
    Layout { tile: Some((side, side)), compression: 8, ..PLAIN }
}

/// With an ASCII tag.
pub fn text(page: Page, tag: u16, value: &str) -> Page {
    let bytes: Vec<u64> = value.bytes().map(u64::from).chain([0]).collect();
    page.set(tag, if tag == 700 { 1 } else { 2 }, &bytes)
}

/// Pixels per centimetre.
pub fn resolution(page: Page, per_cm: u64) -> Page {
    page.set(282, 5, &[per_cm, 1]).set(283, 5, &[per_cm, 1]).set(296, 3, &[3])
}

/// `tiff`, classic and little-endian, with some of the pages hung under others as sub-images: of each
/// page, its parent's number.
pub fn with_sub_images(pages: &[Page], parents: &[Option<usize>]) -> Vec<u8> {
    let children = |parent: usize| (0..pages.len()).filter(move |&i| parents[i] == Some(parent)).collect::<Vec<_>>();
    let marked: Vec<Page> =
        pages.iter().enumerate().map(|(i, page)| page.clone().set(330, 4, &vec![0; children(i).len()])).collect();
    let mut bytes = tiff(&marked, true, false, None);
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut starts, mut links) = (Vec::new(), vec![4]);
    for _ in pages {
        let start = word(&bytes, *links.last().unwrap());
        let count = usize::from(u16::from_le_bytes([bytes[start as usize], bytes[start as usize + 1]]));
        starts.push(start);
        links.push(start as usize + 2 + 12 * count);
    }
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let top: Vec<usize> = (0..pages.len()).filter(|&i| parents[i].is_none()).collect();
    put(4, starts[top[0]]);
    for (i, _) in pages.iter().enumerate() {
        let next = top.iter().position(|&t| t == i).and_then(|k| top.get(k + 1));
        put(links[i + 1], next.map_or(0, |&n| starts[n]));
    }
    for i in top {
        let inside = children(i);
        let start = starts[i] as usize;
        for entry in (start + 2..links[i + 1]).step_by(12) {
            if bytes[entry..entry + 2] == 330_u16.to_le_bytes() {
                let list = if inside.len() == 1 { entry + 8 } else { word(&bytes, entry + 8) as usize };
                for (k, &child) in inside.iter().enumerate() {
                    bytes[list + 4 * k..list + 4 * k + 4].copy_from_slice(&starts[child].to_le_bytes());
                }
            }
        }
    }
    bytes
}

/// A grey picture as a page of one sample.
pub fn grey(values: impl Fn(u32, u32) -> u8, size: (u32, u32), layout: Layout) -> Page {
    let image = RgbImage::from_fn(size.0, size.1, |x, y| image::Rgb([values(x, y); 3]));
    let mut page = Page::of_samples(&image, layout, &[0]).set(258, 3, &[8]).set(262, 3, &[1]).set(277, 3, &[1]);
    page = page.set(284, 3, &[1]);
    page
}

/// RGB with every channel in pieces of its own.
pub fn planar(image: &RgbImage, layout: Layout) -> Page {
    let mut page = Page::of_samples(image, layout, &[0]);
    page.pieces.extend(Page::of_samples(image, layout, &[1]).pieces);
    page.pieces.extend(Page::of_samples(image, layout, &[2]).pieces);
    page.set(258, 3, &[8; 3]).set(277, 3, &[3]).set(284, 3, &[2])
}

/// Filled up to whole tiles, and declared so.
fn padded(image: &RgbImage, side: u32) -> Page {
    let (w, h) = (image.width().div_ceil(side) * side, image.height().div_ceil(side) * side);
    let whole = RgbImage::from_fn(w, h, |x, y| {
        let inside = x < image.width() && y < image.height();
        if inside { *image.get_pixel(x, y) } else { image::Rgb([9, 99, 9]) }
    });
    Page::of(&whole, tiled(side))
}

pub fn jpeg(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(image).unwrap();
    bytes
}

/// A smooth picture, for JPEG.
pub fn smooth(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 3) as u8, (y * 4) as u8, 120]))
}

/// The real sizes of [`philips`]'s levels, and its spacing, mm.
pub const PHILIPS_LEVELS: [(u32, u32); 3] = [(192, 128), (96, 64), (48, 32)];
pub const PHILIPS_SPACING: (f64, f64) = (0.00025, 0.0003);

/// A Philips TIFF of three levels of which the second tile of the first is left out, with a label and
/// a macro picture in the XML.
pub fn philips_xml(levels: u32) -> String {
    let attribute =
        |name: &str, value: &str| format!("<Attribute Name=\"{name}\" PMSVR=\"IString\">{value}</Attribute>");
    let spacing = |factor: f64| {
        let (x, y) = PHILIPS_SPACING;
        attribute("DICOM_PIXEL_SPACING", &format!("\"{}\" \"{}\"", y * factor, x * factor))
    };
    let mut representations = String::new();
    for level in 0..levels {
        write!(
            representations,
            "<DataObject ObjectType=\"PixelDataRepresentation\">{}{}</DataObject>",
            spacing(f64::from(1 << level) * 1.0001),
            attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", &level.to_string())
        )
        .unwrap();
    }
    let scanned = |inside: String| format!("<DataObject ObjectType=\"DPScannedImage\">{inside}</DataObject>");
    let picture = |kind: &str, image: &RgbImage| {
        let data = base64::engine::general_purpose::STANDARD.encode(jpeg(image));
        // Broken into lines, as some files have it.
        let lines: Vec<&str> = data.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
        scanned(attribute("PIM_DP_IMAGE_TYPE", kind) + &attribute("PIM_DP_IMAGE_DATA", &lines.join("\n")))
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<DataObject ObjectType=\"DPUfsImport\">{}\
         <Attribute Name=\"PIM_DP_SCANNED_IMAGES\" PMSVR=\"IDataObjectArray\"><Array>{}{}{}</Array></Attribute></DataObject>",
        attribute("DICOM_MANUFACTURER", "PHILIPS"),
        scanned(
            attribute("PIM_DP_IMAGE_TYPE", "WSI")
                + &spacing(1.0)
                + &format!(
                    "<Attribute Name=\"PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE\"><Array>{representations}</Array></Attribute>"
                )
        ),
        picture("LABELIMAGE", &smooth(40, 30)),
        picture("MACROIMAGE", &smooth(60, 24)),
    )
}

pub fn philips_pages() -> Vec<Page> {
    let mut pages: Vec<Page> = PHILIPS_LEVELS
        .iter()
        .map(|&(w, h)| padded(&picture(w, h), 64))
        .map(|p| text(p, 305, "Philips DP v1.0"))
        .collect();
    pages[0].pieces[1].clear();
    for page in &mut pages[1..] {
        *page = page.clone().set(254, 4, &[1]);
    }
    pages
}

pub fn philips() -> Vec<u8> {
    let mut pages = philips_pages();
    // What is left out has neither place nor length; both are 0.
    let probe = tiff(&pages, true, false, None);
    pages[0] = text(pages[0].clone(), 270, &philips_xml(3));
    let mut at = 8;
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    for piece in &pages[0].pieces {
        offsets.push(if piece.is_empty() { 0 } else { at });
        lengths.push(piece.len() as u64);
        at += piece.len() as u64;
    }
    assert!(probe.len() as u64 > at);
    pages[0] = pages[0].clone().set(324, 4, &offsets).set(325, 4, &lengths);
    tiff(&pages, true, false, None)
}

/// Where [`leica`]'s two areas lie at level 0, px of 250 nm, and their sizes; the frame is 400 x 320.
pub const LEICA_AREAS: [((u32, u32), (u32, u32)); 2] = [((40, 20), (160, 96)), ((240, 160), (120, 128))];

pub fn leica_xml(light: &str) -> String {
    let mut images = String::new();
    let mut image = |view: [u32; 4], objective: &str, dimensions: &[(u32, u32)], ifd: usize| {
        let [x, y, w, h] = view;
        let pixels: String = (ifd..)
            .zip(dimensions)
            .enumerate()
            .map(|(r, (ifd, (w, h)))| format!("<dimension sizeX=\"{w}\" sizeY=\"{h}\" r=\"{r}\" ifd=\"{ifd}\"/>"))
            .collect();
        write!(
            images,
            "<image name=\"image_{ifd}\"><creationDate>2013-01-01T00:00:00Z</creationDate>\
             <device model=\"Leica SCN400\" version=\"1.5\"/>\
             <pixels sizeX=\"{}\" sizeY=\"{}\">{pixels}</pixels>\
             <view sizeX=\"{w}\" sizeY=\"{h}\" offsetX=\"{x}\" offsetY=\"{y}\" spacingZ=\"0\"/>\
             <scanSettings><objectiveSettings><objective>{objective}</objective></objectiveSettings>\
             <illuminationSettings><numericalAperture>0.65</numericalAperture>\
             <illuminationSource>{light}</illuminationSource></illuminationSettings></scanSettings></image>",
            dimensions[0].0, dimensions[0].1
        )
        .unwrap();
    };
    image([0, 0, 100_000, 80_000], "1.25", &[(50, 40)], 0);
    for (i, ((x, y), (w, h))) in LEICA_AREAS.into_iter().enumerate() {
        image([x * 250, y * 250, w * 250, h * 250], "40", &[(w, h), (w / 4, h / 4)], 1 + 2 * i);
    }
    format!(
        "<?xml version=\"1.0\"?>\n<scn xmlns=\"http://www.leica-microsystems.com/scn/2010/10/01\" uuid=\"urn:uuid:1\">\
         <collection name=\"c\" uuid=\"urn:uuid:2\" sizeX=\"100000\" sizeY=\"80000\" offsetX=\"0\" offsetY=\"0\">\
         <barcode>MTIz</barcode>{images}</collection></scn>"
    )
}

/// A macro picture and two areas of two levels each.
pub fn leica_pages() -> Vec<Page> {
    let mut pages = vec![Page::of(&picture(50, 40), tiled(32))];
    for (_, (w, h)) in LEICA_AREAS {
        pages.push(resolution(Page::of(&picture(w, h), tiled(64)), 40_000));
        pages.push(resolution(Page::of(&picture(w / 4, h / 4), tiled(64)), 10_000));
    }
    pages
}

pub fn leica() -> Vec<u8> {
    let mut pages = leica_pages();
    pages[0] = text(pages[0].clone(), 270, &leica_xml("brightfield"));
    tiff(&pages, true, true, None)
}

pub const VENTANA_LEVELS: [(u32, u32); 3] = [(192, 128), (96, 64), (48, 32)];

/// A Ventana BIF whose joints overlap by so much.
pub fn ventana(overlap: u32) -> Vec<u8> {
    ventana_at(overlap, 0, 0)
}

/// The same, its area at another place.
pub fn ventana_at(overlap: u32, x: u32, y: u32) -> Vec<u8> {
    let scan = "<iScan Magnification=\"40\" ScanRes=\"0.2325\" UnitNumber=\"BI10N0306\" Z-layers=\"1\" Z-spacing=\"1\">\
                <AOI0 Left=\"450\" Top=\"1381\" Right=\"633\" Bottom=\"1465\"/></iScan>";
    // Numbered from the lower left, winding upwards: 3 x 2 tiles.
    let joint = |direction: &str, from: u32, to: u32| {
        format!(
            "<TileJointInfo FlagJoined=\"1\" Confidence=\"95\" Direction=\"{direction}\" Tile1=\"{from}\" Tile2=\"{to}\" \
             OverlapX=\"{}\" OverlapY=\"{}\"/>",
            if direction == "RIGHT" { overlap } else { 0 },
            if direction == "UP" { overlap } else { 0 },
        )
    };
    let joints: String =
        [("RIGHT", 1, 2), ("RIGHT", 2, 3), ("UP", 3, 4), ("RIGHT", 5, 4), ("RIGHT", 6, 5), ("UP", 1, 6)]
            .map(|(direction, from, to)| joint(direction, from, to))
            .concat();
    let encode = format!(
        "<?xml version=\"1.0\"?><EncodeInfo Ver=\"2\"><SlideInfo Rack=\"0\" Slot=\"16\">{scan}</SlideInfo>\
         <SlideStitchInfo><ImageInfo AOIScanned=\"1\" AOIIndex=\"0\" Width=\"64\" Height=\"64\" NumRows=\"2\" NumCols=\"3\" \
         Pos-X=\"{x}.0\" Pos-Y=\"{y}\">{joints}</ImageInfo></SlideStitchInfo><AoiOrigin><AOI0 OriginX=\"0\" OriginY=\"0\"/></AoiOrigin></EncodeInfo>"
    );
    let mut pages = vec![
        text(text(Page::of(&picture(30, 50), PLAIN), 270, "Label Image"), 700, scan),
        text(Page::of(&picture(20, 20), PLAIN), 270, "Thumbnail"),
    ];
    for (i, (w, h)) in VENTANA_LEVELS.into_iter().enumerate() {
        let page = Page::of(&picture(w, h), tiled(64));
        let page = text(page, 270, &format!("level={i} mag={} quality=90", 40 >> i));
        pages.push(if i == 0 { text(page, 700, &encode) } else { page });
    }
    tiff(&pages, true, true, None)
}

/// One OME-XML document; `inside` are its images.
pub fn ome(inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- \" --><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" \
         UUID=\"urn:uuid:self\">{inside}</OME>"
    )
}
