//! Which reader a slide gets.

use std::path::Path;
use std::sync::Arc;

use crate::foreign::Foreign;
use crate::format::{Container, sniff};
use crate::plain::PlainImage;
use crate::reader::Reader;
use crate::slide::About;
use crate::source::Source;
use crate::{OpenOptions, SlideError, dicom, tiff};
#[cfg(feature = "openslide")]
use crate::{UseOpenSlide, openslide};

type Opened = (Box<dyn Reader>, About);

/// The reader for a path: one of our own, or OpenSlide where that is built in and wanted.
pub(crate) fn path(path: &Path, options: &OpenOptions) -> Result<Opened, SlideError> {
    #[cfg(feature = "openslide")]
    match options.openslide {
        UseOpenSlide::Always => return openslide::open(path, options),
        UseOpenSlide::Never => {}
        UseOpenSlide::Fallback => {
            return own(path, options).or_else(|own| match own {
                SlideError::Unsupported { .. } => match openslide::open(path, options) {
                    // Nobody reads it: our own error knows more of the file.
                    Err(SlideError::Unsupported { .. }) => Err(own),
                    found => found,
                },
                other => Err(other),
            });
        }
    }
    own(path, options)
}

fn own(path: &Path, options: &OpenOptions) -> Result<Opened, SlideError> {
    if path.is_dir() {
        return dicom::open(path, options);
    }
    source(Source::open(path)?, options)
}

/// The reader for bytes, by what they are.
pub(crate) fn source(source: Source, options: &OpenOptions) -> Result<Opened, SlideError> {
    let source = Arc::new(source);
    let path = source.path();
    if source.len() == 0 {
        return Err(SlideError::broken(path, "the file", "a slide", "an empty file (0 bytes)"));
    }
    let start = source.head(256)?;
    if let Some(foreign) = Foreign::of(path, &start) {
        return Err(foreign.error(path));
    }
    let container = sniff(&start).map_err(|found| {
        SlideError::unsupported(
            path,
            "the file",
            found,
            "TIFF and its dialects, JPEG and PNG are read: convert it, for example with \
             `vips tiffsave --tile --pyramid --bigtiff`",
        )
    })?;
    match container {
        Container::Tiff => tiff::open(source, options),
        // A slide is several files, which are looked for beside this one.
        Container::Dicom if source.is_file() => dicom::open(path, options),
        Container::Dicom => {
            let hint = "write it to a file beside the others of its series";
            Err(SlideError::unsupported(path, "the file", "DICOM in memory", hint))
        }
        Container::Jpeg | Container::Png => {
            let (reader, about) = PlainImage::open(source, container, &options.limits)?;
            Ok((Box::new(reader), about))
        }
    }
}
