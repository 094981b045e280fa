//! WebP, lossy or lossless, through image-webp.

use std::io::Cursor;

use image::RgbImage;
use image_webp::WebPDecoder;
use scellst_types::Size;

use super::{Fault, drop_alpha};

/// Decodes the stream of a tile or strip; alpha is dropped.
///
/// `stored` is the size that the directory gives; `needed`, at most as large, is what must be there.
pub(crate) fn decode_piece(bytes: &[u8], (stored, needed): (Size, Size)) -> Result<RgbImage, Fault> {
    let fault = |found: String| ("WebP data".to_owned(), found);
    for size in frames(bytes) {
        check(size, stored)?;
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| fault(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    check(size, stored)?;
    if width < needed.width || height < needed.height {
        return Err((format!("a WebP image of {stored} px"), format!("{size} px")));
    }
    if decoder.is_animated() {
        return Err(("a WebP image".to_owned(), "an animation".to_owned()));
    }
    let len = decoder.output_buffer_size().ok_or_else(|| fault(format!("{size} px")))?;
    decoder.set_memory_limit(len);
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(len).map_err(|e| fault(e.to_string()))?;
    pixels.resize(len, 0);
    decoder.read_image(&mut pixels).map_err(|e| fault(e.to_string()))?;
    if decoder.has_alpha() {
        drop_alpha(&mut pixels);
    }
    RgbImage::from_raw(width, height, pixels).ok_or_else(|| fault("pixels of another size".to_owned()))
}

fn check(size: Size, at_most: Size) -> Result<(), Fault> {
    if size.width > at_most.width || size.height > at_most.height {
        return Err((format!("a WebP image of at most {at_most} px"), format!("{size} px")));
    }
    Ok(())
}

/// The sizes of the lossy pictures in the chunks (RFC 9649, 2.5): the decoder allocates by these before
/// it compares them with the canvas.
fn frames(bytes: &[u8]) -> impl Iterator<Item = Size> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        while let Some((head, content)) = rest.split_first_chunk::<8>() {
            let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            rest = content.get(len.saturating_add(len % 2)..).unwrap_or_default();
            if let (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..]) = (&head[..4], content) {
                let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                return Some(Size::new(side(*a, *b), side(*c, *d)));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lossless_with_and_without_alpha() {
        let size = Size::new(37, 21);
        let image = RgbImage::from_fn(37, 21, |x, y| image::Rgb([(x * 6) as u8, (y * 9) as u8, (x ^ y) as u8]));
        let mut bytes = Vec::new();
        image_webp::WebPEncoder::new(&mut bytes).encode(&image, 37, 21, image_webp::ColorType::Rgb8).unwrap();
        assert!(decode_piece(&bytes, (size, size)).unwrap() == image);
        assert!(decode_piece(&bytes[..bytes.len() / 2], (size, size)).is_err());
        let small = Size::new(36, 21);
        assert!(decode_piece(&bytes, (small, small)).unwrap_err().0.contains("at most 36 x 21"));
        let large = Size::new(38, 21);
        assert!(decode_piece(&bytes, (large, large)).unwrap_err().1.contains("37 x 21"));

        let rgba: Vec<u8> = image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2], 200]).collect();
        let mut bytes = Vec::new();
        image_webp::WebPEncoder::new(&mut bytes).encode(&rgba, 37, 21, image_webp::ColorType::Rgba8).unwrap();
        assert!(decode_piece(&bytes, (size, size)).unwrap() == image);
    }

    #[test]
    fn sizes_of_pictures_inside() {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8X\x03\0\0\0abc\0VP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x40\0\xff\xff".to_vec();
        assert_eq!(frames(&bytes).collect::<Vec<_>>(), [Size::new(64, 16383)]);
        bytes.truncate(40);
        assert_eq!(frames(&bytes).count(), 0);
    }
}
