use std::collections::BTreeMap;
use std::path::Path;

use crate::{Stored, WeightsError, pytorch};

/// What a file has.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// By their names in the file.
    pub tensors: BTreeMap<String, Stored>,
    /// What a safetensors file says beside them; empty for PyTorch's.
    pub metadata: BTreeMap<String, String>,
}

/// The tensors of a file in memory. Of PyTorch's dictionaries those at the top, or if there are none those of the first
/// dictionary under `state_dict`, `model_state_dict`, `teacher`, `model`, `student` or `net`.
///
/// # Errors
/// [`WeightsError::File`] for what is neither, and for pickles with more in them than tensors.
pub fn list(file: &[u8]) -> Result<Listing, WeightsError> {
    if pytorch::is_zip(file) {
        let tensors = pytorch::tensors(file).map_err(WeightsError::File)?;
        return Ok(Listing { tensors, metadata: BTreeMap::new() });
    }
    match pytorch::refused(file) {
        Some(reason) => Err(WeightsError::File(reason.into())),
        None => safetensors(file).map_err(|e| WeightsError::File(format!("not a safetensors file: {e}"))),
    }
}

/// A whole file, unless it is larger than `most` bytes.
///
/// # Errors
/// [`WeightsError::File`] if it cannot be read or is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, WeightsError> {
    let fail = |e: std::io::Error| WeightsError::File(e.to_string());
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > most {
        return Err(WeightsError::File(format!("{length} bytes are over the limit of {most}")));
    }
    std::fs::read(path).map_err(fail)
}

fn safetensors(file: &[u8]) -> Result<Listing, safetensors::SafeTensorError> {
    let (_, header) = safetensors::SafeTensors::read_metadata(file)?;
    let all = safetensors::SafeTensors::deserialize(file)?;
    let start = file.as_ptr() as usize;
    let tensors = all
        .iter()
        .map(|(name, view)| {
            // The data is part of the file: only where it begins is kept.
            let begin = view.data().as_ptr() as usize - start;
            let range = begin..begin + view.data().len();
            (name.to_owned(), Stored::whole(format!("{:?}", view.dtype()), view.shape().to_vec(), range))
        })
        .collect();
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Listing { tensors, metadata })
}
