//! Going through the elements of a data set, one by one, without a tree of them in memory.
//!
//! dicom-rs decodes the headers. Its reader of whole data sets (dicom-object 0.10.1) is not used: it
//! goes down into nested sequences by recursion, so that 2.4 MB of sequence starts overflow the
//! stack, and takes as much memory as a length field asks for (4 GiB for a file of 400 bytes).

use std::io::{self, Read};

use dicom_core::header::{DataElementHeader, SequenceItemHeader};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags::PIXEL_DATA;
use dicom_encoding::decode::explicit_be::ExplicitVRBigEndianDecoder;
use dicom_encoding::decode::explicit_le::ExplicitVRLittleEndianDecoder;
use dicom_encoding::decode::implicit_le::StandardImplicitVRLittleEndianDecoder;
use dicom_encoding::decode::{Decode, Error as DecodeError};

use crate::SlideError;
use crate::source::Source;

const ITEM_DELIMITATION_ITEM: Tag = Tag(0xfffe, 0xe00d);
/// Bytes that are read at once.
const BLOCK: u64 = 1 << 14;
/// A whole-slide image nests four deep.
const MOST_NESTED: usize = 16;
/// No value that is asked for is longer.
const LONGEST_VALUE: u32 = 4096;

/// Bytes of headers that may still be read, of all files of a slide together.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { left: limit, limit }
    }

    /// Takes bytes, if there are so many.
    pub(super) fn take(&mut self, source: &Source, bytes: u64) -> Result<(), SlideError> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                let found = self.limit - self.left + bytes;
                let hint = "raise Limits::max_tag_bytes";
                return Err(SlideError::over_limit(
                    source.path(),
                    "headers of the slide's instances",
                    "bytes",
                    (found, self.limit),
                    hint,
                ));
            }
        }
        Ok(())
    }
}

/// A part of the file in memory, which follows the reading position.
struct Window<'a> {
    source: &'a Source,
    budget: &'a mut Budget,
    block: Vec<u8>,
    start: u64,
    at: u64,
    /// Why reading stopped, where it was not the end of the file.
    failure: Option<SlideError>,
}

impl Window<'_> {
    fn rest(&mut self) -> Result<&[u8], SlideError> {
        let end = self.start + self.block.len() as u64;
        if !(self.start..end).contains(&self.at) {
            let len = BLOCK.min(self.source.len().saturating_sub(self.at));
            self.budget.take(self.source, len)?;
            self.block = self.source.read(&[], self.at, len, "header")?;
            self.start = self.at;
        }
        Ok(self.block.get((self.at - self.start) as usize..).unwrap_or_default())
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.rest() {
            Ok(rest) => {
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                self.at += n as u64;
                Ok(n)
            }
            Err(e) => {
                self.failure = Some(e);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

/// How the elements of a data set are written (PS3.5, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    fn header(self, from: &mut Window<'_>) -> Result<DataElementHeader, DecodeError> {
        let (header, _) = match self {
            Self::ImplicitLittle => StandardImplicitVRLittleEndianDecoder::with_std_dict().decode_header(from)?,
            Self::ExplicitLittle => ExplicitVRLittleEndianDecoder::default().decode_header(from)?,
            Self::ExplicitBig => ExplicitVRBigEndianDecoder::default().decode_header(from)?,
        };
        Ok(header)
    }

    fn item(self, from: &mut Window<'_>) -> Result<SequenceItemHeader, DecodeError> {
        match self {
            Self::ImplicitLittle => StandardImplicitVRLittleEndianDecoder::with_std_dict().decode_item_header(from),
            Self::ExplicitLittle => ExplicitVRLittleEndianDecoder::default().decode_item_header(from),
            Self::ExplicitBig => ExplicitVRBigEndianDecoder::default().decode_item_header(from),
        }
    }
}

/// An element that is no sequence. Its value is not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub(super) tag: Tag,
    pub(super) vr: VR,
    /// Where its value begins in the file.
    pub(super) at: u64,
    /// Bytes of its value; `None` for pixel data in fragments, whose end is marked.
    pub(super) len: Option<u32>,
}

/// A sequence or an item whose end has not come.
struct Open {
    kind: Kind,
    /// Where it ends, if its length says so and not a delimiter.
    end: Option<u64>,
    encoding: Encoding,
}

enum Kind {
    /// Its items are data sets, or bytes (`raw`).
    Sequence {
        raw: bool,
    },
    Item,
}

/// Goes through a data set from its start to its pixel data.
pub(super) struct Walker<'a> {
    window: Window<'a>,
    encoding: Encoding,
    open: Vec<Open>,
    /// The sequences that are open, the outermost first.
    path: Vec<Tag>,
    /// Items that have begun of each of them.
    items: Vec<u32>,
    /// Where the next header is.
    next: u64,
}

impl<'a> Walker<'a> {
    pub(super) fn new(source: &'a Source, budget: &'a mut Budget, at: u64, encoding: Encoding) -> Self {
        let window = Window { source, budget, block: Vec::new(), start: 0, at, failure: None };
        Self { window, encoding, open: Vec::new(), path: Vec::new(), items: Vec::new(), next: at }
    }

    /// The tags of the sequences that the last element lies in.
    pub(super) fn path(&self) -> &[Tag] {
        &self.path
    }

    /// Which item of the outermost sequence the last element lies in, from 0.
    pub(super) fn outer_item(&self) -> Option<u32> {
        self.items.first().and_then(|n| n.checked_sub(1))
    }

    /// Where the next header begins.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// Counts bytes that what is read takes in memory.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), SlideError> {
        self.window.budget.take(self.window.source, bytes)
    }

    /// The next bytes, as many as there are up to `N`, which stay unread.
    pub(super) fn peek<const N: usize>(&mut self) -> Result<Option<[u8; N]>, SlideError> {
        self.window.at = self.next;
        Ok(self.window.rest()?.first_chunk().copied())
    }

    fn broken(&self, expected: impl Into<String>, found: impl Into<String>) -> SlideError {
        let place = format!("header, byte {}", self.next);
        SlideError::broken(self.window.source.path(), place, expected, found)
    }

    /// Turns what dicom-rs says to what we say.
    fn decoded<T>(&mut self, result: Result<T, DecodeError>) -> Result<T, SlideError> {
        result.map_err(|e| {
            let failure = self.window.failure.take();
            failure.unwrap_or_else(|| self.broken("the header of an element or item", e.to_string()))
        })
    }

    /// The next element that is no sequence; `None` at the end of the file. Sequences are gone into,
    /// but for those whose length is given and which `wanted` does not want.
    pub(super) fn next(&mut self, wanted: impl Fn(Tag) -> bool) -> Result<Option<Element>, SlideError> {
        loop {
            self.close();
            self.window.at = self.next;
            let encoding = self.open.last().map_or(self.encoding, |open| open.encoding);
            match self.open.last().map(|open| &open.kind) {
                Some(&Kind::Sequence { raw }) => self.item(raw, encoding)?,
                None if self.next >= self.window.source.len() => return Ok(None),
                None | Some(Kind::Item) => {
                    let header = encoding.header(&mut self.window);
                    let header = self.decoded(header)?;
                    if let Some(element) = self.element(header, encoding, &wanted)? {
                        return Ok(Some(element));
                    }
                }
            }
        }
    }

    /// Closes the sequences and items that end here by their length.
    fn close(&mut self) {
        while self.open.last().is_some_and(|open| open.end == Some(self.next)) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(Open { kind: Kind::Sequence { .. }, .. }) = self.open.pop() {
            self.path.pop();
            self.items.pop();
        }
    }

    /// Closes what is open, which a delimiter ends.
    fn delimited(&mut self, what: &str) -> Result<(), SlideError> {
        match self.open.last() {
            Some(Open { end: None, .. }) => {
                self.pop();
                self.next = self.window.at;
                Ok(())
            }
            _ => Err(self.broken(format!("no end of {what} here"), format!("the delimiter of {what}"))),
        }
    }

    /// The end of a value of the given length that begins at the window's position: within what
    /// encloses it.
    fn end(&self, len: u32) -> Result<u64, SlideError> {
        let limit = self.open.iter().rev().find_map(|open| open.end).unwrap_or(self.window.source.len());
        let end = self.window.at + u64::from(len);
        if end <= limit {
            return Ok(end);
        }
        let found = format!("{len} bytes from byte {} on (is the file cut off?)", self.window.at);
        Err(self.broken(format!("a value that ends by byte {limit}"), found))
    }

    /// In a sequence: the start of an item or the sequence's end.
    fn item(&mut self, raw: bool, encoding: Encoding) -> Result<(), SlideError> {
        let header = encoding.item(&mut self.window);
        match self.decoded(header)? {
            SequenceItemHeader::Item { len } => {
                if let Some(count) = self.items.last_mut() {
                    *count = count.saturating_add(1);
                }
                let end = len.get().map(|len| self.end(len)).transpose()?;
                match end {
                    Some(end) if raw => self.next = end,
                    None if raw => return Err(self.broken("the length of a fragment", "none")),
                    end => {
                        self.next = self.window.at;
                        self.open.push(Open { kind: Kind::Item, end, encoding });
                    }
                }
                Ok(())
            }
            SequenceItemHeader::SequenceDelimiter => self.delimited("a sequence"),
            SequenceItemHeader::ItemDelimiter => Err(self.broken("an item", "the delimiter of an item")),
        }
    }

    /// In a data set: an element, or the item's end.
    fn element(
        &mut self,
        header: DataElementHeader,
        encoding: Encoding,
        wanted: &impl Fn(Tag) -> bool,
    ) -> Result<Option<Element>, SlideError> {
        let DataElementHeader { tag, vr, .. } = header;
        if tag == ITEM_DELIMITATION_ITEM {
            self.delimited("an item")?;
            return Ok(None);
        }
        if tag.0 == 0xfffe {
            return Err(self.broken("an element", format!("{tag}, which is for sequences only")));
        }
        let at = self.window.at;
        let len = header.len.get();
        let end = len.map(|len| self.end(len)).transpose()?;
        if tag == PIXEL_DATA && self.open.is_empty() {
            self.next = end.unwrap_or(at);
            return Ok(Some(Element { tag, vr, at, len }));
        }
        match end {
            // Of unknown kind and length: a sequence whose items are implicit (PS3.5, 6.2.2, note 4).
            // Of another kind: fragments, as of an icon's pixel data.
            None => {
                let encoding = if vr == VR::UN { Encoding::ImplicitLittle } else { encoding };
                let raw = vr != VR::UN && vr != VR::SQ;
                self.enter(tag, Kind::Sequence { raw }, None, encoding)?;
            }
            Some(end) if vr == VR::SQ && wanted(tag) => {
                self.enter(tag, Kind::Sequence { raw: false }, Some(end), encoding)?;
            }
            Some(end) => {
                self.next = end;
                if vr != VR::SQ {
                    return Ok(Some(Element { tag, vr, at, len }));
                }
            }
        }
        Ok(None)
    }

    fn enter(&mut self, tag: Tag, kind: Kind, end: Option<u64>, encoding: Encoding) -> Result<(), SlideError> {
        if self.path.len() >= MOST_NESTED {
            return Err(self.broken(format!("sequences in each other, {MOST_NESTED} at most"), "more"));
        }
        self.next = self.window.at;
        self.open.push(Open { kind, end, encoding });
        self.path.push(tag);
        self.items.push(0);
        Ok(())
    }

    /// The value of the last element.
    pub(super) fn value(&mut self, element: &Element) -> Result<Vec<u8>, SlideError> {
        let len = element.len.unwrap_or(u32::MAX);
        if len > LONGEST_VALUE {
            let expected = format!("a value of {}, of at most {LONGEST_VALUE} bytes", element.tag);
            return Err(self.broken(expected, format!("{len} bytes")));
        }
        let mut bytes = vec![0; len as usize];
        self.window.at = element.at;
        if let Err(e) = self.window.read_exact(&mut bytes) {
            let failure = self.window.failure.take();
            return Err(failure.unwrap_or_else(|| self.broken("a value", e.to_string())));
        }
        Ok(bytes)
    }

    /// The value of the last element as text, without its padding.
    pub(super) fn text(&mut self, element: &Element) -> Result<String, SlideError> {
        let bytes = self.value(element)?;
        Ok(String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned())
    }

    /// The numbers of the last element, however they are written.
    pub(super) fn numbers(&mut self, element: &Element) -> Result<Vec<f64>, SlideError> {
        let big = self.open.last().map_or(self.encoding, |open| open.encoding) == Encoding::ExplicitBig;
        if matches!(element.vr, VR::DS | VR::IS | VR::UN) {
            let text = self.text(element)?;
            let parts = text.split('\\').map(str::trim).filter(|part| !part.is_empty());
            return parts
                .map(|part| {
                    part.parse().map_err(|_| self.broken(format!("a number in {}", element.tag), part.to_owned()))
                })
                .collect();
        }
        let bytes = self.value(element)?;
        let numbers = match element.vr {
            VR::US => each(&bytes, big, |b| u16::from_le_bytes(b).into()),
            VR::SS => each(&bytes, big, |b| i16::from_le_bytes(b).into()),
            VR::UL => each(&bytes, big, |b| u32::from_le_bytes(b).into()),
            VR::SL => each(&bytes, big, |b| i32::from_le_bytes(b).into()),
            VR::FL => each(&bytes, big, |b| f32::from_le_bytes(b).into()),
            VR::FD => each(&bytes, big, f64::from_le_bytes),
            other => return Err(self.broken(format!("numbers in {}", element.tag), format!("kind {other}"))),
        };
        Ok(numbers)
    }
}

/// Values of `N` bytes.
fn each<const N: usize>(bytes: &[u8], big: bool, number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks::<N>();
    let turned = |mut chunk: [u8; N]| {
        if big {
            chunk.reverse();
        }
        chunk
    };
    chunks.iter().map(|&chunk| number(turned(chunk))).collect()
}
