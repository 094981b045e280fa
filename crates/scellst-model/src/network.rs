use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scellst_kernels::{ActivationSpec, Loss, Offsets, bias_leaky_relu_dropout, softplus, softplus_segment_mean};

use crate::engine::Network;
use crate::{InputScale, ModelError, ModelShape};

/// Cells that are predicted at a time.
const BLOCK: usize = 4096;

/// The published instance model: a cell's features to its expression, a bag the mean of its cells.
///
/// `features -> 256 -> 256 -> 256 -> genes`, LeakyReLU and dropout after each hidden layer, softplus at the end.
/// Outputs are positive, in the unit of the labels that it was trained on.
pub struct MilModel {
    shape: ModelShape,
    input: InputScale,
    /// Weight `(out, in)` and bias `(out)` of each layer, PyTorch's layout.
    layers: Vec<(Var, Var)>,
    /// Parameters of the loss `(parameters, genes)`.
    genes: Option<Var>,
    device: Device,
}

impl MilModel {
    /// With random weights: uniform within `1 / sqrt(in)`, PyTorch's default for linear layers, from the seed. Genes'
    /// parameters of the loss begin with 0.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if the device cannot hold it.
    pub fn new(shape: ModelShape, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform =
            |n: usize, bound: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(-bound..bound)).collect() };
        let mut layers = Vec::new();
        for (from, to) in shape.layers() {
            let bound = 1.0 / (from as f32).sqrt();
            let weight = Tensor::from_vec(uniform(from * to, bound), (to, from), device)?;
            let bias = Tensor::from_vec(uniform(to, bound), to, device)?;
            layers.push((Var::from_tensor(&weight)?, Var::from_tensor(&bias)?));
        }
        let genes = match shape.loss().gene_parameters() {
            0 => None,
            n => Some(Var::zeros((n, shape.genes()), DType::F32, device)?),
        };
        Ok(Self { input: InputScale::none(shape.input()), shape, layers, genes, device: device.clone() })
    }

    /// The same with features shifted and scaled first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of features.
    pub fn with_input(mut self, input: InputScale) -> Result<Self, ModelError> {
        same("features of the input scale", self.shape.input(), input.mean.len())?;
        self.input = input;
        Ok(self)
    }

    /// Sizes and constants.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All that training changes.
    pub(crate) fn vars(&self) -> Vec<Var> {
        self.layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).chain(self.genes.clone()).collect()
    }

    /// Shift and scale of the features.
    pub(crate) fn input(&self) -> &InputScale {
        &self.input
    }

    /// Everything that is trained, row-major, in the order of [`ModelShape::parameters`].
    pub(crate) fn values(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        self.vars().iter().map(|v| Ok(v.flatten_all()?.to_vec1::<f32>()?)).collect()
    }

    /// Takes them back.
    pub(crate) fn set_values(&mut self, values: &[Vec<f32>]) -> Result<(), ModelError> {
        for (var, value) in self.vars().iter().zip(values) {
            var.set(&Tensor::from_slice(value, var.dims(), &self.device)?)?;
        }
        Ok(())
    }

    /// The last layer before softplus, of scaled features `(cells, input)`; `step` seeds dropout, `None` leaves it out.
    fn logits(&self, x: &Tensor, step: Option<u64>) -> Result<Tensor, ModelError> {
        let last = self.layers.len() - 1;
        let masks = step.map(|s| self.shape.dropouts(s)).transpose()?.unwrap_or_default();
        let mut x = x.clone();
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            x = x.matmul(&weight.t()?)?;
            if i == last {
                return Ok(x.broadcast_add(bias)?);
            }
            let dropout = masks.get(i).copied();
            x = bias_leaky_relu_dropout(&x, bias, ActivationSpec { slope: self.shape.leaky_slope(), dropout })?;
        }
        Ok(x)
    }

    /// Expression of every cell: scaled features `(cells, input)` to `(cells, genes)`. Gradients flow to the weights.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for other shapes.
    pub fn cells(&self, x: &Tensor, dropout: Option<u64>) -> Result<Tensor, ModelError> {
        Ok(softplus(&self.logits(x, dropout)?, self.shape.softplus_beta())?)
    }

    /// Expression of every bag, the mean of its cells: `(bags, genes)`. Gradients flow to the weights.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if the offsets do not cover the cells.
    pub fn bags(&self, x: &Tensor, offsets: &Offsets, dropout: Option<u64>) -> Result<Tensor, ModelError> {
        Ok(softplus_segment_mean(&self.logits(x, dropout)?, offsets, self.shape.softplus_beta())?)
    }

    /// Expression of cells from their features `(cells, input)`, in blocks: `(cells, genes)`, positive. For losses of
    /// counts, the mean count of a cell's bag if all cells were like it and its size factor 1.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of features, [`ModelError::NotFinite`] for features that are no numbers.
    pub fn predict_cells(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>, ModelError> {
        same("features of a cell", self.shape.input(), features.dim().1)?;
        finite("a cell's features", features)?;
        let mut out = if self.device.is_cpu() {
            Network::new(self)?.predict(features)
        } else {
            let mut out = Array2::zeros((features.dim().0, self.shape.genes()));
            for (x, mut y) in features.axis_chunks_iter(Axis(0), BLOCK).zip(out.axis_chunks_iter_mut(Axis(0), BLOCK)) {
                let values = self.cells(&self.tensor(x)?.detach(), None)?.detach().flatten_all()?.to_vec1::<f32>()?;
                y.iter_mut().zip(values).for_each(|(y, v)| *y = v);
            }
            out
        };
        if let (Loss::NbTotal, Some(genes)) = (self.shape.loss(), &self.genes) {
            let odds = Array1::from(genes.exp()?.flatten_all()?.to_vec1::<f32>()?);
            out *= &odds;
        }
        Ok(out)
    }

    /// Features as a tensor on the device, shifted and scaled.
    pub(crate) fn tensor(&self, features: ArrayView2<'_, f32>) -> Result<Tensor, ModelError> {
        let (cells, width) = features.dim();
        let scaled = self.input.apply(features);
        Ok(Tensor::from_iter(scaled.iter().copied(), &self.device)?.reshape((cells, width))?)
    }

    /// Its weights by name: `layers.<i>.weight` (out, in), `layers.<i>.bias`, `input.mean`, `input.std`, and for losses
    /// that have them `genes.parameters`; f32 on the CPU.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if they cannot be copied from the device.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>, ModelError> {
        let mut map = HashMap::new();
        for ((name, _), var) in self.shape.parameters().into_iter().zip(self.vars()) {
            map.insert(name, var.as_tensor().copy()?.to_device(&Device::Cpu)?);
        }
        map.insert("input.mean".into(), Tensor::new(self.input.mean.as_slice(), &Device::Cpu)?);
        map.insert("input.std".into(), Tensor::new(self.input.std.as_slice(), &Device::Cpu)?);
        Ok(map)
    }

    /// From [`MilModel::tensors`].
    ///
    /// # Errors
    /// [`ModelError::Weights`] naming the tensor that is missing, misshapen or not finite.
    pub fn from_tensors(
        shape: ModelShape,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let get = |name: String, dims: &[usize]| -> Result<Tensor, ModelError> {
            let wrong =
                |found: String| ModelError::Weights { tensor: name.clone(), expected: format!("{dims:?}"), found };
            let tensor = tensors.get(&name).ok_or_else(|| wrong("no such tensor".into()))?;
            if tensor.dims() != dims || tensor.dtype() != DType::F32 {
                return Err(wrong(format!("{:?} of {:?}", tensor.dims(), tensor.dtype())));
            }
            match tensor.flatten_all()?.to_vec1::<f32>()?.iter().find(|v| !v.is_finite()) {
                Some(v) => Err(wrong(format!("a value of {v}"))),
                None => Ok(tensor.to_device(device)?),
            }
        };
        let mut layers = Vec::new();
        for (i, (from, to)) in shape.layers().into_iter().enumerate() {
            let weight = get(format!("layers.{i}.weight"), &[to, from])?;
            let bias = get(format!("layers.{i}.bias"), &[to])?;
            layers.push((Var::from_tensor(&weight)?, Var::from_tensor(&bias)?));
        }
        let genes = match shape.loss().gene_parameters() {
            0 => None,
            n => Some(Var::from_tensor(&get("genes.parameters".into(), &[n, shape.genes()])?)?),
        };
        let row = |name: &str| Ok::<_, ModelError>(get(name.into(), &[shape.input()])?.to_vec1::<f32>()?);
        let input = InputScale { mean: row("input.mean")?, std: row("input.std")? };
        Ok(Self { shape, input, layers, genes, device: device.clone() })
    }
}

pub(crate) fn same(what: &'static str, expected: usize, found: usize) -> Result<(), ModelError> {
    if expected == found {
        return Ok(());
    }
    Err(ModelError::Shape { what, expected: expected.to_string(), found: found.to_string() })
}

pub(crate) fn finite(what: &'static str, x: ArrayView2<'_, f32>) -> Result<(), ModelError> {
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => Err(ModelError::NotFinite { what, row, column, value }),
        None => Ok(()),
    }
}
