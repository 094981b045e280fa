//! Reading and writing `.h5ad` files: fixtures that Python made, real sections, Python as the reader, hostile files.

#![allow(clippy::print_stdout, reason = "a test says what it skipped")]

mod common;
mod crops;
mod embeddings;
mod fixtures;
mod golden;
mod hostile;
mod layout;
mod python;
mod round_trip;
mod sample;
mod tenx;
