use std::path::PathBuf;

use scellst_bags::BagsError;
use scellst_cells::CellsError;
use scellst_embed::EmbedError;
use scellst_expr::ExprError;
use scellst_metrics::MetricsError;
use scellst_model::ModelError;
use scellst_sim::SimError;
use scellst_slide::SlideError;
use scellst_types::UnitError;

/// What can go wrong between a slide and its predictions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A file that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Read or write.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not there under any of its usual names.
    #[error("{what} is missing: looked for {looked_for}")]
    Missing {
        /// What was wanted.
        what: String,
        /// Where.
        looked_for: String,
    },
    /// A description or bundle that does not say what it should.
    #[error("{}: {problem}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A bundle of another format or version.
    #[error("{} is a model bundle of format {found}, this program reads {expected}; train it anew or use the version of scellst that made it", path.display())]
    BundleVersion {
        /// The bundle.
        path: PathBuf,
        /// Format and version here.
        expected: String,
        /// Format and version there.
        found: String,
    },
    /// The observer wanted no more.
    #[error("stopped as asked; with a folder of checkpoints the same training goes on from there")]
    Cancelled,
    /// Something asked for that goes against something else.
    #[error("{0}")]
    Misuse(String),
    /// With the section that it happened in.
    #[error("section {section}: {source}")]
    Section {
        /// Which.
        section: String,
        /// What.
        source: Box<PipelineError>,
    },
    /// Spots that are most likely not where their coordinates say.
    #[error("{}: {doubt}", path.display())]
    Placement {
        /// The counts.
        path: PathBuf,
        /// The mistake.
        doubt: scellst_expr::PlacementDoubt,
    },
    /// See [`SlideError`].
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// See [`CellsError`].
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// See [`BagsError`].
    #[error(transparent)]
    Bags(#[from] BagsError),
    /// See [`EmbedError`].
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// See [`ExprError`].
    #[error(transparent)]
    Expr(#[from] ExprError),
    /// See [`ModelError`].
    #[error(transparent)]
    Model(#[from] ModelError),
    /// See [`MetricsError`].
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// See [`SimError`].
    #[error(transparent)]
    Sim(#[from] SimError),
    /// See [`UnitError`].
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// See [`scellst_h5::H5Error`].
    #[cfg(feature = "h5ad")]
    #[error(transparent)]
    H5(#[from] scellst_h5::H5Error),
}

impl PipelineError {
    /// Names the section.
    #[must_use]
    pub fn in_section(self, section: &impl std::fmt::Display) -> Self {
        Self::Section { section: section.to_string(), source: Box::new(self) }
    }

    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
