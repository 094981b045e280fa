use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::MppDoubt;

/// What can go wrong with a slide.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SlideError {
    /// The operating system could not open, read or write.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted: `open`, `read 512 bytes at 80`.
        doing: String,
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// The file contradicts itself, ends too early or holds nonsense.
    #[error("{}: broken file: {place}: expected {expected}, found {found}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in it: `page 0, tile 3`.
        place: String,
        /// What a whole file has there.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// A valid file of a kind that is not read.
    #[error("{}: unsupported: {place}: {found}; {hint}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Where in it: `page 0`.
        place: String,
        /// The kind that was found.
        found: String,
        /// The way out.
        hint: String,
    },
    /// More memory or work than [`Limits`](crate::Limits) allow, or than there is.
    #[error("{}: over the limit: {place}: needs {found} {what}, at most {limit} allowed; {hint}", path.display())]
    OverLimit {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What is counted: `bytes`, `directories`.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// How much it would take.
        found: u64,
        /// What to change.
        hint: String,
    },
    /// The slide does not say how large its pixels are.
    #[error(
        "{}: the file says nothing (or nothing plausible) about its resolution: give the micrometres per level-0 pixel (mpp) yourself",
        path.display()
    )]
    NoMpp {
        /// The file.
        path: PathBuf,
    },
    /// What is known of the resolution contradicts itself.
    #[error("{}: the resolution contradicts itself: {doubt}; give the right mpp yourself", path.display())]
    MppConflict {
        /// The file.
        path: PathBuf,
        /// What speaks against what.
        doubt: Box<MppDoubt>,
    },
    /// The caller asked for what cannot be.
    #[error("{what}: expected {expected}, found {found}")]
    Misuse {
        /// Which argument.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        found: String,
    },
}

impl SlideError {
    pub(crate) fn io(path: &Path, doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), doing: doing.into(), source: Arc::new(source) }
    }

    pub(crate) fn broken(
        path: &Path,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Broken { path: path.to_owned(), place: place.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn unsupported(
        path: &Path,
        place: impl Into<String>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Unsupported { path: path.to_owned(), place: place.into(), found: found.into(), hint: hint.into() }
    }

    pub(crate) fn over_limit(
        path: &Path,
        place: impl Into<String>,
        what: &'static str,
        (found, limit): (u64, u64),
        hint: impl Into<String>,
    ) -> Self {
        Self::OverLimit { path: path.to_owned(), place: place.into(), what, limit, found, hint: hint.into() }
    }

    pub(crate) fn misuse(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Misuse { what, expected: expected.into(), found: found.into() }
    }
}
