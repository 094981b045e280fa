//! From the stored bytes of a frame to 8-bit RGB.

use std::path::Path;

use dicom_dictionary_std::uids;
use image::RgbImage;
use scellst_types::Size;

use super::instance::{EXPLICIT_VR_BIG_ENDIAN, Instance};
use crate::codec::jpeg2000::{self, Components};
use crate::codec::{Coding, jpeg, pack_bits};
use crate::source::{Source, zeroed};
use crate::{Compression, SlideError};

/// How frames are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// One after another, without compression.
    Native,
    /// Without compression, each in an item of its own.
    NativeItems,
    /// Runs of bytes, in items (PS3.5, annex G).
    Rle,
    Jpeg,
    Jpeg2000,
}

impl Syntax {
    /// By the UID (PS3.6, table A-1).
    pub(super) fn of(source: &Source, uid: &str) -> Result<Self, SlideError> {
        let name = match uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN | uids::EXPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_VR_BIG_ENDIAN => {
                return Ok(Self::Native);
            }
            uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => return Ok(Self::NativeItems),
            uids::RLE_LOSSLESS => return Ok(Self::Rle),
            uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => return Ok(Self::Jpeg),
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => return Ok(Self::Jpeg2000),
            "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => "JPEG lossless (process 14)",
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => "JPEG-LS",
            "1.2.840.10008.1.2.4.92" | "1.2.840.10008.1.2.4.93" => "JPEG 2000 part 2",
            "1.2.840.10008.1.2.4.107" | "1.2.840.10008.1.2.4.108" => "HEVC",
            "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => "JPEG XL",
            "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => "HTJ2K",
            _ => "not known here",
        };
        let found = format!("transfer syntax {uid} ({name})");
        let hint =
            "uncompressed, RLE, JPEG (8 bits) and JPEG 2000 are read: rewrite it, for example with dcmtk or GDCM";
        Err(SlideError::unsupported(source.path(), "the file", found, hint))
    }

    pub(super) fn compression(self) -> Compression {
        match self {
            Self::Native | Self::NativeItems => Compression::None,
            Self::Rle => Compression::PackBits,
            Self::Jpeg => Compression::Jpeg,
            Self::Jpeg2000 => Compression::Jpeg2000,
        }
    }
}

/// How the pixels of an instance are stored, once it is known that they are read.
#[derive(Debug)]
pub(super) struct PixelFormat {
    pub(super) syntax: Syntax,
    /// Whether a frame is a plane a channel, not a triple a pixel.
    planar: bool,
    jpeg: Coding,
}

impl PixelFormat {
    /// Refuses what is not 8-bit colour.
    pub(super) fn of(instance: &Instance) -> Result<Self, SlideError> {
        let path = instance.source.path();
        let syntax = Syntax::of(&instance.source, &instance.transfer_syntax)?;
        let refuse = |found: String| {
            let hint = "only 8-bit RGB (or its YCbCr in JPEG and JPEG 2000) is read: convert it";
            Err(SlideError::unsupported(path, "the data set", found, hint))
        };
        let (samples, photometric) = (instance.samples.unwrap_or(1), instance.photometric.as_str());
        let (allocated, stored) = (instance.bits.0.unwrap_or(0), instance.bits.1.or(instance.bits.0).unwrap_or(0));
        if (samples, allocated, stored) != (3, 8, 8) {
            return refuse(format!("{samples} samples of {stored} bits in {allocated} ({photometric})"));
        }
        let coloured = match syntax {
            Syntax::Native | Syntax::NativeItems | Syntax::Rle => photometric == "RGB",
            Syntax::Jpeg => ["RGB", "YBR_FULL_422", "YBR_FULL"].contains(&photometric),
            Syntax::Jpeg2000 => ["RGB", "YBR_ICT", "YBR_RCT"].contains(&photometric),
        };
        if !coloured {
            return refuse(format!("photometric interpretation {photometric} ({})", syntax.compression()));
        }
        let jpeg = Coding {
            compression: Compression::Jpeg,
            samples: 3,
            predictor: false,
            rgb: photometric == "RGB",
            jpeg_tables: Vec::new(),
        };
        Ok(Self { syntax, planar: instance.planar, jpeg })
    }

    /// What a frame's bytes must begin with to be decoded.
    pub(super) fn prefix(&self) -> Vec<u8> {
        if self.syntax == Syntax::Jpeg { jpeg::prefix(&self.jpeg) } else { Vec::new() }
    }

    /// Decodes a frame of `size` px, `halvings` times shrunk by two, where that is less work.
    pub(super) fn decode_reduced(
        &self,
        bytes: &[u8],
        size: Size,
        halvings: u32,
        path: &Path,
        place: &str,
    ) -> Result<RgbImage, SlideError> {
        jpeg2000::decode_piece(bytes, Components::Rgb, (size, size), halvings)
            .map_err(|(expected, found)| SlideError::broken(path, place, expected, found))
    }

    /// Whether [`PixelFormat::decode_reduced`] is less work than decoding whole and shrinking.
    pub(super) fn reduces(&self, halvings: u32) -> bool {
        self.syntax == Syntax::Jpeg2000 && halvings > jpeg2000::BY_MEANS
    }

    /// Decodes a frame of `stored` px, of which at least `needed` must be there. `bytes` begins with
    /// [`PixelFormat::prefix`].
    pub(super) fn decode(
        &self,
        bytes: Vec<u8>,
        (stored, needed): (Size, Size),
        path: &Path,
        place: &str,
    ) -> Result<RgbImage, SlideError> {
        let broken = |(expected, found): (String, String)| SlideError::broken(path, place, expected, found);
        let plane = stored.pixels();
        let planar = match self.syntax {
            Syntax::Jpeg => {
                let prefix = self.prefix();
                return jpeg::decode_piece(bytes, &prefix, self.jpeg.rgb, (stored, needed)).map_err(broken);
            }
            Syntax::Jpeg2000 => {
                return jpeg2000::decode_piece(&bytes, Components::Rgb, (stored, needed), 0).map_err(broken);
            }
            Syntax::Native | Syntax::NativeItems if self.planar => bytes,
            Syntax::Native | Syntax::NativeItems => return rgb(stored, bytes).map_err(broken),
            Syntax::Rle => unpack(&bytes, plane, path, place)?,
        };
        let (r, rest) = planar.split_at_checked(plane as usize).unwrap_or_default();
        let (g, b) = rest.split_at_checked(plane as usize).unwrap_or_default();
        let mut pixels = zeroed(path, place, plane * 3)?;
        for (pixel, ((&r, &g), &b)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(r.iter().zip(g).zip(b)) {
            *pixel = [r, g, b];
        }
        if (b.len() as u64) < plane {
            return Err(broken((format!("{} bytes of pixels", plane * 3), planar.len().to_string())));
        }
        rgb(stored, pixels).map_err(broken)
    }
}

/// Pixels as they are; a byte may follow that makes their number even.
fn rgb(size: Size, mut pixels: Vec<u8>) -> Result<RgbImage, (String, String)> {
    let (expected, found) = (size.pixels() * 3, pixels.len());
    if found as u64 <= expected + 1 {
        pixels.truncate(expected as usize);
    }
    RgbImage::from_raw(size.width, size.height, pixels)
        .filter(|image| image.as_raw().len() as u64 == expected)
        .ok_or_else(|| (format!("{expected} bytes of pixels"), format!("{found} bytes")))
}

/// Undoes RLE compression: three planes of `plane` bytes, one after the other.
fn unpack(bytes: &[u8], plane: u64, path: &Path, place: &str) -> Result<Vec<u8>, SlideError> {
    let broken = |expected: &str, found: String| SlideError::broken(path, place, expected, found);
    let word = |i: usize| bytes.get(i * 4..)?.first_chunk().map(|b| u32::from_le_bytes(*b) as usize);
    let count = word(0).unwrap_or(0);
    if count != 3 {
        return Err(broken("RLE data of 3 segments", count.to_string()));
    }
    // A byte pair makes 128 bytes at most.
    if plane * 3 / 64 > bytes.len() as u64 {
        return Err(broken("RLE data long enough for its pixels", format!("{} bytes", bytes.len())));
    }
    let mut planes = zeroed(path, place, plane * 3)?;
    for (i, out) in planes.chunks_exact_mut(plane as usize).enumerate() {
        let start = word(i + 1).filter(|&start| start >= 64);
        let segment = start.and_then(|start| bytes.get(start..)).unwrap_or_default();
        let written = pack_bits(segment, out);
        if written < out.len() {
            return Err(broken("RLE data of whole planes", format!("{written} of {plane} bytes of plane {i}")));
        }
    }
    Ok(planes)
}
