use std::ops::Range;

use crate::ReadLimits;

/// Which matrix of an h5ad holds the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatrixChoice {
    /// `X`.
    #[default]
    X,
    /// `raw/X`, with the genes of `raw/var`: what was there before genes were dropped.
    Raw,
    /// `layers[name]`, with the genes of `var`.
    Layer(String),
}

/// What of an h5ad is read; nothing else is.
///
/// ```
/// use scellst_h5::{MatrixChoice, ReadOptions};
///
/// let options = ReadOptions::default()
///     .with_matrix(MatrixChoice::Layer("counts".into()))
///     .with_observations(0..1000)
///     .with_genes(["EPCAM", "VIM"]);
/// assert_eq!(options.genes.unwrap(), ["EPCAM", "VIM"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Which matrix.
    pub matrix: MatrixChoice,
    /// These rows only.
    pub observations: Option<Range<usize>>,
    /// These genes only, in this order.
    pub genes: Option<Vec<String>>,
    /// The column of `var` with the genes' names (`gene_symbols`, `feature_name`), where the index has something else.
    pub gene_column: Option<String>,
    /// How much may be allocated.
    pub limits: ReadLimits,
}

impl ReadOptions {
    /// Another matrix.
    pub fn with_matrix(self, matrix: MatrixChoice) -> Self {
        Self { matrix, ..self }
    }

    /// These rows only.
    pub fn with_observations(self, observations: Range<usize>) -> Self {
        Self { observations: Some(observations), ..self }
    }

    /// These genes only, in this order.
    pub fn with_genes<S: Into<String>>(self, genes: impl IntoIterator<Item = S>) -> Self {
        Self { genes: Some(genes.into_iter().map(Into::into).collect()), ..self }
    }

    /// Names of the genes from this column of `var`.
    pub fn with_gene_column(self, column: impl Into<String>) -> Self {
        Self { gene_column: Some(column.into()), ..self }
    }

    /// Other limits.
    pub fn with_limits(self, limits: ReadLimits) -> Self {
        Self { limits, ..self }
    }
}
