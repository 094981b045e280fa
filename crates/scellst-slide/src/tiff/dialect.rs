//! Whose TIFF it is, by what its directories say.

use super::tags::Directories;
use crate::Format;

/// How a TIFF is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Pages and sub-images of one image at several sizes, whoever wrote them.
    Generic(Format),
}

pub(crate) fn of(directories: &Directories) -> Dialect {
    let first = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
    Dialect::Generic(if first.starts_with("Aperio") {
        Format::AperioSvs
    } else if first.contains("<OME") {
        Format::OmeTiff
    } else if directories.big {
        Format::BigTiff
    } else {
        Format::Tiff
    })
}
