//! Whole-slide images: pyramids, regions and tissue, in pure Rust.
