//! A writer of small DICOM files that may be as wrong as wanted.
#![allow(dead_code)]

use std::collections::BTreeMap;

use scellst_slide::{RgbImage, Slide, SlideError};

use super::picture;

pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Without compression, but in items.
pub const ITEMS: &str = "1.2.840.10008.1.2.1.98";
pub const WSI: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";

pub type Tag = (u16, u16);
pub const PIXELS: Tag = (0x7fe0, 0x0010);
pub const PER_FRAME: Tag = (0x5200, 0x9230);

/// An element as it is stored, explicit and little endian.
pub fn element(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = header(tag, vr, value.len() as u32);
    bytes.extend(value);
    bytes
}

/// The start of an element that says to be of some length.
pub fn header((group, number): Tag, vr: &str, len: u32) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    if ["OB", "OW", "OV", "SQ", "UN", "UT"].contains(&vr) {
        bytes.extend([0, 0]);
        bytes.extend(len.to_le_bytes());
    } else {
        bytes.extend((len as u16).to_le_bytes());
    }
    bytes
}

pub fn item(value: &[u8]) -> Vec<u8> {
    [&[0xfe, 0xff, 0x00, 0xe0], &(value.len() as u32).to_le_bytes()[..], value].concat()
}

/// An item whose end is marked by a delimiter.
pub fn open_item(value: &[u8]) -> Vec<u8> {
    [&[0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff], value, &ITEM_END].concat()
}

pub const ITEM_END: [u8; 8] = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
pub const END: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];

pub fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

/// A file.
#[derive(Debug, Clone)]
pub struct File {
    pub syntax: &'static str,
    pub class: &'static str,
    /// Elements as they are stored, by their tag.
    pub elements: BTreeMap<Tag, Vec<u8>>,
}

/// Of the picture that [`File::native`] has.
pub const SIZE: (u32, u32) = (20, 13);
pub const SIDE: u32 = 8;
pub const FRAMES: usize = 6;

impl File {
    /// A slide of one level of 20 x 13 px in 6 frames of 8 x 8 px, without compression.
    pub fn native() -> Self {
        let file = Self { syntax: EXPLICIT, class: WSI, elements: BTreeMap::new() };
        file.put((0x0008, 0x0008), "CS", &text("ORIGINAL\\PRIMARY\\VOLUME\\NONE"))
            .put((0x0008, 0x0016), "UI", &text(WSI))
            .put((0x0008, 0x0018), "UI", &text("1.2.3.1"))
            .put((0x0020, 0x000e), "UI", &text("1.2.3"))
            .put((0x0020, 0x0052), "UI", &text("1.2.4"))
            .put((0x0020, 0x9311), "CS", &text("TILED_FULL"))
            .short((0x0028, 0x0002), 3)
            .put((0x0028, 0x0004), "CS", &text("RGB"))
            .short((0x0028, 0x0006), 0)
            .put((0x0028, 0x0008), "IS", &text("6"))
            .short((0x0028, 0x0010), SIDE as u16)
            .short((0x0028, 0x0011), SIDE as u16)
            .short((0x0028, 0x0100), 8)
            .short((0x0028, 0x0101), 8)
            .long((0x0048, 0x0006), SIZE.0)
            .long((0x0048, 0x0007), SIZE.1)
            .put(PIXELS, "OB", &frames().concat())
    }

    /// The same, each frame in an item, after an offset table.
    pub fn items(table: &[u8]) -> Self {
        let items: Vec<u8> = frames().iter().flat_map(|frame| item(frame)).collect();
        Self { syntax: ITEMS, ..Self::native() }.sequence(table, &items)
    }

    /// Pixel data in items.
    pub fn sequence(self, table: &[u8], items: &[u8]) -> Self {
        self.raw(PIXELS, [header(PIXELS, "OB", u32::MAX), item(table), items.to_vec(), END.to_vec()].concat())
    }

    pub fn raw(mut self, tag: Tag, bytes: Vec<u8>) -> Self {
        self.elements.insert(tag, bytes);
        self
    }

    pub fn put(self, tag: Tag, vr: &str, value: &[u8]) -> Self {
        self.raw(tag, element(tag, vr, value))
    }

    pub fn without(mut self, tag: Tag) -> Self {
        self.elements.remove(&tag);
        self
    }

    pub fn text(self, tag: Tag, vr: &str, value: &str) -> Self {
        self.put(tag, vr, &text(value))
    }

    pub fn short(self, tag: Tag, value: u16) -> Self {
        self.put(tag, "US", &value.to_le_bytes())
    }

    pub fn long(self, tag: Tag, value: u32) -> Self {
        self.put(tag, "UL", &value.to_le_bytes())
    }

    /// Positions of the frames, from 1: a sparse image.
    pub fn places(self, places: &[(i32, i32)]) -> Self {
        let groups = places.iter().flat_map(|&(column, row)| {
            let position = [
                element((0x0048, 0x021e), "SL", &column.to_le_bytes()),
                element((0x0048, 0x021f), "SL", &row.to_le_bytes()),
            ];
            item(&element((0x0048, 0x021a), "SQ", &open_item(&position.concat())))
        });
        let groups: Vec<u8> = groups.collect();
        self.text((0x0020, 0x9311), "CS", "TILED_SPARSE").put(PER_FRAME, "SQ", &groups)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let meta = [
            element((2, 1), "OB", &[0, 1]),
            element((2, 2), "UI", &text(self.class)),
            element((2, 0x10), "UI", &text(self.syntax)),
        ]
        .concat();
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        bytes.extend(element((2, 0), "UL", &(meta.len() as u32).to_le_bytes()));
        bytes.extend(meta);
        bytes.extend(self.elements.values().flatten());
        bytes
    }

    /// Opens it, alone in a folder.
    pub fn open(&self) -> Result<Slide, SlideError> {
        // An open slide needs the folder no more.
        open(&[("slide.dcm", &self.bytes())]).0
    }
}

/// Frames of [`picture`], as raw pixels.
pub fn frames() -> Vec<Vec<u8>> {
    let image = picture(SIZE.0, SIZE.1);
    let mut frames = Vec::new();
    for top in (0..SIZE.1).step_by(SIDE as usize) {
        for left in (0..SIZE.0).step_by(SIDE as usize) {
            let pixel = |x, y| if x < SIZE.0 && y < SIZE.1 { *image.get_pixel(x, y) } else { image::Rgb([17; 3]) };
            frames.push(RgbImage::from_fn(SIDE, SIDE, |x, y| pixel(left + x, top + y)).into_raw());
        }
    }
    frames
}

/// Writes files into a folder of their own and opens the first.
pub fn open(files: &[(&str, &[u8])]) -> (Result<Slide, SlideError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    (Slide::open(folder.path().join(files[0].0)), folder)
}
