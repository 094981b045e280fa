/// What can be wrong with predictions and measurements.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Predictions and measurements of different shape, or names that do not match them.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which array or names.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A value that is no number.
    #[error("{side} of gene '{gene}' (column {column}) in row {row} is {value}; every value must be finite")]
    NotFinite {
        /// `prediction` or `measurement`.
        side: &'static str,
        /// Row of the value.
        row: usize,
        /// Column of the value.
        column: usize,
        /// Name of the column.
        gene: String,
        /// The value.
        value: f32,
    },
    /// Too few rows for a correlation.
    #[error("{found} observations are too few for a correlation, at least {least} are needed")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many there must be.
        least: usize,
    },
    /// A gene that does not exist.
    #[error("gene {found} is asked for, but there are {genes}")]
    NoSuchGene {
        /// Which one.
        found: usize,
        /// How many there are.
        genes: usize,
    },
    /// A ranking that does not order.
    #[error("the ranking of gene {gene} is NaN; rank by numbers, such as the training variance")]
    Ranking {
        /// Which one.
        gene: usize,
    },
}
