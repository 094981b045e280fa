//! The network, its losses and gradients against PyTorch's (tests/data/make_golden.py).

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use ndarray::Array2;
use scellst_model::{Loss, MilModel, ModelShape, Pooling, TrainData};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    features: usize,
    hidden: usize,
    genes: usize,
    sizes: Vec<u32>,
    weights: HashMap<String, Vec<f32>>,
    x: Vec<f32>,
    counts: Vec<f32>,
    scaled: Vec<f32>,
    size_factors: Vec<f32>,
    parameter: Vec<f32>,
    cells: Vec<f64>,
    cases: HashMap<String, Case>,
    /// Of the poolings that have parameters of their own.
    side: HashMap<String, Vec<f32>>,
    pooling_cases: HashMap<String, Case>,
    attention: Vec<f64>,
    deep_cells: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    loss: f64,
    gradients: HashMap<String, Vec<f64>>,
    #[serde(default)]
    bags: Vec<f64>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn matrix(values: &[f32], columns: usize) -> Array2<f32> {
    Array2::from_shape_vec((values.len() / columns, columns), values.to_vec()).unwrap()
}

fn model(g: &Golden, loss: Loss) -> MilModel {
    pooling_model(g, loss, Pooling::Mean)
}

fn pooling_model(g: &Golden, loss: Loss, pooling: Pooling) -> MilModel {
    let shape = ModelShape::published(g.features, g.genes).unwrap().with_hidden(vec![g.hidden; 3]).unwrap();
    let shape = shape.with_loss(loss).with_pooling(pooling).unwrap();
    let mut tensors = MilModel::new(shape.clone(), 0, &Device::Cpu).unwrap().tensors().unwrap();
    for (name, dims) in shape.parameters() {
        let values = g.weights.get(&name).or(g.side.get(&name)).unwrap_or(&g.parameter);
        tensors.insert(name, Tensor::from_slice(values, dims, &Device::Cpu).unwrap());
    }
    MilModel::from_tensors(shape, &tensors, &Device::Cpu).unwrap()
}

/// Relative to the value or a tenth of the tensor's largest: PyTorch's are f64, ours sums of f32 with both signs.
fn close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() <= 1e-5 * e.abs().max(0.1 * size), "{what} {i}: {f} against {e}");
    }
}

#[test]
fn cells_are_pytorchs() {
    let g = golden();
    let found = model(&g, Loss::Mse).predict_cells(matrix(&g.x, g.features).view()).unwrap();
    close("cells", found.as_slice().unwrap(), &g.cells);
}

fn offsets(g: &Golden) -> Vec<u32> {
    let mut offsets = vec![0u32];
    g.sizes.iter().for_each(|n| offsets.push(offsets[offsets.len() - 1] + n));
    offsets
}

#[test]
fn poolings_are_pytorchs() {
    let g = golden();
    let (x, offsets) = (matrix(&g.x, g.features), offsets(&g));
    for pooling in [Pooling::Sum, Pooling::Attention, Pooling::DeepSet] {
        for loss in [Loss::Mse, Loss::NbMean] {
            let (name, model) = (format!("{pooling} {loss}"), pooling_model(&g, loss, pooling));
            let case = &g.pooling_cases[&name];
            let labels = if loss.of_counts() { &g.counts } else { &g.scaled };
            let data = TrainData::new(x.clone(), offsets.clone(), matrix(labels, g.genes)).unwrap();
            let data = data.with_size_factors(g.size_factors.clone()).unwrap();
            let (value, gradients) = model.loss_and_gradients(&data, &[0, 1, 2, 3]).unwrap();
            assert!((value - case.loss).abs() < 1e-5 * case.loss, "{name}: {value} against {}", case.loss);
            assert_eq!(gradients.len(), case.gradients.len(), "{name}");
            for (tensor, found) in &gradients {
                let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                close(&format!("{name} {tensor}"), &found, &case.gradients[tensor]);
            }
            close(&name, model.predict_bags(x.view(), &offsets).unwrap().as_slice().unwrap(), &case.bags);
        }
    }
    let attention = pooling_model(&g, Loss::Mse, Pooling::Attention);
    close("attention", &attention.attention(x.view(), &offsets).unwrap(), &g.attention);
    // A cell is itself, however much it counts.
    close("cells", attention.predict_cells(x.view()).unwrap().as_slice().unwrap(), &g.cells);
    let deep = pooling_model(&g, Loss::Mse, Pooling::DeepSet);
    let cells = deep.predict_cells_of_bags(x.view(), &offsets).unwrap();
    close("cells that see their bag", cells.as_slice().unwrap(), &g.deep_cells);
}

#[test]
fn losses_and_gradients_are_pytorchs() {
    let g = golden();
    let offsets = offsets(&g);
    for (name, loss) in
        [("mse", Loss::Mse), ("nb-mean", Loss::NbMean), ("nb-total", Loss::NbTotal), ("poisson", Loss::Poisson)]
    {
        let labels = if loss.of_counts() { &g.counts } else { &g.scaled };
        let data = TrainData::new(matrix(&g.x, g.features), offsets.clone(), matrix(labels, g.genes)).unwrap();
        let data = data.with_size_factors(g.size_factors.clone()).unwrap();
        let case = &g.cases[name];
        let (value, gradients) = model(&g, loss).loss_and_gradients(&data, &[0, 1, 2, 3]).unwrap();
        assert!((value - case.loss).abs() < 1e-5 * case.loss, "{name}: {value} against {}", case.loss);
        assert_eq!(gradients.len(), case.gradients.len());
        for (tensor, found) in &gradients {
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            close(&format!("{name} {tensor}"), &found, &case.gradients[tensor]);
        }
    }
}

#[test]
fn weights_of_pytorch_are_read_from_its_checkpoint_and_from_safetensors() {
    let g = golden();
    let x = matrix(&g.x, g.features);
    let ckpt = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state_dict.ckpt");
    let read = |path: &Path, prefix| MilModel::from_state_dict(path, prefix, Loss::Mse, &Device::Cpu);
    let found = read(&ckpt, "model.").unwrap();
    assert_eq!((found.shape().input(), found.shape().genes()), (g.features, g.genes));
    close("cells", found.predict_cells(x.view()).unwrap().as_slice().unwrap(), &g.cells);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let renamed: HashMap<String, Tensor> = found
        .tensors()
        .unwrap()
        .into_iter()
        .filter_map(|(name, t)| Some((name.strip_prefix("layers.")?.to_owned(), t)))
        .map(|(name, t)| (format!("fc{name}"), t))
        .collect();
    candle_core::safetensors::save(&renamed, &path).unwrap();
    let found = read(&path, "").unwrap();
    close("cells", found.predict_cells(x.view()).unwrap().as_slice().unwrap(), &g.cells);

    let problem = |path: &Path, prefix| read(path, prefix).err().unwrap().to_string();
    // One that would call something is refused by its name.
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scellst-weights/tests/pytorch/code.pth");
    assert!(problem(&code, "").contains("posix.system"), "{}", problem(&code, ""));
    assert!(problem(&ckpt, "encoder.").contains("no tensor `encoder.*.weight`"));
    assert!(problem(&folder.path().join("none"), "").contains("none"));
    let bytes = std::fs::read(&ckpt).unwrap();
    for cut in [1, 100, bytes.len() / 2, bytes.len() - 10] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(read(&path, "").is_err(), "cut at {cut}");
    }
}
