//! A writer of small NDPI files that may be as wrong as wanted.
#![allow(dead_code)]

use std::io::{Cursor, Seek, SeekFrom, Write};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use scellst_slide::RgbImage;

/// One image: its JPEG stream, and all tags but those of the stream's place and restart markers.
#[derive(Debug, Clone)]
pub struct Page {
    pub tags: Vec<(u16, u16, Vec<u64>)>,
    pub jpeg: Vec<u8>,
}

/// Tag types.
pub const SHORT: u16 = 3;
pub const LONG: u16 = 4;
pub const RATIONAL: u16 = 5;
pub const SIGNED: u16 = 9;
pub const FLOAT: u16 = 11;

impl Page {
    /// An image through an objective: 0.25 um/px at 40x.
    pub fn level(image: &RgbImage, lens: f32, interval: u16) -> Self {
        Self::of(image.dimensions(), lens, jpeg(image, interval, SamplingFactor::F_1_1))
    }

    /// A ready stream.
    pub fn of((width, height): (u32, u32), lens: f32, jpeg: Vec<u8>) -> Self {
        let per_centimetre = (f64::from(lens.abs()) * 1000.0) as u64;
        let tags = vec![
            (256, LONG, vec![width.into()]),
            (257, LONG, vec![height.into()]),
            (258, SHORT, vec![8, 8, 8]),
            (259, SHORT, vec![7]),
            (262, SHORT, vec![6]),
            // Text is never in the entry, however short.
            (271, 2, b"Hi\0".map(u64::from).to_vec()),
            (277, SHORT, vec![3]),
            (282, RATIONAL, vec![per_centimetre, 1]),
            (283, RATIONAL, vec![per_centimetre, 1]),
            (296, SHORT, vec![3]),
            (65420, SHORT, vec![1]),
            (65421, FLOAT, vec![lens.to_bits().into()]),
            (65424, SIGNED, vec![0]),
        ];
        Self { tags, jpeg }
    }

    /// Sets a tag, or takes it away.
    pub fn set(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        self.tags.retain(|t| t.0 != tag);
        if !values.is_empty() {
            self.tags.push((tag, kind, values.to_vec()));
        }
        self
    }

    /// With the list of where its segments begin.
    pub fn listed(self) -> Self {
        let starts = starts(&self.jpeg);
        self.set(65426, LONG, &starts)
    }
}

/// A stream with a restart marker every `interval` units, or none where it is 0.
pub fn jpeg(image: &RgbImage, interval: u16, sampling: SamplingFactor) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(sampling);
    encoder.set_restart_interval(interval);
    encoder.encode(image.as_raw(), image.width() as u16, image.height() as u16, ColorType::Rgb).unwrap();
    bytes
}

/// Where a stream's header ends.
pub fn header_len(jpeg: &[u8]) -> usize {
    let scan = jpeg.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    scan + 2 + usize::from(u16::from_be_bytes([jpeg[scan + 2], jpeg[scan + 3]]))
}

/// Where a stream's segments begin, counted from its start.
pub fn starts(jpeg: &[u8]) -> Vec<u64> {
    let first = header_len(jpeg);
    let markers = (first..jpeg.len() - 1).filter(|&i| jpeg[i] == 0xff && (0xd0..=0xd7).contains(&jpeg[i + 1]));
    std::iter::once(first).chain(markers.map(|i| i + 2)).map(|i| i as u64).collect()
}

/// A file as bytes. `next`, where given, is the index of the directory that follows the last.
pub fn ndpi(pages: &[Page], next: Option<usize>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write(&mut out, pages, 12, next);
    out.into_inner()
}

/// Writes a file whose data begins at an offset, which may be anywhere.
pub fn write(out: &mut (impl Write + Seek), pages: &[Page], offset: u64, next: Option<usize>) {
    out.write_all(b"II*\0\0\0\0\0\0\0\0\0").unwrap();
    let mut link = 4;
    let mut directories = Vec::new();
    let mut at = out.seek(SeekFrom::Start(offset)).unwrap();
    for page in pages {
        let mut tags = page.tags.clone();
        out.write_all(&page.jpeg).unwrap();
        for (tag, value) in [(273, at), (279, page.jpeg.len() as u64)] {
            if !tags.iter().any(|t| t.0 == tag) {
                tags.push((tag, LONG, vec![value]));
            }
        }
        at += page.jpeg.len() as u64;
        tags.sort_by_key(|t| t.0);
        let (mut entries, mut highs) = (Vec::new(), Vec::new());
        for (tag, kind, values) in &tags {
            let size = match *kind {
                1 | 2 | 7 => 1,
                SHORT => 2,
                12 => 8,
                _ => 4,
            };
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()[..size].to_vec()).collect();
            let count = if *kind == RATIONAL { values.len() / 2 } else { values.len() };
            // The value itself, or where it is.
            let field = if *kind == LONG && count == 1 {
                values[0]
            } else if bytes.len() <= 4 && *kind != 2 {
                bytes.iter().rev().fold(0, |field, &b| field << 8 | u64::from(b))
            } else {
                out.write_all(&bytes).unwrap();
                at += bytes.len() as u64;
                at - bytes.len() as u64
            };
            entries.extend(tag.to_le_bytes());
            entries.extend(kind.to_le_bytes());
            entries.extend((count as u32).to_le_bytes());
            entries.extend((field as u32).to_le_bytes());
            highs.extend(((field >> 32) as u32).to_le_bytes());
        }
        directories.push(at);
        out.seek(SeekFrom::Start(link)).unwrap();
        out.write_all(&at.to_le_bytes()).unwrap();
        out.seek(SeekFrom::Start(at)).unwrap();
        out.write_all(&(tags.len() as u16).to_le_bytes()).unwrap();
        out.write_all(&entries).unwrap();
        link = at + 2 + entries.len() as u64;
        out.write_all(&[0; 8]).unwrap();
        out.write_all(&highs).unwrap();
        at = link + 8 + highs.len() as u64;
    }
    if let Some(i) = next {
        out.seek(SeekFrom::Start(link)).unwrap();
        out.write_all(&directories[i].to_le_bytes()).unwrap();
    }
}
