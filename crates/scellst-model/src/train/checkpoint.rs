use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::trainer::{Backend, Position, Trainer};
use crate::{ModelError, ModelShape, TrainConfig};

/// Raised whenever an older program would read a checkpoint wrongly.
const VERSION: u32 = 1;
const KEY: &str = "scellst-checkpoint";
const PARTS: [&str; 4] = ["weights", "adamw.mean", "adamw.square", "best"];

/// What is in a checkpoint beside tensors, as JSON in its header: one file, so that the two cannot disagree.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    shape: ModelShape,
    config: TrainConfig,
    /// Of data and split.
    fingerprint: String,
    position: Position,
}

impl Trainer<'_> {
    /// Writes everything that is needed to go on from here with the same bits: a safetensors file with the weights
    /// (`weights.*`), AdamW's running means (`adamw.mean.*`, `adamw.square.*`), the best weights so far (`best.*`), and
    /// position, settings and losses as JSON under `scellst-checkpoint` in its header. Whole or not at all: an old
    /// checkpoint stays until the new one is on the disk.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let wrong = |problem: String| ModelError::File { path: path.to_owned(), problem };
        let header = Header {
            version: VERSION,
            shape: self.model.shape().clone(),
            config: self.config.clone(),
            fingerprint: self.fingerprint(),
            position: self.position.clone(),
        };
        let json = serde_json::to_string(&header).map_err(|e| wrong(e.to_string()))?;
        let names = self.model.shape().parameters();
        let [weights, mean, square] = self.state()?;
        let parts = [Some(weights), Some(mean), Some(square), self.best.clone()];
        let mut tensors = Vec::new();
        for (part, values) in PARTS.iter().zip(parts) {
            for ((name, dims), values) in names.iter().zip(values.into_iter().flatten()) {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((format!("{part}.{name}"), dims.clone(), bytes));
            }
        }
        let views = tensors.iter().map(|(name, dims, bytes)| {
            let view = TensorView::new(Dtype::F32, dims.clone(), bytes);
            Ok((name.as_str(), view.map_err(|e| wrong(e.to_string()))?))
        });
        let views: Vec<_> = views.collect::<Result<_, ModelError>>()?;
        let metadata = Some(HashMap::from([(KEY.to_owned(), json)]));
        let bytes = safetensors::serialize(views, metadata).map_err(|e| wrong(e.to_string()))?;
        super::write_whole(path, &bytes).map_err(|e| wrong(e.to_string()))
    }

    /// Goes on from a checkpoint: of the same network, data, bags and settings, but for `max_epochs` and `patience`, which
    /// may be changed.
    ///
    /// # Errors
    /// [`ModelError::File`] if it is damaged or cut short, [`ModelError::Checkpoint`] if it is of another training. The
    /// trainer is then as before.
    pub fn restore(&mut self, path: &Path) -> Result<(), ModelError> {
        let wrong = |problem: String| ModelError::File { path: path.to_owned(), problem };
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let damaged = |e: &dyn std::fmt::Display| wrong(format!("the checkpoint is damaged or cut short: {e}"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let json = json.ok_or_else(|| wrong("safetensors, but not a checkpoint".into()))?;
        let version: VersionOnly = serde_json::from_str(json).map_err(|e| damaged(&e))?;
        if version.version > VERSION {
            return Err(wrong(format!("a checkpoint of version {}, this program knows {VERSION}", version.version)));
        }
        let header: Header = serde_json::from_str(json).map_err(|e| damaged(&e))?;
        self.check(&header)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let names = self.model.shape().parameters();
        let read = |part: &str| -> Result<Vec<Vec<f32>>, ModelError> {
            let tensor = |(name, dims): &(String, Vec<usize>)| {
                let view = tensors.tensor(&format!("{part}.{name}")).map_err(|e| damaged(&e))?;
                if view.dtype() != Dtype::F32 || view.shape() != dims {
                    return Err(damaged(&format!("{part}.{name} is {:?} of {:?}", view.shape(), view.dtype())));
                }
                let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                match values.iter().all(|v| v.is_finite()) {
                    true => Ok(values),
                    false => Err(damaged(&format!("{part}.{name} is not finite"))),
                }
            };
            names.iter().map(tensor).collect()
        };
        let state = [read(PARTS[0])?, read(PARTS[1])?, read(PARTS[2])?];
        let best = if header.position.best_epoch > 0 { Some(read(PARTS[3])?) } else { None };
        match &mut self.backend {
            Backend::Cpu(engine) => engine.restore(&state),
            Backend::Tensors(composed) => composed.restore(&state)?,
        }
        (self.best, self.position) = (best, header.position);
        Ok(())
    }

    fn fingerprint(&self) -> String {
        format!("{:016x}", self.data.fingerprint(&self.fit, &self.validation))
    }

    fn check(&self, header: &Header) -> Result<(), ModelError> {
        let differs = |what, expected: String, found: String| match expected == found {
            true => Ok(()),
            false => Err(ModelError::Checkpoint { what, expected, found }),
        };
        let (old, new) = (&header.config, &self.config);
        differs("the network", format!("{:?}", header.shape), format!("{:?}", self.model.shape()))?;
        differs("the seed", old.seed.to_string(), new.seed.to_string())?;
        let same = TrainConfig { max_epochs: new.max_epochs, patience: new.patience, ..old.clone() };
        differs("the settings", format!("{same:?}"), format!("{new:?}"))?;
        if old.schedule != crate::Schedule::Constant {
            // The rate depends on it.
            differs("the number of epochs", old.max_epochs.to_string(), new.max_epochs.to_string())?;
        }
        differs("the fingerprint of data and bags", header.fingerprint.clone(), self.fingerprint())?;
        let (found, steps) = (&header.position, self.steps_per_epoch());
        let possible = found.steps < steps
            && found.all_steps == (found.epochs * steps + found.steps) as u64
            && found.best_epoch <= found.epochs
            && found.best_loss.is_some() == (found.best_epoch > 0)
            && found.history.len() == found.epochs;
        match possible {
            true => Ok(()),
            false => differs("the position", "within the epochs".into(), format!("{found:?}")),
        }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}
