//! Encoders trained without labels: MoCo v3.

mod checkpoint;
mod config;
mod inplace;
mod layers;
mod mlp;
mod neighbours;
mod net;
mod optimiser;
mod order;
mod parameters;
mod passes;
#[cfg(test)]
mod tests;
mod trainer;
mod views;
mod watch;

pub use checkpoint::MocoOrigin;
pub use config::{MocoConfig, Optimiser};
pub use neighbours::Neighbours;
pub use order::{MocoBatch, MocoSection};
pub use trainer::{Moco, MocoStep};
pub use views::ViewConfig;
