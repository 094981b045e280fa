//! Bags of cells for spots: spatial assignment, CSR bags and their quality control.
