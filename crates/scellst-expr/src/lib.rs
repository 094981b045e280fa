//! Spatial expression: sparse counts, filters, normalisation and gene selection.
