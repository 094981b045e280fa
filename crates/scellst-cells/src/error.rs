use std::io;
use std::path::{Path, PathBuf};

use scellst_slide::SlideError;

/// What can go wrong with cells.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CellsError {
    /// The operating system could not open, read or write.
    #[error("{}: cannot {doing}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// A file that is not what it should be.
    #[error("{}: broken file: {place}: expected {expected}, found {found}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in it: `feature 3`, `line 7`.
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
        /// Where in it.
        place: String,
        /// The kind that was found.
        found: String,
        /// The way out.
        hint: String,
    },
    /// More than the caller allows, or than a column can count.
    #[error("over the limit: {what}: at most {limit}, found {found}; {hint}")]
    OverLimit {
        /// What is counted.
        what: String,
        /// How much is allowed.
        limit: u64,
        /// How much there is.
        found: u64,
        /// What to change.
        hint: String,
    },
    /// Coordinates that do not belong to this slide at this level.
    #[error(
        "{outside} of {total} cells lie outside of the slide of {size} px (x {x_min:.1} to {x_max:.1}, y {y_min:.1} to \
         {y_max:.1}): the coordinates look like those of another level or another slide{suspicion}; give level-0 pixels"
    )]
    OtherLevel {
        /// Cells whose centroid is outside.
        outside: usize,
        /// All cells.
        total: usize,
        /// Size of level 0.
        size: scellst_types::Size,
        /// Least x of a centroid.
        x_min: f64,
        /// Greatest x of a centroid.
        x_max: f64,
        /// Least y of a centroid.
        y_min: f64,
        /// Greatest y of a centroid.
        y_max: f64,
        /// What would make them fit, to be read after the message: `; divided by 4 they would fit`. May be empty.
        suspicion: String,
    },
    /// A call that makes no sense: a value out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Misuse {
        /// Which argument or field.
        what: String,
        /// What it may be.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Reading the slide failed.
    #[error("{0}")]
    Slide(#[from] SlideError),
}

impl CellsError {
    pub(crate) fn io(path: &Path, doing: &'static str, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), doing, reason: error.to_string() }
    }

    pub(crate) fn broken(
        path: &Path,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Broken { path: path.to_owned(), place: place.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn misuse(what: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Misuse { what: what.into(), expected: expected.into(), found: found.to_string() }
    }
}
