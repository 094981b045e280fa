//! What the tests share: the real slides, and a writer of small TIFFs that may be as wrong as wanted.
#![allow(dead_code, clippy::print_stderr)]

use std::io::Write;
use std::path::{Path, PathBuf};

use scellst_slide::{RgbImage, Slide, SlideError};
use scellst_types::LevelIndex;

/// `shared/data`, where it is there.
pub fn shared() -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if path.is_dir() {
        Some(path.to_owned())
    } else {
        eprintln!("skipped: no shared data");
        None
    }
}

/// All pixels of a level.
pub fn whole(slide: &Slide, level: u32) -> Result<RgbImage, SlideError> {
    let level = slide.level(LevelIndex(level))?;
    slide.read(&level.region(0, 0, level.size()))
}

/// An image in which no two neighbouring pixels are alike.
pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7 + y * 3) as u8, (x ^ y) as u8, (x.wrapping_mul(y) + x / 5) as u8])
    })
}

/// Opens bytes as a slide by way of a file, which stays as long as the second value.
pub fn open_bytes(bytes: &[u8]) -> (Result<Slide, SlideError>, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    (Slide::open(file.path()), file)
}

/// How a test's TIFF is written.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub little: bool,
    pub big: bool,
    /// Width and height of tiles, or `None` and rows of a strip.
    pub tile: Option<(u32, u32)>,
    pub rows: u32,
    pub compression: u16,
    pub predictor: bool,
    pub alpha: bool,
}

pub const PLAIN: Layout =
    Layout { little: true, big: false, tile: None, rows: 16, compression: 1, predictor: false, alpha: false };

/// A directory: tags with type and values, and the pieces that tag 273 or 324 points to.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub tags: Vec<(u16, u16, Vec<u64>)>,
    pub pieces: Vec<Vec<u8>>,
}

impl Page {
    /// An image laid out as wanted.
    pub fn of(image: &RgbImage, layout: Layout) -> Self {
        let (w, h) = image.dimensions();
        let (pw, ph) = layout.tile.unwrap_or((w, layout.rows));
        let samples = if layout.alpha { 4 } else { 3 };
        let mut pieces = Vec::new();
        for top in (0..h).step_by(ph as usize) {
            for left in (0..w).step_by(pw as usize) {
                let bottom = if layout.tile.is_some() { top + ph } else { (top + ph).min(h) };
                let mut raw = Vec::new();
                for y in top..bottom {
                    let start = raw.len();
                    for x in left..left + pw {
                        let inside = x < w && y < h;
                        raw.extend(if inside { image.get_pixel(x, y).0 } else { [17; 3] });
                        if layout.alpha {
                            raw.push((x + y) as u8);
                        }
                    }
                    if layout.predictor {
                        for i in (start + samples..raw.len()).rev() {
                            raw[i] = raw[i].wrapping_sub(raw[i - samples]);
                        }
                    }
                }
                pieces.push(match layout.compression {
                    50001 | 34927 => webp(&raw, pw, samples),
                    compression => compress(&raw, compression),
                });
            }
        }
        let mut tags = vec![
            (256, 4, vec![w.into()]),
            (257, 4, vec![h.into()]),
            (258, 3, vec![8; samples]),
            (259, 3, vec![layout.compression.into()]),
            (262, 3, vec![2]),
            (277, 3, vec![samples as u64]),
            (284, 3, vec![1]),
        ];
        if layout.predictor {
            tags.push((317, 3, vec![2]));
        }
        match layout.tile {
            Some((tw, th)) => tags.extend([(322, 3, vec![tw.into()]), (323, 4, vec![th.into()])]),
            None => tags.push((278, 4, vec![layout.rows.into()])),
        }
        if layout.alpha {
            tags.push((338, 3, vec![1]));
        }
        Self { tags, pieces }
    }

    /// Sets a tag, or takes it away.
    pub fn set(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        self.tags.retain(|t| t.0 != tag);
        if !values.is_empty() {
            self.tags.push((tag, kind, values.to_vec()));
        }
        self
    }
}

fn compress(raw: &[u8], compression: u16) -> Vec<u8> {
    match compression {
        1 => raw.to_vec(),
        5 => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(raw).unwrap(),
        8 | 32946 => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(raw).unwrap();
            encoder.finish().unwrap()
        }
        50000 | 34926 => ruzstd::encoding::compress_to_vec(raw, ruzstd::encoding::CompressionLevel::Fastest),
        32773 => pack_bits(raw),
        _ => raw.to_vec(),
    }
}

/// Runs of three and more as runs, all else as it is.
fn pack_bits(raw: &[u8]) -> Vec<u8> {
    let (mut out, mut plain) = (Vec::new(), 0);
    let flush = |out: &mut Vec<u8>, bytes: &[u8]| {
        for part in bytes.chunks(128) {
            out.push(part.len() as u8 - 1);
            out.extend(part);
        }
    };
    let mut at = 0;
    while at < raw.len() {
        let run = raw[at..].iter().take(128).take_while(|&&v| v == raw[at]).count();
        if run > 2 {
            flush(&mut out, &raw[plain..at]);
            out.extend([(257 - run) as u8, raw[at]]);
            plain = at + run;
        }
        at += if run > 2 { run } else { 1 };
    }
    flush(&mut out, &raw[plain..]);
    out
}

fn webp(raw: &[u8], width: u32, samples: usize) -> Vec<u8> {
    use image_webp::ColorType::{Rgb8, Rgba8};
    let mut out = Vec::new();
    let height = (raw.len() / samples) as u32 / width;
    image_webp::WebPEncoder::new(&mut out).encode(raw, width, height, if samples == 4 { Rgba8 } else { Rgb8 }).unwrap();
    out
}

/// Puts a file together. `next`, where given, is the index of the directory that follows the last.
pub fn tiff(pages: &[Page], little: bool, big: bool, next: Option<usize>) -> Vec<u8> {
    let word = if big { 8 } else { 4 };
    let put = |bytes: &mut Vec<u8>, value: u64, len: usize| {
        let all = value.to_le_bytes();
        if little { bytes.extend(&all[..len]) } else { bytes.extend(all[..len].iter().rev()) }
    };
    let mut out = if little { b"II".to_vec() } else { b"MM".to_vec() };
    put(&mut out, if big { 43 } else { 42 }, 2);
    if big {
        put(&mut out, 8, 2);
        put(&mut out, 0, 2);
    }
    let mut link = out.len();
    put(&mut out, 0, word);
    let mut starts = Vec::new();
    for page in pages {
        let mut tags = page.tags.clone();
        let (offsets_tag, lengths_tag) = if tags.iter().any(|t| t.0 == 322) { (324, 325) } else { (273, 279) };
        let mut offsets = Vec::new();
        for piece in &page.pieces {
            offsets.push(out.len() as u64);
            out.extend(piece);
        }
        let kind = if big { 16 } else { 4 };
        if !tags.iter().any(|t| t.0 == offsets_tag) {
            tags.push((offsets_tag, kind, offsets));
        }
        if !tags.iter().any(|t| t.0 == lengths_tag) {
            tags.push((lengths_tag, kind, page.pieces.iter().map(|p| p.len() as u64).collect()));
        }
        tags.sort_by_key(|t| t.0);
        let mut fields = Vec::new();
        for (_, kind, values) in &tags {
            let size = match kind {
                1 | 2 | 7 => 1,
                3 => 2,
                16 => 8,
                _ => 4,
            };
            let mut field = Vec::new();
            for &value in values {
                put(&mut field, value, size);
            }
            if field.len() > word {
                let at = out.len() as u64;
                out.extend(&field);
                field.clear();
                put(&mut field, at, word);
            }
            field.resize(word, 0);
            fields.push(field);
        }
        let start = out.len() as u64;
        starts.push(start);
        let mut patch = Vec::new();
        put(&mut patch, start, word);
        out[link..link + word].copy_from_slice(&patch);
        put(&mut out, tags.len() as u64, if big { 8 } else { 2 });
        for ((tag, kind, values), field) in tags.iter().zip(fields) {
            put(&mut out, (*tag).into(), 2);
            put(&mut out, (*kind).into(), 2);
            // A fraction is two numbers.
            let count = if matches!(kind, 5 | 10) { values.len() / 2 } else { values.len() };
            put(&mut out, count as u64, word);
            out.extend(field);
        }
        link = out.len();
        put(&mut out, 0, word);
    }
    if let Some(i) = next {
        let mut patch = Vec::new();
        put(&mut patch, starts[i], word);
        out[link..link + word].copy_from_slice(&patch);
    }
    out
}
