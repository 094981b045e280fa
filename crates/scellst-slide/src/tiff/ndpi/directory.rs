//! The directories of an NDPI: classic TIFF, with 32 more bits for whatever is an offset.
//!
//! As OpenSlide's page on the format has it (<https://openslide.org/formats/hamamatsu/>): the offset of
//! the first directory, and of the next one behind each, has 8 bytes; and then follow, 4 bytes an
//! entry, the upper halves of the entries' values or offsets. Text always lies elsewhere, even where
//! it is so short that TIFF would put it into the entry.

use std::collections::{BTreeMap, HashSet};

use crate::source::Source;
use crate::tiff::tags::{Directory, NDPI_MARK, Value};
use crate::{Limits, SlideError};

/// Magnification of the objective; -1 for the macro picture, -2 for the map of what was scanned.
pub(super) const LENS: u16 = 65421;
/// Distance from the central focal plane.
pub(super) const Z_OFFSET: u16 = 65424;
/// Where restart intervals begin, lower halves.
const STARTS_LOW: u16 = 65426;
/// Where restart intervals begin, upper halves.
const STARTS_HIGH: u16 = 65432;

/// The tags that matter here; the values of others are not read.
const WANTED: [u16; 11] = [256, 257, 259, 273, 279, 282, 283, 296, NDPI_MARK, LENS, Z_OFFSET];

/// Bytes of an entry.
const ENTRY: u64 = 12;

/// A directory, and where the lists are that are too long to be read with it.
pub(super) struct Page {
    pub(super) directory: Directory,
    pub(super) starts_low: Option<List>,
    pub(super) starts_high: Option<List>,
}

/// A list of 32-bit numbers in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    pub(super) offset: u64,
    pub(super) count: u64,
}

/// The offset of the first directory, if the file is an NDPI.
pub(crate) fn recognise(source: &Source) -> Result<Option<u64>, SlideError> {
    let head = source.head(12)?;
    if !head.starts_with(b"II*\0") {
        return Ok(None);
    }
    // In another TIFF this is no offset, and mostly none that lies in the file.
    let Some(first) = u64_at(&head, 4).filter(|&first| first > 0 && source.check(first, 2, "").is_ok()) else {
        return Ok(None);
    };
    let Ok(raw) = Raw::read(source, first, "page 0") else { return Ok(None) };
    let marked = raw.entries().any(|entry| entry.tag == NDPI_MARK);
    Ok(marked.then_some(first))
}

/// Reads all directories.
pub(super) fn read(source: &Source, first: u64, limits: &Limits) -> Result<Vec<Page>, SlideError> {
    let mut walk = Walk { source, budget: limits.max_tag_bytes, limits };
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    let mut next = first;
    while next != 0 {
        let name = format!("page {}", pages.len());
        if !seen.insert(next) {
            let found = format!("one that comes back to the directory at {next}");
            return Err(SlideError::broken(source.path(), name, "a chain of directories that ends", found));
        }
        let (count, most) = (seen.len() as u64, u64::from(limits.max_directories));
        if count > most {
            let hint = "raise Limits::max_directories";
            return Err(SlideError::over_limit(source.path(), name, "directories", (count, most), hint));
        }
        let raw = Raw::read(source, next, &name)?;
        next = raw.next;
        pages.push(walk.page(&raw, name)?);
    }
    Ok(pages)
}

/// A directory's bytes.
struct Raw {
    offset: u64,
    count: u64,
    /// All entries, and the upper halves behind them, as far as the file has them.
    entries: Vec<u8>,
    highs: Vec<u8>,
    next: u64,
}

/// One entry of a directory.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The lower half of the value or offset.
    low: u32,
    high: u32,
    /// Where in the file the lower half is.
    at: u64,
}

impl Raw {
    fn read(source: &Source, offset: u64, name: &str) -> Result<Self, SlideError> {
        let place = format!("{name}, directory");
        let count = u64::from(u16_at(&source.read(&[], offset, 2, &place)?, 0).unwrap_or(0));
        // Does not overflow: the offset lies in the file, and there are at most 65,535 entries.
        let (start, len) = (offset + 2, count * ENTRY);
        let entries = source.read(&[], start, len + 8, &place)?;
        let next = u64_at(&entries, len as usize).unwrap_or(0);
        // Below 4 GiB they are all zero, and no reason to refuse a file that leaves them out.
        let wide = source.len() > u64::from(u32::MAX);
        let highs = if wide { source.read(&[], start + len + 8, count * 4, &place)? } else { Vec::new() };
        Ok(Self { offset, count, entries, highs, next })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..self.count).filter_map(|i| {
            let at = (i * ENTRY) as usize;
            Some(Entry {
                tag: u16_at(&self.entries, at)?,
                kind: u16_at(&self.entries, at + 2)?,
                count: u64::from(u32_at(&self.entries, at + 4)?),
                low: u32_at(&self.entries, at + 8)?,
                high: u32_at(&self.highs, i as usize * 4).unwrap_or(0),
                at: self.offset + 2 + i * ENTRY + 8,
            })
        })
    }
}

impl Entry {
    /// Bytes of one of its numbers; 0 for types that no wanted tag has.
    fn width(&self) -> u64 {
        match self.kind {
            1 | 2 | 7 => 1,
            3 => 2,
            4 | 9 | 11 => 4,
            5 | 12 => 8,
            _ => 0,
        }
    }

    fn len(&self) -> u64 {
        self.count * self.width()
    }

    fn is_inline(&self) -> bool {
        self.len() <= 4 && self.kind != 2
    }

    /// Where its numbers are in the file.
    fn offset(&self) -> u64 {
        if self.is_inline() { self.at } else { self.wide() }
    }

    fn wide(&self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

struct Walk<'a> {
    source: &'a Source,
    limits: &'a Limits,
    /// Bytes that values may still take in memory.
    budget: u64,
}

impl Walk<'_> {
    fn page(&mut self, raw: &Raw, name: String) -> Result<Page, SlideError> {
        let mut tags = BTreeMap::new();
        let (mut starts_low, mut starts_high) = (None, None);
        for entry in raw.entries() {
            let list = List { offset: entry.offset(), count: entry.count };
            match entry.tag {
                STARTS_LOW if entry.kind == 4 => starts_low = Some(list),
                STARTS_HIGH if entry.kind == 4 => starts_high = Some(list),
                tag if WANTED.contains(&tag) && entry.width() > 0 => {
                    tags.insert(tag, self.value(&entry, &format!("{name}, tag {tag}"))?);
                }
                _ => {}
            }
        }
        Ok(Page { directory: Directory::new(name, tags), starts_low, starts_high })
    }

    fn value(&mut self, entry: &Entry, place: &str) -> Result<Value, SlideError> {
        // A single number may need more than its 32 bits.
        if entry.kind == 4 && entry.count == 1 {
            return Ok(Value::Unsigned(vec![entry.wide()]));
        }
        let path = self.source.path();
        self.source.check(entry.offset(), entry.len(), place)?;
        let (held, most) = (entry.count.saturating_mul(8), self.limits.max_tag_bytes);
        self.budget = self.budget.checked_sub(held).ok_or_else(|| {
            let needed = (most - self.budget).saturating_add(held);
            let hint = "raise Limits::max_tag_bytes";
            SlideError::over_limit(path, place, "bytes of tag values", (needed, most), hint)
        })?;
        let bytes = self.source.read(&[], entry.offset(), entry.len(), place)?;
        let u32s = || bytes.chunks_exact(4).filter_map(|b| u32_at(b, 0));
        Ok(match entry.kind {
            3 => Value::Unsigned(bytes.chunks_exact(2).filter_map(|b| u16_at(b, 0)).map(u64::from).collect()),
            4 => Value::Unsigned(u32s().map(u64::from).collect()),
            5 => {
                let numbers: Vec<u32> = u32s().collect();
                Value::Real(numbers.chunks_exact(2).map(|r| f64::from(r[0]) / f64::from(r[1])).collect())
            }
            9 => Value::Real(u32s().map(|bits| f64::from(bits.cast_signed())).collect()),
            11 => Value::Real(u32s().map(|bits| f64::from(f32::from_bits(bits))).collect()),
            12 => Value::Real(bytes.chunks_exact(8).filter_map(|b| u64_at(b, 0)).map(f64::from_bits).collect()),
            _ => Value::Bytes(bytes),
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}
