//! Residual networks (He et al. 2016, arXiv 1512.03385) as torchvision has them.

mod device;
mod load;
mod net;

use std::fmt;
use std::path::Path;

use candle_core::Device;
use ndarray::{Array2, ArrayView4};
use serde::{Deserialize, Serialize};

use crate::batch::{self, Pool, device_error, device_type};
use crate::encoder::check_crops;
use crate::weights::Weights;
use crate::{EmbedError, Encoder, EncoderSpec, PixelNorm};
use device::DeviceNet;
use net::{Net, Workspace};

/// How deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResNetDepth {
    /// 8 blocks of two convolutions, 512 features.
    #[serde(rename = "resnet18")]
    R18,
    /// 16 blocks of two convolutions, 512 features.
    #[serde(rename = "resnet34")]
    R34,
    /// 16 blocks of three convolutions, 2048 features.
    #[serde(rename = "resnet50")]
    R50,
}

impl ResNetDepth {
    /// The encoder's name for [`open`](crate::open).
    pub fn name(self) -> &'static str {
        match self {
            Self::R18 => "resnet18",
            Self::R34 => "resnet34",
            Self::R50 => "resnet50",
        }
    }

    /// By its name.
    ///
    /// # Errors
    /// [`EmbedError::UnknownEncoder`] with the names that there are.
    pub fn named(name: &str) -> Result<Self, EmbedError> {
        let all = [Self::R18, Self::R34, Self::R50];
        let known = || EmbedError::UnknownEncoder { name: name.to_owned(), known: all.map(Self::name).to_vec() };
        all.into_iter().find(|d| d.name() == name).ok_or_else(known)
    }

    /// Number of features.
    pub fn dim(self) -> usize {
        self.dim_at(4)
    }

    /// Number of features of its stages, 1 to 4.
    pub(crate) fn dim_at(self, stage: usize) -> usize {
        (64 << (stage - 1)) * self.expansion()
    }

    /// Blocks of each of the four stages.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::R18 => [2, 2, 2, 2],
            Self::R34 | Self::R50 => [3, 4, 6, 3],
        }
    }

    /// Channels out of a block over those within.
    fn expansion(self) -> usize {
        if self == Self::R50 { 4 } else { 1 }
    }

    /// The blocks behind the stem of so many stages, one after another.
    pub(crate) fn parts(self, stages: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut channels = 64;
        for (s, &blocks) in self.blocks().iter().enumerate().take(stages) {
            let (within, out) = (64 << s, (64 << s) * self.expansion());
            for b in 0..blocks {
                let stride = if s > 0 && b == 0 { 2 } else { 1 };
                let convs = if self.expansion() == 1 {
                    vec![([within, channels, 3], stride), ([within, within, 3], 1)]
                } else {
                    // The stride is in the middle one ("v1.5"), as in torchvision.
                    vec![([within, channels, 1], 1), ([within, within, 3], stride), ([out, within, 1], 1)]
                };
                let shortcut = (stride != 1 || channels != out).then_some(([out, channels, 1], stride));
                parts.push(Part { stage: s, name: format!("layer{}.{b}", s + 1), convs, shortcut });
                channels = out;
            }
        }
        parts
    }
}

/// What an encoder's name says of a residual network: `resnet18`, `resnet18:stage=2`, `resnet50:bf16`,
/// `resnet18:untrained=7,stage=2,bf16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResNetName {
    pub depth: ResNetDepth,
    /// The seed of weights that nobody trained.
    pub untrained: Option<u64>,
    /// The last stage that is run.
    pub stage: Option<usize>,
    pub bf16: bool,
}

impl ResNetName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (base, options) = name.split_once(':').map_or((name, None), |(base, options)| (base, Some(options)));
        let mut parsed = Self { depth: ResNetDepth::named(base).ok()?, untrained: None, stage: None, bf16: false };
        for option in options.into_iter().flat_map(|o| o.split(',')) {
            match option.split_once('=') {
                Some(("untrained", seed)) if parsed.untrained.is_none() => parsed.untrained = Some(seed.parse().ok()?),
                Some(("stage", stage)) if parsed.stage.is_none() => {
                    parsed.stage = Some(stage.parse().ok().filter(|s| (1..=4).contains(s))?);
                }
                None if option == "bf16" && !parsed.bf16 => parsed.bf16 = true,
                _ => return None,
            }
        }
        Some(parsed)
    }
}

impl fmt::Display for ResNetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.depth.name())?;
        let untrained = self.untrained.map(|seed| format!("untrained={seed}"));
        let stage = self.stage.map(|stage| format!("stage={stage}"));
        let bf16 = self.bf16.then(|| "bf16".to_owned());
        for (i, option) in [untrained, stage, bf16].into_iter().flatten().enumerate() {
            write!(f, "{}{option}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// Out, in and side of a convolution's filters, and its stride.
pub(crate) type ConvShape = ([usize; 3], usize);

/// A block as torchvision has it.
pub(crate) struct Part {
    /// 0 to 3.
    pub stage: usize,
    pub name: String,
    pub convs: Vec<ConvShape>,
    pub shortcut: Option<ConvShape>,
}

/// ResNet-18, -34 or -50 without its last layer: the mean over the last stage's pixels, or an earlier one's.
///
/// Weights by torchvision's names (`conv1.weight`, `bn1.running_mean`, `layer1.0.conv1.weight`, ...), bare or behind
/// `module.base_encoder.`, `base_encoder.` and the like as self-supervised training leaves them; the last layer or
/// projector (`fc`) is not read. Any crop of at least 16 x 16 pixels, normalised with ImageNet's statistics, or with
/// those that a file of [`Moco`](crate::Moco) says; such a file also says which stage is the last.
pub struct ResNet {
    depth: ResNetDepth,
    name: ResNetName,
    spec: EncoderSpec,
    net: Net,
    pool: Pool<Workspace>,
    device: Option<DeviceNet>,
}

impl ResNet {
    /// With the weights of a safetensors or PyTorch file; on a GPU through candle.
    ///
    /// # Errors
    /// [`EmbedError::WeightsFile`] if it cannot be read, [`EmbedError::WeightsTensor`] naming the tensor that is
    /// missing, misshapen or not finite, [`EmbedError::WeightsExtra`] for tensors that are none of this network's,
    /// [`EmbedError::Device`] if the device cannot take them.
    pub fn open(depth: ResNetDepth, path: &Path, device: &Device) -> Result<Self, EmbedError> {
        let name = ResNetName { depth, untrained: None, stage: None, bf16: false };
        Self::load(name, Weights::read(depth.name(), path)?, device)
    }

    /// With weights that nobody trained, made from a seed: to compare a trained encoder with, or to measure speed.
    ///
    /// # Errors
    /// [`EmbedError::Device`] if the device cannot take them.
    pub fn untrained(depth: ResNetDepth, seed: u64, device: &Device) -> Result<Self, EmbedError> {
        let name = ResNetName { depth, untrained: Some(seed), stage: None, bf16: false };
        Self::load(name, Weights::untrained(depth.name(), seed), device)
    }

    fn load(mut name: ResNetName, mut file: Weights, device: &Device) -> Result<Self, EmbedError> {
        let depth = name.depth;
        name.stage = file.spec().and_then(|s| s.moco).map(|m| m.config.stage).filter(|stage| (1..4).contains(stage));
        let stages = name.stage.unwrap_or(4);
        let net = load::network(depth, stages, &mut file)?;
        let spec = EncoderSpec {
            name: name.to_string(),
            version: 1,
            dim: depth.dim_at(stages),
            input_px: 48,
            pixels: file.pixels()?.unwrap_or(PixelNorm::IMAGENET),
            weights: file.spec(),
        };
        let mut new = Self { depth, name, spec, net, pool: Pool::default(), device: None };
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

    /// The same in bfloat16. On the CPU products of it, summed in f32: faster where the processor has them (AVX-512
    /// BF16), the same numbers but for the order of sums where it has not; convolutions that are computed by Winograd's
    /// filtering, and the first one, stay f32. On a GPU everything between the pixels and the last mean. What is lost is
    /// measured in `docs/benchmarks.md`.
    ///
    /// # Errors
    /// [`EmbedError::Device`] if a GPU cannot take it.
    pub fn with_bf16(mut self) -> Result<Self, EmbedError> {
        self.net.halve();
        self.name.bf16 = true;
        self.spec.name = self.name.to_string();
        if let Some(device) = self.device.as_ref().map(|net| net.device.clone()) {
            self.device = Some(self.on(&device)?);
        }
        Ok(self)
    }

    /// The network by candle's operations.
    fn on(&self, device: &Device) -> Result<DeviceNet, EmbedError> {
        DeviceNet::new(&self.net, device_type(self.name.bf16, device), device)
            .map_err(|e| device_error(self.depth.name(), device, &e))
    }

    /// The same without the stages behind `stage`, 1 to 4: the mean over that stage's pixels. Of an encoder that was
    /// trained without labels the middle stages may say more of a cell than the last (`docs/benchmarks.md`), and they
    /// take less time.
    ///
    /// # Errors
    /// [`EmbedError::Config`] for other stages, and for one that was left out before.
    pub fn until_stage(mut self, stage: usize) -> Result<Self, EmbedError> {
        if !(1..=self.net.stages.len()).contains(&stage) {
            let expected = "1 to 4, no later than the encoder's last";
            return Err(EmbedError::Config { setting: "the last stage", expected, found: stage.to_string() });
        }
        self.net.stages.truncate(stage);
        if let Some(net) = &mut self.device {
            net.truncate(self.net.stages.iter().map(Vec::len).sum());
        }
        self.spec.dim = self.depth.dim_at(stage);
        self.name.stage = Some(stage);
        self.spec.name = self.name.to_string();
        Ok(self)
    }

    /// The same through candle's own convolutions, for a GPU and as the reference of the CPU path.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] and [`EmbedError::Device`].
    pub fn embed_on(&self, crops: ArrayView4<'_, u8>, device: &Device) -> Result<Array2<f32>, EmbedError> {
        check_crops(self.depth.name(), &crops, 16)?;
        let net = self.on(device)?;
        net.embed(crops, self.spec.pixels).map_err(|e| device_error(self.depth.name(), device, &e))
    }
}

impl Encoder for ResNet {
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        self.embed_with(crops, self.spec.pixels)
    }

    fn embed_with(&self, crops: ArrayView4<'_, u8>, pixels: PixelNorm) -> Result<Array2<f32>, EmbedError> {
        pixels.check(self.depth.name())?;
        check_crops(self.depth.name(), &crops, 16)?;
        if let Some(net) = &self.device {
            return net.embed(crops, pixels).map_err(|e| device_error(self.depth.name(), &net.device, &e));
        }
        let (_, height, width, _) = crops.dim();
        let most = self.net.crops_at_once(height, width);
        Ok(batch::embed(crops, self.spec.dim, most, &self.pool, |crops, rows, workspace| {
            self.net.forward(crops, pixels, rows, workspace);
        }))
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}
