//! Putting a region together from the pieces that a level is stored in.

use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use crate::reader::LevelInfo;
use crate::source::zeroed;
use crate::{LevelRegion, Slide, SlideError};

/// Pieces of one row that are decoded before they are copied: bounds the memory in flight.
const IN_FLIGHT: u64 = 16;

/// Reads a region; see [`Slide::read`].
pub(crate) fn read(slide: &Slide, region: &LevelRegion, cached: bool) -> Result<RgbImage, SlideError> {
    let index = region.level().get();
    let info = slide
        .reader()
        .levels()
        .get(index)
        .filter(|info| info.size == region.level_size)
        .ok_or_else(|| SlideError::misuse("region", "one made by a level of this slide", format!("{region:?}")))?;
    let (width, height) = (region.size().width, region.size().height);
    let place = || format!("level {index}, region of {} px", region.size());
    let bytes = region.size().pixels().saturating_mul(3);
    let limit = slide.limits().max_image_bytes;
    if bytes > limit {
        let hint = "read it tile by tile or raise Limits::max_image_bytes";
        return Err(SlideError::over_limit(slide.path(), place(), "bytes", (bytes, limit), hint));
    }
    let x = clip(region.x(), width, info.size.width);
    let y = clip(region.y(), height, info.size.height);
    let whole = u64::from(x.end - x.start) * u64::from(y.end - y.start) == region.size().pixels();
    let mut job = None;
    if !x.is_empty() && !y.is_empty() {
        let covered = covered_bytes(info, &x, &y);
        let keep = cached && !slide.reader().in_memory() && covered <= slide.cache().capacity() as u64;
        let this = Job { slide, index, info, x, y, region, keep, look_up: cached };
        if whole && let Some(image) = this.exactly_one_piece()? {
            return Ok(image);
        }
        job = Some(this);
    }
    let mut pixels = zeroed(slide.path(), &place(), bytes)?;
    if !whole {
        pixels.fill(255);
    }
    if let Some(job) = job {
        job.fill(&mut pixels)?;
    }
    RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| SlideError::misuse("region", "a buffer of its size", format!("{region:?}")))
}

/// The part of `[start, start + len)` that lies in `[0, end)`.
fn clip(start: i64, len: u32, end: u32) -> Range<u32> {
    let low = start.clamp(0, i64::from(end));
    let high = start.saturating_add(i64::from(len)).clamp(low, i64::from(end));
    low as u32..high as u32
}

/// Decoded bytes of the pieces that a clipped rectangle touches.
fn covered_bytes(info: &LevelInfo, x: &Range<u32>, y: &Range<u32>) -> u64 {
    let count = |r: &Range<u32>, side: u32| u64::from((r.end - 1) / side - r.start / side + 1);
    count(x, info.piece.width) * count(y, info.piece.height) * info.piece.pixels() * 3
}

struct Job<'a> {
    slide: &'a Slide,
    index: usize,
    info: &'a LevelInfo,
    /// What is wanted of the level, clipped to it and not empty.
    x: Range<u32>,
    y: Range<u32>,
    region: &'a LevelRegion,
    keep: bool,
    look_up: bool,
}

impl Job<'_> {
    /// The region's image where it is one stored piece as it is: then nothing need be copied.
    fn exactly_one_piece(&self) -> Result<Option<RgbImage>, SlideError> {
        let side = self.info.piece;
        let aligned = self.x.start.is_multiple_of(side.width) && self.y.start.is_multiple_of(side.height);
        if !aligned || self.region.size() != side || self.slide.reader().in_memory() {
            return Ok(None);
        }
        let row = u64::from(self.y.start / side.height) * u64::from(self.info.across());
        let piece = self.piece(row + u64::from(self.x.start / side.width))?;
        let fits = piece.dimensions() == (side.width, side.height);
        Ok(fits.then(|| Arc::try_unwrap(piece).unwrap_or_else(|shared| (*shared).clone())))
    }

    /// Copies all pieces into `pixels`, rows of pieces in parallel.
    fn fill(&self, pixels: &mut [u8]) -> Result<(), SlideError> {
        let stride = self.region.size().width as usize * 3;
        let side = self.info.piece.height;
        // Rows of the level above the region's first row within the image.
        let above = (i64::from(self.y.start) - self.region.y()) as usize;
        let mut rest = &mut pixels[above * stride..];
        let mut bands = Vec::new();
        let mut top = self.y.start;
        while top < self.y.end {
            let bottom = (top / side + 1).saturating_mul(side).min(self.y.end);
            let (band, next) = rest.split_at_mut((bottom - top) as usize * stride);
            bands.push((top..bottom, band));
            rest = next;
            top = bottom;
        }
        if let [(rows, band)] = bands.as_mut_slice() {
            self.fill_band(rows, band)
        } else {
            bands.into_par_iter().try_for_each(|(rows, band)| self.fill_band(&rows, band))
        }
    }

    /// Copies one row of pieces; `rows` of the level lie in it and in `band`.
    fn fill_band(&self, rows: &Range<u32>, band: &mut [u8]) -> Result<(), SlideError> {
        let side = self.info.piece.width;
        let first = u64::from(rows.start / self.info.piece.height) * u64::from(self.info.across());
        let columns = u64::from(self.x.start / side)..u64::from((self.x.end - 1) / side) + 1;
        let mut next = columns.start;
        while next < columns.end {
            let group = next..columns.end.min(next + IN_FLIGHT);
            next = group.end;
            let pieces: Vec<Arc<RgbImage>> = if group.end - group.start == 1 {
                vec![self.piece(first + group.start)?]
            } else {
                group.clone().into_par_iter().map(|column| self.piece(first + column)).collect::<Result<_, _>>()?
            };
            for (column, piece) in group.zip(&pieces) {
                self.copy(column as u32, rows, piece, band)?;
            }
        }
        Ok(())
    }

    fn piece(&self, piece: u64) -> Result<Arc<RgbImage>, SlideError> {
        let key = (self.index, piece);
        if self.look_up
            && let Some(found) = self.slide.cache().get(key)
        {
            return Ok(found);
        }
        let decoded = self.slide.reader().piece(self.index, piece)?;
        if self.keep {
            self.slide.cache().put(key, &decoded);
        }
        Ok(decoded)
    }

    fn copy(&self, column: u32, rows: &Range<u32>, piece: &RgbImage, band: &mut [u8]) -> Result<(), SlideError> {
        let left = column * self.info.piece.width;
        let from = self.x.start.max(left);
        let to = self.x.end.min(left.saturating_add(self.info.piece.width));
        let top = rows.start / self.info.piece.height * self.info.piece.height;
        if to - left > piece.width() || rows.end - top > piece.height() {
            return Err(SlideError::broken(
                self.slide.path(),
                format!("level {}, row {top}, column {left}", self.index),
                format!("a tile of at least {} x {} px", to - left, rows.end - top),
                format!("{} x {} px", piece.width(), piece.height()),
            ));
        }
        let stride = self.region.size().width as usize * 3;
        let target = (i64::from(from) - self.region.x()) as usize * 3;
        let len = (to - from) as usize * 3;
        let piece_stride = piece.width() as usize * 3;
        let start = (from - left) as usize * 3;
        let lines = piece.as_raw().chunks_exact(piece_stride).skip((rows.start - top) as usize);
        for (line, out) in lines.zip(band.chunks_exact_mut(stride)) {
            out[target..target + len].copy_from_slice(&line[start..start + len]);
        }
        Ok(())
    }
}
