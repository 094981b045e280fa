//! The simulation study of the published method: cells whose pictures are real (or made) and whose expression is known.
//!
//! Embeddings of cells are clustered, each cluster is paired with a cell type of a single-cell reference, and every
//! cell is given an expression of its type ([`Scenario`]). Spots are sums of cells that are drawn with replacement. A model
//! that sees the spots only can then be scored at single cells (figure 2 of sCellST, Chadoutaud et al. 2026).
//!
//! Beyond the published study, what goes wrong between a slide and its spots can be put in: [`Degradation`].
//!
//! This module makes data, arrays in and out; training and scoring lie in `scellst-pipeline`.
//!
//! ```
//! use scellst_sim::study::{CellConfig, MadeEmbeddings, MadeReference, Scenario, StudyCells};
//!
//! let reference = MadeReference { cells_per_type: 40, genes: 300, ..MadeReference::default() }.generate()?;
//! let embeddings = MadeEmbeddings { cells_per_type: 60, dims: 16, ..MadeEmbeddings::default() }.generate()?;
//! let config = CellConfig { cells_per_cluster: 40, components: 10, ..CellConfig::default() };
//! let cells = StudyCells::new(embeddings.view(), &reference, Scenario::Cell, &config)?;
//! assert_eq!(cells.len(), 6 * 40);
//! let (train, test) = cells.halves();
//! let bags = cells.draw_bags(train, 100, 20, 1)?;
//! assert_eq!((train.len(), test.len(), bags.len()), (120, 120, 100));
//! # Ok::<(), scellst_sim::SimError>(())
//! ```
//!
//! When not to use it: to say how well a model does on tissue. Cells here are drawn independently of each other, types
//! lie in clusters by construction, and a cell's picture says no more of its expression than its type.

mod bags;
mod cells;
mod cluster;
mod degrade;
mod embeddings;
mod reference;

pub use bags::{StudyBags, log_normalised};
pub use cells::{CellConfig, Scenario, StudyCells};
pub use cluster::{Clusters, kmeans};
pub use degrade::{Degradation, Seen};
pub use embeddings::MadeEmbeddings;
pub use reference::{MadeReference, Reference};
