use std::path::Path;

use candle_core::Device;
use ndarray::{Array2, ArrayView4};
use serde::{Deserialize, Serialize};

use crate::resnet::ResNetName;
use crate::{EmbedError, MobileNetV1, MocoOrigin, Morphology, ResNet, Vit, VitOptions};

/// Turns crops of cells into features.
pub trait Encoder: Send + Sync {
    /// Features of crops `(cells, height, width, 3)`, RGB 0..255: `(cells, dim)` f32, row by row in the
    /// order of the crops. No cells give no rows. A row depends on its own crop only.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] for a shape that the encoder does not take; [`EmbedError::Device`] from a GPU.
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError>;

    /// The same with other pixel statistics than those of its spec: a slide's own, as
    /// [`PixelStats`](crate::PixelStats) gives them.
    ///
    /// # Errors
    /// As [`Encoder::embed`]; [`EmbedError::Pixels`] for statistics that cannot be applied, and from an encoder that
    /// takes pixels as they are.
    fn embed_with(&self, _crops: ArrayView4<'_, u8>, pixels: PixelNorm) -> Result<Array2<f32>, EmbedError> {
        let (encoder, problem) = (self.spec().name.clone(), "it takes pixels as they are");
        Err(EmbedError::Pixels { encoder, pixels, problem })
    }

    /// Number of features.
    fn dim(&self) -> usize {
        self.spec().dim
    }

    /// All that is needed to embed again in the same way.
    fn spec(&self) -> &EncoderSpec;
}

/// What an encoder is, as kept in a model bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderSpec {
    /// As [`open`] takes it.
    pub name: String,
    /// Raised whenever the same name gives other features.
    pub version: u32,
    /// Number of features.
    pub dim: usize,
    /// Side of the crops that it is meant for, pixels.
    pub input_px: u32,
    /// What is done to the pixels first.
    pub pixels: PixelNorm,
    /// Its weights, if it has any.
    pub weights: Option<WeightsSpec>,
}

/// `(rgb / 255 - mean) / std` per channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelNorm {
    /// Of red, green, blue in 0..1.
    pub mean: [f32; 3],
    /// Of red, green, blue in 0..1.
    pub std: [f32; 3],
}

impl PixelNorm {
    /// 0..255 to -1..1, as MobileNet's Keras weights want it.
    pub const SYMMETRIC: Self = Self { mean: [0.5; 3], std: [0.5; 3] };
    /// Of the pictures of ImageNet, as torchvision's and most other weights want it.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// 0..255 to 0..1.
    pub const UNIT: Self = Self { mean: [0.0; 3], std: [1.0; 3] };
}

/// Which weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsSpec {
    /// The file's name, without its folder.
    pub file: String,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
    /// What the file says of its source.
    pub source: Option<String>,
    /// What the file says of its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// How they were trained without labels, if [`Moco`](crate::Moco) did that: on which sections above all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moco: Option<MocoOrigin>,
}

/// The names that [`open`] knows. `vit` takes options, as in `vit:heads=6,px=224,pool=mean,bf16`: see [`VitOptions`].
/// `resnet18:untrained=SEED`, and likewise the deeper ones, has random weights and needs no file; `resnet18:bf16` takes
/// products of bfloat16 ([`ResNet::with_bf16`]), `resnet18:stage=2` ends at that stage ([`ResNet::until_stage`]); all
/// together: `resnet18:untrained=SEED,stage=2,bf16`. `mobilenet-v1:bf16` is known too.
pub fn names() -> &'static [&'static str] {
    &[Morphology::NAME, MobileNetV1::NAME, "resnet18", "resnet34", "resnet50", Vit::NAME]
}

pub(crate) const MOBILENET_BF16: &str = "mobilenet-v1:bf16";

/// The encoder of that name, with its weights where it has any, for the device.
///
/// # Errors
/// [`EmbedError::UnknownEncoder`], [`EmbedError::NoWeights`] and what loading the weights gives.
pub fn open(name: &str, weights: Option<&Path>, device: &Device) -> Result<Box<dyn Encoder>, EmbedError> {
    open_as(name, weights, None, device)
}

/// As [`open`], with other pixel statistics than those that the weights of that kind commonly want: the data set's or
/// the slide's own, as [`PixelStats`](crate::PixelStats) gives them.
///
/// # Errors
/// As [`open`], and [`EmbedError::Pixels`] for statistics that cannot be applied.
pub fn open_normalised(
    name: &str,
    weights: Option<&Path>,
    pixels: PixelNorm,
    device: &Device,
) -> Result<Box<dyn Encoder>, EmbedError> {
    pixels.check(name)?;
    if name == Morphology::NAME {
        let (encoder, problem) = (name.to_owned(), "it takes pixels as they are");
        return Err(EmbedError::Pixels { encoder, pixels, problem });
    }
    open_as(name, weights, Some(pixels), device)
}

fn open_as(
    name: &str,
    weights: Option<&Path>,
    pixels: Option<PixelNorm>,
    device: &Device,
) -> Result<Box<dyn Encoder>, EmbedError> {
    let path = |encoder| weights.ok_or(EmbedError::NoWeights { encoder });
    if let Some(ResNetName { depth, untrained, stage, bf16 }) = ResNetName::parse(name) {
        let net = match untrained {
            Some(seed) => ResNet::untrained(depth, seed, device)?,
            None => ResNet::open(depth, path(depth.name())?, device)?,
        };
        let mut net = net.with_pixels(pixels);
        if let Some(stage) = stage {
            net = net.until_stage(stage)?;
        }
        return Ok(Box::new(if bf16 { net.with_bf16()? } else { net }));
    }
    if let Some(options) = VitOptions::parse(name) {
        return Ok(Box::new(Vit::open(options, path(Vit::NAME)?, device)?.with_pixels(pixels)));
    }
    match name {
        Morphology::NAME => Ok(Box::new(Morphology::new())),
        MobileNetV1::NAME | MOBILENET_BF16 => {
            let net = MobileNetV1::open(path(MobileNetV1::NAME)?, device)?.with_pixels(pixels);
            Ok(Box::new(if name == MOBILENET_BF16 { net.with_bf16()? } else { net }))
        }
        other => Err(EmbedError::UnknownEncoder { name: other.to_owned(), known: names().to_vec() }),
    }
}

/// Checks the shape of crops: three channels, no smaller than `min_px`.
pub(crate) fn check_crops(encoder: &'static str, crops: &ArrayView4<'_, u8>, min_px: usize) -> Result<(), EmbedError> {
    let (n, h, w, c) = crops.dim();
    if c == 3 && h >= min_px && w >= min_px {
        return Ok(());
    }
    let expected = format!("three channels and at least {min_px} x {min_px} pixels");
    Err(EmbedError::Crops { encoder, found: [n, h, w, c], expected })
}
