use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::{MilModel, ModelError, ModelShape};

impl MilModel {
    /// The published network from the weights that PyTorch saved: a `state_dict` in safetensors, or in a `.pth`, `.pt` or
    /// `.ckpt` file (also one of Lightning, with the weights under `state_dict`). Nothing in a pickle is run, and one with
    /// more in it than tensors is refused (see [`scellst_weights`]).
    ///
    /// The linear layers are found by what they are, not by one naming: every `<name>.weight` of two dimensions, in the
    /// order of their names (numbers as numbers), with its `<name>.bias`; `model.instance.0.weight` does as well as
    /// `fc1.weight`. Only names that begin with `prefix` count (`""` for all). For losses with one parameter of a gene a
    /// tensor of that length that is no layer's bias is taken for it, if there is one. LeakyReLU, dropout and softplus are
    /// the published ones; features are not scaled.
    ///
    /// # Errors
    /// [`ModelError::File`] if it cannot be read, [`ModelError::Weights`] if its layers are not a chain.
    pub fn from_state_dict(
        path: &Path,
        prefix: &str,
        loss: scellst_kernels::Loss,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let wrong = |problem: String| ModelError::File { path: path.to_owned(), problem };
        let mut tensors: HashMap<String, Tensor> = read(path).map_err(wrong)?;
        tensors.retain(|name, _| name.starts_with(prefix));
        let mut names: Vec<String> = tensors
            .iter()
            .filter(|(name, t)| name.ends_with(".weight") && t.rank() == 2)
            .map(|(name, _)| name.trim_end_matches("weight").to_owned())
            .collect();
        names.sort_by_key(|n| natural(n));
        let size = |name: &String| tensors[&format!("{name}weight")].dims().to_vec();
        let sizes: Vec<Vec<usize>> = names.iter().map(size).collect();
        let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else {
            return Err(wrong(format!("no tensor `{prefix}*.weight` of two dimensions")));
        };
        let hidden = sizes[..sizes.len() - 1].iter().map(|s| s[0]).collect();
        let shape = ModelShape::published(first[1], last[0])?.with_hidden(hidden)?.with_loss(loss);
        let mut ours = HashMap::new();
        for (i, name) in names.iter().enumerate() {
            for part in ["weight", "bias"] {
                let from = format!("{name}{part}");
                let missing = || wrong(format!("no tensor {from}"));
                let tensor = tensors.remove(&from).ok_or_else(missing)?;
                ours.insert(format!("layers.{i}.{part}"), tensor);
            }
        }
        let zeros = Tensor::zeros(shape.input(), DType::F32, &Device::Cpu)?;
        ours.insert("input.std".into(), (&zeros + 1.0)?);
        ours.insert("input.mean".into(), zeros);
        let kinds = loss.gene_parameters();
        let of_genes = tensors.values().find(|t| kinds == 1 && t.dims() == [shape.genes()]);
        let parameters = match of_genes {
            Some(t) => t.reshape((1, shape.genes()))?,
            None => Tensor::zeros((kinds, shape.genes()), DType::F32, &Device::Cpu)?,
        };
        ours.insert("genes.parameters".into(), parameters);
        Self::from_tensors(shape, &ours, device)
    }
}

/// More than the weights of any model of expression (2,048 features, 20,000 genes: 22 MB).
const MAX_FILE_BYTES: u64 = 1 << 30;

/// All tensors of floats.
fn read(path: &Path) -> Result<HashMap<String, Tensor>, String> {
    let bytes = scellst_weights::read(path, MAX_FILE_BYTES).map_err(|e| e.to_string())?;
    let listing = scellst_weights::list(&bytes).map_err(|e| e.to_string())?;
    let mut tensors = HashMap::new();
    for (name, stored) in &listing.tensors {
        // What has no floats is no weight: counters, indices.
        let Ok(values) = stored.values(&bytes) else { continue };
        let tensor = Tensor::from_vec(values, stored.shape(), &Device::Cpu).map_err(|e| e.to_string())?;
        tensors.insert(name.clone(), tensor);
    }
    Ok(tensors)
}

/// Splits a name so that numbers compare as numbers.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut in_number = false;
    for c in name.chars() {
        match c.to_digit(10) {
            Some(d) => {
                if let Some(last) = parts.last_mut() {
                    last.1 = last.1.saturating_mul(10).saturating_add(d.into());
                }
                in_number = true;
            }
            None => {
                if in_number {
                    parts.push((String::new(), 0));
                    in_number = false;
                }
                if let Some(last) = parts.last_mut() {
                    last.0.push(c);
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let mut names = ["net.10.", "net.9.", "net.2.b", "a.77."];
        names.sort_by_key(|n| natural(n));
        assert_eq!(names, ["a.77.", "net.2.b", "net.9.", "net.10."]);
    }
}
