//! The header of a level's JPEG stream: all that comes before its entropy-coded data.

use scellst_types::Size;

use crate::SlideError;
use crate::source::Source;

/// What was expected and what was found.
type Fault = (String, String);

/// Where a header ends at the latest.
const LONGEST: u64 = 1 << 20;

/// A header, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// From the start of the image up to the end of the start of scan.
    bytes: Vec<u8>,
    /// Where in `bytes` the frame's height and width are.
    sides: usize,
    /// Of the frame; a side that JPEG's 16 bits cannot hold is 0 in an NDPI.
    pub(super) size: Size,
    pub(super) components: u8,
    /// Pixels of the smallest unit that is coded.
    pub(super) mcu: Size,
    /// Blocks of 8 x 8 samples in such a unit.
    pub(super) blocks: u64,
    /// Units from one restart marker to the next; 0 where there are none.
    pub(super) interval: u64,
    /// Whether one scan of Huffman codes has all there is, so that it may be cut at its markers.
    pub(super) sequential: bool,
}

impl Header {
    /// Reads the header of the stream at `strip` (offset and length, which lie in the file).
    pub(super) fn read(source: &Source, strip: (u64, u64), place: &str) -> Result<Self, SlideError> {
        let mut len = 4096;
        loop {
            let bytes = source.read(&[], strip.0, strip.1.min(len), place)?;
            match Self::parse(&bytes) {
                Ok(Some(header)) => return Ok(header),
                Ok(None) if len < strip.1.min(LONGEST) => len *= 16,
                Ok(None) => {
                    let found = format!("none within {} bytes", bytes.len());
                    return Err(SlideError::broken(source.path(), place, "a JPEG stream with a start of scan", found));
                }
                Err((expected, found)) => return Err(SlideError::broken(source.path(), place, expected, found)),
            }
        }
    }

    /// `None` where the bytes end before the header does.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            let found = format!("{:02x?}", &bytes[..bytes.len().min(2)]);
            return Err(("a JPEG stream (beginning with ff d8)".to_owned(), found));
        }
        let mut frame: Option<Frame> = None;
        let mut interval = 0;
        let mut at = 2;
        while let Some(&[mark, code, high, low]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            if mark != 0xff || matches!(code, 0 | 1 | 0xd0..=0xd9) {
                return Err(("a JPEG marker of the header".to_owned(), format!("{mark:02x} {code:02x} at {at}")));
            }
            if code == 0xff {
                // Filling.
                at += 1;
                continue;
            }
            let len = usize::from(u16::from_be_bytes([high, low]));
            let end = at + 2 + len;
            let Some(body) = bytes.get(at + 4..end) else {
                let whole = len >= 2;
                return if whole {
                    Ok(None)
                } else {
                    Err(("a JPEG segment of 2 bytes at least".to_owned(), len.to_string()))
                };
            };
            match code {
                0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) => {
                    if frame.is_some() {
                        return Err(("one JPEG frame".to_owned(), "two".to_owned()));
                    }
                    frame = Some(Frame::parse(body, at + 5, code <= 0xc1)?);
                }
                0xdd => interval = body.first_chunk().map_or(0, |b| u64::from(u16::from_be_bytes(*b))),
                0xda => {
                    let Some(frame) = frame else {
                        return Err(("a JPEG frame before its scan".to_owned(), "none".to_owned()));
                    };
                    let whole = body.first() == Some(&frame.components);
                    return Ok(Some(Self {
                        bytes: bytes[..end].to_vec(),
                        sides: frame.sides,
                        size: frame.size,
                        components: frame.components,
                        mcu: frame.mcu,
                        blocks: frame.blocks,
                        interval,
                        sequential: frame.huffman && whole,
                    }));
                }
                _ => {}
            }
            at = end;
        }
        Ok(None)
    }

    /// Where the entropy-coded data begins.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The header for an image of another size, whose sides are below 65,536.
    pub(super) fn with_size(&self, size: Size) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let sides = [size.height as u16, size.width as u16].map(u16::to_be_bytes).concat();
        bytes[self.sides..self.sides + 4].copy_from_slice(&sides);
        bytes
    }
}

struct Frame {
    sides: usize,
    size: Size,
    components: u8,
    mcu: Size,
    blocks: u64,
    huffman: bool,
}

impl Frame {
    fn parse(body: &[u8], sides: usize, huffman: bool) -> Result<Self, Fault> {
        let fault = |expected: &str, found: String| Err((expected.to_owned(), found));
        let Some((&[bits, h1, h0, w1, w0, components], rest)) = body.split_first_chunk() else {
            return fault("a JPEG frame of 6 bytes at least", body.len().to_string());
        };
        if bits != 8 {
            return fault("JPEG samples of 8 bits", bits.to_string());
        }
        let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        let factors: Vec<(u32, u32)> =
            rest.chunks_exact(3).map(|c| (u32::from(c[1] >> 4), u32::from(c[1] & 15))).collect();
        let fine = |&(h, v): &(u32, u32)| (1..=4).contains(&h) && (1..=4).contains(&v);
        if factors.is_empty() || factors.len() != usize::from(components) || !factors.iter().all(fine) {
            return fault(
                "sampling factors of 1 to 4 for each JPEG component",
                format!("{factors:?} for {components}"),
            );
        }
        // A single component is coded block by block, whatever its factors.
        if components == 1 {
            return Ok(Self { sides, size, components, mcu: Size::new(8, 8), blocks: 1, huffman });
        }
        let most = |f: fn(&(u32, u32)) -> u32| factors.iter().map(f).max().unwrap_or(1) * 8;
        let blocks = factors.iter().map(|&(h, v)| u64::from(h * v)).sum();
        Ok(Self { sides, size, components, mcu: Size::new(most(|f| f.0), most(|f| f.1)), blocks, huffman })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4:2:0, 300 x 200 px, restart interval 19, then two bytes of data.
    const STREAM: &[u8] = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x11\x08\0\xc8\x01\x2c\x03\x01\x22\0\x02\x11\0\x03\x11\0\xff\xdd\0\x04\0\x13\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0xx";

    #[test]
    fn says_what_the_stream_is() {
        let header = Header::parse(STREAM).unwrap().unwrap();
        assert_eq!((header.size, header.mcu), (Size::new(300, 200), Size::new(16, 16)));
        assert_eq!((header.blocks, header.interval, header.sequential), (6, 19, true));
        assert_eq!(header.len(), STREAM.len() as u64 - 2);
        let small = Header::parse(&header.with_size(Size::new(64, 65_535))).unwrap().unwrap();
        assert_eq!(small.size, Size::new(64, 65_535));
        assert_eq!(Header { size: header.size, bytes: header.bytes.clone(), ..small }, header);
    }

    #[test]
    fn may_end_anywhere() {
        for len in 2..STREAM.len() - 2 {
            assert_eq!(Header::parse(&STREAM[..len]), Ok(None), "{len}");
        }
        assert!(Header::parse(b"\xff").is_err());
    }

    #[test]
    fn nonsense_is_named() {
        for (from, to, word) in [
            (&b"\x08\0\xc8"[..], &b"\x0c\0\xc8"[..], "8 bits"),
            (b"\x01\x22", b"\x01\x02", "sampling"),
            (b"\xff\xdd\0\x04", b"\xff\xdd\0\x01", "2 bytes at least"),
            (b"\xff\xc0", b"\xff\xc4", "frame before"),
            (b"\xff\xe0", b"\xff\xd9", "marker"),
        ] {
            let at = STREAM.windows(from.len()).position(|w| w == from).unwrap();
            let mut bytes = STREAM.to_vec();
            bytes[at..at + to.len()].copy_from_slice(to);
            let (expected, found) = Header::parse(&bytes).unwrap_err();
            assert!(expected.contains(word), "{word}: {expected}, {found}");
        }
    }
}
