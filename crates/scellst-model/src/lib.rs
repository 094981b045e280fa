//! Multiple-instance models of gene expression on [candle](candle_core).
//!
//! A spot is a bag of cells; only the bag has a label. [`MilModel`] predicts every cell, and a bag as the
//! mean of its cells, so that it learns cells from spots (sCellST, Chadoutaud et al. 2026,
//! doi 10.1038/s41467-025-67965-1); [`Pooling`] has three other ways. [`train`] fits it; [`Ridge`] is the linear
//! baseline that runs beside it.
//!
//! Arrays in, arrays out: what a bag is comes from [`scellst_bags`], features from any encoder. A cell's row depends on
//! that cell only, but for [`Pooling::DeepSet`], where it depends on its set too.
//!
//! ```
//! use candle_core::Device;
//! use ndarray::Array2;
//! use scellst_model::{MilModel, ModelShape};
//!
//! let shape = ModelShape::published(512, 10)?; // 512 features a cell, 10 genes
//! let model = MilModel::new(shape, 7, &Device::Cpu)?;
//! let cells = Array2::<f32>::zeros((3, 512));
//! assert_eq!(model.predict_cells(cells.view())?.dim(), (3, 10));
//! # Ok::<(), scellst_model::ModelError>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod data;
mod engine;
mod error;
mod import;
mod input;
mod network;
mod pooling;
mod predict;
mod ridge;
mod train;

pub use config::{ModelShape, Schedule, TrainConfig};
pub use data::TrainData;
pub use error::ModelError;
pub use input::InputScale;
pub use network::MilModel;
pub use pooling::Pooling;
pub use ridge::Ridge;
pub use scellst_kernels::Loss;
pub use train::{Ensemble, Epoch, LogLine, Trainer, Training, TrainingFiles, train, train_ensemble, train_resumable};
