//! A plain JPEG or PNG as a slide of one level, decoded into memory at the first read.

use std::io::BufReader;
use std::sync::{Arc, OnceLock};

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, RgbImage};
use scellst_types::Size;

use crate::codec::{DEFLATE_MOST, drop_alpha, jpeg};
use crate::format::Container;
use crate::reader::{LevelInfo, Reader};
use crate::slide::About;
use crate::source::{Cursor, Source, zeroed};
use crate::{Compression, Format, Limits, SlideError};

/// An image that is decoded as a whole.
pub(crate) struct PlainImage {
    source: Arc<Source>,
    container: Container,
    levels: [LevelInfo; 1],
    pixels: OnceLock<Result<Arc<RgbImage>, SlideError>>,
}

const ONLY_RGB: &str = "only 8-bit RGB is read: convert it to 8-bit RGB";

impl PlainImage {
    /// Reads the header. Neither format's density is taken for a resolution: a JPEG's is that of
    /// the print, and a film scanner's would pass for a microscope's.
    pub(crate) fn open(
        source: Arc<Source>,
        container: Container,
        limits: &Limits,
    ) -> Result<(Self, About), SlideError> {
        let path = source.path();
        let jpeg = container == Container::Jpeg;
        let size = if jpeg { jpeg_size(&source, limits)? } else { open_png(&source, limits)?.1 };
        let (bytes, limit) = (size.pixels().saturating_mul(3), limits.max_image_bytes);
        if bytes > limit {
            let hint = "raise Limits::max_image_bytes, or convert it to a tiled TIFF";
            return Err(SlideError::over_limit(path, format!("image of {size} px"), "bytes", (bytes, limit), hint));
        }
        let compression = if jpeg { Compression::Jpeg } else { Compression::Deflate };
        let format = if jpeg { Format::Jpeg } else { Format::Png };
        let about = About { format, mpp: Vec::new(), objective_power: None, associated: Vec::new() };
        let levels = [LevelInfo { size, piece: size, tile: None, compression }];
        Ok((Self { source, container, levels, pixels: OnceLock::new() }, about))
    }

    fn decode(&self) -> Result<Arc<RgbImage>, SlideError> {
        let path = self.source.path();
        let size = self.levels[0].size;
        let pixels = if self.container == Container::Jpeg {
            let bytes = self.source.read(&[], 0, self.source.len(), "the file")?;
            jpeg::decode(&bytes, size)
                .map_err(|(expected, found)| SlideError::broken(path, "the image", expected, found))?
        } else {
            self.decode_png(size)?
        };
        if (pixels.width(), pixels.height()) != (size.width, size.height) {
            let found = format!("{} x {} px: the file has changed", pixels.width(), pixels.height());
            return Err(SlideError::broken(path, "the image", format!("{size} px"), found));
        }
        Ok(Arc::new(pixels))
    }

    fn decode_png(&self, size: Size) -> Result<RgbImage, SlideError> {
        let path = self.source.path();
        let broken = |found: String| SlideError::broken(path, "the image", format!("a PNG image of {size} px"), found);
        let (decoder, _) = open_png(&self.source, &Limits { max_image_bytes: u64::MAX, ..Limits::default() })?;
        let alpha = decoder.color_type() == ColorType::Rgba8;
        let expected = size.pixels() * if alpha { 4 } else { 3 };
        if decoder.total_bytes() != expected {
            return Err(broken(format!("{} bytes of pixels: the file has changed", decoder.total_bytes())));
        }
        let mut samples = zeroed(path, "the image", expected)?;
        decoder.read_image(&mut samples).map_err(|e| broken(e.to_string()))?;
        if alpha {
            drop_alpha(&mut samples);
        }
        RgbImage::from_raw(size.width, size.height, samples).ok_or_else(|| broken("another size".to_owned()))
    }
}

fn jpeg_size(source: &Source, limits: &Limits) -> Result<Size, SlideError> {
    let path = source.path();
    if source.len() > limits.max_image_bytes {
        let hint = "raise Limits::max_image_bytes, or convert it to a tiled TIFF";
        return Err(SlideError::over_limit(path, "the file", "bytes", (source.len(), limits.max_image_bytes), hint));
    }
    let bytes = source.read(&[], 0, source.len(), "the file")?;
    let header =
        jpeg::header(&bytes).map_err(|(expected, found)| SlideError::broken(path, "the image", expected, found))?;
    if header.components != 3 {
        let found = format!("a JPEG of {} components", header.components);
        return Err(SlideError::unsupported(path, "the image", found, ONLY_RGB));
    }
    Ok(header.size)
}

fn open_png(source: &Arc<Source>, limits: &Limits) -> Result<(PngDecoder<BufReader<Cursor>>, Size), SlideError> {
    let path = source.path();
    let broken = |e: image::ImageError| SlideError::broken(path, "the image", "a PNG header", e.to_string());
    let mut png_limits = image::Limits::no_limits();
    png_limits.max_alloc = Some(limits.max_image_bytes.saturating_mul(2));
    let input = BufReader::new(Cursor::new(Arc::clone(source)));
    let decoder = PngDecoder::with_limits(input, png_limits).map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let bits = u64::from(decoder.original_color_type().bits_per_pixel());
    if Size::new(width, height).pixels().saturating_mul(bits) / (8 * DEFLATE_MOST) > source.len() {
        let expected = format!("a PNG long enough for {width} x {height} px");
        return Err(SlideError::broken(path, "the image", expected, format!("{} bytes", source.len())));
    }
    match decoder.color_type() {
        ColorType::Rgb8 | ColorType::Rgba8 => Ok((decoder, Size::new(width, height))),
        other => Err(SlideError::unsupported(path, "the image", format!("a PNG of pixels {other:?}"), ONLY_RGB)),
    }
}

impl Reader for PlainImage {
    fn levels(&self) -> &[LevelInfo] {
        &self.levels
    }

    fn piece(&self, _: usize, _: u64) -> Result<Arc<RgbImage>, SlideError> {
        // Decoding uses one thread and no rayon, so that waiting here cannot wait for itself.
        self.pixels.get_or_init(|| self.decode()).clone()
    }

    fn associated(&self, index: usize) -> Result<RgbImage, SlideError> {
        Err(SlideError::misuse("associated image", "none in a plain image", index.to_string()))
    }

    fn in_memory(&self) -> bool {
        true
    }
}
