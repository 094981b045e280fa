//! The network by candle's operations.

use candle_core::{DType, Device, Tensor};
use ndarray::{Array2, ArrayView4, Axis};

use super::net::{Block, Net};
use crate::PixelNorm;
use crate::cpu::Conv;

/// Crops that the device takes at a time.
const CROPS_AT_ONCE: usize = 256;

struct Layer {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}

impl Layer {
    fn new(conv: &Conv, dtype: DType, device: &Device) -> candle_core::Result<Self> {
        let (weight, shape) = conv.weight();
        let weight = Tensor::from_slice(weight, &shape, device)?.to_dtype(dtype)?;
        let bias = Tensor::from_slice(conv.bias(), (1, conv.bias().len(), 1, 1), device)?.to_dtype(dtype)?;
        Ok(Self { weight, bias, stride: conv.stride(), padding: conv.border().before })
    }

    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.conv2d(&self.weight, self.padding, self.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

struct DeviceBlock {
    layers: Vec<Layer>,
    shortcut: Option<Layer>,
}

pub(super) struct DeviceNet {
    pub device: Device,
    /// Of everything between the pixels and the last mean.
    dtype: DType,
    stem: Layer,
    blocks: Vec<DeviceBlock>,
}

impl DeviceNet {
    pub(super) fn new(net: &Net, dtype: DType, device: &Device) -> candle_core::Result<Self> {
        let block = |b: &Block| {
            let layer = |c| Layer::new(c, dtype, device);
            let layers = b.convs.iter().map(layer).collect::<candle_core::Result<_>>()?;
            let shortcut = b.shortcut.as_ref().map(layer).transpose()?;
            Ok(DeviceBlock { layers, shortcut })
        };
        let blocks = net.stages.iter().flatten().map(block).collect::<candle_core::Result<_>>()?;
        Ok(Self { device: device.clone(), dtype, stem: Layer::new(&net.stem, dtype, device)?, blocks })
    }

    /// Keeps so many blocks.
    pub(super) fn truncate(&mut self, blocks: usize) {
        self.blocks.truncate(blocks);
    }

    pub(super) fn embed(&self, crops: ArrayView4<'_, u8>, norm: PixelNorm) -> candle_core::Result<Array2<f32>> {
        let (n, height, width, _) = crops.dim();
        let mut out = Vec::new();
        let mut dim = 0;
        let channel = |v: [f32; 3]| Tensor::from_slice(&v, (1, 3, 1, 1), &self.device);
        let (mean, std) = (channel(norm.mean)?, channel(norm.std)?);
        for batch in crops.axis_chunks_iter(Axis(0), CROPS_AT_ONCE) {
            let pixels: Vec<u8> = batch.iter().copied().collect();
            let x = Tensor::from_vec(pixels, (batch.dim().0, height, width, 3), &self.device)?;
            let x = (x.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?;
            let x = x.broadcast_sub(&mean)?.broadcast_div(&std)?.to_dtype(self.dtype)?.contiguous()?;
            let x = self.stem.run(&x)?.relu()?;
            // After a ReLU a border of zeros changes no maximum.
            let mut x = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?.max_pool2d_with_stride(3, 2)?;
            for block in &self.blocks {
                let mut y = x.clone();
                for (i, layer) in block.layers.iter().enumerate() {
                    y = layer.run(&y)?;
                    if i + 1 < block.layers.len() {
                        y = y.relu()?;
                    }
                }
                let shortcut = block.shortcut.as_ref().map_or_else(|| Ok(x.clone()), |s| s.run(&x))?;
                x = (y + shortcut)?.relu()?;
            }
            let features = x.to_dtype(DType::F32)?.mean((2, 3))?;
            dim = features.dim(1)?;
            out.extend(features.flatten_all()?.to_vec1::<f32>()?);
        }
        if n == 0 {
            dim = self.blocks.last().and_then(|b| b.layers.last()).map_or(0, |l| l.bias.elem_count());
        }
        Array2::from_shape_vec((n, dim), out).map_err(candle_core::Error::wrap)
    }
}
