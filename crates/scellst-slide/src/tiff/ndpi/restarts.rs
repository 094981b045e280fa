//! Where in a JPEG stream the segments between its restart markers begin.
//!
//! The file's own list of them (tags 65426 and 65432) stays in the file: the few numbers that a piece
//! needs are read with it, so that opening costs nothing and takes no memory. The list is a hint only.
//! What it says is checked against the markers, one by one; where some entries are wrong, the
//! stream is searched from the last right one before them; and where most are, or there is no list,
//! the stream is searched from its start, once, as far as is needed.

use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::directory::{List, Page};
use super::header::Header;
use crate::source::Source;
use crate::{Limits, SlideError};

/// Bytes searched at once.
const BLOCK: u64 = 1 << 18;
/// Entries of the list that are looked at before it is believed.
const SAMPLES: u64 = 16;
/// How far back a right entry is looked for.
const BACK: u64 = 64;
/// The most that a block of 64 coefficients can take: a code of 16 bits and up to 11 more bits for
/// each, where every byte may be followed by one of stuffing, and some room.
const LONGEST_BLOCK: u64 = 512;

/// The segments of one stream. Offsets count from the start of the stream.
#[derive(Debug)]
pub(super) struct Restarts {
    place: String,
    strip: (u64, u64),
    /// Where the first segment begins.
    first: u64,
    /// How many there are.
    count: u64,
    /// The most bytes that one can have.
    longest: u64,
    list: Option<StartList>,
    list_is_good: OnceLock<bool>,
    /// Starts that were found by searching, from that of segment 0 on.
    searched: Mutex<Vec<u64>>,
    max_searched: u64,
    max_run: u64,
}

impl Restarts {
    /// `strip`: offset and length of the stream, which lies in the file and has `count` segments.
    pub(super) fn new(
        source: &Source,
        page: &Page,
        strip: (u64, u64),
        header: &Header,
        count: u64,
        limits: &Limits,
    ) -> Self {
        Self {
            place: page.directory.name.clone(),
            strip,
            first: header.len(),
            count,
            longest: (header.interval * header.blocks * LONGEST_BLOCK + 64).min(limits.max_tile_bytes),
            list: StartList::new(source, page, strip.1, count),
            list_is_good: OnceLock::new(),
            searched: Mutex::default(),
            max_searched: limits.max_tag_bytes,
            max_run: limits.max_tile_bytes,
        }
    }

    /// Appends the bytes of consecutive segments, with the markers between them numbered from
    /// `number` on, but without one before the first or behind the last. `segments` exist and are not
    /// none.
    pub(super) fn append(
        &self,
        source: &Source,
        segments: Range<u64>,
        number: &mut u64,
        stream: &mut Vec<u8>,
    ) -> Result<(), SlideError> {
        let (bytes, kept) = match self.run_by_list(source, &segments)? {
            Some(run) => run,
            None => {
                let start = self.start(source, segments.start)?;
                let end = if segments.end < self.count { self.start(source, segments.end)? } else { self.strip.1 };
                self.run(source, &segments, start..end)?
            }
        };
        let place = || place(&self.place, &segments);
        let needed = (stream.len() + kept.len()) as u64;
        if needed > self.max_run {
            let hint = "raise Limits::max_tile_bytes";
            return Err(SlideError::over_limit(source.path(), place(), "bytes", (needed, self.max_run), hint));
        }
        let begin = stream.len();
        stream.extend_from_slice(&bytes[kept]);
        let mut at = begin;
        while let Some((marker, _)) = next_marker(stream, at) {
            stream[marker + 1] = restart(*number);
            *number += 1;
            at = marker + 2;
        }
        Ok(())
    }

    /// The segments where the list says that they are; `None` where it is not to be believed.
    fn run_by_list(&self, source: &Source, segments: &Range<u64>) -> Result<Option<Run>, SlideError> {
        let Some(list) = self.good_list(source)? else { return Ok(None) };
        let start = if segments.start == 0 { self.first } else { list.entry(source, segments.start)? };
        let end = if segments.end < self.count { list.entry(source, segments.end)? } else { self.strip.1 };
        match self.run(source, segments, start..end) {
            Ok(run) => Ok(Some(run)),
            Err(SlideError::Broken { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads segments from the start of the first to the start of the one behind the last (or the end
    /// of the stream), and checks every marker before, between and behind them.
    fn run(&self, source: &Source, segments: &Range<u64>, span: Range<u64>) -> Result<Run, SlideError> {
        let place = place(&self.place, segments);
        let broken =
            |expected: String, found: String| SlideError::broken(source.path(), place.clone(), expected, found);
        let (last, n) = (segments.end == self.count, segments.end - segments.start);
        let most = n.saturating_mul(self.longest).saturating_add(span.start);
        // What lies behind the end of the image does not matter.
        let end = if last { span.end.min(most) } else { span.end };
        if span.start < self.first || span.start >= end || end > self.strip.1.min(most) {
            let expected =
                format!("its bytes from {} to {}, at most {} a segment", self.first, self.strip.1, self.longest);
            return Err(broken(expected, format!("{} to {}", span.start, span.end)));
        }
        if end - span.start > self.max_run {
            let hint = "raise Limits::max_tile_bytes";
            let numbers = (end - span.start, self.max_run);
            return Err(SlideError::over_limit(source.path(), place, "bytes", numbers, hint));
        }
        let lead = if segments.start == 0 { 0 } else { 2 };
        let (offset, len) = (self.strip.0 + span.start - lead, end - span.start + lead);
        let bytes = source.read(&[], offset, len, &place)?;
        let lead = lead as usize;
        if lead > 0 && bytes[..lead] != [0xff, restart(segments.start - 1)] {
            let expected =
                format!("ff {:02x} (restart marker {}) at {offset}", restart(segments.start - 1), segments.start - 1);
            return Err(broken(expected, format!("{:02x?}", &bytes[..lead])));
        }
        let wanted = if last { n - 1 } else { n };
        let (mut seen, mut at, mut kept) = (0, lead, bytes.len());
        while let Some((marker, code)) = next_marker(&bytes, at) {
            let number = segments.start + seen;
            if seen < wanted && code == restart(number) {
                seen += 1;
            } else if last && seen == wanted && code == 0xd9 {
                kept = marker;
                break;
            } else {
                let next = if seen < wanted {
                    format!("{:02x} (restart marker {number})", restart(number))
                } else {
                    "d9 (end)".to_owned()
                };
                return Err(broken(
                    format!("marker ff {next}"),
                    format!("ff {code:02x} at {}", offset + marker as u64),
                ));
            }
            at = marker + 2;
            if !last && seen == wanted {
                kept = marker;
                break;
            }
        }
        if seen < wanted || (!last && kept + 2 < bytes.len()) {
            return Err(broken(
                format!("{wanted} restart markers, the last at the end of {len} bytes"),
                seen.to_string(),
            ));
        }
        Ok((bytes, lead..kept))
    }

    /// Where a segment begins, which exists: by the list as far as it is right, or else by searching.
    fn start(&self, source: &Source, segment: u64) -> Result<u64, SlideError> {
        if segment == 0 {
            return Ok(self.first);
        }
        let Some(list) = self.good_list(source)? else { return self.start_by_search(source, segment) };
        for known in (segment.saturating_sub(BACK)..=segment).rev() {
            let start = if known == 0 { Some(self.first) } else { self.confirmed(source, list, known)? };
            if let Some(start) = start {
                return self.search(source, (known, start), segment, |_| {});
            }
        }
        let place = place(&self.place, &(segment.saturating_sub(BACK)..segment + 1));
        Err(SlideError::broken(source.path(), place, "restart markers where tag 65426 says", "none of them there"))
    }

    /// Where a segment begins, by going through the stream from where an earlier search ended. One
    /// thread searches; those that need what it finds wait for it.
    fn start_by_search(&self, source: &Source, segment: u64) -> Result<u64, SlideError> {
        let (bytes, most) = (self.count.saturating_mul(8), self.max_searched);
        if bytes > most {
            let place = format!("{}, restart markers", self.place);
            let hint = "raise Limits::max_tag_bytes";
            return Err(SlideError::over_limit(source.path(), place, "bytes of their offsets", (bytes, most), hint));
        }
        let mut starts = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        if starts.is_empty() {
            starts.push(self.first);
        }
        let index = segment as usize;
        if let Some(&start) = starts.get(index) {
            return Ok(start);
        }
        let from = (starts.len() as u64 - 1, starts[starts.len() - 1]);
        self.search(source, from, segment, |start| starts.push(start))
    }

    /// Goes through the stream from the start of a segment to that of a later one, and tells each that
    /// it comes by.
    fn search(
        &self,
        source: &Source,
        (mut segment, mut start): (u64, u64),
        to: u64,
        mut found: impl FnMut(u64),
    ) -> Result<u64, SlideError> {
        let mut at = start;
        let broken = |segment: u64, found: String| {
            let place = place(&self.place, &(segment..segment + 1));
            let expected = format!("ff {:02x} (restart marker {segment}) at its end", restart(segment));
            SlideError::broken(source.path(), place, expected, found)
        };
        while segment < to {
            let len = BLOCK.min(self.strip.1.saturating_sub(at));
            if at - start > self.longest || len < 2 {
                return Err(broken(segment, format!("none within {} bytes", at - start)));
            }
            let block = source.read(&[], self.strip.0 + at, len, &self.place)?;
            let mut next = 0;
            while let Some((marker, code)) = next_marker(&block, next) {
                if code != restart(segment) {
                    return Err(broken(segment, format!("ff {code:02x} at {}", self.strip.0 + at + marker as u64)));
                }
                next = marker + 2;
                segment += 1;
                start = at + next as u64;
                found(start);
                if segment == to {
                    return Ok(start);
                }
            }
            // The last byte may be the first half of a marker.
            at += if block.ends_with(&[0xff]) { len - 1 } else { len };
        }
        Ok(start)
    }

    /// The list, if there is one and most of it is right. Looked into at the first use: a few entries
    /// all over the stream.
    fn good_list(&self, source: &Source) -> Result<Option<&StartList>, SlideError> {
        let Some(list) = &self.list else { return Ok(None) };
        if let Some(&good) = self.list_is_good.get() {
            return Ok(good.then_some(list));
        }
        let samples = SAMPLES.min(self.count - 1);
        let mut right = 0;
        for i in 1..=samples {
            // From the second segment to the last.
            right += u64::from(self.confirmed(source, list, i * (self.count - 1) / samples)?.is_some());
        }
        let good = right * 4 >= samples * 3;
        if self.list_is_good.set(good).is_ok() && !good {
            let path = source.path().display();
            log::warn!("{path}: {}: tag 65426 is wrong, restart markers are searched for", self.place);
        }
        Ok(good.then_some(list))
    }

    /// What the list says of a segment above 0, if there is a marker before it that has its number.
    fn confirmed(&self, source: &Source, list: &StartList, segment: u64) -> Result<Option<u64>, SlideError> {
        let start = list.entry(source, segment)?;
        if start < self.first + 2 || start >= self.strip.1 {
            return Ok(None);
        }
        let marker = source.read(&[], self.strip.0 + start - 2, 2, &self.place)?;
        Ok((marker == [0xff, restart(segment - 1)]).then_some(start))
    }
}

/// Bytes, and which of them are the segments'.
type Run = (Vec<u8>, Range<usize>);

/// For messages.
fn place(page: &str, segments: &Range<u64>) -> String {
    match segments.end - segments.start {
        1 => format!("{page}, restart segment {}", segments.start),
        _ => format!("{page}, restart segments {} to {}", segments.start, segments.end - 1),
    }
}

/// The second byte of the marker behind a segment.
fn restart(segment: u64) -> u8 {
    0xd0 + (segment % 8) as u8
}

/// The next marker in entropy-coded bytes at or behind a position: where it is, and its second byte.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(usize, u8)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)?;
        match *bytes.get(at + 1)? {
            // A byte of data.
            0 => at += 2,
            // Filling.
            0xff => at += 1,
            code => return Some((at, code)),
        }
    }
}

/// Tags 65426 and 65432: the start of every segment from the start of the stream, in two halves.
#[derive(Debug)]
struct StartList {
    low: List,
    high: Option<List>,
    /// Where the upper halves are missing and needed: the segments at which the lower halves begin
    /// again from 0.
    wraps: OnceLock<Vec<u64>>,
    most_wraps: u64,
}

impl StartList {
    /// `None` where there is none, or not of this stream.
    fn new(source: &Source, page: &Page, len: u64, count: u64) -> Option<Self> {
        let fits = |list: &List| {
            // Does not overflow: counts have 32 bits.
            list.count == count && source.check(list.offset, list.count * 4, "").is_ok()
        };
        let low = page.starts_low?;
        if !fits(&low) {
            let (path, name) = (source.path().display(), &page.directory.name);
            log::warn!("{path}: {name}: tag 65426 has {} numbers for {count} segments: not used", low.count);
            return None;
        }
        let high = page.starts_high.filter(fits);
        Some(Self { low, high, wraps: OnceLock::new(), most_wraps: len >> 32 })
    }

    fn entry(&self, source: &Source, segment: u64) -> Result<u64, SlideError> {
        let half = |list: &List| read_u32s(source, list.offset + segment * 4, 1).map(|half| u64::from(half[0]));
        let low = half(&self.low)?;
        let high = match &self.high {
            Some(list) => half(list)?,
            None if self.most_wraps == 0 => 0,
            None => {
                let wraps = match self.wraps.get() {
                    Some(wraps) => wraps,
                    None => {
                        let found = self.find_wraps(source)?;
                        self.wraps.get_or_init(|| found)
                    }
                };
                wraps.partition_point(|&wrap| wrap <= segment) as u64
            }
        };
        Ok(high << 32 | low)
    }

    /// Goes through all of the lower halves.
    fn find_wraps(&self, source: &Source) -> Result<Vec<u64>, SlideError> {
        let (mut wraps, mut before) = (Vec::new(), 0);
        for first in (0..self.low.count).step_by(BLOCK as usize) {
            let block = read_u32s(source, self.low.offset + first * 4, BLOCK.min(self.low.count - first))?;
            for (i, half) in (first..).zip(block) {
                if half < before {
                    wraps.push(i);
                    // More than the stream has room for: then the list is nonsense anyhow.
                    if wraps.len() as u64 >= self.most_wraps {
                        return Ok(wraps);
                    }
                }
                before = half;
            }
        }
        Ok(wraps)
    }
}

fn read_u32s(source: &Source, offset: u64, count: u64) -> Result<Vec<u32>, SlideError> {
    let bytes = source.read(&[], offset, count * 4, "tag 65426")?;
    Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tiff::tags::Directory;

    #[test]
    fn markers_are_told_from_data() {
        let bytes = [1, 0xff, 0, 0xff, 0xff, 0xd3, 0xff, 0xd4, 0xff];
        assert_eq!(next_marker(&bytes, 0), Some((4, 0xd3)));
        assert_eq!(next_marker(&bytes, 6), Some((6, 0xd4)));
        assert_eq!(next_marker(&bytes, 8), None);
        assert_eq!(next_marker(&bytes, 99), None);
    }

    /// What two lists in a file say of a stream of that length.
    fn listed(low: &[u32], high: Option<&[u32]>, len: u64) -> Vec<u64> {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for half in low.iter().chain(high.unwrap_or_default()) {
            file.write_all(&half.to_le_bytes()).unwrap();
        }
        let source = Source::open(file.path()).unwrap();
        let count = low.len() as u64;
        let directory = Directory::new("page 0".to_owned(), BTreeMap::new());
        let starts_high = high.map(|high| List { offset: count * 4, count: high.len() as u64 });
        let page = Page { directory, starts_low: Some(List { offset: 0, count }), starts_high };
        let list = StartList::new(&source, &page, len, count).unwrap();
        (0..count).map(|i| list.entry(&source, i).unwrap()).collect()
    }

    /// Of a stream of more than 4 GiB, with the upper halves and without them.
    #[test]
    fn starts_beyond_4_gib() {
        let low = [600, 0xffff_fff0, 20, 0x8000_0000, 0xffff_0000, 9, 10];
        let high = [0, 0, 1, 1, 1, 2, 2];
        let expected: Vec<u64> = low.iter().zip(high).map(|(&l, h)| h << 32 | u64::from(l)).collect();
        assert_eq!(listed(&low, Some(&high.map(|h| h as u32)), 3 << 32), expected);
        assert_eq!(listed(&low, None, 3 << 32), expected);
        assert_eq!(listed(&low, Some(&[1, 2]), 3 << 32), expected);
        // A short stream needs none.
        assert_eq!(listed(&low, None, 1 << 30), low.map(u64::from));
        // Nonsense, that would begin anew more often than the stream is long.
        assert_eq!(listed(&[9, 8, 7], None, 1 << 32), [9, (1 << 32) + 8, (1 << 32) + 7]);
    }
}
