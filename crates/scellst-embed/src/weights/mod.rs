//! Weights files with the checks that a network needs.

mod formula;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use scellst_weights::{Listing, Stored};
use sha2::{Digest, Sha256};

use crate::{EmbedError, MocoOrigin, PixelNorm, WeightsSpec};
pub(crate) use formula::values as untrained;

/// Where a safetensors file says, as JSON, what is done to pixels first.
pub(crate) const PIXELS: &str = "scellst.pixels";
/// Where it says, as JSON, how it was trained without labels.
pub(crate) const ORIGIN: &str = "scellst.moco";

/// Larger files than this are not weights of a cell encoder (a ViT-g in f32 has 4.5 GB).
const MAX_FILE_BYTES: u64 = 8 << 30;

/// Where training frameworks put the encoder's tensors. The first that fits is taken.
const PREFIXES: [&str; 13] = [
    "",
    "module.base_encoder.",
    "base_encoder.",
    "module.encoder_q.",
    "encoder_q.",
    "teacher.backbone.",
    "module.backbone.",
    "backbone.",
    "module.encoder.",
    "encoder.",
    "module.",
    "model.",
    "visual.trunk.",
];

/// A file in memory, with the checks that a network needs.
pub(crate) struct Weights {
    encoder: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
    /// Of the tensors that are the encoder's.
    prefix: &'static str,
    asked: RefCell<BTreeSet<String>>,
    /// None where they are made by a formula.
    spec: Option<WeightsSpec>,
    pixels: Option<String>,
    /// Seed of weights that nobody trained.
    untrained: Option<u64>,
}

impl Weights {
    pub(crate) fn read(encoder: &'static str, path: &Path) -> Result<Self, EmbedError> {
        let fail = |reason: String| EmbedError::WeightsFile { path: path.to_owned(), reason };
        let bytes = scellst_weights::read(path, MAX_FILE_BYTES).map_err(|e| fail(e.to_string()))?;
        let Listing { tensors, mut metadata } = scellst_weights::list(&bytes).map_err(|e| fail(e.to_string()))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let file = path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
        let says = |keys: [&str; 2]| keys.iter().find_map(|k| metadata.get(*k).cloned());
        let broken = |e: serde_json::Error| fail(format!("its header's {ORIGIN} is broken: {e}"));
        let moco: Option<MocoOrigin> =
            metadata.get(ORIGIN).map(|json| serde_json::from_str(json)).transpose().map_err(broken)?;
        let (source, licence) = (says(["source", "origin"]), says(["licence", "license"]));
        let spec = WeightsSpec { file, sha256, source, licence, moco };
        let asked = RefCell::default();
        let (path, spec, pixels) = (path.to_owned(), Some(spec), metadata.remove(PIXELS));
        Ok(Self { encoder, path, bytes, tensors, prefix: "", asked, spec, pixels, untrained: None })
    }

    /// Weights that nobody trained, by a formula of the seed: whatever is asked for is there.
    pub(crate) fn untrained(encoder: &'static str, seed: u64) -> Self {
        let (path, tensors, asked) = (PathBuf::new(), BTreeMap::new(), RefCell::default());
        let (spec, pixels) = (None, None);
        Self { encoder, path, bytes: Vec::new(), tensors, prefix: "", asked, spec, pixels, untrained: Some(seed) }
    }

    /// What the file says is to be done to pixels.
    pub(crate) fn pixels(&self) -> Result<Option<PixelNorm>, EmbedError> {
        let Some(json) = &self.pixels else { return Ok(None) };
        let wrong = |reason: String| EmbedError::WeightsFile { path: self.path.clone(), reason };
        let norm: PixelNorm =
            serde_json::from_str(json).map_err(|e| wrong(format!("its header's {PIXELS} is broken: {e}")))?;
        if !norm.is_valid() {
            return Err(wrong(format!("its header's {PIXELS} cannot be applied: {json}")));
        }
        Ok(Some(norm))
    }

    pub(crate) fn spec(&self) -> Option<WeightsSpec> {
        self.spec.clone()
    }

    /// Takes the tensors behind the prefix under which there is one of this name; if there is none, all.
    pub(crate) fn find_prefix(&mut self, name: &str) {
        let fits = |p: &&str| self.tensors.contains_key(&format!("{p}{name}"));
        self.prefix = PREFIXES.into_iter().find(fits).unwrap_or_default();
    }

    /// The shape of a tensor, if there is one of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(&format!("{}{name}", self.prefix)).map(Stored::shape)
    }

    pub(crate) fn wrong(&self, name: &str, expected: String, found: String) -> EmbedError {
        let tensor = format!("{}{name}", self.prefix);
        EmbedError::WeightsTensor { path: self.path.clone(), encoder: self.encoder, tensor, expected, found }
    }

    /// The f32 values of a tensor that must be there, have this shape and be finite.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EmbedError> {
        if let Some(seed) = self.untrained {
            return Ok(formula::values(seed, name, shape));
        }
        let wrong = |found: String| self.wrong(name, format!("{shape:?} of floats"), found);
        let full = format!("{}{name}", self.prefix);
        let stored = self.tensors.get(&full).ok_or_else(|| wrong(self.missing()))?;
        self.asked.borrow_mut().insert(full);
        if stored.shape() != shape {
            return Err(wrong(format!("{:?}", stored.shape())));
        }
        let values = stored.values(&self.bytes).map_err(|e| wrong(e.to_string()))?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(wrong(format!("a value of {v}"))),
            None => Ok(values),
        }
    }

    /// The values of a tensor of floats or whole numbers of this shape, as f64.
    pub(crate) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, EmbedError> {
        let wrong = |found: String| self.wrong(name, format!("{shape:?} of numbers"), found);
        let stored = self.tensors.get(name).ok_or_else(|| wrong(self.missing()))?;
        if stored.shape() != shape {
            return Err(wrong(format!("{:?}", stored.shape())));
        }
        let values = stored.numbers(&self.bytes).map_err(|e| wrong(e.to_string()))?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(wrong(format!("a value of {v}"))),
            None => Ok(values),
        }
    }

    /// A convolution's weight with its batch norm folded in, and the bias that is left of it.
    pub(crate) fn folded(
        &self,
        conv: &str,
        bn: &str,
        shape: [usize; 4],
        epsilon: f32,
    ) -> Result<(Vec<f32>, Vec<f32>), EmbedError> {
        let mut weight = self.get(&format!("{conv}.weight"), &shape)?;
        let part = |part: &str| self.get(&format!("{bn}.{part}"), &shape[..1]);
        let (gamma, beta, mean, var) = (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
        if let Some(v) = var.iter().find(|v| **v < 0.0) {
            return Err(self.wrong(&format!("{bn}.running_var"), "variances".into(), format!("a value of {v}")));
        }
        let mut bias = vec![0.0; shape[0]];
        for (i, filter) in weight.chunks_exact_mut(shape[1] * shape[2] * shape[3]).enumerate() {
            let scale = f64::from(gamma[i]) / (f64::from(var[i]) + f64::from(epsilon)).sqrt();
            filter.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
            bias[i] = (f64::from(beta[i]) - f64::from(mean[i]) * scale) as f32;
        }
        Ok((weight, bias))
    }

    /// Refuses tensors behind the prefix that nobody asked for, except those that begin so: another network has
    /// them. Batch norms' counters are let be.
    pub(crate) fn finish(&self, except: &[&str]) -> Result<(), EmbedError> {
        let asked = self.asked.borrow();
        let extra: Vec<String> = self
            .tensors
            .keys()
            .filter(|full| !asked.contains(*full))
            .filter_map(|full| full.strip_prefix(self.prefix))
            .filter(|name| !name.ends_with("num_batches_tracked") && !except.iter().any(|e| name.starts_with(e)))
            .map(str::to_owned)
            .collect();
        match extra.len() {
            0 => Ok(()),
            count => Err(EmbedError::WeightsExtra {
                path: self.path.clone(),
                encoder: self.encoder,
                count,
                tensors: extra.into_iter().take(3).collect(),
                looks: self.looks(),
            }),
        }
    }

    fn missing(&self) -> String {
        let looks = self.looks().map_or(String::new(), |l| format!(", it looks like {l}"));
        let first = self.tensors.keys().next().map_or(String::new(), |t| format!(", the first is {t}"));
        format!("no such tensor (the file has {} tensors{first}{looks})", self.tensors.len())
    }

    /// Whose weights these seem to be.
    fn looks(&self) -> Option<String> {
        let has = |part: &str| self.tensors.keys().any(|t| t.ends_with(part));
        let depth = match (has("layer3.5.conv1.weight"), has("layer1.0.conv3.weight"), has("layer3.6.conv1.weight")) {
            (_, _, true) => Some("resnet101 or deeper"),
            (true, true, _) => Some("resnet50"),
            (true, false, _) => Some("resnet34"),
            (false, false, _) if has("layer1.0.conv1.weight") => Some("resnet18"),
            _ => None,
        };
        let other = [("patch_embed.proj.weight", "vit"), ("conv_dw_1.weight", "mobilenet-v1")];
        depth.or_else(|| other.iter().find(|(t, _)| has(t)).map(|(_, n)| *n)).map(str::to_owned)
    }
}
