//! What 10x Genomics' programs write: Cell Ranger, Space Ranger, Xenium.

mod features;
mod h5;
mod mtx;
mod positions;
mod scale_factors;
mod space_ranger;
mod transcripts;
mod xenium;

pub use features::{FeatureCount, LeftOut};
pub use scale_factors::ScaleFactors;
pub use transcripts::TranscriptCounts;

pub(crate) use features::{Genes, Table};
pub(crate) use h5::{is_tenx, read_h5};
pub(crate) use mtx::{is_matrix_market, read_folder};
pub(crate) use space_ranger::{matrix_of as space_ranger_matrix, read_section};
pub(crate) use transcripts::read_transcripts;
pub(crate) use xenium::{matrix_of as xenium_matrix, read_xenium};
