use std::path::PathBuf;

use scellst_cells::CellsError;
use scellst_expr::ExprError;
use scellst_metrics::MetricsError;
use scellst_slide::SlideError;

/// What can go wrong with a simulation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A setting that makes no section.
    #[error("SimConfig::{field}: expected {expected}, found {found}")]
    Config {
        /// Which setting, such as `types[2].area_um2`.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A simulation study that cannot be made so.
    #[error("{what}: expected {expected}, found {found}")]
    Study {
        /// Which setting or input.
        what: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The settings ask for more than there is room for.
    #[error("over the limit: {what}: at most {limit}, found {found}; make the section smaller")]
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// How much the settings ask for.
        found: u64,
    },
    /// A file or folder could not be written.
    #[error("{}: cannot {doing}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The slide could not be written.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The counts do not fit together.
    #[error(transparent)]
    Expression(#[from] ExprError),
    /// The cells do not fit together.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// The embeddings cannot be clustered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl SimError {
    pub(crate) fn study(what: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Study { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn config(field: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Config { field: field.into(), expected: expected.into(), found: found.to_string() }
    }
}
