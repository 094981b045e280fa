/// Why weights cannot be read; whoever knows the file's name adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file itself: not there, too large, of another format, broken, or with code in it.
    #[error("{0}")]
    File(String),
    /// A tensor that does not lie in the file as it says, or is of a type that is no number.
    #[error("{0}")]
    Values(String),
}
