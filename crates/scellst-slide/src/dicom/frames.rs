//! Where the bytes of each frame lie in the file.

use std::sync::{Arc, OnceLock};

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::dataset::Element;
use super::instance::Instance;
use super::syntax::Syntax;
use crate::source::{Source, zeroed};
use crate::{Limits, SlideError};

/// `(fffe,e000)`: an item, and `(fffe,e0dd)`: the end of the sequence. Little endian, as all
/// compressed data is.
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
const END: [u8; 4] = [0xfe, 0xff, 0xdd, 0xe0];
/// A tag and a length.
const HEADER: u64 = 8;
/// Fragments that a frame may come in.
const MOST_FRAGMENTS: usize = 1 << 16;

/// The frames of an instance. Reads by position, from any thread.
#[derive(Debug)]
pub(super) struct Frames {
    source: Arc<Source>,
    count: u64,
    limits: Limits,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One after the other from `at`, each of `len` bytes; `swapped`: in words of two bytes with the
    /// second one first.
    Native { at: u64, len: u64, swapped: bool },
    /// In items. `first`: where the item after the offset table begins.
    Items { first: u64, table: Table },
}

/// What says where the frames are.
#[derive(Debug)]
enum Table {
    /// Offsets of 4 bytes, at this place of the file, to the first item of each frame (PS3.5, A.4).
    Basic(u64),
    /// Offsets and lengths of 8 bytes, at these places (PS3.3, C.7.6.3.1.8).
    Extended { offsets: u64, lengths: u64 },
    /// Nothing: the only frame is all that there is.
    OneFrame,
    /// Nothing: the headers of all items have to be read, when the first frame is. Offset of the
    /// bytes and their number.
    Walked(OnceLock<Result<Vec<(u64, u32)>, SlideError>>),
}

impl Frames {
    /// Finds the offset table, and checks that there is one entry a frame in it.
    pub(super) fn new(instance: &Instance, syntax: Syntax, limits: &Limits) -> Result<Self, SlideError> {
        let source = Arc::clone(&instance.source);
        let count = instance.frames;
        let bad = |expected: String, found: String| SlideError::broken(source.path(), "pixel data", expected, found);
        let kind = match (syntax, instance.pixels.len) {
            (Syntax::Native, Some(len)) => {
                let frame = instance.tile.pixels() * 3;
                let expected = frame.saturating_mul(count);
                if u64::from(len) < expected {
                    return Err(bad(format!("{expected} bytes of {count} frames"), len.to_string()));
                }
                let swapped = instance.big_endian && instance.pixels.vr == VR::OW;
                Kind::Native { at: instance.pixels.at, len: frame, swapped }
            }
            (Syntax::Native, None) => return Err(bad("a length, without compression".to_owned(), "none".to_owned())),
            (_, Some(len)) => return Err(bad("frames in items".to_owned(), format!("{len} bytes"))),
            (_, None) => {
                let at = instance.pixels.at;
                let len = item(&source, at, "offset table")?.ok_or_else(|| {
                    bad("the item of an offset table".to_owned(), "the end of the sequence".to_owned())
                })?;
                let first = at + HEADER + u64::from(len);
                Kind::Items { first, table: table(instance, at + HEADER, len, &bad)? }
            }
        };
        Ok(Self { source, count, limits: limits.clone(), kind })
    }

    /// The bytes of a frame, after `prefix`. `place` for messages.
    pub(super) fn read(&self, prefix: &[u8], frame: u64, place: &str) -> Result<Vec<u8>, SlideError> {
        if frame >= self.count {
            return Err(self.bad(place, format!("a frame below {}", self.count), frame.to_string()));
        }
        let (first, table) = match &self.kind {
            Kind::Native { at, len, swapped: false } => return self.source.read(prefix, at + frame * len, *len, place),
            Kind::Native { at, len, swapped: true } => return self.swapped(prefix, at + frame * len, *len, place),
            Kind::Items { first, table } => (*first, table),
        };
        let fragments = match table {
            Table::OneFrame => self.fragments(first, None, place)?,
            Table::Basic(offsets) => {
                let at = offsets + frame * 4;
                let start = first + u64::from(u32::from_le_bytes(self.array(at, place)?));
                let next = if frame + 1 < self.count {
                    Some(first + u64::from(u32::from_le_bytes(self.array(at + 4, place)?)))
                } else {
                    None
                };
                self.fragments(start, next, place)?
            }
            Table::Extended { offsets, lengths } => {
                let offset = u64::from_le_bytes(self.array(offsets + frame * 8, place)?);
                let len = u64::from_le_bytes(self.array(lengths + frame * 8, place)?);
                vec![self.extended(first, offset, len, place)?]
            }
            Table::Walked(items) => {
                let items = items.get_or_init(|| self.walk(first)).as_ref().map_err(SlideError::clone)?;
                let (at, len) = items.get(frame as usize).copied().unwrap_or_default();
                vec![(at, u64::from(len))]
            }
        };
        self.join(prefix, &fragments, place)
    }

    fn bad(&self, place: &str, expected: impl Into<String>, found: impl Into<String>) -> SlideError {
        SlideError::broken(self.source.path(), place, expected, found)
    }

    fn array<const N: usize>(&self, at: u64, place: &str) -> Result<[u8; N], SlideError> {
        let bytes = self.source.read(&[], at, N as u64, place)?;
        bytes.first_chunk().copied().ok_or_else(|| self.bad(place, format!("{N} bytes"), bytes.len().to_string()))
    }

    /// An entry of the extended offset table: the item that it points to.
    fn extended(&self, first: u64, offset: u64, len: u64, place: &str) -> Result<(u64, u64), SlideError> {
        let at =
            first.checked_add(offset).ok_or_else(|| self.bad(place, "an offset in the file", offset.to_string()))?;
        let stored = item(&self.source, at, place)?.map_or(0, u64::from);
        // The length may leave out the byte that makes it even.
        if len > stored || stored - len > 1 {
            let found = format!("{len} by the extended offset table");
            return Err(self.bad(place, format!("{stored} bytes as in its item"), found));
        }
        Ok((at + HEADER, len))
    }

    /// The fragments from one item to the next frame's, or to the end of the sequence.
    fn fragments(&self, start: u64, next: Option<u64>, place: &str) -> Result<Vec<(u64, u64)>, SlideError> {
        let mut fragments = Vec::new();
        let (mut at, mut total) = (start, 0);
        while next != Some(at) {
            let Some(len) = item(&self.source, at, place)? else {
                if next.is_none() {
                    break;
                }
                return Err(self.bad(place, "its end at the next frame", "the end of the sequence"));
            };
            fragments.push((at + HEADER, u64::from(len)));
            if fragments.len() > MOST_FRAGMENTS {
                return Err(self.bad(place, format!("at most {MOST_FRAGMENTS} fragments"), "more"));
            }
            at += HEADER + u64::from(len);
            total += u64::from(len);
            self.check(total, place)?;
            if next.is_some_and(|next| at > next) {
                let found = format!("an item up to byte {at}");
                return Err(self.bad(place, format!("its end by byte {}", next.unwrap_or(0)), found));
            }
        }
        Ok(fragments)
    }

    fn check(&self, bytes: u64, place: &str) -> Result<(), SlideError> {
        if bytes > self.limits.max_tile_bytes {
            let hint = "raise Limits::max_tile_bytes";
            return Err(SlideError::over_limit(
                self.source.path(),
                place,
                "bytes",
                (bytes, self.limits.max_tile_bytes),
                hint,
            ));
        }
        Ok(())
    }

    fn join(&self, prefix: &[u8], fragments: &[(u64, u64)], place: &str) -> Result<Vec<u8>, SlideError> {
        let total: u64 = fragments.iter().map(|&(_, len)| len).sum();
        self.check(total, place)?;
        if let [(at, len)] = *fragments {
            return self.source.read(prefix, at, len, place);
        }
        let mut bytes = zeroed(self.source.path(), place, prefix.len() as u64 + total)?;
        bytes.clear();
        bytes.extend(prefix);
        for &(at, len) in fragments {
            bytes.extend(self.source.read(&[], at, len, place)?);
        }
        Ok(bytes)
    }

    /// Goes through the headers of all items: one a frame.
    fn walk(&self, first: u64) -> Result<Vec<(u64, u32)>, SlideError> {
        let place = "pixel data";
        let entry = size_of::<(u64, u32)>() as u64;
        if self.count.saturating_mul(entry) > self.limits.max_tag_bytes {
            let hint = "raise Limits::max_tag_bytes, or write it with an offset table";
            let bytes = (self.count.saturating_mul(entry), self.limits.max_tag_bytes);
            return Err(SlideError::over_limit(self.source.path(), place, "bytes", bytes, hint));
        }
        let mut items = Vec::new();
        let mut at = first;
        while let Some(len) = item(&self.source, at, place)? {
            if items.len() as u64 == self.count {
                let hint = "write it with an offset table, or with one fragment a frame";
                let found = format!("more than {} fragments of {} frames, and no offset table", self.count, self.count);
                return Err(SlideError::unsupported(self.source.path(), place, found, hint));
            }
            items.push((at + HEADER, len));
            at += HEADER + u64::from(len);
        }
        if (items.len() as u64) < self.count {
            return Err(self.bad(place, format!("fragments of {} frames", self.count), items.len().to_string()));
        }
        Ok(items)
    }

    /// Bytes `at..at + len` of data whose pairs of bytes, from an even place on, are turned around.
    fn swapped(&self, prefix: &[u8], at: u64, len: u64, place: &str) -> Result<Vec<u8>, SlideError> {
        let Kind::Native { at: origin, .. } = self.kind else { return Ok(Vec::new()) };
        let skip = (at - origin) % 2;
        let mut words = self.source.read(&[], at - skip, (len + skip).next_multiple_of(2), place)?;
        for pair in words.as_chunks_mut::<2>().0 {
            pair.reverse();
        }
        let bytes = words.get(skip as usize..(skip + len) as usize).unwrap_or_default();
        Ok([prefix, bytes].concat())
    }
}

/// Which table there is.
fn table(
    instance: &Instance,
    basic: u64,
    len: u32,
    bad: &impl Fn(String, String) -> SlideError,
) -> Result<Table, SlideError> {
    let count = instance.frames;
    let extended = |element: &Element| -> Result<u64, SlideError> {
        match element.len {
            Some(len) if u64::from(len) == count * 8 => Ok(element.at),
            len => {
                let expected = format!("{} of {count} frames", element_name(element));
                Err(bad(expected, format!("{} bytes", len.unwrap_or(0))))
            }
        }
    };
    if u64::from(len) == count * 4 {
        return Ok(Table::Basic(basic));
    }
    if len > 0 {
        return Err(bad(format!("an offset table of {count} frames"), format!("{len} bytes")));
    }
    match (&instance.extended_offsets, &instance.extended_lengths) {
        (Some(offsets), Some(lengths)) => {
            Ok(Table::Extended { offsets: extended(offsets)?, lengths: extended(lengths)? })
        }
        _ if count == 1 => Ok(Table::OneFrame),
        _ if instance.source.check(basic, count * HEADER, "pixel data").is_err() => {
            Err(bad(format!("{count} frames"), format!("{} bytes of file", instance.source.len())))
        }
        _ => Ok(Table::Walked(OnceLock::new())),
    }
}

fn element_name(element: &Element) -> &'static str {
    if element.tag == tags::EXTENDED_OFFSET_TABLE { "extended offsets" } else { "extended lengths" }
}

/// Length of the item at a place of the file; `None` where the sequence ends.
fn item(source: &Source, at: u64, place: &str) -> Result<Option<u32>, SlideError> {
    let header = source.read(&[], at, HEADER, place)?;
    let (tag, len) = header.split_at_checked(4).unwrap_or_default();
    let len = len.first_chunk().map_or(u32::MAX, |b| u32::from_le_bytes(*b));
    match tag {
        tag if tag == ITEM && len != u32::MAX => {
            source.check(at + HEADER, len.into(), place)?;
            Ok(Some(len))
        }
        tag if tag == END => Ok(None),
        tag => {
            let found = format!("{tag:02x?} and length {len}");
            Err(SlideError::broken(source.path(), place, format!("an item at byte {at}"), found))
        }
    }
}
