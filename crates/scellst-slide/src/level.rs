use scellst_types::{Level0, LevelIndex, MicronsPerPixel, Point, Rect, Size};

use crate::reader::LevelInfo;
use crate::{Compression, Slide};

/// How far off a whole pixel a converted coordinate may be by rounding alone, px.
const SLACK: f64 = 1e-6;

/// One level of a slide's pyramid.
///
/// Pixel `(i, j)` of a level lies over the level-0 rectangle from `(i dx, j dy)` to
/// `((i + 1) dx, (j + 1) dy)`, with `dx` = width of level 0 / width of this level, and `dy` likewise.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    pub(crate) slide: &'a Slide,
    pub(crate) index: LevelIndex,
    pub(crate) info: &'a LevelInfo,
}

impl std::fmt::Debug for Level<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Level {} ({} px)", self.index, self.size())
    }
}

impl<'a> Level<'a> {
    /// Which level, 0 the finest.
    pub fn index(&self) -> LevelIndex {
        self.index
    }

    /// Width and height in this level's pixels.
    pub fn size(&self) -> Size {
        self.info.size
    }

    /// Level-0 pixels that a pixel of this level covers along x; 1 for level 0.
    pub fn downsample_x(&self) -> f64 {
        f64::from(self.slide.size().width) / f64::from(self.info.size.width)
    }

    /// Level-0 pixels that a pixel of this level covers along y; 1 for level 0.
    pub fn downsample_y(&self) -> f64 {
        f64::from(self.slide.size().height) / f64::from(self.info.size.height)
    }

    /// Mean of the downsampling along x and y (as OpenSlide has it).
    pub fn downsample(&self) -> f64 {
        (self.downsample_x() + self.downsample_y()) / 2.0
    }

    /// Size of the tiles that it is stored in; `None` for strips and plain images.
    pub fn tile_size(&self) -> Option<Size> {
        self.info.tile
    }

    /// How its pixels are stored.
    pub fn compression(&self) -> Compression {
        self.info.compression
    }

    /// Resolution of this level, um/px: the slide's times the downsampling.
    pub fn mpp(&self) -> Option<MicronsPerPixel> {
        self.slide.mpp()?.value.coarser_by(self.downsample_x(), self.downsample_y()).ok()
    }

    /// The region with its upper left corner at pixel `(x, y)` of this level. It may reach, or lie,
    /// outside of the slide.
    pub fn region(&self, x: i64, y: i64, size: Size) -> LevelRegion {
        LevelRegion {
            level: self.index,
            level_size: self.info.size,
            scale: (self.downsample_x(), self.downsample_y()),
            x,
            y,
            size,
        }
    }

    /// The region whose first pixel contains the level-0 point `corner`; `size` in this level's pixels.
    pub fn region_at(&self, corner: Point<Level0>, size: Size) -> LevelRegion {
        let x = (corner.x / self.downsample_x() + SLACK).floor() as i64;
        let y = (corner.y / self.downsample_y() + SLACK).floor() as i64;
        self.region(x, y, size)
    }

    /// The smallest region of whole pixels that covers a level-0 rectangle.
    pub fn region_covering(&self, rect: Rect<Level0>) -> LevelRegion {
        let span = |low: f64, high: f64, scale: f64| {
            let first = (low / scale + SLACK).floor();
            let last = (high / scale - SLACK).ceil().max(first);
            (first as i64, (last - first) as u32)
        };
        let (x, width) = span(rect.min().x, rect.max().x, self.downsample_x());
        let (y, height) = span(rect.min().y, rect.max().y, self.downsample_y());
        self.region(x, y, Size::new(width, height))
    }

    /// The level cut into the pieces that are cheapest to read one by one, in row order: its tiles,
    /// clipped to the level; for strips, full-width bands of whole strips; for a plain image, squares.
    ///
    /// With [`Slide::read_uncached`] every stored tile is decoded once. (56 bytes of memory a tile.)
    pub fn tiles(&self) -> Vec<LevelRegion> {
        let step = self.step();
        (0..self.info.size.height.div_ceil(step.height)).flat_map(|row| self.row_of(step, row)).collect()
    }

    /// Size of [`Level::tiles`] that do not lie at the edge.
    pub(crate) fn step(&self) -> Size {
        // A file of one strip gives all of it or nothing.
        let one_strip = self.info.tile.is_none() && self.info.piece == self.info.size;
        if one_strip && !self.slide.reader().in_memory() { self.info.piece } else { self.info.step() }
    }

    /// One row of the level cut into rectangles; those at the right and lower edge may be smaller.
    pub(crate) fn row_of(self, step: Size, row: u32) -> impl Iterator<Item = LevelRegion> + use<'a> {
        let size = self.info.size;
        let y = row.saturating_mul(step.height).min(size.height);
        (0..size.width).step_by(step.width as usize).map(move |x| {
            let clipped = Size::new(step.width.min(size.width - x), step.height.min(size.height - y));
            self.region(i64::from(x), i64::from(y), clipped)
        })
    }

    /// Whether a region of [`Level::tiles`] is known to be white without decoding anything.
    pub(crate) fn is_blank(&self, tile: &LevelRegion) -> bool {
        if self.info.tile.is_none() {
            return false;
        }
        let (column, row) =
            (tile.x as u64 / u64::from(self.info.piece.width), tile.y as u64 / u64::from(self.info.piece.height));
        self.slide.reader().is_blank(self.index.get(), row * u64::from(self.info.across()) + column)
    }
}

/// A rectangle of whole pixels of one level of one slide; made by [`Level`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelRegion {
    level: LevelIndex,
    /// Of the whole level, to notice a region of another slide.
    pub(crate) level_size: Size,
    scale: (f64, f64),
    x: i64,
    y: i64,
    size: Size,
}

impl LevelRegion {
    /// Which level its pixels are of.
    pub fn level(&self) -> LevelIndex {
        self.level
    }

    /// Left edge, pixels of the level.
    pub fn x(&self) -> i64 {
        self.x
    }

    /// Upper edge, pixels of the level.
    pub fn y(&self) -> i64 {
        self.y
    }

    /// Width and height, pixels of the level.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Where a position inside of the region lies on the slide. `px` and `py` are counted in the
    /// region's pixels from its upper left corner; a pixel's centre is at +0.5.
    pub fn to_level0(&self, px: f64, py: f64) -> Point<Level0> {
        Point::new((self.x as f64 + px) * self.scale.0, (self.y as f64 + py) * self.scale.1)
    }

    /// Where a place on the slide lies in the region: the inverse of [`LevelRegion::to_level0`].
    pub fn from_level0(&self, p: Point<Level0>) -> (f64, f64) {
        (p.x / self.scale.0 - self.x as f64, p.y / self.scale.1 - self.y as f64)
    }
}
