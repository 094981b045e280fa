//! From a slide to the expression of every cell: stages and the model bundle.
