//! Slides of kinds that are not read, known by their content, each with the way out.

use std::path::Path;

use crate::SlideError;

/// A kind of file that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    name: &'static str,
    way_out: WayOut,
}

/// What to do with a file that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayOut {
    /// The OpenSlide library reads it.
    OpenSlide,
    /// Bio-Formats reads it.
    BioFormats,
    /// Only the vendor's programs do.
    Vendor,
    /// It has to be made readable first.
    Unpack,
}

const MAGIC: [(&[u8], &str, WayOut); 24] = [
    (b"ZISRAWFILE", "a Zeiss CZI file", WayOut::BioFormats),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an OLE compound file (Zeiss ZVI, Motic MDS or an office document)",
        WayOut::BioFormats,
    ),
    (b"[Virtual Microscope Specimen]", "a Hamamatsu VMS index", WayOut::OpenSlide),
    (b"[Uncompressed Virtual Microscope Specimen]", "a Hamamatsu VMU index", WayOut::OpenSlide),
    (b"GN\0\0", "a Hamamatsu NGR image (of a VMU slide)", WayOut::OpenSlide),
    (b"SQLite format 3\0", "an SQLite database (as Sakura's .svslide is)", WayOut::OpenSlide),
    (b"[GENERAL]", "a MIRAX index (Slidedat.ini)", WayOut::OpenSlide),
    (b"\xef\xbb\xbf[GENERAL]", "a MIRAX index (Slidedat.ini)", WayOut::OpenSlide),
    (b"SIS\0", "the pixels of an Olympus VSI slide (.ets)", WayOut::BioFormats),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", WayOut::BioFormats),
    (b"\x70\0\0\0", "a Leica LIF file", WayOut::BioFormats),
    (
        b"<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><DataObject",
        "a Philips iSyntax file",
        WayOut::Vendor,
    ),
    (b"<DataObject", "a Philips iSyntax file", WayOut::Vendor),
    (b"KFB", "a KFBio file", WayOut::Vendor),
    (b"SQ\0\0", "an SDPC file", WayOut::Vendor),
    (b"Salted__", "a file encrypted by OpenSSL", WayOut::Unpack),
    (b"age-encryption.org/", "a file encrypted by age", WayOut::Unpack),
    (b"-----BEGIN PGP", "a file encrypted by PGP", WayOut::Unpack),
    (b"\x1f\x8b", "a gzip archive", WayOut::Unpack),
    (b"PK\x03\x04", "a ZIP archive", WayOut::Unpack),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", WayOut::Unpack),
    (b"Rar!\x1a\x07", "a RAR archive", WayOut::Unpack),
    (b"\xfd7zXZ\0", "an XZ archive", WayOut::Unpack),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", WayOut::Unpack),
];

impl Foreign {
    /// What the first bytes of a file, or the folder beside it, show it to be.
    pub(crate) fn of(path: &Path, start: &[u8]) -> Option<Self> {
        let known = |name, way_out| Some(Self { name, way_out });
        if let Some(&(_, name, way_out)) = MAGIC.iter().find(|(magic, ..)| start.starts_with(magic)) {
            return known(name, way_out);
        }
        // Philips writes more than one kind of XML header.
        let xml = start.starts_with(b"<?xml") || start.starts_with(b"\xef\xbb\xbf<?xml");
        if xml && start.windows(11).any(|bytes| bytes == b"<DataObject") {
            return known("a Philips iSyntax file", WayOut::Vendor);
        }
        // The file itself is but a picture; the slide is in the folder of its name.
        let folder = path.with_extension("");
        if start.starts_with(b"\xff\xd8") && folder != path && folder.join("Slidedat.ini").is_file() {
            return known("a MIRAX slide (.mrxs)", WayOut::OpenSlide);
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let pixels = path.with_file_name(format!("_{stem}_"));
        if (start.starts_with(b"II") || start.starts_with(b"MM")) && has_stack(&pixels) {
            return known("an Olympus VSI slide", WayOut::BioFormats);
        }
        None
    }

    pub(crate) fn error(self, path: &Path) -> SlideError {
        let hint = match self.way_out {
            WayOut::OpenSlide => {
                "read it through OpenSlide (the feature `openslide`), or convert it, for example with \
                 `vips tiffsave --tile --pyramid --bigtiff` or QuPath's export to OME-TIFF"
            }
            WayOut::BioFormats => {
                "convert it to OME-TIFF with QuPath, or with `bioformats2raw` and `raw2ometiff` of Bio-Formats"
            }
            WayOut::Vendor => "only its vendor's programs read it: export it as TIFF or DICOM from there",
            WayOut::Unpack => "decrypt or unpack it first",
        };
        SlideError::unsupported(path, "the file", self.name, hint)
    }
}

/// Whether a folder is the one that an Olympus slide keeps its pixels in: `stack1/frame_t.ets`.
fn has_stack(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    // As many as a slide may have pictures; more are not looked at.
    entries.flatten().take(256).any(|entry| {
        let stack = entry.file_name().to_string_lossy().starts_with("stack");
        stack
            && entry.path().read_dir().is_ok_and(|mut files| {
                files.any(|f| f.is_ok_and(|f| f.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("ets"))))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        let of = |start: &[u8]| Foreign::of(Path::new("/nowhere/slide.bin"), start).map(|f| f.name);
        assert_eq!(of(b"ZISRAWFILE\0\0"), Some("a Zeiss CZI file"));
        assert_eq!(of(b"<?xml version='1.0'?>\n<DataObject ObjectType="), Some("a Philips iSyntax file"));
        assert_eq!(of(b"<?xml version='1.0'?>\n<svg>"), None);
        assert_eq!(of(b"II*\0\x08\0\0\0"), None);
        assert_eq!(of(b"\xff\xd8\xff\xe0"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn by_the_folder_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let slide = root.path().join("case.mrxs");
        std::fs::create_dir(root.path().join("case")).unwrap();
        assert_eq!(Foreign::of(&slide, b"\xff\xd8\xff"), None);
        std::fs::write(root.path().join("case/Slidedat.ini"), "[GENERAL]").unwrap();
        let found = Foreign::of(&slide, b"\xff\xd8\xff").unwrap();
        let text = found.error(&slide).to_string();
        assert!(text.contains("MIRAX") && text.contains("openslide") && text.contains("case.mrxs"), "{text}");

        let slide = root.path().join("case.vsi");
        let stack = root.path().join("_case_/stack10001");
        std::fs::create_dir_all(&stack).unwrap();
        assert_eq!(Foreign::of(&slide, b"II*\0"), None);
        std::fs::write(stack.join("frame_t.ets"), "SIS").unwrap();
        assert!(Foreign::of(&slide, b"II*\0").unwrap().error(&slide).to_string().contains("VSI"));
    }
}
