use std::ops::Range;
use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use ndarray::{Array2, ArrayView4, Axis};

use crate::batch::{self, Pool, device_error, device_type};
use crate::cpu::{Border, Buffer, Conv, Depthwise, Isa, Scratch, Shape, global_mean};
use crate::encoder::{MOBILENET_BF16, check_crops};
use crate::weights::Weights;
use crate::{EmbedError, Encoder, EncoderSpec, PixelNorm};

/// Strides of the depthwise convolutions of blocks 1 to 11.
const STRIDES: [usize; 11] = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1];
/// Channels after the first convolution and after each block.
const CHANNELS: [usize; 12] = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512];
/// Of the batch norms, as Keras trained them.
const EPSILON: f32 = 1e-3;
/// The first blocks, whose images are large, take fewer crops at a time than the others.
const PARTS: [Range<usize>; 2] = [0..5, 5..11];
/// About what images may take of the second cache.
const PART_BYTES: usize = 896 << 10;
/// What a thread may keep between the two parts.
const CHUNK_BYTES: usize = 16 << 20;
/// With more crops than this the deepest blocks gain no more.
const MOST_CROPS: usize = 64;
const RELU6: (f32, f32) = (0.0, 6.0);

/// MobileNetV1 (Howard et al. 2017, arXiv 1704.04861), width 1.0, blocks 0 to 11 and a global mean: 512 features.
///
/// Weights in PyTorch's layout (`conv1.weight`, `conv_dw_<i>.weight`, `conv_pw_<i>.weight`, each with
/// `..._bn.{weight,bias,running_mean,running_var}`). Any crop of at least 16 x 16 pixels.
pub struct MobileNetV1 {
    spec: EncoderSpec,
    isa: Isa,
    first: Conv,
    blocks: Vec<(Depthwise, Conv)>,
    pool: Pool<Workspace>,
    device: Option<DeviceNet>,
    bf16: bool,
}

/// Kept from call to call.
#[derive(Default)]
struct Workspace {
    pixels: Buffer,
    /// Before and after a depthwise convolution.
    within: [Buffer; 2],
    between: Buffer,
    last: Buffer,
    scratch: Scratch,
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
        let isa = Isa::detect();
        // Keras pads a picture of even sides at the bottom and right only.
        let border = |stride: usize| if stride == 1 { Border::even(1) } else { Border { before: 0, after: 1 } };
        let (weight, bias) = folded("conv1", [CHANNELS[0], 3, 3, 3])?;
        let first = Conv::new(isa, weight, bias, 3, 2, border(2));
        let mut blocks = Vec::with_capacity(STRIDES.len());
        for (i, &stride) in STRIDES.iter().enumerate() {
            let (from, to, number) = (CHANNELS[i], CHANNELS[i + 1], i + 1);
            let (weight, bias) = folded(&format!("conv_dw_{number}"), [from, 1, 3, 3])?;
            let weight = transpose(&weight, from, 9);
            let depthwise = Depthwise { isa, weight, bias, stride, border: border(stride) };
            let (weight, bias) = folded(&format!("conv_pw_{number}"), [to, from, 1, 1])?;
            blocks.push((depthwise, Conv::new(isa, weight, bias, 1, 1, Border::even(0))));
        }
        file.finish(&[])?;
        let spec = EncoderSpec {
            name: Self::NAME.into(),
            version: 1,
            dim: CHANNELS[11],
            input_px: 48,
            pixels: PixelNorm::SYMMETRIC,
            weights: file.spec(),
        };
        let mut net = Self { spec, isa, first, blocks, pool: Pool::default(), device: None, bf16: false };
        if !device.is_cpu() {
            net.device = Some(net.on(device)?);
        }
        Ok(net)
    }

    /// The same in bfloat16, on the CPU in the pointwise convolutions alone, as
    /// [`ResNet::with_bf16`](crate::ResNet::with_bf16).
    ///
    /// # Errors
    /// [`EmbedError::Device`] if a GPU cannot take it.
    pub fn with_bf16(mut self) -> Result<Self, EmbedError> {
        self.blocks.iter_mut().for_each(|(_, pointwise)| pointwise.halve());
        self.spec.name = MOBILENET_BF16.into();
        self.bf16 = true;
        if let Some(device) = self.device.as_ref().map(|net| net.device.clone()) {
            self.device = Some(self.on(&device)?);
        }
        Ok(self)
    }

    /// The network by candle's operations.
    fn on(&self, device: &Device) -> Result<DeviceNet, EmbedError> {
        DeviceNet::new(self, device_type(self.bf16, device), device).map_err(|e| device_error(Self::NAME, device, &e))
    }

    /// Shapes before each block and at the end.
    fn shapes(&self, crops: Shape) -> Vec<Shape> {
        let mut shapes = vec![self.first.after(crops)];
        for (depthwise, pointwise) in &self.blocks {
            shapes.extend(shapes.last().map(|s| pointwise.after(depthwise.after(*s))));
        }
        shapes
    }

    /// Some crops on this thread.
    fn forward(&self, crops: ArrayView4<'_, u8>, norm: PixelNorm, out: &mut [f32], w: &mut Workspace) {
        let (images, height, width, channels) = crops.dim();
        let crop = Shape { images: 1, height, width, channels, ld: channels };
        let shapes = self.shapes(crop);
        for (p, part) in PARTS.into_iter().enumerate() {
            let (from, to) = (shapes[part.start], shapes[part.end]);
            let largest = shapes[part.clone()].iter().map(|s| s.span()).max().unwrap_or(1);
            let group = (PART_BYTES / (2 * largest * size_of::<f32>())).clamp(1, images);
            let target = if p == 0 { &mut w.between } else { &mut w.last };
            target.resize(images * to.span());
            for begin in (0..images).step_by(group) {
                let count = group.min(images - begin);
                let [x, y] = &mut w.within;
                let mut shape = Shape { images: count, ..from };
                if p == 0 {
                    let pixels = w.pixels.resize(count * crop.span());
                    norm.apply(crops.slice(ndarray::s![begin..begin + count, .., .., ..]), pixels);
                    let crop = Shape { images: count, ..crop };
                    self.first.run((pixels, crop), x.resize(shape.span()), false, RELU6, &mut w.scratch);
                } else {
                    x.resize(shape.span())
                        .copy_from_slice(&w.between.as_slice()[begin * from.span()..][..shape.span()]);
                }
                for (depthwise, pointwise) in &self.blocks[part.clone()] {
                    let middle = depthwise.after(shape);
                    depthwise.run(x.as_slice(), shape, y.resize(middle.span()), RELU6);
                    let result = x.resize(pointwise.after(middle).span());
                    shape = pointwise.run((y.as_slice(), middle), result, false, RELU6, &mut w.scratch);
                }
                let target = if p == 0 { &mut w.between } else { &mut w.last };
                target.as_mut()[begin * to.span()..][..shape.span()].copy_from_slice(x.as_slice());
            }
        }
        let last = shapes[PARTS[1].end];
        global_mean(self.isa, w.last.as_slice(), Shape { images, ..last }, out);
    }

    /// With other pixel statistics than the usual.
    pub(crate) fn with_pixels(mut self, pixels: Option<PixelNorm>) -> Self {
        self.spec.pixels = pixels.unwrap_or(self.spec.pixels);
        self
    }

    /// The same through candle's own convolutions, for a GPU and as the reference of the CPU path.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] and [`EmbedError::Device`].
    pub fn embed_on(&self, crops: ArrayView4<'_, u8>, device: &Device) -> Result<Array2<f32>, EmbedError> {
        check_crops(Self::NAME, &crops, 16)?;
        let net = self.on(device)?;
        net.embed(crops, self.spec.pixels).map_err(|e| device_error(Self::NAME, device, &e))
    }
}

impl Encoder for MobileNetV1 {
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        self.embed_with(crops, self.spec.pixels)
    }

    fn embed_with(&self, crops: ArrayView4<'_, u8>, pixels: PixelNorm) -> Result<Array2<f32>, EmbedError> {
        pixels.check(Self::NAME)?;
        check_crops(Self::NAME, &crops, 16)?;
        if let Some(net) = &self.device {
            return net.embed(crops, pixels).map_err(|e| device_error(Self::NAME, &net.device, &e));
        }
        let (_, height, width, channels) = crops.dim();
        let shapes = self.shapes(Shape { images: 1, height, width, channels, ld: channels });
        let most = (CHUNK_BYTES / (shapes[PARTS[0].end].span() * size_of::<f32>()).max(1)).clamp(1, MOST_CROPS);
        Ok(batch::embed(crops, self.spec.dim, most, &self.pool, |crops, rows, w| self.forward(crops, pixels, rows, w)))
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}

/// `(rows, columns)` to `(columns, rows)`.
fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| x[r * columns + c])).collect()
}

/// The folded network as candle tensors.
struct DeviceNet {
    device: Device,
    /// Of everything between the pixels and the last mean.
    dtype: DType,
    /// Weight (out, in / groups, 3 or 1, 3 or 1), bias (1, out, 1, 1), stride, groups.
    layers: Vec<(Tensor, Tensor, usize, usize)>,
}

impl DeviceNet {
    fn new(net: &MobileNetV1, dtype: DType, device: &Device) -> candle_core::Result<Self> {
        let bias = |b: &[f32]| Tensor::from_slice(b, (1, b.len(), 1, 1), device)?.to_dtype(dtype);
        let conv = |c: &Conv| {
            let (weight, shape) = c.weight();
            let weight = Tensor::from_slice(weight, &shape, device)?.to_dtype(dtype)?;
            Ok::<_, candle_core::Error>((weight, bias(c.bias())?, c.stride(), 1))
        };
        let mut layers = vec![conv(&net.first)?];
        for (depthwise, pointwise) in &net.blocks {
            let channels = depthwise.bias.len();
            // The CPU layout is (taps, channels).
            let weight = Tensor::from_slice(&depthwise.weight, (3, 3, 1, channels), device)?;
            let weight = weight.permute((3, 2, 0, 1))?.contiguous()?.to_dtype(dtype)?;
            layers.push((weight, bias(&depthwise.bias)?, depthwise.stride, channels));
            layers.push(conv(pointwise)?);
        }
        Ok(Self { device: device.clone(), dtype, layers })
    }

    fn embed(&self, crops: ArrayView4<'_, u8>, norm: PixelNorm) -> candle_core::Result<Array2<f32>> {
        let (n, h, w, c) = crops.dim();
        let mut out = Vec::with_capacity(n * CHANNELS[11]);
        for batch in crops.axis_chunks_iter(Axis(0), 256) {
            let mut pixels = vec![0.0; batch.len()];
            norm.apply(batch, &mut pixels);
            let x = Tensor::from_vec(pixels, (batch.dim().0, h, w, c), &self.device)?;
            let mut x = x.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(self.dtype)?;
            for (weight, bias, stride, groups) in &self.layers {
                let (padding, taps) = (if *stride == 1 { 1 } else { 0 }, weight.dim(D::Minus1)?);
                if *stride == 2 {
                    x = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
                }
                let padding = if taps == 1 { 0 } else { padding };
                x = x.conv2d(weight, padding, *stride, 1, *groups)?.broadcast_add(bias)?.clamp(0f32, 6f32)?;
            }
            out.extend(x.to_dtype(DType::F32)?.mean((2, 3))?.flatten_all()?.to_vec1::<f32>()?);
        }
        Array2::from_shape_vec((n, CHANNELS[11]), out).map_err(candle_core::Error::wrap)
    }
}
