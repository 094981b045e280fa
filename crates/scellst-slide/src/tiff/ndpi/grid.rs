//! How a level is cut: segments between restart markers, and the rectangles of them that are pieces.

use std::ops::Range;

use scellst_types::Size;

/// Pixels that a piece should have, as far as its shape allows: so many that there is little work
/// beside that of decoding, so few that a small region costs little.
const PIECE: u64 = 1 << 18;
/// The highest piece, px.
const HIGHEST: u64 = 512;
/// Levels up to this width are not cut from above to below, px.
const NARROW: u64 = 1024;
/// The width of the columns that a level is cut into where its segments are narrower, px.
const COLUMN: u64 = 512;
/// The longest side of a JPEG image, px.
const LONGEST_SIDE: u64 = 65_535;

/// A level's segments and pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    size: Size,
    /// Pixels of a segment.
    segment: (u64, u64),
    /// Segments from left to right, and from above to below.
    pub(super) across: u64,
    down: u64,
    /// Segments of a piece.
    columns: u64,
    rows: u64,
    /// Pixels of a piece.
    pub(super) piece: Size,
    /// Units of coding in the whole level.
    pub(super) units: u64,
}

impl Grid {
    /// `mcu`: pixels of a unit of coding; `interval`: units in a segment. `None` where segments are no
    /// rectangles, or wider than a JPEG image may be.
    pub(super) fn new(size: Size, mcu: Size, interval: u64) -> Option<Self> {
        let (mcu_width, mcu_height) = (u64::from(mcu.width), u64::from(mcu.height));
        let row = u64::from(size.width).div_ceil(mcu_width);
        let lines = u64::from(size.height).div_ceil(mcu_height);
        let (across, segment) = if interval == 0 {
            return None;
        } else if row.is_multiple_of(interval) {
            (row / interval, (interval * mcu_width, mcu_height))
        } else if interval.is_multiple_of(row) {
            (1, (row * mcu_width, interval / row * mcu_height))
        } else {
            return None;
        };
        let down = u64::from(size.height).div_ceil(segment.1);
        let columns = if across * segment.0 <= NARROW { across } else { (COLUMN / segment.0).clamp(1, across) };
        let width = columns * segment.0;
        // A power of two, so that a piece can be shrunk by one.
        let rows = 1 << ((PIECE / width).min(HIGHEST) / segment.1).max(1).ilog2();
        let height = rows * segment.1;
        if width > LONGEST_SIDE || height > LONGEST_SIDE {
            return None;
        }
        let piece = Size::new(width as u32, height as u32);
        Some(Self { size, segment, across, down, columns, rows, piece, units: row * lines })
    }

    /// How many segments there are.
    pub(super) fn count(&self) -> u64 {
        self.across * self.down
    }

    /// Which columns and rows of segments a piece is made of, and its size within the level; `None`
    /// where there is no such piece.
    pub(super) fn piece(&self, index: u64) -> Option<(Range<u64>, Range<u64>, Size)> {
        let pieces_across = self.across.div_ceil(self.columns);
        let (column, row) = (index % pieces_across * self.columns, index / pieces_across);
        let row = row.checked_mul(self.rows).filter(|&row| row < self.down)?;
        let columns = column..(column + self.columns).min(self.across);
        let rows = row..(row + self.rows).min(self.down);
        let side = |range: &Range<u64>, segment: u64, whole: u32| {
            ((range.end * segment).min(u64::from(whole)) - range.start * segment) as u32
        };
        let width = side(&columns, self.segment.0, self.size.width);
        let height = side(&rows, self.segment.1, self.size.height);
        Some((columns, rows, Size::new(width, height)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(size: (u32, u32), mcu: (u32, u32), interval: u64) -> Option<Grid> {
        Grid::new(Size::new(size.0, size.1), Size::new(mcu.0, mcu.1), interval)
    }

    #[test]
    fn pieces_have_a_sensible_size() {
        for (size, mcu, interval, across, piece) in [
            // A whole row a segment.
            ((3968, 4864), (8, 8), 496, 1, (3968, 64)),
            // What most scanners write.
            ((126_976, 100_352), (8, 8), 256, 62, (2048, 128)),
            ((122_880, 110_080), (8, 8), 512, 30, (4096, 64)),
            ((4096, 4096), (16, 16), 256, 1, (4096, 64)),
            // A unit a segment, and a few.
            ((5000, 700), (8, 8), 1, 625, (512, 512)),
            ((6400, 640), (16, 8), 8, 50, (512, 512)),
            ((900, 5000), (16, 16), 19, 3, (912, 256)),
            // Three rows of units a segment.
            ((80, 500), (8, 8), 30, 1, (80, 384)),
            // As wide as can be.
            ((65_528, 80), (8, 8), 8191, 1, (65_528, 8)),
            ((1, 1), (8, 8), 1, 1, (8, 512)),
        ] {
            let grid = grid(size, mcu, interval).unwrap();
            assert_eq!((grid.across, grid.piece), (across, Size::new(piece.0, piece.1)), "{size:?} {interval}");
        }
    }

    #[test]
    fn segments_that_are_no_rectangles() {
        assert_eq!(grid((800, 800), (8, 8), 0), None);
        assert_eq!(grid((800, 800), (8, 8), 30), None);
        assert_eq!(grid((800, 800), (8, 8), 150), None);
        assert_eq!(grid((65_544, 800), (8, 8), 8193), None);
    }

    /// Every segment lies in one piece, and the pieces have as many pixels as the level.
    #[test]
    fn pieces_cover_the_level() {
        for (size, mcu, interval) in [((1701, 903), (16, 8), 107), ((1701, 903), (8, 8), 1), ((53, 999), (8, 16), 21)] {
            let grid = grid(size, mcu, interval).unwrap();
            let (mut pixels, mut segments) = (0, 0);
            for index in 0.. {
                let Some((columns, rows, size)) = grid.piece(index) else { break };
                pixels += size.pixels();
                segments += (columns.end - columns.start) * (rows.end - rows.start);
            }
            assert_eq!((pixels, segments), (u64::from(size.0) * u64::from(size.1), grid.count()), "{size:?}");
        }
        assert_eq!(grid((8, 8), (8, 8), 1).unwrap().piece(u64::MAX), None);
    }
}
