//! A directory as an image: its geometry checked, its pieces found, its pixels decoded.

use std::sync::{Arc, OnceLock};

use image::RgbImage;
use scellst_types::Size;

use super::tags::{Directory, NDPI_MARK};
use crate::codec::colour::{self, Colour};
use crate::codec::{self, Coding};
use crate::source::{Source, zeroed};
use crate::{Compression, Limits, SlideError};

/// An image whose tags are understood and agree with each other and the file.
#[derive(Debug)]
pub(crate) struct Page {
    /// For messages.
    name: String,
    pub(crate) size: Size,
    /// Of a tile or strip.
    pub(crate) piece: Size,
    pub(crate) tiled: bool,
    pub(crate) coding: Coding,
    colour: Colour,
    /// 3 where every channel has its own pieces, else 1.
    planes: usize,
    /// Offset and length of every piece, in row order, one plane after the other.
    data: Vec<(u64, u64)>,
    /// One for all the tiles that a sparse file leaves out.
    white: OnceLock<Result<Arc<RgbImage>, SlideError>>,
}

/// Width and height of a directory's image.
pub(crate) fn size(source: &Source, directory: &Directory) -> Result<Size, SlideError> {
    let side = |tag: u16, what: &str| match directory.first(tag) {
        Some(n @ 1..) if n <= i32::MAX as u64 => Ok(n as u32),
        Some(n) => Err(bad(source, directory, format!("{what} from 1 to {}", i32::MAX), n.to_string())),
        None => Err(bad(source, directory, format!("{what} (tag {tag})"), "none".to_owned())),
    };
    Ok(Size::new(side(256, "an image width")?, side(257, "an image height")?))
}

fn bad(source: &Source, directory: &Directory, expected: impl Into<String>, found: impl Into<String>) -> SlideError {
    SlideError::broken(source.path(), directory.name.clone(), expected, found)
}

impl Page {
    /// Checks a directory.
    pub(crate) fn new(source: &Source, directory: &Directory, limits: &Limits) -> Result<Self, SlideError> {
        let bad = |expected: String, found: String| bad(source, directory, expected, found);
        let size = size(source, directory)?;
        let coding = coding(source, directory)?;
        let colour = colour_of(source, directory)?;
        let planes = if is_planar(directory) { 3 } else { 1 };
        let tiled = directory.has(322) || directory.has(323) || directory.has(324);
        if tiled && directory.has(273) {
            return Err(bad("either tiles or strips".to_owned(), "offsets of both".to_owned()));
        }
        let mut piece = if tiled {
            let side = |tag: u16| {
                let side = directory.first(tag).unwrap_or(0);
                u32::try_from(side)
                    .ok()
                    .filter(|&n| n > 0)
                    .ok_or_else(|| bad(format!("a tile side above 0 (tag {tag})"), side.to_string()))
            };
            Size::new(side(322)?, side(323)?)
        } else {
            let rows = directory.first(278).unwrap_or(u64::from(u32::MAX));
            if rows == 0 {
                return Err(bad("rows per strip above 0".to_owned(), "0".to_owned()));
            }
            Size::new(size.width, u32::try_from(rows).unwrap_or(u32::MAX).min(size.height))
        };
        let count = u64::from(size.width.div_ceil(piece.width)) * u64::from(size.height.div_ceil(piece.height));
        let what = if tiled { "tiles" } else { "strips" };
        let (offsets_tag, lengths_tag) = if tiled { (324, 325) } else { (273, 279) };
        let list = |tag: u16, kind: &str| {
            let values = directory.unsigned(tag).unwrap_or_default();
            if (values.len() as u64) < count * planes as u64 {
                let of_planes = if planes > 1 { " of 3 planes" } else { "" };
                let expected = format!("{kind} of {count} {what}{of_planes} for {size} px in {what} of {piece} px");
                return Err(bad(expected, values.len().to_string()));
            }
            Ok(values)
        };
        let offsets = list(offsets_tag, "offsets")?;
        let raw_bytes = size.pixels().saturating_mul(coding.samples as u64);
        let lengths = match list(lengths_tag, "byte counts") {
            Ok(lengths) => lengths.to_vec(),
            // Very old writers leave the length of a single raw strip to be worked out.
            Err(_) if count == 1 && planes == 1 && !tiled && coding.compression == Compression::None => vec![raw_bytes],
            Err(e) => return Err(e),
        };
        let mut data: Vec<(u64, u64)> = offsets.iter().copied().zip(lengths).take(count as usize * planes).collect();
        for (i, &(offset, len)) in data.iter().enumerate() {
            // A tile without bytes is one that a sparse file leaves out. A slide may have a hundred thousand
            // tiles: the words are put together only for one that is wrong.
            if (len > 0 || !tiled) && !source.holds(offset, len) {
                source.check(offset, len, &format!("{}, {}", directory.name, piece_name(tiled, i as u64)))?;
            }
        }
        if !tiled && coding.compression == Compression::None {
            // So that no more parts are made than the file has bytes for.
            let stored: u64 = data.iter().map(|&(_, len)| len).fold(0, u64::saturating_add);
            let needed = raw_bytes.saturating_mul(planes as u64);
            if stored < needed {
                return Err(bad(format!("{needed} bytes of pixels in {what}"), stored.to_string()));
            }
            let strips = std::mem::take(&mut data);
            let whole = piece;
            for plane in strips.chunks(count as usize) {
                let (part, parts) = split_raw_strips(size, whole, coding.samples, plane);
                piece = part;
                data.extend(parts);
            }
        }
        let decoded = piece.pixels().saturating_mul(coding.samples.max(3) as u64);
        let largest = data.iter().map(|&(_, len)| len).max().unwrap_or(0).max(decoded);
        if largest > limits.max_tile_bytes {
            let place = format!("{}, {what} of {piece} px", directory.name);
            let hint = "raise Limits::max_tile_bytes, or convert it to a tiled TIFF";
            return Err(SlideError::over_limit(source.path(), place, "bytes", (largest, limits.max_tile_bytes), hint));
        }
        let name = directory.name.clone();
        Ok(Self { name, size, piece, tiled, coding, colour, planes, data, white: OnceLock::new() })
    }

    /// An image whose red, green and blue are grey images of their own, laid out alike.
    pub(crate) fn of_planes(
        source: &Source,
        directories: [&Directory; 3],
        limits: &Limits,
    ) -> Result<Self, SlideError> {
        let mut first = Self::new(source, directories[0], limits)?;
        for directory in directories {
            let next = Self::new(source, directory, limits)?;
            let layout = |page: &Self| (page.size, page.piece, page.tiled, page.coding.compression);
            if layout(&next) != layout(&first) || next.colour != Colour::Grey || next.planes != 1 {
                let found = format!("{} px in pieces of {} px, {:?}", next.size, next.piece, next.colour);
                let expected = format!("a grey channel of {} px in pieces of {} px", first.size, first.piece);
                return Err(bad(source, directory, expected, found));
            }
            if directory.name != directories[0].name {
                // Predictors may differ from channel to channel by the letter of the format.
                if next.coding.predictor != first.coding.predictor {
                    return Err(bad(source, directory, "the predictor of the first channel", "another"));
                }
                first.data.extend(next.data);
            }
        }
        if first.data.len() % 3 != 0 {
            return Err(bad(source, directories[0], "three channels in three directories", "fewer"));
        }
        first.planes = 3;
        first.colour = Colour::Rgb;
        Ok(first)
    }

    /// The upper left part of an image that was filled up to whole tiles; not larger than it is.
    pub(crate) fn crop(&mut self, size: Size) {
        let size = Size::new(size.width.clamp(1, self.size.width), size.height.clamp(1, self.size.height));
        let across = self.size.width.div_ceil(self.piece.width) as usize;
        let plane = self.data.len() / self.planes;
        let kept = (size.width.div_ceil(self.piece.width) as usize, size.height.div_ceil(self.piece.height) as usize);
        let mut i = 0;
        self.data.retain(|_| {
            let (x, y) = (i % plane % across, i % plane / across);
            i += 1;
            x < kept.0 && y < kept.1
        });
        self.size = size;
    }

    /// Whether a sparse file leaves a piece out (of planar images: not known).
    pub(crate) fn is_blank(&self, index: u64) -> bool {
        self.planes == 1 && usize::try_from(index).ok().and_then(|i| self.data.get(i)).is_some_and(|&(_, len)| len == 0)
    }

    /// Decodes a piece.
    pub(crate) fn decode(&self, source: &Source, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let place = format!("{}, {}", self.name, piece_name(self.tiled, index));
        let across = u64::from(self.size.width.div_ceil(self.piece.width));
        let plane = self.data.len() / self.planes;
        let found = usize::try_from(index).ok().filter(|&i| i < plane).and_then(|i| self.data.get(i));
        let &(offset, len) = found.ok_or_else(|| {
            let expected = format!("an index below {plane}");
            SlideError::broken(source.path(), place.clone(), expected, index.to_string())
        })?;
        // A last strip is only as high as the rows that are left; a tile is always whole.
        let left = u64::from(self.size.height) - index / across * u64::from(self.piece.height);
        let rows = if self.tiled { self.piece.height } else { left.min(u64::from(self.piece.height)) as u32 };
        let stored = Size::new(self.piece.width, rows);
        // What of it lies in the image, and so has to be there.
        let right = u64::from(self.size.width) - index % across * u64::from(self.piece.width);
        let needed = Size::new(right.min(u64::from(stored.width)) as u32, left.min(u64::from(rows)) as u32);
        if self.planes == 3 {
            return self.planar(source, index as usize, stored, &place).map(Arc::new);
        }
        if len == 0 {
            return self.white.get_or_init(|| codec::white(source.path(), &place, stored).map(Arc::new)).clone();
        }
        if self.colour != Colour::Rgb {
            let samples = codec::samples(source, (offset, len), &self.coding, stored, &place)?;
            return self.colour.convert(source, &place, stored, &samples).map(Arc::new);
        }
        codec::decode(source, (offset, len), &self.coding, (stored, needed), &place).map(Arc::new)
    }

    /// A piece of three planes; what a sparse file leaves out of a plane is 255.
    fn planar(&self, source: &Source, index: usize, stored: Size, place: &str) -> Result<RgbImage, SlideError> {
        let count = self.data.len() / 3;
        let plane = |channel: usize| {
            let place = format!("{place} of channel {channel}");
            match self.data.get(channel * count + index) {
                Some(&(offset, len)) if len > 0 => codec::samples(source, (offset, len), &self.coding, stored, &place),
                _ => {
                    let mut white = zeroed(source.path(), &place, stored.pixels())?;
                    white.fill(255);
                    Ok(white)
                }
            }
        };
        colour::interleave(source, place, stored, &[plane(0)?, plane(1)?, plane(2)?])
    }
}

impl Page {
    /// Decodes a piece `halvings` times shrunk by two, each side rounded up; `None` where its codec
    /// cannot, and for one that reaches beyond the image: what it holds there would be mixed in.
    pub(crate) fn reduced(&self, source: &Source, index: u64, halvings: u32) -> Option<Result<RgbImage, SlideError>> {
        let across = u64::from(self.size.width.div_ceil(self.piece.width));
        let (x, y) = (index % across, index / across);
        let inside = (x + 1) * u64::from(self.piece.width) <= u64::from(self.size.width)
            && (y + 1) * u64::from(self.piece.height) <= u64::from(self.size.height);
        let &(offset, len) = usize::try_from(index).ok().and_then(|i| self.data.get(i))?;
        if len == 0 || !inside {
            return None;
        }
        let place = format!("{}, {}", self.name, piece_name(self.tiled, index));
        codec::decode_reduced(source, (offset, len), &self.coding, self.piece, halvings, &place)
    }

    /// The image as a whole, for one that is small: piece by piece into one picture.
    pub(crate) fn whole(&self, source: &Source, limits: &Limits) -> Result<RgbImage, SlideError> {
        crate::whole::whole(source.path(), &self.name, (self.size, self.piece), limits, |index| {
            self.decode(source, index)
        })
    }
}

fn piece_name(tiled: bool, index: u64) -> String {
    format!("{} {index}", if tiled { "tile" } else { "strip" })
}

/// Raw strips may be cut at any row: high ones are taken apart so that a region need not read all of
/// an image in one strip.
fn split_raw_strips(size: Size, piece: Size, samples: usize, data: &[(u64, u64)]) -> (Size, Vec<(u64, u64)>) {
    const ROWS: u32 = 64;
    // Only where all strips but the last come apart evenly, so that the pieces stay a grid.
    if piece.height <= ROWS || (data.len() > 1 && !piece.height.is_multiple_of(ROWS)) {
        return (piece, data.to_vec());
    }
    let row = u64::from(size.width) * samples as u64;
    let mut parts = Vec::new();
    for (strip, &(offset, len)) in (0_u64..).zip(data) {
        let rows = u64::from(piece.height).min(u64::from(size.height) - strip * u64::from(piece.height));
        for first in (0..rows).step_by(ROWS as usize) {
            let start = first * row;
            let wanted = u64::from(ROWS).min(rows - first) * row;
            // A strip that is too short shows when the part is decoded.
            parts.push((offset.saturating_add(start.min(len)), wanted.min(len.saturating_sub(start))));
        }
    }
    (Size::new(size.width, ROWS), parts)
}

/// How a directory's samples are stored, or why they are not read.
fn coding(source: &Source, directory: &Directory) -> Result<Coding, SlideError> {
    let refuse = |found: String, hint: &str| {
        Err(SlideError::unsupported(source.path(), directory.name.clone(), found, hint.to_owned()))
    };
    let to_rgb =
        "RGB, grey and palettes of 8 bits are read: convert it, for example with `vips cast in.tif out.tif uchar`";
    let to_codec = "none, LZW, deflate, Zstandard, PackBits, JPEG, JPEG 2000 and WebP are read: convert it, for example \
                    with `vips tiffsave --tile --pyramid`";
    let number = |tag: u16, default: u64| directory.first(tag).unwrap_or(default);

    if directory.has(NDPI_MARK) {
        return refuse(
            "a Hamamatsu NDPI in another layout than its own".to_owned(),
            "convert it, for example with `vips tiffsave --tile --pyramid`",
        );
    }
    let (compression, name) = match number(259, 1) {
        1 => (Compression::None, ""),
        5 => (Compression::Lzw, ""),
        7 => (Compression::Jpeg, ""),
        8 | 32946 => (Compression::Deflate, ""),
        32773 => (Compression::PackBits, ""),
        33003..=33005 | 34712 => (Compression::Jpeg2000, ""),
        50000 | 34926 => (Compression::Zstd, ""),
        50001 | 34927 => (Compression::WebP, ""),
        other => (Compression::None, compression_name(other)),
    };
    if !name.is_empty() {
        return refuse(format!("compression {} ({name})", number(259, 1)), to_codec);
    }
    // Streams that are pictures by themselves, with colours of their own.
    let is_picture = matches!(compression, Compression::Jpeg | Compression::Jpeg2000 | Compression::WebP);
    let samples = number(277, 1);
    let photometric = number(262, u64::MAX);
    let bits = directory.unsigned(258).unwrap_or(&[1]);
    if bits.iter().any(|&b| b != 8) {
        let mut widths = bits.to_vec();
        widths.dedup();
        let widths: Vec<String> = widths.iter().take(4).map(u64::to_string).collect();
        return refuse(format!("{samples} samples of {} bits", widths.join(", ")), to_rgb);
    }
    if number(339, 1) != 1 && number(339, 1) != 4 {
        return refuse(format!("sample format {} (not unsigned integers)", number(339, 1)), to_rgb);
    }
    match photometric {
        2 => {}
        6 if matches!(compression, Compression::Jpeg | Compression::Jpeg2000) => {}
        6 => return refuse(format!("YCbCr samples with compression {compression}"), to_rgb),
        0 | 1 | 3 if samples == 1 && !is_picture => {}
        0 | 1 => return refuse(format!("a grey image ({samples} samples of 8 bits, {compression})"), to_rgb),
        3 => return refuse(format!("a palette image ({samples} samples, {compression})"), to_rgb),
        5 => return refuse("a CMYK image".to_owned(), to_rgb),
        8..=10 => return refuse("a CIE L*a*b* image".to_owned(), to_rgb),
        u64::MAX => {
            let expected = "a photometric interpretation (tag 262)";
            return Err(bad(source, directory, expected, "none"));
        }
        other => return refuse(format!("photometric interpretation {other}"), to_rgb),
    }
    if is_planar(directory) && is_picture {
        return refuse(format!("planar RGB with {compression}: a stream a channel"), to_rgb);
    }
    if number(284, 1) > 2 {
        return refuse(format!("planar configuration {}", number(284, 1)), to_rgb);
    }
    if number(266, 1) != 1 {
        return refuse("bits in reversed order (fill order 2)".to_owned(), to_rgb);
    }
    let grey_or_palette = matches!(photometric, 0 | 1 | 3);
    let most = if matches!(compression, Compression::Jpeg | Compression::Jpeg2000) { 3 } else { 4 };
    if !grey_or_palette && !(3..=most).contains(&samples) {
        return refuse(format!("{samples} samples a pixel"), to_rgb);
    }
    let lossless = matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd);
    let predictor = match number(317, 1) {
        // Without meaning for the others, as libtiff has it.
        _ if !lossless => false,
        1 => false,
        2 => true,
        other => return refuse(format!("predictor {other}"), "predictors 1 and 2 are read: write it anew"),
    };
    let jpeg_tables = match directory.bytes(347) {
        Some(tables) if compression == Compression::Jpeg => codec::jpeg::strip_tables(tables).map_err(|found| {
            let expected = "JPEG tables between a start and an end marker";
            SlideError::broken(source.path(), format!("{}, tag 347", directory.name), expected, found)
        })?,
        _ => Vec::new(),
    };
    let samples = if is_planar(directory) { 1 } else { samples };
    let rgb = match number(259, 1) {
        // Aperio's two kinds of JPEG 2000: the number says what the components are, the photometric
        // interpretation need not be right. Other writers use the first for any JPEG 2000.
        33003 => photometric == 2 && !directory.text(270).unwrap_or_default().starts_with("Aperio"),
        33005 => true,
        _ => photometric == 2,
    };
    Ok(Coding { compression, samples: samples as usize, predictor, rgb, jpeg_tables })
}

/// Whether every channel has its pieces to itself (which a single one has anyhow).
fn is_planar(directory: &Directory) -> bool {
    directory.first(284) == Some(2) && directory.first(277).unwrap_or(1) > 1
}

/// What the samples mean, of a directory whose coding is understood.
fn colour_of(source: &Source, directory: &Directory) -> Result<Colour, SlideError> {
    Ok(match directory.first(262) {
        Some(0) => Colour::GreyInverted,
        Some(1) => Colour::Grey,
        Some(3) => {
            let map = directory.unsigned(320).unwrap_or_default();
            Colour::palette(map).ok_or_else(|| {
                let expected = "a colour map of 3 x 256 numbers below 65536 (tag 320)";
                bad(source, directory, expected, format!("{} numbers", map.len()))
            })?
        }
        _ => Colour::Rgb,
    })
}

/// What a compression is called that is not read.
fn compression_name(number: u64) -> &'static str {
    match number {
        2..=4 => "fax",
        6 => "old-style JPEG",
        34892 => "lossy JPEG of DNG",
        34925 => "LZMA",
        50002 | 52546 => "JPEG XL",
        22610 | 34934 => "JPEG XR",
        _ => "unknown",
    }
}
