//! In place of the DICOM reader, where it is not built in.

use std::path::Path;

use crate::reader::Reader;
use crate::slide::About;
use crate::{OpenOptions, SlideError};

/// Refuses a DICOM file or a folder.
pub(crate) fn open(path: &Path, _: &OpenOptions) -> Result<(Box<dyn Reader>, About), SlideError> {
    let (place, found, hint) = if path.is_dir() {
        ("the path", "a folder", "give the slide's file; a folder of DICOM instances")
    } else {
        ("the file", "a DICOM file", "DICOM whole-slide images")
    };
    let hint = format!("{hint} can be read where scellst-slide is built with its cargo feature `dicom`");
    Err(SlideError::unsupported(path, place, found, hint))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_feature_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("slide");
        std::fs::write(&file, [&[0; 128], &b"DICM\x02\0"[..]].concat()).unwrap();
        for (path, word) in [(folder.path(), "a folder"), (&file, "a DICOM file")] {
            let message = crate::Slide::open(path).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("cargo feature `dicom`"), "{message}");
        }
    }
}
