use std::path::{Path, PathBuf};

/// What can go wrong with a file of counts, by whose doing it is.
///
/// `object` is the place inside of the file, as in `X/indptr` or `line 3`; it is `/` for the file as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum H5Error {
    /// The file system said no.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// Not HDF5, truncated, or contents that contradict each other.
    #[error("{}: {object}: broken file: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in it.
        object: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A sound file without the part that was asked for.
    #[error("{}: {object} is not there: {help}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        object: String,
        /// What is there instead and what to do.
        help: String,
    },
    /// Legal, but nothing that this crate reads.
    #[error("{}: {object}: not supported: {problem}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Where in it.
        object: String,
        /// What it is and what to do.
        problem: String,
    },
    /// Several things of which the caller must choose one.
    #[error("{}: {object}: {problem}", path.display())]
    Ambiguous {
        /// The file or folder.
        path: PathBuf,
        /// Where in it.
        object: String,
        /// What there is to choose from, and how.
        problem: String,
    },
    /// More than [`ReadLimits`](crate::ReadLimits) allow, or than the file can hold.
    #[error("{}: {object}: over the limit: {problem}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Where in it.
        object: String,
        /// How much, of how much, and what to do.
        problem: String,
    },
    /// The caller's arguments do not fit together; nothing was written.
    #[error("{}: {what}", path.display())]
    Misuse {
        /// The file that was to be written or read.
        path: PathBuf,
        /// What was expected and what was given.
        what: String,
    },
    /// HDF5 itself failed while writing, most likely because the disc is full.
    #[error("{}: {object}: HDF5 failed: {message}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// Where in it.
        object: String,
        /// HDF5's own words, on one line.
        message: String,
    },
}

impl H5Error {
    pub(crate) fn broken(path: &Path, object: &str, problem: impl Into<String>) -> Self {
        Self::Broken { path: path.into(), object: object.into(), problem: problem.into() }
    }

    pub(crate) fn missing(path: &Path, object: &str, help: impl Into<String>) -> Self {
        Self::Missing { path: path.into(), object: object.into(), help: help.into() }
    }

    pub(crate) fn unsupported(path: &Path, object: &str, problem: impl Into<String>) -> Self {
        Self::Unsupported { path: path.into(), object: object.into(), problem: problem.into() }
    }

    pub(crate) fn limit(path: &Path, object: &str, problem: impl Into<String>) -> Self {
        Self::Limit { path: path.into(), object: object.into(), problem: problem.into() }
    }

    pub(crate) fn misuse(path: &Path, what: impl Into<String>) -> Self {
        Self::Misuse { path: path.into(), what: what.into() }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), action, source }
    }

    /// From a dependency's error, which stays out of the API.
    pub(crate) fn library(path: &Path, object: &str, error: impl std::fmt::Display) -> Self {
        Self::Library { path: path.into(), object: object.into(), message: one_line(error) }
    }
}

/// A dependency's words without their line breaks.
pub(crate) fn one_line(error: impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
