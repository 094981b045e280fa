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
    /// A group that does not exist.
    #[error("row {row} is in group {group}, but there are {groups}")]
    NoSuchGroup {
        /// Row.
        row: usize,
        /// Its group.
        group: u32,
        /// How many there are.
        groups: usize,
    },
    /// A covariance without an inverse.
    #[error(
        "the covariance of the embeddings has no inverse (dimension {dimension} depends on those before): shrink it"
    )]
    Singular {
        /// Where it shows.
        dimension: usize,
    },
    /// A group without a variance.
    #[error("group {group} has {found} of {of} observations; it and what it is compared with need at least 2 each")]
    SmallGroup {
        /// Which one.
        group: usize,
        /// Its observations.
        found: usize,
        /// All observations.
        of: usize,
    },
    /// Nothing to draw from.
    #[error("{found} unit is too few to draw from or to swap, at least 2 are needed (spots, blocks or sections)")]
    TooFewUnits {
        /// How many there are.
        found: usize,
    },
    /// Not a probability.
    #[error("p-value {at} is {value}; expected 0 to 1")]
    PValue {
        /// Its place in the list.
        at: usize,
        /// The value.
        value: f64,
    },
    /// Not a count.
    #[error(
        "the count in row {row}, column {column} is {value}; expected a whole number, 0 or more: raw counts, not \
         normalised ones (a column behind the last: a total less the sum of its row)"
    )]
    Count {
        /// Row.
        row: usize,
        /// Column.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A ranking that does not order.
    #[error("the ranking of gene {gene} is NaN; rank by numbers, such as the training variance")]
    Ranking {
        /// Which one.
        gene: usize,
    },
    /// A value in a list that is no number, or infinite where that has no meaning.
    #[error("{what} {at} is {value}; it must be finite")]
    Value {
        /// Of what.
        what: &'static str,
        /// Its place in the list.
        at: usize,
        /// The value.
        value: f64,
    },
    /// A weight that weighs nothing sensible.
    #[error("the weight of row {row} is {weight}; weights must be finite and not negative")]
    Weight {
        /// Which row.
        row: usize,
        /// The weight.
        weight: f64,
    },
    /// A setting out of its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A score that was not computed.
    #[error("{metric:?} was not computed: {how}")]
    NotComputed {
        /// Which one.
        metric: crate::Metric,
        /// How to get it.
        how: &'static str,
    },
}

impl MetricsError {
    pub(crate) fn shape(what: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Shape { what, expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn setting(setting: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Setting { setting, expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self::shape(what, expected, found)) }
    }

    pub(crate) fn finite<T: Copy + Into<f64>>(what: &'static str, values: &[T]) -> Result<(), Self> {
        match values.iter().map(|&value| value.into()).enumerate().find(|(_, value): &(usize, f64)| !value.is_finite())
        {
            Some((at, value)) => Err(Self::Value { what, at, value }),
            None => Ok(()),
        }
    }
}
