//! Making slides of different stain look alike.

mod lab;
mod macenko;
mod reinhard;
mod sample;

pub use macenko::{MacenkoConfig, StainNormaliser, StainProfile};
pub use reinhard::{ColourNormaliser, ColourProfile};
