//! Encoders of cell images: crops in, one row of features a cell out.
//!
//! | encoder | features | weights | what it is |
//! |---|---|---|---|
//! | [`Morphology`] | named, see [`Morphology::FEATURES`] | none | size, shape, stain and texture of the nucleus and of its surroundings |
//! | [`MobileNetV1`] | 512 | file | ImageNet features, blocks 0 to 11, at stride 16 |
//! | [`ResNet`] | 512 or 2048 | file | ResNet-18, -34 and -50 as torchvision has them, ImageNet's or MoCo's |
//! | [`Vit`] | as the file | file | vision transformers of timm and DINOv2: S, B, L and larger |
//!
//! All stand behind [`Encoder`]; [`open`] makes one by its name. Weights are safetensors or PyTorch's zip files, of
//! which no code is run. On the CPU the networks run by kernels of their own (batch norm folded, channels last,
//! weights packed once, what follows a convolution fused into it, Winograd's filtering where it pays, AVX-512 or AVX2
//! where the machine has them), threads over the batch; a row of features is the same to the bit whatever the number
//! of threads and the other crops. On a GPU they run through candle's own operations, which are also what the CPU
//! path is tested against.
//!
//! ```
//! use ndarray::Array4;
//! use scellst_embed::{Encoder, Morphology};
//!
//! let crops = Array4::<u8>::from_elem((2, 48, 48, 3), 200); // two cells, all grey
//! let features = Morphology::new().embed(crops.view())?;
//! assert_eq!(features.dim(), (2, Morphology::FEATURES.len()));
//! # Ok::<(), scellst_embed::EmbedError>(())
//! ```
//!
//! [`Precomputed`] reads features that were made elsewhere.
//!
//! [`Moco`] trains a residual network on crops without labels.
//!
//! Not for whole tiles: an encoder sees one cell.

mod batch;
mod cpu;
mod encoder;
mod error;
mod file;
mod grad;
mod mobilenet;
mod moco;
mod morphology;
mod npy;
mod pixels;
mod precomputed;
mod random;
mod resnet;
mod vit;
mod weights;

pub use encoder::{Encoder, EncoderSpec, PixelNorm, WeightsSpec, names, open, open_normalised};
pub use error::EmbedError;
pub use mobilenet::MobileNetV1;
pub use moco::{Moco, MocoBatch, MocoConfig, MocoOrigin, MocoSection, MocoStep, Neighbours, Optimiser, ViewConfig};
pub use morphology::Morphology;
pub use npy::{NpyCrops, NpyFeatures};
pub use pixels::PixelStats;
pub use precomputed::Precomputed;
pub use resnet::{ResNet, ResNetDepth};
pub use vit::{Vit, VitOptions, VitPooling};
