use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use ndarray::{Array2, ArrayView4, Axis};
use rayon::prelude::*;

use crate::batch::device_error;
use crate::encoder::check_crops;
use crate::layers::{Conv3x3, Depthwise3x3, Pointwise, Shape, global_mean};
use crate::weights::Weights;
use crate::{EmbedError, Encoder, EncoderSpec, PixelNorm};

/// Strides of the depthwise convolutions of blocks 1 to 11.
const STRIDES: [usize; 11] = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1];
/// Channels after the first convolution and after each block.
const CHANNELS: [usize; 12] = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512];
/// Of the batch norms, as Keras trained them.
const EPSILON: f32 = 1e-3;
/// Crops that one thread takes through the network at a time: enough rows for the matrix products of the
/// deepest layers (9 pixels a crop), few enough for the cache.
const CROPS_AT_ONCE: usize = 16;

/// MobileNetV1 (Howard et al. 2017, arXiv 1704.04861), width 1.0, blocks 0 to 11 and a global mean: 512 features.
///
/// Weights in PyTorch's layout (`conv1.weight`, `conv_dw_<i>.weight`, `conv_pw_<i>.weight`, each with
/// `..._bn.{weight,bias,running_mean,running_var}`). Any crop of at least 16 x 16 pixels.
pub struct MobileNetV1 {
    spec: EncoderSpec,
    first: Conv3x3,
    blocks: Vec<(Depthwise3x3, Pointwise)>,
    device: Option<DeviceNet>,
}

impl MobileNetV1 {
    /// Its name for [`open`](crate::open).
    pub const NAME: &'static str = "mobilenet-v1";

    /// With the weights of a safetensors file; on a GPU through candle.
    ///
    /// # Errors
    /// [`EmbedError::WeightsFile`] if it cannot be read, [`EmbedError::WeightsTensor`] naming the tensor that is
    /// missing, misshapen or not finite, [`EmbedError::Device`] if the device cannot take them.
    pub fn open(path: &Path, device: &Device) -> Result<Self, EmbedError> {
        let file = Weights::read(Self::NAME, path)?;
        let folded = |name: &str, shape| file.folded(name, &format!("{name}_bn"), shape, EPSILON);
        let (weight, bias) = folded("conv1", [CHANNELS[0], 3, 3, 3])?;
        // (out, in, y, x) to (y, x, in, out)
        let first = Conv3x3 { weight: permute(&weight, CHANNELS[0], 3), bias, stride: 2 };
        let mut blocks = Vec::with_capacity(STRIDES.len());
        for (i, &stride) in STRIDES.iter().enumerate() {
            let (from, to, number) = (CHANNELS[i], CHANNELS[i + 1], i + 1);
            let (weight, bias) = folded(&format!("conv_dw_{number}"), [from, 1, 3, 3])?;
            let depthwise = Depthwise3x3 { weight: transpose(&weight, from, 9), bias, stride };
            let (weight, bias) = folded(&format!("conv_pw_{number}"), [to, from, 1, 1])?;
            blocks.push((depthwise, Pointwise { weight: transpose(&weight, to, from), bias }));
        }
        let spec = EncoderSpec {
            name: Self::NAME.into(),
            version: 1,
            dim: CHANNELS[11],
            input_px: 48,
            pixels: PixelNorm::SYMMETRIC,
            weights: Some(file.spec()),
        };
        let mut net = Self { spec, first, blocks, device: None };
        if !device.is_cpu() {
            net.device = Some(DeviceNet::new(&net, device).map_err(|e| device_error(Self::NAME, device, &e))?);
        }
        Ok(net)
    }

    /// Some crops on this thread.
    fn forward(&self, crops: ArrayView4<'_, u8>, out: &mut [f32]) {
        let (images, height, width, channels) = crops.dim();
        let mut shape = Shape { images, height, width, channels };
        let pixels = |v: &u8| f32::from(*v) / 127.5 - 1.0;
        let mut x: Vec<f32> = crops.iter().map(pixels).collect();
        let (mut y, mut patches) = (Vec::new(), Vec::new());
        shape = self.first.run(&x, shape, &mut patches, &mut y);
        std::mem::swap(&mut x, &mut y);
        for (depthwise, pointwise) in &self.blocks {
            shape = depthwise.run(&x, shape, &mut y);
            shape = pointwise.run(&y, shape, &mut x);
        }
        global_mean(&x, shape, out);
    }

    /// The same through candle's own convolutions, for a GPU and as the reference of the CPU path.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] and [`EmbedError::Device`].
    pub fn embed_on(&self, crops: ArrayView4<'_, u8>, device: &Device) -> Result<Array2<f32>, EmbedError> {
        check_crops(Self::NAME, &crops, 16)?;
        let net = DeviceNet::new(self, device).map_err(|e| device_error(Self::NAME, device, &e))?;
        net.embed(crops).map_err(|e| device_error(Self::NAME, device, &e))
    }
}

impl Encoder for MobileNetV1 {
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        check_crops(Self::NAME, &crops, 16)?;
        if let Some(net) = &self.device {
            return net.embed(crops).map_err(|e| device_error(Self::NAME, &net.device, &e));
        }
        let mut out = Array2::zeros((crops.dim().0, self.spec.dim));
        out.axis_chunks_iter_mut(Axis(0), CROPS_AT_ONCE)
            .into_par_iter()
            .zip(crops.axis_chunks_iter(Axis(0), CROPS_AT_ONCE))
            .for_each(|(mut rows, crops)| {
                // Whole rows of a row-major matrix are one slice.
                if let Some(rows) = rows.as_slice_mut() {
                    self.forward(crops, rows);
                }
            });
        Ok(out)
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}

/// `(rows, columns)` to `(columns, rows)`.
fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| x[r * columns + c])).collect()
}

/// `(out, in, 3, 3)` to `(3, 3, in, out)`.
fn permute(x: &[f32], out: usize, channels: usize) -> Vec<f32> {
    let at = |k: usize, c: usize, o: usize| x[(o * channels + c) * 9 + k];
    (0..9).flat_map(|k| (0..channels).flat_map(move |c| (0..out).map(move |o| at(k, c, o)))).collect()
}

/// The folded network as candle tensors.
struct DeviceNet {
    device: Device,
    /// Weight (out, in / groups, 3 or 1, 3 or 1), bias (1, out, 1, 1), stride, groups.
    layers: Vec<(Tensor, Tensor, usize, usize)>,
}

impl DeviceNet {
    fn new(net: &MobileNetV1, device: &Device) -> candle_core::Result<Self> {
        let bias = |b: &[f32]| Tensor::from_slice(b, (1, b.len(), 1, 1), device);
        // The CPU layout is (taps, in, out): move `out` to the front again.
        let weight = |w: &[f32], channels: usize, out: usize, side: usize| {
            Tensor::from_slice(w, (side, side, channels, out), device)?.permute((3, 2, 0, 1))?.contiguous()
        };
        let first = weight(&net.first.weight, 3, CHANNELS[0], 3)?;
        let mut layers = vec![(first, bias(&net.first.bias)?, net.first.stride, 1)];
        for (depthwise, pointwise) in &net.blocks {
            let (from, to) = (depthwise.bias.len(), pointwise.bias.len());
            layers.push((weight(&depthwise.weight, 1, from, 3)?, bias(&depthwise.bias)?, depthwise.stride, from));
            layers.push((weight(&pointwise.weight, from, to, 1)?, bias(&pointwise.bias)?, 1, 1));
        }
        Ok(Self { device: device.clone(), layers })
    }

    fn embed(&self, crops: ArrayView4<'_, u8>) -> candle_core::Result<Array2<f32>> {
        let (n, h, w, c) = crops.dim();
        let mut out = Vec::with_capacity(n * CHANNELS[11]);
        for batch in crops.axis_chunks_iter(Axis(0), 256) {
            let pixels: Vec<u8> = batch.iter().copied().collect();
            let x = Tensor::from_vec(pixels, (batch.dim().0, h, w, c), &self.device)?.permute((0, 3, 1, 2))?;
            let mut x = ((x.to_dtype(DType::F32)? / 127.5)? - 1.0)?;
            for (weight, bias, stride, groups) in &self.layers {
                let (padding, taps) = (if *stride == 1 { 1 } else { 0 }, weight.dim(D::Minus1)?);
                if *stride == 2 {
                    x = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
                }
                let padding = if taps == 1 { 0 } else { padding };
                x = x.conv2d(weight, padding, *stride, 1, *groups)?.broadcast_add(bias)?.clamp(0f32, 6f32)?;
            }
            out.extend(x.mean((2, 3))?.flatten_all()?.to_vec1::<f32>()?);
        }
        Array2::from_shape_vec((n, CHANNELS[11]), out).map_err(candle_core::Error::wrap)
    }
}
