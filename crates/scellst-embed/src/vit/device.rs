//! The network by candle's operations.

use candle_core::{D, DType, Device, Tensor};
use ndarray::{Array2, ArrayView4, Axis};

use super::net::{Linear, Net, Norm};
use super::{VitOptions, VitPooling};
use crate::PixelNorm;

/// Crops that the device takes at a time.
const CROPS_AT_ONCE: usize = 128;
const EPSILON: f64 = 1e-6;

struct DeviceLinear {
    /// `(in, out)`.
    weight: Tensor,
    bias: Tensor,
}

impl DeviceLinear {
    fn new(linear: &Linear, dtype: DType, device: &Device) -> candle_core::Result<Self> {
        let (values, n) = (linear.values(), linear.bias.len());
        let weight = Tensor::from_vec(values, ((), n), device)?.to_dtype(dtype)?;
        Ok(Self { weight, bias: Tensor::from_slice(&linear.bias, n, device)?.to_dtype(dtype)? })
    }

    /// Of the weights' type.
    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.to_dtype(self.weight.dtype())?.broadcast_matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

struct DeviceNorm {
    weight: Tensor,
    bias: Tensor,
}

impl DeviceNorm {
    fn new(norm: &Norm, device: &Device) -> candle_core::Result<Self> {
        let tensor = |v: &[f32]| Tensor::from_slice(v, v.len(), device);
        Ok(Self { weight: tensor(&norm.weight)?, bias: tensor(&norm.bias)? })
    }

    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(variance + EPSILON)?.sqrt()?)?.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

struct DeviceBlock {
    norms: [DeviceNorm; 2],
    /// qkv, projection, up, down
    linears: [DeviceLinear; 4],
    gated: bool,
}

pub(super) struct DeviceNet {
    pub device: Device,
    patches: (Tensor, Tensor),
    blocks: Vec<DeviceBlock>,
    norm: DeviceNorm,
}

impl DeviceNet {
    pub(super) fn new(net: &Net, dtype: DType, device: &Device) -> candle_core::Result<Self> {
        let (weight, shape) = net.patches.weight();
        let bias = net.patches.bias();
        let patches =
            (Tensor::from_slice(weight, &shape, device)?, Tensor::from_slice(bias, (1, bias.len(), 1, 1), device)?);
        let mut blocks = Vec::with_capacity(net.blocks.len());
        for b in &net.blocks {
            let linear = |l| DeviceLinear::new(l, dtype, device);
            blocks.push(DeviceBlock {
                norms: [DeviceNorm::new(&b.norm1, device)?, DeviceNorm::new(&b.norm2, device)?],
                linears: [linear(&b.qkv)?, linear(&b.projection)?, linear(&b.mlp.up)?, linear(&b.mlp.down)?],
                gated: b.mlp.gated,
            });
        }
        Ok(Self { device: device.clone(), patches, blocks, norm: DeviceNorm::new(&net.norm, device)? })
    }

    pub(super) fn embed(
        &self,
        net: &Net,
        crops: ArrayView4<'_, u8>,
        size: (usize, usize),
        pixels: PixelNorm,
        options: VitOptions,
    ) -> candle_core::Result<Array2<f32>> {
        let (n, height, width, _) = crops.dim();
        let (dim, special) = (net.dim, net.tokens.len() / net.dim);
        let (rows, columns) = (size.0 / net.patch, size.1 / net.patch);
        let positions = Tensor::from_vec(net.positions_for(rows, columns), (1, rows * columns, dim), &self.device)?;
        let tokens = Tensor::from_slice(&net.tokens, (1, special, dim), &self.device)?;
        let mut out = Vec::new();
        for batch in crops.axis_chunks_iter(Axis(0), CROPS_AT_ONCE) {
            let images = batch.dim().0;
            let mut values = vec![0.0; images * height * width * 3];
            pixels.apply(batch, &mut values);
            if (height, width) != size {
                let mut larger = vec![0.0; images * size.0 * size.1 * 3];
                super::position::enlarge(&values, (height, width), size, &mut larger);
                values = larger;
            }
            let x = Tensor::from_vec(values, (images, size.0, size.1, 3), &self.device)?.permute((0, 3, 1, 2))?;
            let x = x.contiguous()?.conv2d(&self.patches.0, 0, net.patch, 1, 1)?.broadcast_add(&self.patches.1)?;
            let x = x.flatten_from(2)?.transpose(1, 2)?.broadcast_add(&positions)?;
            let mut x = Tensor::cat(&[&tokens.broadcast_as((images, special, dim))?.contiguous()?, &x], 1)?;
            for block in &self.blocks {
                x = block.run(&x, net.heads)?;
            }
            let x = self.norm.run(&x)?;
            let class = x.narrow(1, 0, 1)?.squeeze(1)?;
            let mean = x.narrow(1, special, rows * columns)?.mean(1)?;
            let features = match options.pooling {
                VitPooling::Class if net.classes > 0 => class,
                VitPooling::Class | VitPooling::Mean => mean,
                VitPooling::ClassAndMean => Tensor::cat(&[&class, &mean], 1)?,
            };
            out.extend(features.flatten_all()?.to_vec1::<f32>()?);
        }
        let wide = if options.pooling == VitPooling::ClassAndMean { 2 * dim } else { dim };
        Array2::from_shape_vec((n, wide), out).map_err(candle_core::Error::wrap)
    }
}

impl DeviceBlock {
    fn run(&self, x: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
        let (images, tokens, dim) = x.dims3()?;
        let [qkv, projection, up, down] = &self.linears;
        let h = qkv.run(&self.norms[0].run(x)?)?.reshape((images, tokens, 3, heads, dim / heads))?;
        let part = |i: usize| h.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        let scores = scores.to_dtype(DType::F32)?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let scores = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?;
        let h = scores.matmul(&v)?.transpose(1, 2)?.reshape((images, tokens, dim))?;
        let x = (x + projection.run(&h)?.to_dtype(DType::F32)?)?;
        let h = up.run(&self.norms[1].run(&x)?)?;
        let h = if self.gated {
            let half = h.dim(D::Minus1)? / 2;
            (h.narrow(D::Minus1, 0, half)?.silu()? * h.narrow(D::Minus1, half, half)?)?
        } else {
            h.gelu_erf()?
        };
        &x + down.run(&h)?.to_dtype(DType::F32)?
    }
}
