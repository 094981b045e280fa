//! Spatial expression: sparse counts, filters, normalisation and gene selection.
//!
//! An [`Expression`] holds raw counts of genes in observations (spots or cells), [`Spots`] where they lie.
//! [`FeatureConfig`] makes genes of a file's features (symbols or identifiers, doubles, controls).
//! From there, as in the published method: [`FilterConfig`] drops what is too rare, [`GeneSelection`] chooses
//! genes, [`Expression::log_normalised`] gives labels, [`Scaling`] brings them to comparable size.
//!
//! The order is the published one: filter each section, normalise over the genes that its filter left, and only then
//! choose genes among those that all sections have. A model holds its genes sorted by name: [`sorted_names`].
//!
//! No file formats here: h5ad files are read by `scellst-h5`. Not for single-cell analysis at large (clustering,
//! differential expression): write an h5ad and use scanpy.
//!
//! ```
//! use scellst_expr::{CsrMatrix, Expression, FilterConfig, GeneSelection, sorted_names};
//!
//! let counts = ndarray::arr2(&[[90.0, 0.0, 4.0], [10.0, 60.0, 4.0], [30.0, 40.0, 4.0]]);
//! let names = |prefix: &str| (0..3).map(|i| format!("{prefix}{i}")).collect();
//! let raw = Expression::new(CsrMatrix::from_dense(counts.view())?, names("gene"), names("spot"))?;
//!
//! let filtered = FilterConfig { min_gene_counts: 50.0, ..FilterConfig::default() }.apply(&raw)?;
//! assert_eq!(filtered.report.genes_few_counts, ["gene2"]);
//!
//! let chosen = "var:1".parse::<GeneSelection>()?.select(&[&filtered.expression])?;
//! assert_eq!(sorted_names(&chosen), ["gene1"]);
//! let labels = filtered.expression.log_normalised(&sorted_names(&chosen))?;
//! assert_eq!(labels.dim(), (3, 1));
//! # Ok::<(), scellst_expr::ExprError>(())
//! ```
#![forbid(unsafe_code)]

mod csr;
mod error;
mod expression;
mod features;
mod filter;
mod gene_list;
mod hvg;
mod loess;
mod moran;
mod normalise;
mod placement;
mod scaling;
mod selection;
mod spatial_test;
mod spot_graph;
mod variance;

pub use csr::CsrMatrix;
pub use error::ExprError;
pub use expression::{Expression, Spots, make_unique};
pub use features::{DuplicateGenes, FeatureConfig, FeatureReport, Features, GeneNaming, is_control};
pub use filter::{FilterConfig, FilterReport, Filtered};
pub use gene_list::{CommonGenes, GeneScore, common_genes, read_gene_list, sorted_names, write_gene_scores};
pub use hvg::{HvgFlavor, VariableGene, highly_variable, highly_variable_by, normalised_variances};
pub use moran::{morans_i, spatially_variable};
pub use normalise::{
    NormaliseConfig, Normalised, TARGET_SUM, TargetSum, into_normalised_log1p, log1p, normalise, normalise_log1p,
    size_factors,
};
pub use placement::{PlacementDoubt, PlacementEvidence, check_placement};
pub use scaling::{GeneRanges, Scaling};
pub use selection::GeneSelection;
pub use spatial_test::{SpatialStatistic, SpatialTest, SpatialTests, Tails, spatial_tests};
pub use spot_graph::SpotGraph;
pub use variance::{log_normalised_variance, most_variable};
