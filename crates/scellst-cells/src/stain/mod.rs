//! Making slides of different stain look alike.

mod lab;
mod macenko;
mod reinhard;
mod sample;
mod target;
mod vahadane;

pub use macenko::{MacenkoConfig, StainNormaliser, StainProfile};
pub use reinhard::{ColourNormaliser, ColourProfile};
pub use target::{Normaliser, StainMethod, StainTarget};
pub use vahadane::VahadaneConfig;
