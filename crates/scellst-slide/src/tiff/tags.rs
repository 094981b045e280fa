//! The directories of a TIFF and the values of their tags, through the `tiff` crate.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use tiff::decoder::{Decoder, Limits as TiffLimits};
use tiff::tags::{ByteOrder, IfdPointer, Tag, Type, ValueBuffer};

use crate::source::{Cursor, Source};
use crate::{Limits, Mpp, SlideError, mpp};

/// Tags by their number, where the `tiff` crate has no name for them.
pub(crate) const NDPI_MARK: u16 = 65420;

/// The tags that matter here; others are not read.
const WANTED: [u16; 31] = [
    254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 296, 305, 317, 320, 322, 323, 324,
    325, 330, 338, 339, 347, 530, 700, NDPI_MARK,
];

/// The value of a tag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Unsigned(Vec<u64>),
    Real(Vec<f64>),
    Bytes(Vec<u8>),
}

/// One directory: a page or a sub-image of a page.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// For messages: `page 2`, `page 0, sub-image 1`.
    pub(crate) name: String,
    tags: BTreeMap<u16, Value>,
}

impl Directory {
    pub(crate) fn new(name: String, tags: BTreeMap<u16, Value>) -> Self {
        Self { name, tags }
    }

    /// The numbers of an integer tag.
    pub(crate) fn unsigned(&self, tag: u16) -> Option<&[u64]> {
        match self.tags.get(&tag) {
            Some(Value::Unsigned(values)) => Some(values),
            _ => None,
        }
    }

    /// The first number of an integer tag.
    pub(crate) fn first(&self, tag: u16) -> Option<u64> {
        self.unsigned(tag)?.first().copied()
    }

    /// The first number of a rational or floating-point tag.
    pub(crate) fn real(&self, tag: u16) -> Option<f64> {
        match self.tags.get(&tag)? {
            Value::Real(values) => values.first().copied(),
            Value::Unsigned(values) => values.first().map(|&v| v as f64),
            Value::Bytes(_) => None,
        }
    }

    pub(crate) fn bytes(&self, tag: u16) -> Option<&[u8]> {
        match self.tags.get(&tag) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// An ASCII tag up to its first NUL; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(&self, tag: u16) -> Option<String> {
        let bytes = self.bytes(tag)?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// What the resolution tags say of the pixels, where it is plausible.
    pub(crate) fn resolution(&self) -> Option<Mpp> {
        // Without a unit, TIFF means inches.
        mpp::from_tags(self.real(282)?, self.real(283)?, self.first(296).unwrap_or(2))
    }

    pub(crate) fn has(&self, tag: u16) -> bool {
        self.tags.contains_key(&tag)
    }
}

/// All directories of a file, each page followed by its sub-images.
pub(crate) struct Directories {
    pub(crate) pages: Vec<Directory>,
    pub(crate) big: bool,
}

impl Directories {
    /// A page of the chain by its number, sub-images not counted.
    pub(crate) fn page(&self, number: u64) -> Option<&Directory> {
        let name = page_name(number);
        self.pages.iter().find(|d| d.name == name)
    }

    /// The sub-images of a page, in their order.
    pub(crate) fn sub_images(&self, number: u64) -> impl Iterator<Item = &Directory> {
        let prefix = page_name(number) + ", ";
        self.pages.iter().filter(move |d| d.name.starts_with(&prefix))
    }
}

fn page_name(number: u64) -> String {
    format!("page {number}")
}

/// Reads all directories.
pub(crate) fn read(source: &Arc<Source>, limits: &Limits) -> Result<Directories, SlideError> {
    let path = source.path();
    let header = Header::read(source)?;
    let decoder = start_decoder(&header, source, limits)
        .map_err(|e| SlideError::broken(path, "header", "a TIFF header", e.to_string()))?;
    let mut walk = Walk { path, source, decoder, limits, budget: limits.max_tag_bytes, seen: HashSet::new() };
    let mut pages = Vec::new();
    let mut next = Some(header.first);
    let mut number = 0;
    while let Some(offset) = next {
        let (page, after) = walk.directory(offset, page_name(number))?;
        let children = page.unsigned(Tag::SubIfd.to_u16()).unwrap_or_default().to_vec();
        pages.push(page);
        for (i, offset) in children.into_iter().enumerate() {
            pages.push(walk.directory(offset, format!("page {number}, sub-image {i}"))?.0);
        }
        next = after;
        number += 1;
    }
    Ok(Directories { pages, big: header.big })
}

struct Header {
    little: bool,
    big: bool,
    /// Offset of the first directory.
    first: u64,
}

impl Header {
    fn read(source: &Source) -> Result<Self, SlideError> {
        let head = source.head(16)?;
        let little = head.starts_with(b"II");
        let big = head.get(if little { 2 } else { 3 }) == Some(&43);
        let field = |at: usize, len: usize| {
            let bytes = head.get(at..at + len)?;
            let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
            Some(if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
        };
        let first = match big {
            false => field(4, 4),
            true => field(8, 8).filter(|_| field(4, 2) == Some(8) && field(6, 2) == Some(0)),
        };
        match first {
            Some(first) if first > 0 => Ok(Self { little, big, first }),
            _ => Err(SlideError::broken(
                source.path(),
                "header",
                "the offset of a first directory",
                format!("{} bytes that give none (is the file cut off?)", head.len()),
            )),
        }
    }
}

/// What the `tiff` crate's decoder reads from.
enum Input {
    Seed(io::Cursor<Vec<u8>>),
    File(BufReader<Cursor>),
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Seed(seed) => seed.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Seed(seed) => seed.seek(to),
            Self::File(file) => file.seek(to),
        }
    }
}

/// A decoder over the file that has not looked at it yet.
///
/// `Decoder::new` insists on understanding the first image, with limits of its own and messages that
/// do not say where. Here it begins on an image of one pixel in the same byte order and with
/// offsets of the same length, and is given the file afterwards: from then on it only reads
/// directories and values at the offsets that it is told.
fn start_decoder(header: &Header, source: &Arc<Source>, limits: &Limits) -> tiff::TiffResult<Decoder<Input>> {
    let mut decoder = Decoder::new(Input::Seed(io::Cursor::new(seed(header.little, header.big))))?;
    *decoder.inner() = Input::File(BufReader::new(Cursor::new(Arc::clone(source))));
    let mut tiff_limits = TiffLimits::default();
    let most = usize::try_from(limits.max_tag_bytes).unwrap_or(usize::MAX);
    tiff_limits.decoding_buffer_size = most;
    tiff_limits.ifd_value_size = most;
    tiff_limits.intermediate_buffer_size = most;
    Ok(decoder.with_limits(tiff_limits))
}

/// A TIFF of one white pixel.
fn seed(little: bool, big: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = |bytes: &mut Vec<u8>, value: u64, len: usize| {
        let all = value.to_le_bytes();
        if little { bytes.extend(&all[..len]) } else { bytes.extend(all[..len].iter().rev()) }
    };
    bytes.extend(if little { b"II" } else { b"MM" });
    let word = if big { 8 } else { 4 };
    put(&mut bytes, if big { 43 } else { 42 }, 2);
    if big {
        put(&mut bytes, 8, 2);
        put(&mut bytes, 0, 2);
    }
    let first = bytes.len() + word;
    put(&mut bytes, first as u64, word);
    // Width, height, bits, black is zero, strip offset, rows per strip, strip bytes; all LONG.
    let tags = [(256, 1), (257, 1), (258, 8), (262, 1), (273, 0), (278, 1), (279, 1)];
    put(&mut bytes, tags.len() as u64, if big { 8 } else { 2 });
    for (tag, value) in tags {
        put(&mut bytes, tag, 2);
        put(&mut bytes, 4, 2);
        put(&mut bytes, 1, word);
        put(&mut bytes, value, 4);
        put(&mut bytes, 0, word - 4);
    }
    put(&mut bytes, 0, word);
    bytes
}

struct Walk<'a> {
    path: &'a Path,
    source: &'a Source,
    decoder: Decoder<Input>,
    limits: &'a Limits,
    /// Bytes that values may still take in memory.
    budget: u64,
    seen: HashSet<u64>,
}

impl Walk<'_> {
    /// The directory at an offset, and the offset of the next in the chain.
    fn directory(&mut self, offset: u64, name: String) -> Result<(Directory, Option<u64>), SlideError> {
        if !self.seen.insert(offset) {
            let found = format!("one that comes back to the directory at {offset}");
            return Err(SlideError::broken(self.path, name, "a chain of directories that ends", found));
        }
        let (count, most) = (self.seen.len() as u64, u64::from(self.limits.max_directories));
        if count > most {
            let hint = "raise Limits::max_directories";
            return Err(SlideError::over_limit(self.path, name, "directories", (count, most), hint));
        }
        self.source.check(offset, 2, &format!("{name}, directory"))?;
        let raw = self.decoder.read_directory(IfdPointer(offset)).map_err(|e| {
            let expected = format!("a directory at offset {offset} of {} bytes", self.source.len());
            SlideError::broken(self.path, name.clone(), expected, format!("{e} (is the file cut off?)"))
        })?;
        let mut tags = BTreeMap::new();
        for number in WANTED {
            let tag = Tag::from_u16_exhaustive(number);
            if let Some(entry) = raw.get(tag) {
                let place = format!("{name}, tag {number} ({tag:?})");
                self.afford(&place, entry.field_type(), entry.count())?;
                let mut buffer = ValueBuffer::empty(Type::BYTE);
                self.decoder.read_directory_tags(&raw).find_tag_buf(tag, &mut buffer).map_err(|e| {
                    let expected = format!("{} values", entry.count());
                    SlideError::broken(self.path, place, expected, format!("{e} (is the file cut off?)"))
                })?;
                tags.insert(number, value(&mut buffer));
            }
        }
        Ok((Directory { name, tags }, raw.next().map(|pointer| pointer.0)))
    }

    /// Takes a value's memory off the budget, before it is read.
    fn afford(&mut self, place: &str, kind: Type, count: u64) -> Result<(), SlideError> {
        let (stored, held) = match kind {
            Type::BYTE | Type::SBYTE | Type::ASCII | Type::UNDEFINED => (1, 1),
            Type::SHORT | Type::SSHORT => (2, 8),
            Type::LONG | Type::SLONG | Type::FLOAT | Type::IFD => (4, 8),
            _ => (8, 8),
        };
        let len = self.source.len();
        if count.checked_mul(stored).is_none_or(|bytes| bytes > len) {
            let found = format!("{count} values of {stored} bytes");
            return Err(SlideError::broken(self.path, place, format!("a value that fits into {len} bytes"), found));
        }
        match self.budget.checked_sub(count.saturating_mul(held)) {
            Some(left) => self.budget = left,
            None => {
                let most = self.limits.max_tag_bytes;
                let needed = (most - self.budget).saturating_add(count.saturating_mul(held));
                let hint = "raise Limits::max_tag_bytes";
                return Err(SlideError::over_limit(self.path, place, "bytes of tag values", (needed, most), hint));
            }
        }
        Ok(())
    }
}

fn value(buffer: &mut ValueBuffer) -> Value {
    buffer.set_byte_order(ByteOrder::LittleEndian);
    let bytes = buffer.as_bytes();
    let u32s = || bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let u64s = || bytes.chunks_exact(8).map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    match buffer.data_type() {
        Type::BYTE | Type::ASCII | Type::UNDEFINED | Type::SBYTE => Value::Bytes(bytes.to_vec()),
        Type::SHORT => {
            Value::Unsigned(bytes.chunks_exact(2).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]]))).collect())
        }
        Type::LONG | Type::IFD => Value::Unsigned(u32s().map(u64::from).collect()),
        Type::LONG8 | Type::IFD8 => Value::Unsigned(u64s().collect()),
        Type::RATIONAL => {
            let numbers: Vec<u32> = u32s().collect();
            Value::Real(numbers.chunks_exact(2).map(|r| f64::from(r[0]) / f64::from(r[1])).collect())
        }
        Type::FLOAT => Value::Real(u32s().map(|bits| f64::from(f32::from_bits(bits))).collect()),
        Type::DOUBLE => Value::Real(u64s().map(f64::from_bits).collect()),
        // Signed numbers: no tag that is wanted here has any.
        _ => Value::Bytes(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_tiffs() {
        for little in [false, true] {
            for big in [false, true] {
                let mut decoder = Decoder::new(io::Cursor::new(seed(little, big))).unwrap();
                assert_eq!(decoder.dimensions().unwrap(), (1, 1));
            }
        }
    }
}
