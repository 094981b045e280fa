//! The codestream inside of a JP2 file (ITU-T T.800, annex I).

use super::Components;
use crate::codec::Fault;

const SIGNATURE: &[u8] = b"\0\0\0\x0cjP  \r\n\x87\n";

/// The codestream, and what the boxes around it say of its colours (if there are any, and they say
/// so by number).
pub(super) fn codestream(bytes: &[u8]) -> Result<(&[u8], Option<Components>), Fault> {
    let Some(mut rest) = bytes.strip_prefix(SIGNATURE) else { return Ok((bytes, None)) };
    let mut colours = None;
    while !rest.is_empty() {
        let (kind, content, next) = split(rest)?;
        match kind {
            b"jp2h" => colours = header(content)?,
            b"jp2c" => return Ok((content, colours)),
            _ => {}
        }
        rest = next;
    }
    Err(("a codestream (jp2c) in JP2 boxes".to_owned(), "none".to_owned()))
}

/// The colours of a header box.
fn header(mut rest: &[u8]) -> Result<Option<Components>, Fault> {
    let mut colours = None;
    while !rest.is_empty() {
        let (kind, content, next) = split(rest)?;
        match (kind, content) {
            (b"pclr", _) => return Err(("three components".to_owned(), "a palette".to_owned())),
            // Method 1: by number. The first counts.
            (b"colr", [1, _, _, number @ ..]) if colours.is_none() => match number {
                [0, 0, 0, 16] => colours = Some(Components::Rgb),
                [0, 0, 0, 18] => colours = Some(Components::YCbCr),
                other => {
                    return Err(("sRGB or sYCC (colour space 16 or 18)".to_owned(), format!("colour space {other:?}")));
                }
            },
            _ => {}
        }
        rest = next;
    }
    Ok(colours)
}

/// The first box's kind and content, and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8; 4], &[u8], &[u8]), Fault> {
    let short = || ("JP2 boxes that fit into the data".to_owned(), format!("a box in {} bytes", bytes.len()));
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let (kind, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (rest, len) = match u32::from_be_bytes(*length) {
        // Up to the end.
        0 => (rest, rest.len() as u64),
        // A length of 64 bits follows.
        1 => {
            let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
            (rest, u64::from_be_bytes(*length).checked_sub(16).ok_or_else(short)?)
        }
        length => (rest, u64::from(length).checked_sub(8).ok_or_else(short)?),
    };
    let len = usize::try_from(len).map_err(|_| short())?;
    let (content, next) = rest.split_at_checked(len).ok_or_else(short)?;
    Ok((kind, content, next))
}
