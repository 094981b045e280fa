//! Whose TIFF it is, by what its directories say.

use super::tags::{Directories, Directory};
use crate::Format;

/// How a TIFF is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Pages and sub-images of one image at several sizes, whoever wrote them.
    Generic(Format),
    /// OME-TIFF: what the pages are is in OME-XML.
    Ome,
    /// Philips: padded levels, pictures in the XML.
    Philips,
    /// Leica SCN: areas of a glass, their places in the XML.
    Leica,
    /// Ventana BIF: levels whose tiles may overlap.
    Ventana,
    /// Trestle: levels whose tiles overlap. Not read.
    Trestle,
}

pub(crate) fn of(directories: &Directories) -> Dialect {
    let text = |tag: u16| directories.pages.first().and_then(|d| d.text(tag)).unwrap_or_default();
    let (description, software) = (text(270), text(305));
    if software.starts_with("Philips") && description.contains("<DataObject") {
        Dialect::Philips
    } else if description.contains("http://www.leica-microsystems.com/scn/") {
        Dialect::Leica
    } else if software.starts_with("MedScan") {
        Dialect::Trestle
    } else if directories.pages.iter().any(says_iscan) {
        Dialect::Ventana
    } else if description.contains("<OME") && !description.starts_with("Aperio") {
        Dialect::Ome
    } else {
        Dialect::Generic(if description.starts_with("Aperio") {
            Format::AperioSvs
        } else if directories.big {
            Format::BigTiff
        } else {
            Format::Tiff
        })
    }
}

/// Ventana's scanner names itself in the XMP tag, or in the description of a file made from one.
fn says_iscan(directory: &Directory) -> bool {
    [700, 270].into_iter().any(|tag| directory.text(tag).is_some_and(|text| text.contains("<iScan")))
}
