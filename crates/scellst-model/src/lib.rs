//! Multiple-instance models of gene expression on candle.
