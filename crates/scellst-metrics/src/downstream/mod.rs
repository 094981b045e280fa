//! After prediction: signatures, tests between classes, genes that go together, classes that lie together.
//!
//! As scanpy and squidpy compute them, on plain arrays. Values are observations x genes, log-normalised where that
//! matters; the genes' names stay with the caller.

mod correlation;
mod enrichment;
mod rank_genes;
mod score_genes;

pub use correlation::{GeneCorrelation, gene_correlation};
pub use enrichment::{Enrichment, neighbourhood_enrichment};
pub use rank_genes::{
    GeneTest, GroupRanking, PREDICTED_VALUES, RankOptions, Reference, Test, Values, rank_genes_groups,
};
pub use score_genes::{ScoreOptions, score_genes};
