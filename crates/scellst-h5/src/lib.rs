//! Counts of spots and cells in, of any common format, and `.h5ad` files out: sections, and predictions streamed by rows.
//!
//! * [`read_counts`]: an h5ad, a folder of Space Ranger, a matrix of 10x, Xenium's transcripts, a legacy table; what it is
//!   is seen by the content.
//! * [`read_h5ad`], [`read_h5ad_with`]: a section as sparse counts, the spots' centres and diameter; `X`, `raw` or a layer,
//!   all of it or some rows and genes.
//! * [`read_matrix`], [`MatrixReader`]: predictions and truths, dense, whole or by blocks of rows.
//! * [`PredictionWriter`]: predictions, row by row, memory flat in the number of cells.
//! * [`read_embeddings`]: features that HEST-Benchmark, TRIDENT or sCellST made.
//! * [`CropsWriter`]: pictures of cells in the layout of HEST's and sCellST's patches.
//! * [`write_section`]: a section in the HEST layout.
//!
//! Everything that is written here opens in Python's anndata (0.10 to 0.12) with stock h5py:
//! no filter but gzip.
//!
//! **Which library does what.** Files are read with `hdf5-metno`, since anndata-rs takes a file's word for its
//! sizes, texts and pointers, and panics or allocates by them. Files are written through anndata-rs's HDF5
//! backend, but for a streamed `X`, for which anndata-rs knows only Blosc, which stock h5py cannot read.
//!
//! **Threads.** HDF5's C library is not thread-safe: `hdf5-metno` takes one lock for the whole process around
//! every call, so any thread may use this crate, but reading or writing from several gains nothing.
//! HDF5's own messages on standard error are off.
//!
//! **Hostile files.** Sizes, types, pointers, indices and texts are checked before they are used, links into
//! other files are refused, and [`ReadLimits`] bound what is allocated. What is left is HDF5's C code, which
//! parses the file. Of 12,000 files damaged by chance none crashed it, but some fifty sent HDF5 2.2 into an
//! endless loop (an entry of size 0 in a heap of texts), and it believes a text's length of up to 4 GiB. Read
//! files from strangers in a process that may be ended.
//!
//! When not to use this crate: for `obsp`, `varm` or editing a file in place; use anndata-rs. It brings
//! HDF5 and polars with it, minutes of build: `scellst-expr` has the types without them.
//!
//! ```
//! use scellst_h5::{H5Error, read_h5ad};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("C2.h5ad");
//! # let one = scellst_expr::CsrMatrix::new(1, 1, vec![0, 1], vec![0], vec![2.0])?;
//! # let one = scellst_expr::Expression::new(one, vec!["ACTB".into()], vec!["spot".into()])?;
//! # scellst_h5::write_section(&path, &one, &Default::default())?;
//! let section = read_h5ad(&path)?;
//! println!("{} spots, {} genes", section.expression.observations().len(), section.expression.genes().len());
//! match section.require_spatial() {
//!     Ok(centres) => println!("the first at {:?}", centres.first()),
//!     Err(e @ H5Error::Missing { .. }) => println!("{e}"),
//!     Err(e) => return Err(e.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod atomic;
mod columns;
mod counts;
mod crops;
mod dataset;
mod elements;
mod embeddings;
mod error;
mod frame;
mod legacy;
mod limits;
mod lines;
mod matrix;
mod options;
mod parquet_table;
mod section;
mod source;
mod spatial;
mod table;
mod tenx;
mod uns;
mod wanted;
mod write_predictions;
mod write_section;
mod write_spatial;

pub use columns::{Column, Compression};
pub use counts::{CountsFormat, CountsOptions, SpatialCounts, SpotSize, read_counts, read_counts_with};
pub use crops::{CropsHeader, CropsWriter, cell_label};
pub use embeddings::{Embeddings, read_embeddings};
pub use error::H5Error;
pub use frame::Columns;
pub use limits::ReadLimits;
pub use options::{MatrixChoice, ReadOptions};
pub use section::{H5adSection, read_h5ad, read_h5ad_with};
pub use table::{Matrix, MatrixReader, read_matrix};
pub use tenx::{FeatureCount, LeftOut, ScaleFactors, TranscriptCounts};
pub use uns::{read_uns_number, read_uns_text};
pub use write_predictions::{PredictionHeader, PredictionWriter};
pub use write_section::{SectionParts, write_section};
pub use write_spatial::SpatialLibrary;
