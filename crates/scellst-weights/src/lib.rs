//! Tensors of weights files: safetensors, and the zip files of `torch.save` without running what is pickled in them.
//!
//! A file is bytes in memory; [`list`] says which tensors it has and where, [`Stored`] reads one of them. Files come from
//! anywhere, so nothing in them is believed: sizes are checked before memory is taken, of pickles only the opcodes and
//! names are known that make up tensors, and everything else is refused by its name.
//!
//! Not read: PyTorch's legacy format, TorchScript, compressed zips, big-endian numbers. Nothing is written.
//!
//! ```
//! let nothing = scellst_weights::list(b"no weights").unwrap_err();
//! assert!(nothing.to_string().contains("safetensors"));
//! ```
#![forbid(unsafe_code)]

mod error;
mod list;
mod pickle;
mod pytorch;
mod stored;
#[cfg(test)]
mod tests;
mod zip;

pub use error::WeightsError;
pub use list::{Listing, list, read};
pub use stored::Stored;
