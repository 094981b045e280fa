use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use ndarray::ArrayView2;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scellst_kernels::{
    ActivationSpec, Offsets, bias_leaky_relu_dropout, segment_mean, segment_softmax, segment_sum, segment_weighted_sum,
    softplus, softplus_segment_mean,
};

use crate::{InputScale, ModelError, ModelShape, Pooling};

/// The published instance model: a cell's features to its expression, a bag the mean of its cells or as its [`Pooling`]
/// says.
///
/// `features -> 256 -> 256 -> 256 -> genes`, LeakyReLU and dropout after each hidden layer, softplus at the end.
/// Outputs are positive, in the unit of the labels that it was trained on.
pub struct MilModel {
    shape: ModelShape,
    input: InputScale,
    /// Weight `(out, in)` and bias `(out)` of each layer, PyTorch's layout.
    layers: Vec<(Var, Var)>,
    /// What the pooling has beside them, in the order of [`ModelShape::parameters`].
    side: Vec<Var>,
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
        let mut side = Vec::new();
        for (_, dims) in shape.side_parameters() {
            // The layer before decides for a bias, too.
            let from = dims.get(1).copied().unwrap_or(shape.side_layers()[0].inputs);
            let values = uniform(dims.iter().product(), 1.0 / (from as f32).sqrt());
            side.push(Var::from_tensor(&Tensor::from_vec(values, dims, device)?)?);
        }
        let genes = match shape.loss().gene_parameters() {
            0 => None,
            n => Some(Var::zeros((n, shape.genes()), DType::F32, device)?),
        };
        Ok(Self { input: InputScale::none(shape.input()), shape, layers, side, genes, device: device.clone() })
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
        let layers = self.layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]);
        layers.chain(self.side.iter().cloned()).chain(self.genes.clone()).collect()
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

    /// The last hidden layer of scaled features `(cells, input)`, and the last layer before softplus; `step` seeds
    /// dropout, `None` leaves it out.
    fn forward(&self, x: &Tensor, seen: Seen<'_>, step: Option<u64>) -> Result<(Tensor, Tensor), ModelError> {
        let last = self.layers.len() - 1;
        let masks = step.map(|s| self.shape.dropouts(s)).transpose()?.unwrap_or_default();
        let mut x = x.clone();
        for (i, (weight, bias)) in self.layers[..last].iter().enumerate() {
            let mut sums = x.matmul(&weight.t()?)?;
            if let (Pooling::DeepSet, 1) = (self.shape.pooling(), i) {
                sums = (sums + self.set_sums(&x, seen)?)?;
            }
            let dropout = masks.get(i).copied();
            x = bias_leaky_relu_dropout(&sums, bias, ActivationSpec { slope: self.shape.leaky_slope(), dropout })?;
        }
        let (weight, bias) = &self.layers[last];
        let logits = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
        Ok((x, logits))
    }

    /// What each cell's set adds to the sums of its second hidden layer.
    fn set_sums(&self, first: &Tensor, seen: Seen<'_>) -> Result<Tensor, ModelError> {
        let weight = self.side[0].t()?;
        match seen {
            Seen::Nothing => Err(needs_sets()),
            Seen::Means(means) => Ok(means.matmul(&weight)?),
            Seen::Bags(offsets) => {
                let bag_of: Vec<u32> = (0u32..)
                    .zip(offsets.as_slice().windows(2))
                    .flat_map(|(bag, w)| std::iter::repeat_n(bag, (w[1] - w[0]) as usize))
                    .collect();
                let bag_of = Tensor::new(bag_of.as_slice(), &self.device)?;
                Ok(segment_mean(first, offsets)?.matmul(&weight)?.index_select(&bag_of, 0)?)
            }
        }
    }

    /// The first hidden layer of scaled features, without dropout.
    pub(crate) fn first_hidden(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let (weight, bias) = &self.layers[0];
        let spec = ActivationSpec { slope: self.shape.leaky_slope(), dropout: None };
        Ok(bias_leaky_relu_dropout(&x.matmul(&weight.t()?)?, bias, spec)?)
    }

    /// The score that the attention's softmax is of, `(cells)`, from the last hidden layer.
    fn scores(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let [v, b, u, c, w] = &self.side[..] else {
            return Err(ModelError::Config {
                setting: "the pooling",
                expected: "attention",
                found: self.pooling_name(),
            });
        };
        let tanh = hidden.matmul(&v.t()?)?.broadcast_add(b)?.tanh()?;
        // Of candle's operations only those with a gradient.
        let sigmoid = ((hidden.matmul(&u.t()?)?.broadcast_add(c)?.neg()?.exp()? + 1.0)?).recip()?;
        Ok((tanh * sigmoid)?.matmul(&w.t()?)?.squeeze(1)?)
    }

    pub(crate) fn pooling_name(&self) -> String {
        self.shape.pooling().to_string()
    }

    /// [`Self::scores`] of scaled features.
    pub(crate) fn scores_of(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.scores(&self.forward(x, Seen::Nothing, None)?.0)
    }

    /// Expression of every cell: scaled features `(cells, input)` to `(cells, genes)`. Gradients flow to the weights.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for other shapes; [`ModelError::Config`] for a deep set, which wants to know its bags.
    pub fn cells(&self, x: &Tensor, dropout: Option<u64>) -> Result<Tensor, ModelError> {
        self.cells_seeing(x, Seen::Nothing, dropout)
    }

    pub(crate) fn cells_seeing(&self, x: &Tensor, seen: Seen<'_>, step: Option<u64>) -> Result<Tensor, ModelError> {
        Ok(softplus(&self.forward(x, seen, step)?.1, self.shape.softplus_beta())?)
    }

    /// Expression of every bag, pooled as its [`Pooling`] says: `(bags, genes)`. Gradients flow to the weights.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if the offsets do not cover the cells.
    pub fn bags(&self, x: &Tensor, offsets: &Offsets, dropout: Option<u64>) -> Result<Tensor, ModelError> {
        let (hidden, logits) = self.forward(x, Seen::Bags(offsets), dropout)?;
        let beta = self.shape.softplus_beta();
        match self.shape.pooling() {
            Pooling::Sum if self.shape.loss().of_counts() => Ok(segment_sum(&softplus(&logits, beta)?, offsets)?),
            Pooling::Mean | Pooling::Sum | Pooling::DeepSet => Ok(softplus_segment_mean(&logits, offsets, beta)?),
            Pooling::Attention => {
                let weights = segment_softmax(&self.scores(&hidden)?, offsets)?;
                Ok(segment_weighted_sum(&softplus(&logits, beta)?, &weights, offsets)?)
            }
        }
    }

    /// Features as a tensor on the device, shifted and scaled.
    pub(crate) fn tensor(&self, features: ArrayView2<'_, f32>) -> Result<Tensor, ModelError> {
        let (cells, width) = features.dim();
        let scaled = self.input.apply(features);
        Ok(Tensor::from_iter(scaled.iter().copied(), &self.device)?.reshape((cells, width))?)
    }

    /// Its weights by name: those of [`ModelShape::parameters`], and `input.mean` and `input.std`; f32 on the CPU.
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
        let mut side = Vec::new();
        for (name, dims) in shape.side_parameters() {
            side.push(Var::from_tensor(&get(name, &dims)?)?);
        }
        let genes = match shape.loss().gene_parameters() {
            0 => None,
            n => Some(Var::from_tensor(&get("genes.parameters".into(), &[n, shape.genes()])?)?),
        };
        let row = |name: &str| Ok::<_, ModelError>(get(name.into(), &[shape.input()])?.to_vec1::<f32>()?);
        let input = InputScale { mean: row("input.mean")?, std: row("input.std")? };
        Ok(Self { shape, input, layers, side, genes, device: device.clone() })
    }
}

/// What the cells of a deep set see; nothing else looks at it.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    Nothing,
    /// Each cell its bag.
    Bags(&'a Offsets),
    /// The mean of the first hidden layer over each cell's set, `(cells, width)`.
    Means(&'a Tensor),
}

pub(crate) fn needs_sets() -> ModelError {
    let setting = "what cells of a deep set are predicted with";
    ModelError::Config { setting, expected: "their sets (MilModel::predict_with_sets)", found: "none".into() }
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
