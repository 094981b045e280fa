/// What can go wrong in making, training or using a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A setting outside of its range.
    #[error("{setting} must be {expected}, found {found}")]
    Config {
        /// Which.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// Arrays whose sizes do not go together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Of what.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An input that is no number.
    #[error("{what} has a value that is no finite number in row {row}, column {column}: {value}")]
    NotFinite {
        /// Features or labels.
        what: &'static str,
        /// Cell or bag.
        row: usize,
        /// Feature or gene.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A label that the loss cannot be of.
    #[error("{what}: {value}, bag {bag}, gene {gene}")]
    Label {
        /// What is wrong.
        what: &'static str,
        /// Which bag.
        bag: usize,
        /// Which gene.
        gene: usize,
        /// The value.
        value: f32,
    },
    /// The loss is no longer a number, or thousands of times what it was.
    #[error(
        "training diverged: the loss is {loss} in epoch {epoch}, step {step}: {culprit}; a lower learning rate may help"
    )]
    Diverged {
        /// Where it shows: a tensor that is not finite, a bag.
        culprit: String,
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 within the epoch.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// Stored weights that are not those of the model.
    #[error("weights do not fit the model: tensor {tensor}: expected {expected}, found {found}")]
    Weights {
        /// Which tensor.
        tensor: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file of weights or a checkpoint that cannot be read or written.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What happened.
        problem: String,
    },
    /// A checkpoint of something else.
    #[error("the checkpoint is of another training: {what} was {expected}, is {found}")]
    Checkpoint {
        /// What differs.
        what: &'static str,
        /// In the checkpoint.
        expected: String,
        /// Now.
        found: String,
    },
    /// candle's error.
    #[error("tensor operation failed: {0}")]
    Tensor(String),
}

impl From<candle_core::Error> for ModelError {
    fn from(e: candle_core::Error) -> Self {
        Self::Tensor(e.to_string())
    }
}

impl From<scellst_kernels::KernelError> for ModelError {
    fn from(e: scellst_kernels::KernelError) -> Self {
        Self::Tensor(e.to_string())
    }
}
