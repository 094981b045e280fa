//! Where a file says how large its pixels are.

use std::fmt;

use scellst_types::MicronsPerPixel;

/// The resolution of a slide's level 0 and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mpp {
    /// um/px, x and y apart.
    pub value: MicronsPerPixel,
    /// Who says so.
    pub source: MppSource,
}

/// Who says how large the pixels are, the most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MppSource {
    /// The caller, in [`OpenOptions`](crate::OpenOptions).
    Caller,
    /// `MPP = ` in an Aperio image description.
    AperioDescription,
    /// `PhysicalSizeX` and `PhysicalSizeY` of OME-XML.
    OmeXml,
    /// `DICOM_PIXEL_SPACING` of a Philips TIFF's XML.
    PhilipsXml,
    /// The view's size in nanometres in a Leica SCN's XML.
    LeicaXml,
    /// `ScanRes` of a Ventana BIF's XML.
    VentanaXml,
    /// Pixel Spacing of DICOM.
    Dicom,
    /// Imaged Volume Width and Height of DICOM over the number of pixels.
    DicomVolume,
    /// `openslide.mpp-x` and `openslide.mpp-y`, by the OpenSlide library.
    OpenSlide,
    /// The TIFF tags XResolution, YResolution and ResolutionUnit.
    ResolutionTags,
}

impl fmt::Display for MppSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "given by the caller",
            Self::AperioDescription => "Aperio image description",
            Self::OmeXml => "OME-XML",
            Self::PhilipsXml => "Philips XML",
            Self::LeicaXml => "Leica XML",
            Self::VentanaXml => "Ventana XML",
            Self::Dicom => "DICOM pixel spacing",
            Self::DicomVolume => "DICOM imaged volume",
            Self::OpenSlide => "OpenSlide",
            Self::ResolutionTags => "TIFF resolution tags",
        })
    }
}

/// What a microscope's camera or scanner can have, um/px. A photograph's 72 dpi is 353 um/px, a
/// printer's 600 dpi 42: neither is a resolution on the glass.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.02..=20.0;

/// A statement, if it can be true.
pub(crate) fn plausible(x: f64, y: f64, source: MppSource) -> Option<Mpp> {
    if !(PLAUSIBLE.contains(&x) && PLAUSIBLE.contains(&y)) {
        return None;
    }
    Some(Mpp { value: MicronsPerPixel::new(x, y).ok()?, source })
}

/// The value of `key = value` in a description whose fields are parted by `|`.
fn aperio_field<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    description
        .split('|')
        .filter_map(|field| field.split_once('='))
        .find(|(k, _)| k.trim() == key)
        .map(|(_, v)| v.trim())
}

/// From an Aperio description.
pub(crate) fn from_aperio(description: &str) -> Option<Mpp> {
    let mpp: f64 = aperio_field(description, "MPP")?.parse().ok()?;
    plausible(mpp, mpp, MppSource::AperioDescription)
}

/// The objective's magnification in an Aperio description.
pub(crate) fn aperio_power(description: &str) -> Option<f64> {
    let power: f64 = aperio_field(description, "AppMag")?.parse().ok()?;
    (power.is_finite() && power > 0.0).then_some(power)
}

/// From pixels per unit along x and y, and the TIFF ResolutionUnit (2 inch, 3 centimetre).
pub(crate) fn from_tags(x: f64, y: f64, unit: u64) -> Option<Mpp> {
    let micron = match unit {
        2 => 25_400.0,
        3 => 10_000.0,
        _ => return None,
    };
    plausible(micron / x, micron / y, MppSource::ResolutionTags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_has_no_resolution() {
        assert_eq!(from_tags(72.0, 72.0, 2), None);
        assert_eq!(from_tags(98.0, 106.0, 2), None);
        assert_eq!(from_tags(0.0, 40_000.0, 3), None);
        assert_eq!(from_tags(f64::NAN, 40_000.0, 3), None);
        assert_eq!(from_tags(40_000.0, 40_000.0, 1), None);
    }

    #[test]
    fn axes_apart() {
        let mpp = from_tags(40_000.0, 20_000.0, 3).unwrap();
        assert_eq!((mpp.value.x(), mpp.value.y()), (0.25, 0.5));
    }

    #[test]
    fn aperio() {
        let text = "Aperio Image Library v11\r\n10x10 (5x5) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990|Left = 1";
        assert_eq!(from_aperio(text).unwrap().value, MicronsPerPixel::square(0.499).unwrap());
        assert_eq!(aperio_power(text), Some(20.0));
        assert_eq!(from_aperio("Aperio|MPP = 0"), None);
        assert_eq!(aperio_power("Aperio|AppMag = x"), None);
    }
}
