//! Correlation and error per gene, in parallel.
//!
//! Arrays in, numbers out: [`GeneScores::compute`] compares predicted with measured values (observations x genes) and
//! gives Pearson and Spearman correlation and mean squared error of every gene; [`GeneScores::mean_over`] their mean
//! over genes, with the count of those that have none; [`top_k`] the genes to take it over.
//!
//! Not for missing values: leave such observations out before. Nothing here knows files or pictures.
//!
//! ```
//! use ndarray::array;
//! use scellst_metrics::{GeneScores, Metric, top_k};
//!
//! let predicted = array![[0.1, 1.0], [0.2, 1.0], [0.3, 1.0], [0.5, 1.0]];
//! let measured = array![[1.0, 0.0], [2.0, 3.0], [3.0, 1.0], [4.0, 2.0]];
//! let scores = GeneScores::compute(predicted.view(), measured.view(), &["EPCAM".into(), "CD3E".into()])?;
//! assert!(scores.pearson[0].is_some_and(|r| r > 0.98));
//! assert_eq!(scores.spearman[0], Some(1.0));
//! assert_eq!((scores.pearson[1], scores.constant_predicted.as_slice()), (None, &[1][..]));
//!
//! let summary = scores.mean_over(Metric::Spearman, &top_k(&[0.4, 0.9], 50)?)?;
//! assert_eq!((summary.mean, summary.defined, summary.constant), (Some(1.0), 1, 1));
//! # Ok::<(), scellst_metrics::MetricsError>(())
//! ```
#![forbid(unsafe_code)]

mod blocks;
mod bootstrap;
mod ceiling;
mod classify;
mod conformal;
pub mod downstream;
mod error;
mod fdr;
mod graph;
mod kendall;
mod moments;
mod moran;
mod null;
mod outlier;
mod paired;
mod pairs;
mod predictable;
mod random;
mod ranks;
mod scores;
mod special;
mod ssim;
mod table;
mod units;

pub use bootstrap::{BootstrapOptions, Intervals, MeanInterval, bootstrap};
pub use ceiling::{Ceiling, CeilingOptions, Noise, noise_ceiling};
pub use classify::{auroc, average_precision};
pub use conformal::{Conformal, ConformalOptions, Coverage, Residual};
pub use error::MetricsError;
pub use fdr::benjamini_hochberg;
pub use graph::Neighbours;
pub use moran::{moran_agreement, morans_i};
pub use null::{Null, NullOptions, Shuffle, permutation_null};
pub use outlier::{Mahalanobis, NearestTraining, OutlierSummary, OutlierThreshold, Shrinkage, sample_rows};
pub use paired::{Difference, PairedOptions, PairedTest, paired_test, sign_flip_test};
pub use pairs::{Agreement, Missing, PairOptions};
pub use predictable::{Criteria, Evidence, predictable_genes};
pub use scores::{GeneScores, Metric, Summary, top_k};
pub use ssim::{Ssim, SsimOptions, Window, bin_means, ssim};
pub use table::{Along, GroupScores, Scores};
pub use units::{Interval, Units, spatial_blocks};
