//! What a file format has to give: levels, and the decoded pieces that they are stored in.

use std::sync::Arc;

use image::RgbImage;
use scellst_types::Size;

use crate::{Compression, SlideError};

/// One level of a pyramid as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct LevelInfo {
    /// Pixels of the whole level.
    pub(crate) size: Size,
    /// Pixels of one stored piece (a tile, a strip, or the whole of an image in memory). Pieces lie
    /// in rows from the upper left; the last of a row or column may reach beyond the level.
    pub(crate) piece: Size,
    /// The tile's size where the level is tiled.
    pub(crate) tile: Option<Size>,
    pub(crate) compression: Compression,
}

impl LevelInfo {
    /// Pieces in a row.
    pub(crate) fn across(&self) -> u32 {
        self.size.width.div_ceil(self.piece.width)
    }

    /// The grid in which to go through the level: its tiles, or rows of strips, or squares of an
    /// image in memory.
    pub(crate) fn step(&self) -> Size {
        const SIDE: u32 = 512;
        if self.tile.is_some() {
            self.piece
        } else if self.piece == self.size {
            Size::new(SIDE, SIDE)
        } else {
            // At least 256 rows at once, in whole strips.
            Size::new(self.piece.width, self.piece.height.saturating_mul(256_u32.div_ceil(self.piece.height)))
        }
    }
}

/// A slide's file, behind one interface for all formats.
pub(crate) trait Reader: Send + Sync {
    /// Finest first; at least one; sizes and pieces above zero.
    fn levels(&self) -> &[LevelInfo];

    /// Decodes a piece: at least the part of it that lies inside of the level. `level` and `index`
    /// (row order) exist.
    fn piece(&self, level: usize, index: u64) -> Result<Arc<RgbImage>, SlideError>;

    /// As [`Reader::piece`], shrunk `halvings` times by two (each side rounded up), where the codec
    /// decodes at reduced size for less work than decoding whole and shrinking; `None` where it does
    /// not. `halvings` is at least 1.
    fn reduced(&self, _level: usize, _index: u64, _halvings: u32) -> Option<Result<RgbImage, SlideError>> {
        None
    }

    /// Decodes the associated image at an index of [`About::associated`](crate::slide::About), which
    /// exists.
    fn associated(&self, index: usize) -> Result<RgbImage, SlideError>;

    /// Whether pieces are in memory anyhow, so that keeping them in a cache would gain nothing.
    fn in_memory(&self) -> bool {
        false
    }
}
