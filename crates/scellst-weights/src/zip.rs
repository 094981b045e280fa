//! As much of the zip format (PKWARE APPNOTE 6.3.10) as PyTorch writes: members that are stored as they are.

use std::collections::BTreeMap;
use std::ops::Range;

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// Every member's place in the file.
pub(crate) fn members(file: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let (count, mut at) = directory(file)?;
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let head = bytes(file, at, 46)?;
        if head[..4] != CENTRAL {
            return Err(format!("broken zip: no entry of the directory at byte {at}"));
        }
        let (method, name_len) = (u16_at(head, 10), u16_at(head, 28));
        let (extra_len, comment_len) = (u16_at(head, 30), u16_at(head, 32));
        let name = String::from_utf8_lossy(bytes(file, at + 46, name_len)?).into_owned();
        let extra = bytes(file, at + 46 + name_len, extra_len)?;
        let mut wide = wide(extra);
        let mut field = |offset: usize| match u32_at(head, offset) {
            0xffff_ffff => wide.next().ok_or_else(|| format!("broken zip: {name} lacks its 64-bit size")),
            small => Ok(small as u64),
        };
        // In this order in the 64-bit field as well: size, packed size, place.
        let (size, packed, place) = (field(24)?, field(20)?, field(42)?);
        if name.contains("/code/") {
            return Err(format!("a TorchScript program ({name}): save its state_dict alone"));
        }
        if method != 0 || size != packed {
            return Err(format!("{name} is compressed (method {method}): PyTorch stores, so this is not its file"));
        }
        let place = usize::try_from(place).map_err(|_| format!("broken zip: {name} lies at {place}"))?;
        let local = bytes(file, place, 30)?;
        if local[..4] != LOCAL {
            return Err(format!("broken zip: no member at byte {place} for {name}"));
        }
        let begin = place + 30 + u16_at(local, 26) + u16_at(local, 28);
        let end = usize::try_from(size).ok().and_then(|s| begin.checked_add(s)).filter(|e| *e <= file.len());
        let end = end.ok_or_else(|| format!("broken zip: {name} of {size} bytes reaches behind the end"))?;
        found.insert(name, begin..end);
        at += 46 + name_len + extra_len + comment_len;
    }
    Ok(found)
}

/// Number of entries and where the first is.
fn directory(file: &[u8]) -> Result<(u64, usize), String> {
    const LONGEST_COMMENT: usize = 65_535;
    let from = file.len().saturating_sub(22 + LONGEST_COMMENT);
    let at = file[from..].windows(4).rposition(|w| w == END).ok_or("broken zip: it has no directory (cut off?)")?;
    let end = bytes(file, from + at, 22)?;
    let (mut count, mut place) = (u16_at(end, 10) as u64, u32_at(end, 16) as u64);
    if count == 0xffff || place == 0xffff_ffff {
        let locator = (from + at).checked_sub(20).ok_or("broken zip: no 64-bit directory")?;
        let locator = bytes(file, locator, 20)?;
        if locator[..4] != LOCATOR64 {
            return Err("broken zip: no 64-bit directory".into());
        }
        let end = usize::try_from(u64_at(locator, 8)).map_err(|e| e.to_string())?;
        let end = bytes(file, end, 56)?;
        if end[..4] != END64 {
            return Err("broken zip: no 64-bit directory".into());
        }
        (count, place) = (u64_at(end, 32), u64_at(end, 48));
    }
    Ok((count, usize::try_from(place).map_err(|e| e.to_string())?))
}

/// The values of the 64-bit extra field.
fn wide(extra: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let mut rest = extra;
    let mut field: &[u8] = &[];
    while rest.len() >= 4 {
        let (id, len) = (u16_at(rest, 0), u16_at(rest, 2));
        let body = rest.get(4..4 + len).unwrap_or_default();
        if id == 1 {
            field = body;
            break;
        }
        rest = rest.get(4 + len..).unwrap_or_default();
    }
    field.chunks_exact(8).map(|b| u64_at(b, 0))
}

fn bytes(file: &[u8], at: usize, len: usize) -> Result<&[u8], String> {
    at.checked_add(len)
        .and_then(|end| file.get(at..end))
        .ok_or_else(|| format!("broken zip: {len} bytes at {at} are missing"))
}

fn u16_at(b: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([b[at], b[at + 1]]))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}
