//! Encoders of cell images on candle.
