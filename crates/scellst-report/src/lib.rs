//! Pictures of slides, cells and genes.
