//! Correlation and error per gene, in parallel.
