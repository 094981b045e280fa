//! The markers of a JPEG 2000 codestream, gone through before a decoder sees it.
//!
//! The decoder sizes its tables by what the headers say, which a few bytes can set to terabytes. Here
//! every marker segment up to the packets is read (ITU-T T.800, annex A), and a stream passes that
//! holds what slides have, in segments as long as their content: so that the decoder, which reads by
//! content, cannot see other markers than were checked.

use scellst_types::Size;

use crate::codec::Fault;

/// More pixels than these must come with a byte for every [`PIXELS_PER_BYTE`]. The decoder takes
/// about 30 bytes a pixel: 120 MB.
const FREE_PIXELS: u64 = 1 << 22;
const PIXELS_PER_BYTE: u64 = 1024;
/// Bytes of tables (code-blocks, their layers, precincts) that a stream may make the decoder build
/// for one of its tiles. Blocks of 64 x 64 in one layer take 0.1 bytes a pixel.
const MAX_TABLE_BYTES: u64 = 1 << 26;
/// Of the wavelet transform. 5 is usual; 2^16 px a side shrink to one pixel.
const MAX_DECOMPOSITIONS: u8 = 16;
/// What the decoder knows.
const MAX_LAYERS: u16 = 32;
/// Size of a tile-part's header with its two markers: no part of a stream is shorter.
const SHORTEST_PART: u64 = 14;

mod marker {
    pub(super) const SOC: u16 = 0xff4f;
    pub(super) const SIZ: u16 = 0xff51;
    pub(super) const COD: u16 = 0xff52;
    pub(super) const COC: u16 = 0xff53;
    pub(super) const QCD: u16 = 0xff5c;
    pub(super) const QCC: u16 = 0xff5d;
    pub(super) const SOT: u16 = 0xff90;
    pub(super) const SOD: u16 = 0xff93;
    pub(super) const EOC: u16 = 0xffd9;
    /// Lengths of tile-parts and of packets, registration of components, comment: all skipped.
    pub(super) const SKIPPED: [u16; 4] = [0xff55, 0xff58, 0xff63, 0xff64];
}

/// What was found out of a stream that may be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) size: Size,
    /// Whether the second and third component have fewer samples than the first.
    pub(super) subsampled: bool,
    /// Whether the components went through a colour transform, which the decoder undoes: they are RGB.
    pub(super) transformed: bool,
    /// Resolutions that can be left out, by the main header.
    pub(super) resolutions: u8,
    /// Where the last tile-part ends.
    pub(super) end: usize,
    /// Where the length of a last tile-part stands that is given as 0, "up to the end", and what it is.
    pub(super) open_length: Option<(usize, u32)>,
}

/// Goes through a codestream of an image of at most the given size.
pub(super) fn check(stream: &[u8], at_most: Size) -> Result<Checked, Fault> {
    let mut reader = Reader { bytes: stream, at: 0 };
    reader.expect(marker::SOC, "a JPEG 2000 codestream (beginning with ff 4f)")?;
    reader.expect(marker::SIZ, "the size (SIZ) of a JPEG 2000 image")?;
    let frame = Frame::read(reader.segment()?, stream.len() as u64, at_most)?;
    let mut tables =
        Tables { frame: &frame, block_bytes: 0, precinct_bytes: 0, layers: 0, transform: None, least: u8::MAX };
    let (mut coded, mut quantised) = (false, false);
    let first_part = loop {
        let start = reader.at;
        let code = reader.u16()?;
        match code {
            marker::SOT => break start,
            marker::COD => coded = true,
            marker::QCD => quantised = true,
            _ => {}
        }
        tables.segment(code, reader.segment()?)?;
    };
    if !coded || !quantised {
        return Err(fault("a main header with coding style and quantisation (COD, QCD)", "none"));
    }
    let resolutions = tables.least;
    reader.at = first_part;
    let mut seen = vec![false; frame.tiles as usize];
    let mut open_length = None;
    while open_length.is_none() && reader.at < stream.len() && reader.peek() != Some(marker::EOC) {
        open_length = tile_part(&mut reader, &mut tables, &mut seen)?;
    }
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        return Err(fault("a codestream with all of its tiles", &format!("none of tile {missing}")));
    }
    let transformed = tables.transform == Some(1);
    let end = reader.at;
    Ok(Checked { size: frame.size, subsampled: frame.subsampled, transformed, resolutions, end, open_length })
}

/// Goes through a tile-part and to its end; where its length is open, what it is.
fn tile_part(
    reader: &mut Reader<'_>,
    tables: &mut Tables<'_>,
    seen: &mut [bool],
) -> Result<Option<(usize, u32)>, Fault> {
    let start = reader.at;
    reader.expect(marker::SOT, "a tile-part (SOT) or the end of a JPEG 2000 codestream")?;
    let mut header = reader.segment()?;
    let (index, length) = (header.u16()?, header.u32()?);
    if header.rest() != 2 {
        return Err(fault("a tile-part's header of 10 bytes", &format!("{} bytes", header.bytes.len() + 2)));
    }
    let count = seen.len();
    match seen.get_mut(usize::from(index)) {
        Some(seen) => *seen = true,
        None => return Err(fault(&format!("a tile below {count}"), &format!("tile {index}"))),
    }
    loop {
        match reader.u16()? {
            marker::SOD => break,
            code => tables.segment(code, reader.segment()?)?,
        }
    }
    if length == 0 {
        // No two bytes of the packets are the end marker.
        let data = &reader.bytes[reader.at..];
        let len = data.windows(2).position(|pair| pair == marker::EOC.to_be_bytes()).unwrap_or(data.len());
        reader.at += len;
        let length = u32::try_from(reader.at - start).map_err(|_| fault("a tile-part below 4 GiB", "a larger one"))?;
        return Ok(Some((start + 6, length)));
    }
    let end = start.saturating_add(length as usize);
    if end < reader.at || end > reader.bytes.len() {
        let found = format!("one of {length} bytes at {start} of {}", reader.bytes.len());
        return Err(fault("a tile-part that ends inside of the data", &found));
    }
    reader.at = end;
    Ok(None)
}

/// What the SIZ segment says.
struct Frame {
    size: Size,
    subsampled: bool,
    /// Of the codestream's own tiles, clipped to the image.
    tile: Size,
    tiles: u64,
}

impl Frame {
    fn read(mut segment: Reader<'_>, stream_len: u64, at_most: Size) -> Result<Self, Fault> {
        if segment.u16()? & 0xc000 != 0 {
            return Err(fault("JPEG 2000 as in its part 1", "high-throughput coding or extensions of part 2"));
        }
        let size = Size::new(segment.u32()?, segment.u32()?);
        let origin = (segment.u32()?, segment.u32()?);
        let tile = Size::new(segment.u32()?, segment.u32()?);
        let tile_origin = (segment.u32()?, segment.u32()?);
        if size.width == 0 || size.height == 0 || tile.width == 0 || tile.height == 0 {
            return Err(fault("an image and tiles of at least 1 px", &format!("{size} and {tile} px")));
        }
        if size.width > at_most.width || size.height > at_most.height {
            return Err(fault(&format!("a JPEG 2000 image of at most {at_most} px"), &format!("{size} px")));
        }
        if origin != (0, 0) || tile_origin != (0, 0) {
            return Err(fault("an image and tiles that begin at 0", &format!("{origin:?} and {tile_origin:?}")));
        }
        let components = segment.u16()?;
        if components != 3 || segment.rest() != 9 {
            return Err(fault("a JPEG 2000 image of 3 components", &components.to_string()));
        }
        let mut steps = [(0, 0); 3];
        for step in &mut steps {
            let depth = segment.u8()?;
            if depth != 7 {
                let signed = if depth & 0x80 != 0 { "signed" } else { "unsigned" };
                return Err(fault("unsigned samples of 8 bits", &format!("{signed} of {}", (depth & 0x7f) + 1)));
            }
            *step = (segment.u8()?, segment.u8()?);
        }
        let chroma = steps[1];
        let usual = (1..=2).contains(&chroma.0) && (1..=2).contains(&chroma.1);
        if steps[0] != (1, 1) || steps[2] != chroma || !usual {
            return Err(fault("a second and third component of all or half of the samples", &format!("{steps:?}")));
        }
        let tiles = u64::from(size.width.div_ceil(tile.width)) * u64::from(size.height.div_ceil(tile.height));
        if tiles > u64::from(u16::MAX) || tiles * SHORTEST_PART > stream_len {
            return Err(fault("a codestream long enough for its tiles", &format!("{tiles} tiles, {stream_len} bytes")));
        }
        if size.pixels() > FREE_PIXELS && size.pixels() / PIXELS_PER_BYTE > stream_len {
            return Err(fault(&format!("a codestream long enough for {size} px"), &format!("{stream_len} bytes")));
        }
        let tile = Size::new(tile.width.min(size.width), tile.height.min(size.height));
        Ok(Self { size, subsampled: chroma != (1, 1), tile, tiles })
    }
}

/// The most that the coding styles met so far make the decoder build for a tile.
struct Tables<'a> {
    frame: &'a Frame,
    /// Per component and layer.
    block_bytes: u64,
    precinct_bytes: u64,
    layers: u64,
    transform: Option<u8>,
    /// Decompositions of the component that has the fewest.
    least: u8,
}

impl Tables<'_> {
    /// Takes in a marker segment of the main header or of a tile-part's.
    fn segment(&mut self, code: u16, mut segment: Reader<'_>) -> Result<(), Fault> {
        match code {
            marker::COD => {
                let style = segment.u8()?;
                let order = segment.u8()?;
                let layers = segment.u16()?;
                let transform = segment.u8()?;
                if order > 4 || layers == 0 || layers > MAX_LAYERS || transform > 1 {
                    let found = format!("{order}, {layers} and {transform}");
                    return Err(fault("a progression order of 0 to 4, 1 to 32 layers, a transform of 0 or 1", &found));
                }
                // The decoder takes that of the first tile for all.
                if *self.transform.get_or_insert(transform) != transform {
                    return Err(fault("one colour transform for all tiles", "with and without"));
                }
                self.layers = self.layers.max(layers.into());
                self.style(segment, style)
            }
            marker::COC => {
                component(&mut segment)?;
                let style = segment.u8()?;
                self.style(segment, style)
            }
            marker::QCD => quantisation(segment),
            marker::QCC => {
                component(&mut segment)?;
                quantisation(segment)
            }
            code if marker::SKIPPED.contains(&code) => Ok(()),
            other => {
                let found = format!("marker {other:04x}");
                Err(fault("a codestream without regions of interest, changes of progression or packed headers", &found))
            }
        }
    }

    /// The end of a COD or COC segment (tables A.15 and A.20).
    fn style(&mut self, mut segment: Reader<'_>, style: u8) -> Result<(), Fault> {
        let decompositions = segment.u8()?;
        let (width, height) = (segment.u8()?, segment.u8()?);
        let (block_style, wavelet) = (segment.u8()?, segment.u8()?);
        if decompositions > MAX_DECOMPOSITIONS {
            return Err(fault(&format!("at most {MAX_DECOMPOSITIONS} decompositions"), &decompositions.to_string()));
        }
        if width > 8 || height > 8 || width + height > 8 || block_style & 0xc0 != 0 || wavelet > 1 {
            let found = format!("2^{} x 2^{}, style {block_style:#x}, wavelet {wavelet}", width + 2, height + 2);
            return Err(fault("code-blocks of at most 4096 samples as in part 1", &found));
        }
        let precincts = if style & 1 != 0 { segment.take(usize::from(decompositions) + 1)? } else { &[] };
        if segment.rest() != 0 {
            return Err(fault("a coding style as long as its content", &format!("{} bytes more", segment.rest())));
        }
        self.least = self.least.min(decompositions);
        let (mut blocks, mut count) = (0, 0);
        for resolution in 0..=decompositions {
            let precinct = precincts.get(usize::from(resolution)).copied().unwrap_or(0xff);
            let precinct = (precinct & 0xf, precinct >> 4);
            // Above the coarsest, precincts lie on three bands of half the side each.
            let finer = u8::from(resolution > 0);
            let (Some(px), Some(py)) = (precinct.0.checked_sub(finer), precinct.1.checked_sub(finer)) else {
                return Err(fault("precincts of at least 2 samples a side", "1"));
            };
            let bands = if finer == 1 { 3 } else { 1 };
            let shift = u32::from(decompositions - resolution + finer);
            let side = |n: u32, log: u8| (u64::from(n >> shift.min(31)) >> log) + 2;
            let (w, h) = (self.frame.tile.width, self.frame.tile.height);
            count += bands * side(w, px) * side(h, py);
            blocks += bands * side(w, px.min(width + 2)) * side(h, py.min(height + 2));
        }
        // A block's own entry and its share of two trees; a precinct's, and the least of its trees.
        self.block_bytes = self.block_bytes.max(blocks * 256);
        self.precinct_bytes = self.precinct_bytes.max(count * 320);
        self.afford(blocks)
    }

    fn afford(&self, blocks: u64) -> Result<(), Fault> {
        const LAYER_BYTES: u64 = 24;
        let layers = blocks.saturating_mul(LAYER_BYTES * self.layers.max(1));
        let needed = 3 * (self.block_bytes + self.precinct_bytes + layers);
        if needed > MAX_TABLE_BYTES {
            let expected = format!("code-blocks and precincts whose tables take at most {MAX_TABLE_BYTES} bytes");
            return Err(fault(&expected, &format!("{needed} bytes for a tile of {} px", self.frame.tile)));
        }
        Ok(())
    }
}

/// The index of the component that a segment is about.
fn component(segment: &mut Reader<'_>) -> Result<(), Fault> {
    match segment.u8()? {
        0..=2 => Ok(()),
        other => Err(fault("a component below 3", &other.to_string())),
    }
}

/// The end of a QCD or QCC segment (table A.28).
fn quantisation(mut segment: Reader<'_>) -> Result<(), Fault> {
    let style = segment.u8()? & 0x1f;
    let rest = segment.rest();
    let fits = match style {
        0 => rest > 0,
        1 => rest == 2,
        2 => rest > 0 && rest % 2 == 0,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(fault("a quantisation as long as its content", &format!("style {style}, {rest} bytes")))
}

fn fault(expected: &str, found: &str) -> Fault {
    (expected.to_owned(), found.to_owned())
}

/// Bytes that are read one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let bytes = found.ok_or_else(|| {
            fault("a JPEG 2000 codestream with all of its markers", &format!("the end at byte {}", self.bytes.len()))
        })?;
        self.at += len;
        Ok(bytes)
    }

    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn peek(&self) -> Option<u16> {
        let bytes = self.bytes.get(self.at..self.at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn expect(&mut self, code: u16, what: &str) -> Result<(), Fault> {
        let at = self.at;
        match self.u16()? {
            found if found == code => Ok(()),
            other => Err(fault(what, &format!("{other:04x} at byte {at}"))),
        }
    }

    /// What follows a marker: a length that counts itself, and the rest of the segment.
    fn segment(&mut self) -> Result<Reader<'a>, Fault> {
        let at = self.at;
        let len = self.u16()?;
        let rest = len.checked_sub(2).ok_or_else(|| fault("a marker's length", &format!("{len} at byte {at}")))?;
        Ok(Reader { bytes: self.take(rest.into())?, at: 0 })
    }
}
