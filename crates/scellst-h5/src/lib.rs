//! h5ad files in and out.
