//! How far to trust predicted gene expression: scores, tests, intervals, calibration.
//!
//! Arrays in, numbers out; nothing here knows files or pictures. Everything runs in parallel and gives the same for any
//! number of threads; what draws random numbers takes a seed.
//!
//! | question | |
//! |---|---|
//! | how good is each gene (the three usual numbers, fast) | [`GeneScores`], [`top_k`] |
//! | every score, with weights and NaN, of genes, observations, classes, sections | [`Scores`], [`Agreement`] |
//! | are the maps alike | [`ssim()`], [`moran_agreement`] |
//! | how sure is that | [`bootstrap`], by spots, [`spatial_blocks`] or sections |
//! | how do seeds, folds, sections vary | [`mean_interval`] |
//! | is one model better than another | [`paired_test`], [`sign_flip_test`] |
//! | what would a shuffled slide give | [`permutation_null`], [`benjamini_hochberg`] |
//! | what was possible | [`noise_ceiling`] |
//! | which genes can be predicted, and why we think so | [`predictable_genes`] |
//! | between which bounds does a value lie | [`Conformal`] |
//! | is this cell like those trained on | [`Mahalanobis`], [`NearestTraining`], [`OutlierThreshold`] |
//! | in which directions do rows vary most | [`Pca`] |
//! | signatures, genes and neighbours of classes | [`downstream`] |
//!
//! A gene that is constant, or missing, has no correlation: `None`, counted and named, never NaN in a mean.
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
mod principal;
mod random;
mod ranks;
mod repeats;
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
pub use principal::Pca;
pub use repeats::mean_interval;
pub use scores::{GeneScores, Metric, Summary, top_k};
pub use ssim::{Ssim, SsimOptions, Window, bin_means, ssim};
pub use table::{Along, GroupScores, Scores};
pub use units::{Interval, Units, spatial_blocks};
