use std::path::PathBuf;

use scellst_slide::SlideError;

/// What can go wrong with a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The caller asked for what cannot be drawn.
    #[error("{what}: expected {expected}, found {found}")]
    Misuse {
        /// Which argument.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        found: String,
    },
    /// A picture could not be written.
    #[error("{}: cannot {doing}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The slide could not be read.
    #[error(transparent)]
    Slide(#[from] SlideError),
}

impl ReportError {
    pub(crate) fn misuse(what: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Misuse { what, expected: expected.into(), found: found.to_string() }
    }
}
