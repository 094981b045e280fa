//! JPEG streams, whole or with their tables apart, through zune-jpeg.

use image::RgbImage;
use scellst_types::Size;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Coding, Fault};

const START: [u8; 2] = [0xff, 0xd8];

/// An Adobe marker that says "three components, no colour transform": RGB.
const ADOBE_RGB: [u8; 16] = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, 0];

/// No stream has more pixels a byte: even in a progressive image every block takes a bit of its
/// first scan, and a block of the least sampled kind (chroma at a sixteenth) comes with 18 in 1024 px.
const MOST_PIXELS_PER_BYTE: u64 = 512;

/// The JPEGTables tag without its start and end markers.
pub(crate) fn strip_tables(tables: &[u8]) -> Result<Vec<u8>, String> {
    match tables.strip_prefix(&START) {
        Some([body @ .., 0xff, 0xd9]) => Ok(body.to_vec()),
        _ => Err(format!("{} bytes that begin with {:02x?}", tables.len(), &tables[..tables.len().min(4)])),
    }
}

/// What goes before the stream of a piece: a start marker and the shared tables.
pub(crate) fn prefix(coding: &Coding) -> Vec<u8> {
    if coding.jpeg_tables.is_empty() && !coding.rgb {
        return Vec::new();
    }
    [&START[..], &coding.jpeg_tables].concat()
}

/// Decodes the stream of a tile or strip, which `bytes` holds after `prefix`.
///
/// `rgb`: the directory calls the image RGB. Then the components are taken as they are, unless the
/// stream itself says otherwise by a JFIF or Adobe marker (Aperio's streams have neither; the same
/// rule as tifffile's).
pub(crate) fn decode_piece(
    mut bytes: Vec<u8>,
    prefix: &[u8],
    rgb: bool,
    (stored, needed): (Size, Size),
) -> Result<RgbImage, Fault> {
    let stream = &bytes[prefix.len()..];
    if !stream.starts_with(&START) {
        let found = format!("{:02x?}", &stream[..stream.len().min(2)]);
        return Err(("a JPEG stream (beginning with ff d8)".to_owned(), found));
    }
    if !prefix.is_empty() {
        let mark_rgb = rgb && !names_its_colours(stream);
        let insert: &[u8] = if mark_rgb { &ADOBE_RGB } else { &[] };
        // The stream's own start marker gives way to the tables.
        bytes.splice(prefix.len()..prefix.len() + START.len(), insert.iter().copied());
    }
    let image = decode(&bytes, stored)?;
    let found = Size::new(image.width(), image.height());
    if found.width < needed.width || found.height < needed.height {
        return Err((format!("a JPEG image of {stored} px"), format!("{found} px")));
    }
    Ok(image)
}

/// The marker segments of a stream up to its first scan's, which is the last: marker and content.
fn segments(stream: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = stream.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [0xff, marker, high, low, body @ ..] = rest else { return None };
        let len = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        let (content, next) = body.split_at_checked(len)?;
        // What follows a scan's header is no marker.
        rest = if *marker == START_OF_SCAN { &[] } else { next };
        Some((*marker, content))
    })
}

/// Whether a JFIF or Adobe marker before the image says what the components are.
fn names_its_colours(stream: &[u8]) -> bool {
    segments(stream).any(|(marker, content)| match marker {
        0xe0 => content.starts_with(b"JFIF\0"),
        0xee => content.starts_with(b"Adobe"),
        _ => false,
    })
}

/// Whether it is a sequential stream with a scan for each component and subsampled chroma, of which
/// zune-jpeg 0.5.15 makes another picture without a word (off by 120 of 255 on average).
fn is_misread(stream: &[u8]) -> bool {
    let mut subsampled = false;
    for (marker, content) in segments(stream) {
        match (marker, content) {
            (0xc0 | 0xc1, [_, _, _, _, _, 3, components @ ..]) => {
                subsampled = components.chunks_exact(3).any(|component| component[1] != 0x11);
            }
            (0xda, [count, ..]) => return subsampled && *count < 3,
            _ => {}
        }
    }
    false
}

/// Decodes a whole stream of at most the given size to RGB.
pub(crate) fn decode(bytes: &[u8], at_most: Size) -> Result<RgbImage, Fault> {
    let fault = |found: String| ("JPEG data".to_owned(), found);
    let (mut decoder, header) = open(bytes)?;
    if is_misread(bytes) {
        let expected = "a JPEG image whose components share a scan, or are all of full size";
        return Err((expected.to_owned(), "a scan for each, with subsampled chroma: write it anew".to_owned()));
    }
    if header.size.width > at_most.width || header.size.height > at_most.height {
        return Err((format!("a JPEG image of at most {at_most} px"), format!("{} px", header.size)));
    }
    if header.components != 3 {
        return Err(("a JPEG image of 3 components".to_owned(), header.components.to_string()));
    }
    let mut pixels = Vec::new();
    let len = header.size.pixels() as usize * 3;
    pixels.try_reserve_exact(len).map_err(|e| fault(e.to_string()))?;
    pixels.resize(len, 0);
    decoder.decode_into(&mut pixels).map_err(|e| fault(format!("{e:?}")))?;
    RgbImage::from_raw(header.size.width, header.size.height, pixels)
        .ok_or_else(|| fault("pixels of another size".to_owned()))
}

/// What a stream says of itself before its image.
pub(crate) struct JpegHeader {
    pub(crate) size: Size,
    pub(crate) components: u8,
}

/// Reads the header only.
pub(crate) fn header(bytes: &[u8]) -> Result<JpegHeader, Fault> {
    open(bytes).map(|(_, header)| header)
}

type Decoder<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<(Decoder<'_>, JpegHeader), Fault> {
    let fault = |found: String| ("a JPEG header".to_owned(), found);
    // Strict: a damaged stream is an error, not a grey picture.
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| fault(format!("{e:?}")))?;
    let info = decoder.info().ok_or_else(|| fault("none".to_owned()))?;
    let size = Size::new(u32::from(info.width), u32::from(info.height));
    if size.pixels() / MOST_PIXELS_PER_BYTE > bytes.len() as u64 {
        return Err((format!("a JPEG stream long enough for {size} px"), format!("{} bytes", bytes.len())));
    }
    Ok((decoder, JpegHeader { size, components: info.components }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(strip_tables(&[0xff, 0xd8, 1, 2, 0xff, 0xd9]), Ok(vec![1, 2]));
        assert!(strip_tables(&[0xff, 0xd8, 1, 2]).is_err());
        assert!(strip_tables(&[]).is_err());
        assert!(strip_tables(&[0xff, 0xd9]).is_err());
    }

    #[test]
    fn colours_named_by_markers() {
        assert!(names_its_colours(b"\xff\xd8\xff\xdb\0\x03x\xff\xe0\0\x07JFIF\0"));
        assert!(!names_its_colours(b"\xff\xd8\xff\xda\0\x02\xff\xe0\0\x07JFIF\0"));
        assert!(!names_its_colours(b"\xff\xd8\xff\xe0\xff\xff"));
    }

    /// A stream, and the same taken apart: tables of quantisation and Huffman codes, and the rest
    /// without its JFIF marker.
    fn apart(image: &RgbImage) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let mut whole = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut whole, 90).encode_image(image).unwrap();
        let (mut tables, mut rest) = (START.to_vec(), START.to_vec());
        let mut at = 2;
        loop {
            let marker = whole[at + 1];
            let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
            match marker {
                0xdb | 0xc4 => tables.extend(&whole[at..end]),
                0xe0 => {}
                0xda => break,
                _ => rest.extend(&whole[at..end]),
            }
            at = end;
        }
        rest.extend(&whole[at..]);
        tables.extend([0xff, 0xd9]);
        (whole, tables, rest)
    }

    fn through_a_file(stream: &[u8], tables: &[u8], rgb: bool, size: Size) -> Result<RgbImage, Fault> {
        let jpeg_tables = if tables.is_empty() { Vec::new() } else { strip_tables(tables).unwrap() };
        let coding = Coding { compression: crate::Compression::Jpeg, samples: 3, predictor: false, rgb, jpeg_tables };
        let prefix = prefix(&coding);
        decode_piece([&prefix[..], stream].concat(), &prefix, rgb, (size, size))
    }

    #[test]
    fn shared_tables_make_a_stream_whole() {
        let size = Size::new(40, 24);
        let image = RgbImage::from_fn(40, 24, |x, y| image::Rgb([(x * 6) as u8, (y * 9) as u8, 80]));
        let (whole, tables, rest) = apart(&image);
        let expected = decode(&whole, size).unwrap();
        assert!(through_a_file(&rest, &tables, false, size).unwrap() == expected);
        assert!(through_a_file(&rest, &[], false, size).is_err());
        // A whole stream may have tables beside it; its own count.
        assert!(through_a_file(&whole, &tables, false, size).unwrap() == expected);
        assert!(through_a_file(&whole, &[], false, size).unwrap() == expected);
        // Called RGB by the directory, but JFIF by itself.
        assert!(through_a_file(&whole, &[], true, size).unwrap() == expected);
        let found = through_a_file(&whole, &[], false, Size::new(40, 32)).unwrap_err();
        assert!(found.1.contains("40 x 24"));
    }

    /// Grey is (100, 128, 128) in YCbCr: taken for RGB it stays that.
    #[test]
    fn components_of_an_rgb_page_are_taken_as_they_are() {
        let size = Size::new(16, 16);
        let (_, tables, rest) = apart(&RgbImage::from_pixel(16, 16, image::Rgb([100; 3])));
        let pixels = through_a_file(&rest, &tables, true, size).unwrap();
        assert!(pixels.pixels().all(|p| p.0 == [100, 128, 128]), "{:?}", pixels.get_pixel(0, 0));
        let pixels = through_a_file(&rest, &tables, false, size).unwrap();
        assert!(pixels.pixels().all(|p| p.0 == [100; 3]));
    }
}
