//! Encoders of cell images: crops in, one row of features a cell out.
//!
//! | encoder | features | weights | what it is |
//! |---|---|---|---|
//! | [`Morphology`] | named, see [`Morphology::FEATURES`] | none | size, shape, stain and texture of the nucleus and of its surroundings |
//! | [`MobileNetV1`] | 512 | safetensors | ImageNet features, blocks 0 to 11, at stride 16 |
//!
//! All stand behind [`Encoder`]; [`open`] makes one by its name. On the CPU the networks run with batch norm
//! folded, channels last and one fused pass a layer, threads over the batch; on a GPU through candle's own
//! operations, which are also what the CPU path is tested against.
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
//! Not for training networks, and not for whole tiles: an encoder sees one cell.

mod batch;
mod cpu;
mod encoder;
mod error;
mod layers;
mod matmul;
mod mobilenet;
mod morphology;
mod resnet;
mod vit;
mod weights;

pub use encoder::{Encoder, EncoderSpec, PixelNorm, WeightsSpec, names, open};
pub use error::EmbedError;
pub use mobilenet::MobileNetV1;
pub use morphology::Morphology;
pub use resnet::{ResNet, ResNetDepth};
pub use vit::{Vit, VitOptions, VitPooling};
