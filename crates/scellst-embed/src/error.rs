use std::path::PathBuf;

use crate::PixelNorm;

/// What can go wrong in embedding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// No encoder of that name.
    #[error("no encoder is called \"{name}\"; there are: {}", known.join(", "))]
    UnknownEncoder {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The encoder needs a weights file and none was given.
    #[error("the encoder {encoder} needs weights: give a safetensors or PyTorch file (--weights)")]
    NoWeights {
        /// Which encoder.
        encoder: &'static str,
    },
    /// The weights file cannot be read.
    #[error("cannot read the weights {}: {reason}", path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A tensor of the weights is missing, of another shape or type, or has values that are no numbers.
    #[error("the weights {} are not those of {encoder}: tensor {tensor}: expected {expected}, found {found}", path.display())]
    WeightsTensor {
        /// The file.
        path: PathBuf,
        /// Which encoder.
        encoder: &'static str,
        /// Which tensor.
        tensor: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The weights have tensors that the encoder does not know: another network's.
    #[error("the weights {} are not those of {encoder}: {count} tensors are none of its{}: {}", path.display(),
        looks.as_ref().map_or(String::new(), |l| format!(" (they look like {l})")), tensors.join(", "))]
    WeightsExtra {
        /// The file.
        path: PathBuf,
        /// Which encoder.
        encoder: &'static str,
        /// How many there are.
        count: usize,
        /// The first of them.
        tensors: Vec<String>,
        /// Whose they may be.
        looks: Option<String>,
    },
    /// The weights are not those that the model was trained with.
    #[error("the weights {} are others than the model was trained with: sha256 expected {expected}, found {found}", path.display())]
    WeightsHash {
        /// The file.
        path: PathBuf,
        /// Of the training.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// Pixel statistics that cannot be applied.
    #[error("{encoder} with pixels of mean {:?} and deviation {:?}: {problem}", pixels.mean, pixels.std)]
    Pixels {
        /// Which encoder.
        encoder: String,
        /// What was given.
        pixels: PixelNorm,
        /// What is wrong.
        problem: &'static str,
    },
    /// A table of features made elsewhere cannot be read, or does not fit the cells.
    #[error("the features {}: {problem}", path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file of crops that cannot be read.
    #[error("the crops {}: {problem}", path.display())]
    CropsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Crops of a shape that the encoder cannot take.
    #[error("crops of {found:?} (cells, height, width, channels): {encoder} takes {expected}")]
    Crops {
        /// Which encoder.
        encoder: &'static str,
        /// What was given.
        found: [usize; 4],
        /// What it takes.
        expected: String,
    },
    /// candle's, on a device.
    #[error("{encoder} failed on {device}: {reason}")]
    Device {
        /// Which encoder.
        encoder: &'static str,
        /// Where.
        device: String,
        /// candle's words.
        reason: String,
    },
    /// A setting of training that is out of range.
    #[error("{setting}: expected {expected}, found {found}")]
    Config {
        /// Which.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Training cannot go on.
    #[error("step {step} of training the encoder: {problem}")]
    Training {
        /// From 1.
        step: u64,
        /// Why.
        problem: String,
    },
    /// The state of training cannot be written, or not be read again.
    #[error("the checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}
