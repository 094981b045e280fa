//! Synthetic sections with known expression of every cell.
