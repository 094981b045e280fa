//! Baselines as a file of a bundle.

use std::collections::HashMap;
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use scellst_cells::CropSpec;
use scellst_model::InputScale;
use serde::{Deserialize, Serialize};

use super::linear::Linear;
use super::neighbours::NearestSpots;
use super::{Baseline, BaselineSet, Fit, FittedBaseline, Sight};
use crate::PipelineError;
use crate::uncertainty::read_within;

const FORMAT: &str = "scellst-baselines";
const VERSION: u32 = 1;
/// Of what is read: 5,000 spots of 20,000 genes have 400 MB.
const MAX_BYTES: u64 = 2 << 30;

/// What is not a tensor, in the file's metadata as JSON.
#[derive(Serialize, Deserialize)]
struct About {
    format: String,
    version: u32,
    baselines: Vec<Entry>,
    patch: Option<CropSpec>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sight: Sight,
    kind: Baseline,
}

/// Shape and values of a tensor to write.
type Part = (String, Vec<usize>, Vec<f32>);

impl BaselineSet {
    /// As a file of the bundle. Of the n-th baseline, f32: `n.intercept` `(genes)`, of regressions `n.mean` and `n.std`
    /// `(features)`, by which features are standardised, and `n.weights` `(features, genes)`; of nearest spots `n.mean`,
    /// `n.std`, `n.spots` (spots x standardised features) and `n.labels` `(spots, genes)`. What each is, is JSON in the
    /// metadata under `about`.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if it cannot be packed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PipelineError> {
        let failed = |e: &dyn std::fmt::Display| PipelineError::Misuse(format!("{}: {e}", Self::FILE));
        let mut parts: Vec<Part> = Vec::new();
        for (at, (_, fitted)) in self.fitted.iter().enumerate() {
            parts_of(at, fitted, &mut parts);
        }
        let bytes: Vec<Vec<u8>> =
            parts.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let mut tensors = Vec::new();
        for ((name, shape, _), bytes) in parts.iter().zip(&bytes) {
            tensors.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| failed(&e))?));
        }
        let entry = |(sight, fitted): &(Sight, FittedBaseline)| Entry { sight: *sight, kind: fitted.kind };
        let about = About {
            format: FORMAT.into(),
            version: VERSION,
            baselines: self.fitted.iter().map(entry).collect(),
            patch: self.patch.clone(),
        };
        let about = serde_json::to_string(&about).map_err(|e| failed(&e))?;
        safetensors::serialize(tensors, Some(HashMap::from([("about".to_owned(), about)]))).map_err(|e| failed(&e))
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`PipelineError::Io`]; [`PipelineError::Description`] for what is no such file, of another version, too large or
    /// contradicts itself.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let bytes = read_within(path, MAX_BYTES)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let about = header.metadata().as_ref().and_then(|about| about.get("about")).cloned().unwrap_or_default();
        let about: About = serde_json::from_str(&about).map_err(|e| wrong(format!("no baselines: {e}")))?;
        if (about.format.as_str(), about.version) != (FORMAT, VERSION) {
            return Err(wrong(format!("expected {FORMAT} {VERSION}, found {} {}", about.format, about.version)));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
        let mut fitted = Vec::new();
        for (at, Entry { sight, kind }) in about.baselines.into_iter().enumerate() {
            let fit =
                Stored { tensors: &tensors, at }.fit(kind).map_err(|problem| wrong(format!("{kind}: {problem}")))?;
            fitted.push((sight, FittedBaseline { kind, fit }));
        }
        Ok(Self { fitted, patch: about.patch })
    }
}

fn parts_of(at: usize, fitted: &FittedBaseline, parts: &mut Vec<Part>) {
    let mut add =
        |name: &str, shape: &[usize], values: Vec<f32>| parts.push((format!("{at}.{name}"), shape.to_vec(), values));
    let f32s = |values: &mut dyn Iterator<Item = f64>| -> Vec<f32> { values.map(|v| v as f32).collect() };
    match &fitted.fit {
        Fit::Mean(mean) => add("intercept", &[mean.len()], mean.clone()),
        Fit::Linear(linear) => {
            let (features, genes) = linear.weights.dim();
            add("mean", &[features], linear.input.mean().to_vec());
            add("std", &[features], linear.input.std().to_vec());
            add("weights", &[features, genes], f32s(&mut linear.weights.iter().copied()));
            add("intercept", &[genes], f32s(&mut linear.intercept.iter().copied()));
        }
        Fit::Near(near) => {
            let ((spots, features), genes) = (near.training.dim(), near.labels.ncols());
            add("mean", &[features], near.input.mean().to_vec());
            add("std", &[features], near.input.std().to_vec());
            add("spots", &[spots, features], near.training.iter().copied().collect());
            add("labels", &[spots, genes], near.labels.iter().copied().collect());
        }
    }
}

/// The tensors of one baseline of a file. Errors are in words.
struct Stored<'a> {
    tensors: &'a SafeTensors<'a>,
    at: usize,
}

impl Stored<'_> {
    fn fit(&self, kind: Baseline) -> Result<Fit, String> {
        Ok(match kind {
            Baseline::Mean => Fit::Mean(self.one("intercept")?),
            Baseline::Ridge | Baseline::PcaRidge(_) => {
                let (weights, intercept) = (self.two("weights")?.mapv(f64::from), self.one("intercept")?);
                let intercept = Array1::from_vec(intercept).mapv(f64::from);
                same("genes", weights.ncols(), intercept.len())?;
                Fit::Linear(Linear { input: self.input(weights.nrows())?, weights, intercept })
            }
            Baseline::NearestSpots(k) => {
                let (training, labels) = (self.two("spots")?, self.two("labels")?);
                same("spots", training.nrows(), labels.nrows())?;
                if k == 0 || training.nrows() == 0 {
                    return Err("no neighbour or no spot".into());
                }
                let k = k.min(training.nrows());
                Fit::Near(NearestSpots { input: self.input(training.ncols())?, training, labels, k })
            }
        })
    }

    fn input(&self, features: usize) -> Result<InputScale, String> {
        let (mean, std) = (self.one("mean")?, self.one("std")?);
        same("features", features, mean.len())?;
        InputScale::from_parts(mean, std).map_err(|e| e.to_string())
    }

    fn one(&self, name: &str) -> Result<Vec<f32>, String> {
        match self.tensor(name)? {
            (shape, values) if shape.len() == 1 => Ok(values),
            (shape, _) => Err(format!("{name}: expected one axis, found the shape {shape:?}")),
        }
    }

    fn two(&self, name: &str) -> Result<Array2<f32>, String> {
        match self.tensor(name)? {
            (shape, values) if shape.len() == 2 => {
                Array2::from_shape_vec((shape[0], shape[1]), values).map_err(|e| format!("{name}: {e}"))
            }
            (shape, _) => Err(format!("{name}: expected two axes, found the shape {shape:?}")),
        }
    }

    /// Shape and values, all finite.
    fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let name = format!("{}.{name}", self.at);
        let tensor = self.tensors.tensor(&name).map_err(|e| e.to_string())?;
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("{name}: expected F32, found {:?}", tensor.dtype()));
        }
        let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(format!("{name}: holds {v}")),
            None => Ok((tensor.shape().to_vec(), values)),
        }
    }
}

fn same(what: &str, expected: usize, found: usize) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected}, found {found}")) }
}

#[cfg(test)]
mod tests {
    use super::super::{SpotFeatures, SpotWidths};
    use super::*;

    fn noise(rows: usize, columns: usize, shift: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 7919 + j * 104_729 + i * j * 31 + shift) % 997) as f32)
    }

    fn spots(rows: usize, shift: usize) -> SpotFeatures {
        SpotFeatures { cells: noise(rows, 7, shift), own: 3, patches: Some(noise(rows, 3, shift + 5)) }
    }

    fn set() -> BaselineSet {
        let patch = CropSpec::default();
        BaselineSet::fit(&spots(40, 0), noise(40, 2, 9).view(), Some(&patch)).unwrap().unwrap()
    }

    #[test]
    fn what_is_read_predicts_the_same_bits() {
        let set = set();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BaselineSet::FILE);
        std::fs::write(&path, set.to_bytes().unwrap()).unwrap();
        let read = BaselineSet::read(&path).unwrap();
        assert_eq!(read, set);
        let (a, b) = (read.predict(&spots(9, 3)).unwrap(), set.predict(&spots(9, 3)).unwrap());
        assert_eq!(a, b);
        let names: Vec<&str> = a.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "ridge on spot means with context",
                "mean of the training spots",
                "ridge on spot means",
                "PCA-256 + ridge",
                "10 nearest spots",
                "ridge on patches of 12 um",
                "PCA-256 + ridge on patches of 12 um"
            ]
        );
        assert_eq!(read.check(2, SpotWidths { patch: 3, own: 3, with_context: 7 }), Ok(()));
        // Without patches and context only the others are left.
        let plain = SpotFeatures { cells: noise(9, 3, 3), own: 3, patches: None };
        assert_eq!(read.predict(&plain).unwrap().len(), 4);
    }

    #[test]
    fn another_model_s_and_broken_ones_are_named() {
        let set = set();
        for (genes, patch, own, with_context) in [(5, 3, 3, 7), (2, 4, 3, 7), (2, 3, 4, 7), (2, 3, 3, 8)] {
            assert!(set.check(genes, SpotWidths { patch, own, with_context }).is_err());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.safetensors");
        let bytes = set.to_bytes().unwrap();
        let replaced = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
        };
        let mut infinite = bytes.clone();
        let end = infinite.len();
        infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        let broken = [
            replaced("scellst-baselines", "scellst-baselinez"),
            replaced("\\\"version\\\":1", "\\\"version\\\":2"),
            replaced("2.weights", "2.weightz"),
            replaced("[40,3]", "[3,40]"),
            infinite,
            bytes[..bytes.len() / 2].to_vec(),
            Vec::new(),
        ];
        for (at, bad) in broken.iter().enumerate() {
            std::fs::write(&path, bad).unwrap();
            let e = BaselineSet::read(&path).expect_err(&at.to_string()).to_string();
            assert!(e.contains("b.safetensors"), "{e}");
        }
        assert!(BaselineSet::read(&folder.path().join("none")).is_err());
        // Too few spots to fit anything.
        assert!(BaselineSet::fit(&spots(2, 0), noise(2, 2, 0).view(), None).unwrap().is_none());
    }
}
