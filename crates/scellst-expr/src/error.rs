use std::path::PathBuf;

/// What can be wrong with counts, genes and spots.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExprError {
    /// A sparse matrix whose arrays contradict each other (broken input).
    #[error("broken sparse matrix of {rows} x {cols}: {problem}")]
    BrokenMatrix {
        /// Declared rows.
        rows: usize,
        /// Declared columns.
        cols: usize,
        /// What contradicts what, and where.
        problem: String,
    },
    /// A value that is no count: not finite, or below zero.
    #[error(
        "row {row}, column {column} holds {value}, which is no count; give raw counts (finite, not below zero), not scaled or centred values"
    )]
    NotACount {
        /// Row of the value.
        row: usize,
        /// Column of the value.
        column: usize,
        /// The value.
        value: f32,
    },
    /// Parts that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which part.
        what: String,
        /// Expected length.
        expected: usize,
        /// Found length.
        found: usize,
    },
    /// A gene's name occurs twice.
    #[error(
        "gene '{gene}' is named twice, at columns {first} and {second}; pass the names through make_unique first or drop one"
    )]
    DuplicateGene {
        /// The name.
        gene: String,
        /// Its first column.
        first: usize,
        /// Its second column.
        second: usize,
    },
    /// Genes that were asked for and are not there.
    #[error("{} of {requested} genes are not among the {available} of {place}: {}; check the naming (symbols or Ensembl ids) or take them off the list", missing.len(), first_names(missing))]
    MissingGenes {
        /// The names that are not there.
        missing: Vec<String>,
        /// How many were asked for.
        requested: usize,
        /// How many there are.
        available: usize,
        /// Where they were looked for.
        place: String,
    },
    /// Sections without a gene in common.
    #[error("the {sections} sections have no gene in common ({genes}); check the naming (symbols or Ensembl ids)")]
    NoCommonGenes {
        /// How many sections.
        sections: usize,
        /// How many genes each has.
        genes: String,
    },
    /// A filter or a selection left nothing.
    #[error("nothing left after {after}: {detail}")]
    NothingLeft {
        /// Which step.
        after: String,
        /// What went, and what to do.
        detail: String,
    },
    /// Misuse: a setting outside of its range.
    #[error("{setting} is {found}, but must be {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A gene selection that nobody understands.
    #[error(
        "'{text}' selects no genes: {problem}; write hvg:K, var:K, svg:K (K a whole number above 0) or the path of a gene list"
    )]
    Selection {
        /// As given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A valid request that this version does not serve.
    #[error("not supported: {what}; {instead}")]
    Unsupported {
        /// The request.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// A gene list file that is none (broken input).
    #[error("{}: {problem}", path.display())]
    GeneList {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        problem: String,
    },
    /// More memory than there is.
    #[error("{what} of {rows} x {cols} does not fit into memory; choose fewer genes or observations")]
    TooLarge {
        /// Which array.
        what: &'static str,
        /// Its rows.
        rows: usize,
        /// Its columns.
        cols: usize,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// The first names of a list for a message.
pub(crate) fn first_names(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
