//! Operations over bags for candle, with gradients.
