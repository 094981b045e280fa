//! An image of an NDPI: one JPEG stream, cut at its restart markers into pieces.
//!
//! The data between two markers can be decoded by itself, and whoever writes a slide puts them at
//! even distances. So a rectangle of such segments becomes a JPEG image of its own by putting the
//! stream's header, with another size in it, before them and numbering the markers anew.

use std::sync::Arc;

use image::RgbImage;
use scellst_types::Size;

use super::directory::Page;
use super::grid::Grid;
use super::header::Header;
use super::restarts::Restarts;
use crate::codec::{self, jpeg};
use crate::source::Source;
use crate::tiff::page;
use crate::{Limits, SlideError};

/// The longest side that the header of a JPEG can give: libjpeg's limit, below that of the format.
const LONGEST_SIDE: u32 = 65_500;

/// The most that the tags' size and the stream's may differ by where both are of one image: a block of
/// halved chroma.
const BLOCK: u32 = 16;

/// An image whose stream's header is understood and agrees with the tags.
#[derive(Debug)]
pub(super) struct Level {
    /// For messages.
    name: String,
    strip: (u64, u64),
    header: Header,
    pub(super) size: Size,
    /// The size of the whole where it is not cut.
    pub(super) piece: Size,
    cut: Option<Cut>,
}

/// For messages.
fn stream_of(name: &str) -> String {
    format!("{name}, JPEG stream")
}

fn refuse(source: &Source, place: &str, found: impl Into<String>) -> SlideError {
    let hint = "JPEG of three components is read: convert it, for example with `vips tiffsave --tile --pyramid`";
    SlideError::unsupported(source.path(), place, found, hint)
}

/// How a stream is cut.
#[derive(Debug)]
struct Cut {
    grid: Grid,
    restarts: Restarts,
}

impl Level {
    /// Checks a directory and the header of its stream. Restart markers are not looked at.
    pub(super) fn new(source: &Source, page: &Page, limits: &Limits) -> Result<Self, SlideError> {
        let mut level = Self::checked(source, page)?;
        let header = &level.header;
        if header.interval > 0 {
            level.check_frame(source)?;
        }
        let grid = if header.sequential { Grid::new(level.size, header.mcu, header.interval) } else { None };
        let Some(grid) = grid else { return level.uncut(source, limits) };
        level.check_cut(source, &grid, limits)?;
        level.piece = grid.piece;
        let restarts = Restarts::new(source, page, level.strip, header, grid.count(), limits);
        level.cut = Some(Cut { grid, restarts });
        Ok(level)
    }

    /// Decodes the whole of a small image.
    pub(super) fn read_whole(source: &Source, page: &Page, limits: &Limits) -> Result<RgbImage, SlideError> {
        let level = Self::checked(source, page)?;
        // Of the size that it is listed with; see `uncut`.
        let size = level.size;
        let pixels = level.uncut(source, limits)?.piece(source, 0).map(Arc::unwrap_or_clone)?;
        if pixels.dimensions() == (size.width, size.height) {
            return Ok(pixels);
        }
        let mut image = codec::white(source.path(), &page.directory.name, size)?;
        image::imageops::replace(&mut image, &pixels, 0, 0);
        Ok(image)
    }

    fn checked(source: &Source, page: &Page) -> Result<Self, SlideError> {
        let (directory, name) = (&page.directory, &page.directory.name);
        let size = page::size(source, directory)?;
        match directory.first(259).unwrap_or(1) {
            7 => {}
            22610 => return Err(refuse(source, name, "compression 22610 (JPEG XR)")),
            other => return Err(refuse(source, name, format!("compression {other}"))),
        }
        let one = |tag: u16, what: &str| match directory.unsigned(tag) {
            Some(&[value]) => Ok(value),
            other => {
                let found = other.map_or(0, <[u64]>::len).to_string();
                Err(SlideError::broken(source.path(), name.clone(), format!("one {what} (tag {tag})"), found))
            }
        };
        let strip = (one(273, "strip offset")?, one(279, "strip byte count")?);
        source.check(strip.0, strip.1, &stream_of(name))?;
        let header = Header::read(source, strip, &stream_of(name))?;
        if header.components != 3 {
            return Err(refuse(source, name, format!("a JPEG image of {} components", header.components)));
        }
        Ok(Self { name: name.clone(), strip, header, size, piece: size, cut: None })
    }

    /// The image as one piece, which has to be small. Without markers a stream is at times a pixel
    /// larger or smaller than the tags say.
    fn uncut(mut self, source: &Source, limits: &Limits) -> Result<Self, SlideError> {
        let size = self.header.size;
        if size.width == 0 || size.height == 0 || self.size.width.max(self.size.height) > LONGEST_SIDE {
            let interval = self.header.interval;
            let found = format!("a JPEG image of {} px that cannot be cut (restart interval {interval})", self.size);
            return Err(refuse(source, &self.name, found));
        }
        let needed = size.pixels().saturating_mul(3).max(self.strip.1);
        if needed > limits.max_tile_bytes {
            let place = format!("{}, JPEG image of {size} px that cannot be cut at restart markers", self.name);
            let hint = "raise Limits::max_tile_bytes, or convert it to a tiled TIFF";
            return Err(SlideError::over_limit(source.path(), place, "bytes", (needed, limits.max_tile_bytes), hint));
        }
        // More than a block apart they speak of different images.
        if size.width.abs_diff(self.size.width) > BLOCK || size.height.abs_diff(self.size.height) > BLOCK {
            let expected = format!("a frame of {} px, as the tags have it", self.size);
            return Err(SlideError::broken(source.path(), stream_of(&self.name), expected, size.to_string()));
        }
        (self.size, self.piece) = (size, size);
        Ok(self)
    }

    /// That the stream's header has the size that the tags say, as far as it can.
    fn check_frame(&self, source: &Source) -> Result<(), SlideError> {
        let agrees = |tag: u32, frame: u32| frame == tag || frame == 0 || tag > LONGEST_SIDE;
        let frame = self.header.size;
        if agrees(self.size.width, frame.width) && agrees(self.size.height, frame.height) {
            return Ok(());
        }
        let expected = format!("a frame of {} px, as the tags have it", self.size);
        Err(SlideError::broken(source.path(), stream_of(&self.name), expected, frame.to_string()))
    }

    /// That the stream is long enough for what the tags say, and its pieces small enough.
    fn check_cut(&self, source: &Source, grid: &Grid, limits: &Limits) -> Result<(), SlideError> {
        // No block takes less than two bits, and no segment less than a byte and a marker.
        let least = (grid.units.saturating_mul(self.header.blocks) / 4).max(grid.count().saturating_mul(3)) - 2;
        if self.strip.1 < least {
            let expected = format!("at least {least} bytes for {} px", self.size);
            return Err(SlideError::broken(source.path(), stream_of(&self.name), expected, self.strip.1.to_string()));
        }
        let decoded = grid.piece.pixels().saturating_mul(3);
        if decoded > limits.max_tile_bytes {
            let place = format!("{}, pieces of {} px between restart markers", self.name, grid.piece);
            let hint = "raise Limits::max_tile_bytes, or convert it to a tiled TIFF";
            return Err(SlideError::over_limit(source.path(), place, "bytes", (decoded, limits.max_tile_bytes), hint));
        }
        Ok(())
    }

    /// Decodes a piece.
    pub(super) fn piece(&self, source: &Source, index: u64) -> Result<Arc<RgbImage>, SlideError> {
        let place = format!("{}, piece {index}", self.name);
        let (stream, size) = match &self.cut {
            Some(cut) => cut.stream(source, &self.header, index, &place)?,
            None => (source.read(&[], self.strip.0, self.strip.1, &place)?, self.size),
        };
        let image = jpeg::decode_piece(stream, &[], false, (size, size));
        image.map(Arc::new).map_err(|(expected, found)| SlideError::broken(source.path(), place, expected, found))
    }
}

impl Cut {
    /// A piece as a JPEG image of its own, and its size.
    fn stream(&self, source: &Source, header: &Header, index: u64, place: &str) -> Result<(Vec<u8>, Size), SlideError> {
        let (columns, rows, size) = self
            .grid
            .piece(index)
            .ok_or_else(|| SlideError::broken(source.path(), place, "a piece of the level", index.to_string()))?;
        let mut stream = header.with_size(size);
        let mut markers = 0;
        for row in rows.clone() {
            if row > rows.start {
                stream.extend([0xff, 0xd0 + (markers % 8) as u8]);
                markers += 1;
            }
            let first = row * self.grid.across;
            self.restarts.append(source, first + columns.start..first + columns.end, &mut markers, &mut stream)?;
        }
        stream.extend([0xff, 0xd9]);
        Ok((stream, size))
    }
}
