//! An image of a slide: which frame of which instance is which tile.

use std::sync::{Arc, OnceLock};

use image::RgbImage;
use scellst_types::Size;

use super::frames::Frames;
use super::instance::{FramePlace, Instance};
use super::syntax::PixelFormat;
use crate::reader::LevelInfo;
use crate::source::Source;
use crate::{Limits, SlideError, codec};

/// A sparse image may be this large whatever its frames; beyond, it has to have one of
/// [`MOST_TILES_A_FRAME`] tiles. So that a file of one tile cannot ask for a year's work.
const MOST_TILES: u64 = 4096;
const MOST_TILES_A_FRAME: u64 = 256;

/// A level or another image.
#[derive(Debug)]
pub(super) struct TiledImage {
    pub(super) info: LevelInfo,
    format: PixelFormat,
    parts: Vec<Part>,
    layout: Layout,
    white: OnceLock<Result<Arc<RgbImage>, SlideError>>,
}

/// One instance of a concatenation; most images have but one.
#[derive(Debug)]
struct Part {
    source: Arc<Source>,
    /// Frames of the parts before.
    first: u64,
    count: u64,
    frames: Frames,
}

#[derive(Debug)]
enum Layout {
    /// Tile `i` is frame `i`.
    Full,
    /// Tiles and their frames, in order of the tiles.
    Sparse(Vec<(u64, u64)>),
}

impl TiledImage {
    /// Understands the instances of an image: one, or the parts of a concatenation.
    pub(super) fn new(instances: &[Instance], limits: &Limits) -> Result<Self, SlideError> {
        let Some(head) = instances.first() else {
            return Err(SlideError::misuse("image", "at least one instance", "none"));
        };
        let path = head.source.path();
        let format = PixelFormat::of(head)?;
        let bytes = head.tile.pixels().saturating_mul(3);
        if bytes > limits.max_tile_bytes {
            let (place, hint) = (format!("frames of {} px", head.tile), "raise Limits::max_tile_bytes");
            return Err(SlideError::over_limit(path, place, "bytes", (bytes, limits.max_tile_bytes), hint));
        }
        let parts = parts(instances, &format, limits)?;
        let frames = parts.iter().map(|part| part.count).sum::<u64>();
        let grid = Grid::of(head);
        let layout = if head.is_full() {
            let (planes, paths) = (head.focal_planes, head.optical_paths);
            let expected = grid.tiles().saturating_mul(planes).saturating_mul(paths);
            if frames != expected {
                let tiles =
                    format!("{expected} frames ({} tiles, {planes} focal planes, {paths} optical paths)", grid.tiles());
                return Err(SlideError::broken(path, "the data set", tiles, frames.to_string()));
            }
            Layout::Full
        } else {
            Layout::Sparse(grid.sparse(instances)?)
        };
        // As many as a list of all tiles may have.
        let most = limits.max_tag_bytes / 16;
        let (most, hint) = match &layout {
            Layout::Full => (most, "raise Limits::max_tag_bytes"),
            Layout::Sparse(_) => {
                (most.min(MOST_TILES.max(frames * MOST_TILES_A_FRAME)), "nearly all of the image is missing: cut it")
            }
        };
        if grid.tiles() > most {
            let place = format!("image of {} px", head.size);
            return Err(SlideError::over_limit(path, place, "tiles", (grid.tiles(), most), hint));
        }
        let info = LevelInfo {
            size: head.size,
            piece: head.tile,
            tile: Some(head.tile),
            compression: format.syntax.compression(),
        };
        Ok(Self { info, format, parts, layout, white: OnceLock::new() })
    }

    /// Decodes a tile, by its place in row order.
    pub(super) fn decode(&self, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let Some((part, frame)) = self.frame(index) else { return self.white(index) };
        let place = format!("frame {}", frame + 1);
        let bytes = part.frames.read(&self.format.prefix(), frame, &place)?;
        let sizes = (self.info.piece, self.needed(index));
        self.format.decode(bytes, sizes, part.source.path(), &place).map(Arc::new)
    }

    /// Decodes a tile shrunk, where that is less work: one that lies in the image as a whole.
    pub(super) fn reduced(&self, index: u64, halvings: u32) -> Option<Result<RgbImage, SlideError>> {
        let tile = self.info.piece;
        if !self.format.reduces(halvings) || self.needed(index) != tile {
            return None;
        }
        let (part, frame) = self.frame(index)?;
        let place = format!("frame {}", frame + 1);
        let bytes = part.frames.read(&self.format.prefix(), frame, &place);
        Some(bytes.and_then(|bytes| self.format.decode_reduced(&bytes, tile, halvings, part.source.path(), &place)))
    }

    /// Where a tile is stored: a part and its frame, from 0.
    fn frame(&self, index: u64) -> Option<(&Part, u64)> {
        let frame = match &self.layout {
            Layout::Full => index,
            Layout::Sparse(tiles) => {
                let found = tiles.binary_search_by_key(&index, |&(tile, _)| tile).ok()?;
                tiles.get(found)?.1
            }
        };
        let part = self.parts.iter().find(|part| (part.first..part.first + part.count).contains(&frame))?;
        Some((part, frame - part.first))
    }

    /// What of a tile lies in the image.
    fn needed(&self, index: u64) -> Size {
        let LevelInfo { size, piece: tile, .. } = self.info;
        let across = u64::from(self.info.across());
        let left = |side: u32, place: u64, piece: u32| {
            u64::from(side).saturating_sub(place * u64::from(piece)).min(piece.into()) as u32
        };
        Size::new(left(size.width, index % across, tile.width), left(size.height, index / across, tile.height))
    }

    /// One white tile for all that a sparse image leaves out.
    fn white(&self, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let path = self.parts.first().map(|part| part.source.path()).unwrap_or_else(|| std::path::Path::new(""));
        if matches!(self.layout, Layout::Full) {
            let expected = format!("an index below {}", self.parts.iter().map(|part| part.count).sum::<u64>());
            return Err(SlideError::broken(path, "tile", expected, index.to_string()));
        }
        self.white.get_or_init(|| codec::white(path, "missing tile", self.info.piece).map(Arc::new)).clone()
    }
}

/// The parts in their order, all there and of one kind.
fn parts(instances: &[Instance], format: &PixelFormat, limits: &Limits) -> Result<Vec<Part>, SlideError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut first = 0;
    for (i, instance) in (1..).zip(instances) {
        let bad = |expected: String, found: String| {
            SlideError::broken(instance.source.path(), format!("part {i} of a concatenation"), expected, found)
        };
        if !instance.concatenation.is_empty() {
            if instance.part.is_some_and(|part| part != i) {
                return Err(bad(
                    format!("part {i} (is a file missing?)"),
                    format!("part {}", instance.part.unwrap_or(0)),
                ));
            }
            if instance.parts.is_some_and(|parts| parts != instances.len() as u64) {
                let expected = format!("{} parts (is a file missing?)", instance.parts.unwrap_or(0));
                return Err(bad(expected, instances.len().to_string()));
            }
            if instance.first_frame != first {
                return Err(bad(format!("frames from {first} on"), format!("from {} on", instance.first_frame)));
            }
            let head = &instances[0];
            let kind =
                |i: &Instance| format!("{} px in {} px, {}, {}", i.size, i.tile, i.transfer_syntax, i.photometric);
            if kind(instance) != kind(head) || instance.is_full() != head.is_full() {
                return Err(bad(kind(head), kind(instance)));
            }
        }
        let frames = Frames::new(instance, format.syntax, limits)?;
        parts.push(Part { source: Arc::clone(&instance.source), first, count: instance.frames, frames });
        first += instance.frames;
    }
    Ok(parts)
}

/// The tiles of an image.
struct Grid {
    size: Size,
    tile: Size,
    across: u64,
}

impl Grid {
    fn of(instance: &Instance) -> Self {
        let (size, tile) = (instance.size, instance.tile);
        Self { size, tile, across: size.width.div_ceil(tile.width).into() }
    }

    fn tiles(&self) -> u64 {
        self.across * u64::from(self.size.height.div_ceil(self.tile.height))
    }

    /// Tiles and frames of a sparse image: of the first frame's optical path, in the focal plane
    /// nearest to the slide's surface.
    fn sparse(&self, instances: &[Instance]) -> Result<Vec<(u64, u64)>, SlideError> {
        let head = &instances[0];
        let stain = |instance: &Instance, place: &FramePlace| instance.paths.get(place.path).cloned();
        let first = head.places.first().and_then(|place| stain(head, place));
        let shown = |instance: &Instance| {
            let wanted: Vec<bool> = instance.paths.iter().map(|name| Some(name) == first.as_ref()).collect();
            move |place: &FramePlace| wanted.get(place.path).copied().unwrap_or(true)
        };
        let mut plane = f64::INFINITY;
        for instance in instances {
            let shown = shown(instance);
            for place in instance.places.iter().filter(|place| shown(place)) {
                if place.z.abs() < plane.abs() {
                    plane = place.z;
                }
            }
        }
        let mut tiles = Vec::new();
        let mut before = 0;
        for instance in instances {
            let shown = shown(instance);
            for (i, place) in (0..).zip(&instance.places) {
                if shown(place) && place.z == plane {
                    tiles.push((self.tile_at(instance, i, place)?, before + i));
                }
            }
            before += instance.frames;
        }
        tiles.sort_unstable();
        if let Some(pair) = tiles.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let found = format!("frames {} and {}", pair[0].1 + 1, pair[1].1 + 1);
            return Err(SlideError::broken(head.source.path(), "the data set", "one frame a tile", found));
        }
        Ok(tiles)
    }

    /// Which tile a frame is.
    fn tile_at(&self, instance: &Instance, frame: u64, place: &FramePlace) -> Result<u64, SlideError> {
        let path = instance.source.path();
        let axis = |at: f64, size: u32, tile: u32| {
            let whole = at.fract() == 0.0 && (1.0..=f64::from(size)).contains(&at);
            let at = whole.then(|| at as u64 - 1)?;
            Some((at / u64::from(tile), at % u64::from(tile)))
        };
        let found = format!("column {}, row {}", place.column, place.row);
        let name = format!("frame {}", frame + 1);
        let column = axis(place.column, self.size.width, self.tile.width);
        let row = axis(place.row, self.size.height, self.tile.height);
        match (column, row) {
            (Some((column, 0)), Some((row, 0))) => Ok(row * self.across + column),
            (Some(_), Some(_)) => {
                let found = format!("a frame of {} px at {found}, which is not on the grid of tiles", self.tile);
                Err(SlideError::unsupported(path, name, found, "convert it to a pyramid whose tiles do not overlap"))
            }
            _ => Err(SlideError::broken(path, name, format!("a place in {} px, from 1", self.size), found)),
        }
    }
}
