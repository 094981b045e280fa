use std::fmt;

/// What kind of file a slide is, found by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// TIFF with 32-bit offsets, of no particular vendor.
    Tiff,
    /// TIFF with 64-bit offsets, of no particular vendor.
    BigTiff,
    /// Aperio SVS (classic or BigTIFF).
    AperioSvs,
    /// OME-TIFF (classic or BigTIFF).
    OmeTiff,
    /// Philips TIFF, as exported from iSyntax (classic or BigTIFF).
    PhilipsTiff,
    /// Leica SCN.
    LeicaScn,
    /// Ventana (Roche) BIF.
    VentanaBif,
    /// Hamamatsu NDPI.
    Ndpi,
    /// DICOM whole-slide images, one instance (file) a level. Read with the cargo feature `dicom`.
    Dicom,
    /// A plain JPEG, one level, decoded once into memory.
    Jpeg,
    /// A plain PNG, one level, decoded once into memory.
    Png,
    /// Read by the OpenSlide library (feature `openslide`), with its name for the vendor: `mirax`.
    OpenSlide(&'static str),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSlide(vendor) => return write!(f, "{vendor} by OpenSlide"),
            Self::Tiff => "TIFF",
            Self::BigTiff => "BigTIFF",
            Self::AperioSvs => "Aperio SVS",
            Self::OmeTiff => "OME-TIFF",
            Self::PhilipsTiff => "Philips TIFF",
            Self::LeicaScn => "Leica SCN",
            Self::VentanaBif => "Ventana BIF",
            Self::Ndpi => "Hamamatsu NDPI",
            Self::Dicom => "DICOM",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        })
    }
}

/// How the pixels of a level are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    None,
    /// Lempel-Ziv-Welch, lossless.
    Lzw,
    /// zlib, lossless.
    Deflate,
    /// Zstandard, lossless.
    Zstd,
    /// Runs of equal bytes (DICOM's RLE too), lossless.
    PackBits,
    /// Baseline or progressive JPEG, lossy.
    Jpeg,
    /// JPEG 2000, lossy or lossless.
    Jpeg2000,
    /// WebP, lossy or lossless.
    WebP,
    /// Known only to the library that reads the file.
    Unknown,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lzw => "LZW",
            Self::Deflate => "deflate",
            Self::Zstd => "Zstandard",
            Self::PackBits => "PackBits",
            Self::Jpeg => "JPEG",
            Self::Jpeg2000 => "JPEG 2000",
            Self::WebP => "WebP",
            Self::Unknown => "unknown",
        })
    }
}

/// What the first bytes of a file say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Tiff,
    Dicom,
    Jpeg,
    Png,
}

/// The container by its magic number; otherwise what it seems to be, in words.
pub(crate) fn sniff(start: &[u8]) -> Result<Container, String> {
    const TIFF: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    const OTHERS: [(usize, &[u8], &str); 11] = [
        (0, b"\x08\0\x05\0", "a DICOM data set without file meta information"),
        (0, b"\x08\0\x08\0", "a DICOM data set without file meta information"),
        (0, b"\x08\0\0\0", "a DICOM data set without file meta information"),
        (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
        (0, b"[Virtual Microscope Specimen]", "the index of a Hamamatsu VMS slide"),
        (0, b"[Uncompressed Virtual Microscope Specimen]", "the index of a Hamamatsu VMU slide"),
        (0, b"[NanoZoomer Digital Pathology Image Set]", "a Hamamatsu NDPIS list (open the NDPI files that it names)"),
        (0, b"BM", "a BMP image"),
        (0, b"GIF8", "a GIF image"),
        (8, b"WEBP", "a WebP image"),
    ];
    if TIFF.iter().any(|magic| start.starts_with(magic)) {
        Ok(Container::Tiff)
    } else if dicom_start(start).is_some() {
        Ok(Container::Dicom)
    } else if start.starts_with(b"\xff\xd8\xff") {
        Ok(Container::Jpeg)
    } else if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(Container::Png)
    } else {
        let known = OTHERS.iter().find(|(at, magic, _)| start.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
        Err(match known {
            Some((_, _, name)) => (*name).to_owned(),
            None => {
                let head: Vec<String> = start.iter().take(8).map(|b| format!("{b:02x}")).collect();
                format!("a file of unknown kind, beginning with the bytes {}", head.join(" "))
            }
        })
    }
}

/// Where the file meta information of a DICOM file begins (PS3.10, 7.1): after a preamble and a mark, or, from writers that leave
/// these out, at once.
pub(crate) fn dicom_start(head: &[u8]) -> Option<u64> {
    if head.get(128..132) == Some(b"DICM") {
        Some(132)
    } else {
        // Its first element: (0002,0000), of kind UL and 4 bytes.
        head.starts_with(b"\x02\0\0\0UL\x04\0").then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        assert_eq!(sniff(b"II+\0\x08\0"), Ok(Container::Tiff));
        assert_eq!(sniff(b"\xff\xd8\xff\xe0"), Ok(Container::Jpeg));
        assert!(sniff(b"II").unwrap_err().contains("49 49"));
        assert!(sniff(b"[Virtual Microscope Specimen]\r\nNoLayers=1").unwrap_err().contains("VMS"));
        let mut dicom = vec![0; 132];
        dicom[128..].copy_from_slice(b"DICM");
        assert_eq!(sniff(&dicom), Ok(Container::Dicom));
    }
}
