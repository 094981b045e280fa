use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::parameters::Named;
use super::trainer::{Moco, Position};
use super::{MocoConfig, MocoSection};
use crate::batch::device_error;
use crate::file::write_whole;
use crate::{EmbedError, PixelNorm};

/// Raised whenever an older program would read a checkpoint wrongly.
const VERSION: u32 = 1;
const KEY: &str = "scellst-moco";
/// ResNet-50 with its heads and AdamW has about 600 MB.
const MAX_BYTES: u64 = 8 << 30;

/// Where an encoder that was trained without labels comes from: kept in its file, and by every model that uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MocoOrigin {
    /// How it was trained.
    pub config: MocoConfig,
    /// On what: no other section was seen.
    pub sections: Vec<MocoSection>,
    /// Sections that were kept out, whether or not anybody would have given them.
    #[serde(default)]
    pub held_out: Vec<String>,
    /// Steps done.
    pub steps: u64,
}

/// What is in a checkpoint beside tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    config: MocoConfig,
    pixels: PixelNorm,
    sections: Vec<MocoSection>,
    position: Position,
}

type Owned = Vec<(String, Vec<usize>, Vec<u8>)>;

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn owned(named: &[Named<'_>]) -> candle_core::Result<Owned> {
    let one = |(name, values): &Named<'_>| {
        let (dims, values) = values.get()?;
        Ok((name.clone(), dims, bytes(&values)))
    };
    named.iter().map(one).collect()
}

fn file(tensors: &Owned, metadata: HashMap<String, String>) -> Result<Vec<u8>, String> {
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, dims, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
        .collect();
    let views = views.map_err(|e: safetensors::SafeTensorError| e.to_string())?;
    safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
}

impl Moco {
    fn device_error(&self, e: &candle_core::Error) -> EmbedError {
        device_error(self.config.depth.name(), &self.device, e)
    }

    /// Writes all that is needed to go on with the same bits, as one safetensors file: whole or not at all.
    ///
    /// # Errors
    /// [`EmbedError::Checkpoint`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), EmbedError> {
        let wrong = |problem: String| EmbedError::Checkpoint { path: path.to_owned(), problem };
        let header = Header {
            version: VERSION,
            config: self.config.clone(),
            pixels: self.pixels,
            sections: self.sections.clone(),
            position: self.position.clone(),
        };
        let mut tensors = owned(&self.named()).map_err(|e| self.device_error(&e))?;
        for ((name, _), kept) in self.optimised().iter().zip(&self.optimiser.kept) {
            for (i, tensor) in kept.iter().enumerate() {
                let values: Vec<f32> = tensor
                    .to_device(&Device::Cpu)
                    .and_then(|t| t.flatten_all()?.to_vec1())
                    .map_err(|e| self.device_error(&e))?;
                tensors.push((format!("optimiser.{i}.{name}"), tensor.dims().to_vec(), bytes(&values)));
            }
        }
        let json = serde_json::to_string(&header).map_err(|e| wrong(e.to_string()))?;
        let whole = file(&tensors, HashMap::from([(KEY.to_owned(), json)])).map_err(wrong)?;
        write_whole(path, &whole).map_err(|e| wrong(e.to_string()))
    }

    /// Goes on from a checkpoint of the same settings and sections.
    ///
    /// # Errors
    /// [`EmbedError::Checkpoint`] if it is damaged, cut short, or of another training: this one is then as it was.
    pub fn restore(&mut self, path: &Path) -> Result<(), EmbedError> {
        let wrong = |problem: String| EmbedError::Checkpoint { path: path.to_owned(), problem };
        let length = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?.len();
        if length > MAX_BYTES {
            return Err(wrong(format!("{length} bytes are over the limit of {MAX_BYTES}")));
        }
        let content = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let damaged = |e: safetensors::SafeTensorError| wrong(format!("damaged or cut short: {e}"));
        let (_, metadata) = SafeTensors::read_metadata(&content).map_err(damaged)?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let json = json.ok_or_else(|| wrong(format!("no checkpoint of MoCo: it has no {KEY}")))?;
        let header: Header = serde_json::from_str(json).map_err(|e| wrong(format!("its {KEY} is broken: {e}")))?;
        if header.version != VERSION {
            return Err(wrong(format!("version {}, expected {VERSION}", header.version)));
        }
        let differ = [
            ("settings", header.config != self.config),
            ("pixel statistics", header.pixels != self.pixels),
            ("sections", header.sections != self.sections),
        ];
        if let Some((what, _)) = differ.iter().find(|(_, differ)| *differ) {
            return Err(wrong(format!("of a training with other {what}: give those, or another folder")));
        }
        let order = self.order_of(header.position.epoch);
        if header.position.batch >= order.len() {
            return Err(wrong(format!("at batch {} of {}", header.position.batch, order.len())));
        }
        let tensors = SafeTensors::deserialize(&content).map_err(damaged)?;
        let get = |name: &str, dims: &[usize]| {
            let view = tensors.tensor(name).map_err(|e| wrong(e.to_string()))?;
            if view.dtype() != Dtype::F32 || view.shape() != dims {
                return Err(wrong(format!("{name} is {:?} of {:?}, expected {dims:?}", view.shape(), view.dtype())));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let values: Vec<f32> = values.collect();
            match values.iter().find(|v| !v.is_finite()) {
                Some(v) => Err(wrong(format!("{name} has a value of {v}"))),
                None => Ok(values),
            }
        };
        // All are read before the first is set.
        let named = self.named();
        let values: Vec<_> = named.iter().map(|(n, v)| get(n, &v.dims())).collect::<Result<_, _>>()?;
        let mut kept = Vec::new();
        for ((name, values), tensors) in self.optimised().iter().zip(&self.optimiser.kept) {
            let one = |i: usize| {
                let read = get(&format!("optimiser.{i}.{name}"), &values.dims())?;
                Tensor::from_vec(read, values.dims(), &self.device).map_err(|e| self.device_error(&e))
            };
            kept.push((0..tensors.len()).map(one).collect::<Result<Vec<_>, _>>()?);
        }
        for ((_, to), values) in named.iter().zip(&values) {
            to.set(values).map_err(|e| self.device_error(&e))?;
        }
        drop(named);
        self.optimiser.kept = kept;
        self.order = order;
        self.position = header.position;
        self.changed();
        Ok(())
    }

    /// Where the encoder comes from.
    pub fn origin(&self, held_out: &[String]) -> MocoOrigin {
        MocoOrigin {
            config: self.config.clone(),
            sections: self.sections.clone(),
            held_out: held_out.to_vec(),
            steps: self.history().len() as u64,
        }
    }

    /// Writes the encoder as [`ResNet::open`](crate::ResNet::open) reads it: safetensors by torchvision's names, with
    /// its pixel statistics and where it comes from in the header. Whole or not at all.
    ///
    /// # Errors
    /// [`EmbedError::Checkpoint`] if it cannot be written.
    pub fn write_encoder(&self, path: &Path, origin: &MocoOrigin) -> Result<(), EmbedError> {
        let wrong = |problem: String| EmbedError::Checkpoint { path: path.to_owned(), problem };
        let tensors = owned(&self.encoder()).map_err(|e| self.device_error(&e))?;
        let json = |r: serde_json::Result<String>| r.map_err(|e| wrong(e.to_string()));
        let names: Vec<&str> = self.sections.iter().map(|s| s.name.as_str()).collect();
        let metadata = HashMap::from([
            ("source".to_owned(), format!("scellst, MoCo v3 on the sections {}", names.join(", "))),
            (crate::weights::PIXELS.to_owned(), json(serde_json::to_string(&self.pixels))?),
            (crate::weights::ORIGIN.to_owned(), json(serde_json::to_string(origin))?),
        ]);
        let whole = file(&tensors, metadata).map_err(wrong)?;
        write_whole(path, &whole).map_err(|e| wrong(e.to_string()))
    }
}
