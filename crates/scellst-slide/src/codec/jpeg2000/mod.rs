//! JPEG 2000, bare codestreams or in JP2 boxes, through hayro-jpeg2000.

mod boxes;
mod check;

use std::borrow::Cow;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use image::RgbImage;
use scellst_types::Size;

use super::Fault;
use crate::shrink::mean_of_squares;

const END: [u8; 2] = [0xff, 0xd9];

/// What a file says that the three components are, once the codestream's own transform is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Components {
    Rgb,
    /// Of full range, as in JFIF.
    YCbCr,
}

/// Halvings that are done by means rather than by leaving out resolutions: see [`decode_piece`].
pub(crate) const BY_MEANS: u32 = 2;

/// Decodes the stream of a tile, strip or frame, `halvings` times shrunk by two (each side rounded up).
///
/// `stored` is the size that the file gives; `needed`, at most as large, is what must be there.
///
/// A stream holds coarser resolutions of itself, which cost little to decode. But its low-pass is a wavelet's,
/// with its centre half a pixel off: sharper than a mean over squares, and shifted. Means of 4 x 4 of them
/// are within 2 of 255, on average over a slide, of the means of all pixels (of 2 x 2: within 4; by
/// themselves: 8). So all but the last [`BY_MEANS`] halvings leave out resolutions.
pub(crate) fn decode_piece(
    bytes: &[u8],
    components: Components,
    sizes: (Size, Size),
    halvings: u32,
) -> Result<RgbImage, Fault> {
    let (image, skipped) = decode_coarser(bytes, components, sizes, halvings.saturating_sub(BY_MEANS))?;
    Ok(if skipped < halvings { mean_of_squares(&image, 1 << (halvings - skipped)) } else { image })
}

/// Decodes a stream without up to `at_most` of its finest resolutions; how many were left out.
fn decode_coarser(
    bytes: &[u8],
    components: Components,
    (stored, needed): (Size, Size),
    at_most: u32,
) -> Result<(RgbImage, u32), Fault> {
    let (stream, boxed) = boxes::codestream(bytes)?;
    let checked = check::check(stream, stored)?;
    let size = checked.size;
    if size.width < needed.width || size.height < needed.height {
        return Err((format!("a JPEG 2000 image of {stored} px"), format!("{size} px")));
    }
    // A side of one pixel cannot be asked for at half of its size.
    let skipped = at_most.min(checked.resolutions.into()).min(size.width.ilog2()).min(size.height.ilog2());
    let target = (skipped > 0).then(|| (size.width >> skipped, size.height >> skipped));
    let settings = DecodeSettings { strict: true, target_resolution: target, ..DecodeSettings::default() };

    let whole = closed(stream, &checked);
    let fault = |found: String| ("JPEG 2000 data".to_owned(), found);
    let image = Image::new(&whole, &settings).map_err(|e| fault(e.to_string()))?;
    let expected = Size::new(size.width.div_ceil(1 << skipped), size.height.div_ceil(1 << skipped));
    if (image.width(), image.height()) != (expected.width, expected.height) {
        return Err((
            format!("a JPEG 2000 image of {expected} px"),
            format!("{} x {} px", image.width(), image.height()),
        ));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|e| fault(e.to_string()))?;
    let samples = expected.pixels() as usize;
    let planes = decoded.components();
    if planes.len() != 3 || planes.iter().any(|plane| plane.samples().len() != samples) {
        return Err(fault("components of different sizes".to_owned()));
    }
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(samples * 3).map_err(|e| fault(e.to_string()))?;
    pixels.resize(samples * 3, 0);
    decoded.store_u8_into(&mut pixels);
    let ycbcr = components == Components::YCbCr || boxed == Some(Components::YCbCr);
    // Where chroma is subsampled the decoder has made RGB of it.
    if ycbcr && !checked.transformed && !checked.subsampled {
        rgb_from_ycbcr(&mut pixels);
    }
    let image = RgbImage::from_raw(expected.width, expected.height, pixels)
        .ok_or_else(|| fault("pixels of another size".to_owned()))?;
    Ok((image, skipped))
}

/// The stream up to its end marker, which is put there if missing, with the length of every tile-part.
fn closed<'a>(stream: &'a [u8], checked: &check::Checked) -> Cow<'a, [u8]> {
    let ended = stream.get(checked.end..checked.end + END.len()) == Some(&END);
    if ended && checked.open_length.is_none() {
        return Cow::Borrowed(&stream[..checked.end + END.len()]);
    }
    let mut whole = [&stream[..checked.end], &END].concat();
    if let Some((at, length)) = checked.open_length {
        whole[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    Cow::Owned(whole)
}

/// Full-range YCbCr as in JFIF to RGB, in place.
fn rgb_from_ycbcr(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(3) {
        let [y, cb, cr] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        // `as` rounds towards zero and clamps to 0 and 255.
        pixel[0] = (y + 1.402 * cr + 0.5) as u8;
        pixel[1] = (y - 0.344_136 * cb - 0.714_136 * cr + 0.5) as u8;
        pixel[2] = (y + 1.772 * cb + 0.5) as u8;
    }
}

#[cfg(test)]
mod tests;
