use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use crate::{EmbedError, WeightsSpec};

/// Larger files than this are not weights of a cell encoder (a ViT-g in f32 has 4.5 GB).
const MAX_FILE_BYTES: u64 = 8 << 30;

/// A safetensors file in memory, with the checks that a network needs.
pub(crate) struct Weights {
    encoder: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
    spec: WeightsSpec,
}

impl Weights {
    pub(crate) fn read(encoder: &'static str, path: &Path) -> Result<Self, EmbedError> {
        let fail = |reason: String| EmbedError::WeightsFile { path: path.to_owned(), reason };
        let length = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if length > MAX_FILE_BYTES {
            return Err(fail(format!("{length} bytes are over the limit of {MAX_FILE_BYTES}")));
        }
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
            .map_err(|e| fail(format!("not a safetensors file: {e}")))?;
        let source = header.metadata().as_ref().and_then(|m| m.get("source").cloned());
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let file = path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { encoder, path: path.to_owned(), bytes, spec: WeightsSpec { file, sha256, source } })
    }

    pub(crate) fn spec(&self) -> WeightsSpec {
        self.spec.clone()
    }

    /// The f32 values of a tensor that must be there, have this shape and be finite.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EmbedError> {
        let wrong = |found: String| EmbedError::WeightsTensor {
            path: self.path.clone(),
            encoder: self.encoder,
            tensor: name.to_owned(),
            expected: format!("{shape:?} of floats"),
            found,
        };
        let file = safetensors::SafeTensors::deserialize(&self.bytes)
            .map_err(|e| EmbedError::WeightsFile { path: self.path.clone(), reason: e.to_string() })?;
        let view = file.tensor(name).map_err(|_| wrong("no such tensor".into()))?;
        if view.shape() != shape {
            return Err(wrong(format!("{:?}", view.shape())));
        }
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::F16 => DType::F16,
            safetensors::Dtype::BF16 => DType::BF16,
            other => return Err(wrong(format!("{other:?}"))),
        };
        let values = Tensor::from_raw_buffer(view.data(), dtype, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>())
            .map_err(|e| wrong(e.to_string()))?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(wrong(format!("a value of {v}"))),
            None => Ok(values),
        }
    }
}
