//! Pictures as data URIs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::text::escape;
use crate::ReportError;

/// Good enough that words of maps stay sharp.
const QUALITY: u8 = 90;

/// An `img` with the picture inside.
pub(super) fn image(picture: &RgbImage, alt: &str) -> Result<String, ReportError> {
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|e| ReportError::misuse("picture", "1 to 65,535 px a side", format!("{width} x {height}: {e}")))?;
    Ok(format!(
        "<img alt=\"{}\" width=\"{width}\" height=\"{height}\" src=\"data:image/jpeg;base64,{}\">",
        escape(alt),
        STANDARD.encode(bytes)
    ))
}
