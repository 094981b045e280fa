//! Vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929) as timm and DINOv2 have them.

mod attention;
mod device;
mod load;
mod net;
mod options;
mod position;

use std::path::Path;

use candle_core::Device;
use ndarray::{Array2, ArrayView4};

use crate::batch::{self, Pool, device_error, device_type};
use crate::weights::Weights;
use crate::{EmbedError, Encoder, EncoderSpec, PixelNorm};
use device::DeviceNet;
use net::{Net, Workspace};
pub use options::{VitOptions, VitPooling};

/// A vision transformer of any size; what it is like is read from the shapes of its tensors: patch size, width, depth,
/// register tokens, layer scale, SwiGLU, and whether positions are given to the class and register tokens.
///
/// Weights by timm's names (`patch_embed.proj.weight`, `blocks.0.attn.qkv.weight`, ...), or by DINOv2's where they
/// differ (`register_tokens`, `mlp.w12`, `mlp.w3`). Layer norms have an epsilon of 1e-6. Crops whose sides are
/// multiples of the patch; positions are interpolated (bicubic, antialiased, as timm does) where the grid is not
/// that of the training. [`VitOptions::enlarge_to`] takes crops of any size and enlarges them first.
pub struct Vit {
    spec: EncoderSpec,
    options: VitOptions,
    net: Net,
    pool: Pool<Workspace>,
    device: Option<DeviceNet>,
}

impl Vit {
    /// Its name for [`open`](crate::open).
    pub const NAME: &'static str = "vit";

    /// With the weights of a safetensors or PyTorch file; on a GPU through candle.
    ///
    /// # Errors
    /// [`EmbedError::WeightsFile`] if it cannot be read, [`EmbedError::WeightsTensor`] naming the tensor that is
    /// missing, misshapen or not finite, [`EmbedError::WeightsExtra`] for tensors that such a network has no place
    /// for, [`EmbedError::Device`] if the device cannot take them.
    pub fn open(options: VitOptions, path: &Path, device: &Device) -> Result<Self, EmbedError> {
        let mut file = Weights::read(Self::NAME, path)?;
        let net = load::network(options, &mut file)?;
        let side = options.enlarge_to.unwrap_or(net.patch * net.grid.0.max(net.grid.1));
        let spec = EncoderSpec {
            name: options.name(),
            version: 1,
            dim: net.dim * if options.pooling == VitPooling::ClassAndMean { 2 } else { 1 },
            input_px: u32::try_from(side).unwrap_or(u32::MAX),
            pixels: PixelNorm::IMAGENET,
            weights: file.spec(),
        };
        let mut new = Self { spec, options, net, pool: Pool::default(), device: None };
        if !device.is_cpu() {
            new.device = Some(new.on(device)?);
        }
        Ok(new)
    }

    /// With other pixel statistics than the usual.
    pub(crate) fn with_pixels(mut self, pixels: Option<PixelNorm>) -> Self {
        self.spec.pixels = pixels.unwrap_or(self.spec.pixels);
        self
    }

    /// The same through candle's own operations, for a GPU and as the reference of the CPU path.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] and [`EmbedError::Device`].
    pub fn embed_on(&self, crops: ArrayView4<'_, u8>, device: &Device) -> Result<Array2<f32>, EmbedError> {
        let size = self.check(&crops)?;
        self.on(device)?
            .embed(&self.net, crops, size, self.spec.pixels, self.options)
            .map_err(|e| device_error(Self::NAME, device, &e))
    }

    /// The network by candle's operations.
    fn on(&self, device: &Device) -> Result<DeviceNet, EmbedError> {
        DeviceNet::new(&self.net, device_type(self.options.bf16, device), device)
            .map_err(|e| device_error(Self::NAME, device, &e))
    }

    /// Height and width that the network gets.
    fn check(&self, crops: &ArrayView4<'_, u8>) -> Result<(usize, usize), EmbedError> {
        let (n, height, width, channels) = crops.dim();
        let patch = self.net.patch;
        let (expected, size) = match self.options.enlarge_to {
            Some(side) => (
                format!("three channels and 1 to {side} pixels a side"),
                (height.min(width) > 0 && height.max(width) <= side && side.is_multiple_of(patch))
                    .then_some((side, side)),
            ),
            None => (
                format!("three channels and sides that are multiples of {patch} (or vit:px=N, which enlarges)"),
                (height.min(width) >= patch && height.is_multiple_of(patch) && width.is_multiple_of(patch))
                    .then_some((height, width)),
            ),
        };
        let wrong = EmbedError::Crops { encoder: Self::NAME, found: [n, height, width, channels], expected };
        size.filter(|_| channels == 3).ok_or(wrong)
    }
}

impl Encoder for Vit {
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        self.embed_with(crops, self.spec.pixels)
    }

    fn embed_with(&self, crops: ArrayView4<'_, u8>, pixels: PixelNorm) -> Result<Array2<f32>, EmbedError> {
        pixels.check(Self::NAME)?;
        let size = self.check(&crops)?;
        if let Some(net) = &self.device {
            return net
                .embed(&self.net, crops, size, pixels, self.options)
                .map_err(|e| device_error(Self::NAME, &net.device, &e));
        }
        let places = self.net.positions_for(size.0 / self.net.patch, size.1 / self.net.patch);
        let most = self.net.crops_at_once(size);
        Ok(batch::embed(crops, self.spec.dim, most, &self.pool, |crops, rows, workspace| {
            self.net.forward(crops, size, &places, (pixels, self.options), rows, workspace);
        }))
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}
