//! Writing an image as a pyramidal tiled TIFF.

mod directory;

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use rayon::prelude::*;
use scellst_types::{MicronsPerPixel, Size};

use self::directory::{LevelData, encode_directories};
use crate::SlideError;
use crate::shrink::mean_of_squares;

/// How the tiles of a written pyramid are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PyramidCompression {
    /// Lossless: deflate over horizontal differences.
    Deflate,
    /// JPEG (YCbCr, not subsampled) of a quality from 1 to 100.
    Jpeg {
        /// 1 (smallest) to 100 (best).
        quality: u8,
    },
}

/// How a pyramid is written.
#[derive(Debug, Clone, PartialEq)]
pub struct PyramidOptions {
    /// Side of a tile, px: a multiple of 16 from 16 to 4096. Default 256.
    pub tile: u32,
    /// Default [`PyramidCompression::Deflate`].
    pub compression: PyramidCompression,
    /// Resolution of level 0, written as the TIFF resolution tags. Default none.
    pub mpp: Option<MicronsPerPixel>,
}

impl Default for PyramidOptions {
    fn default() -> Self {
        Self { tile: 256, compression: PyramidCompression::Deflate, mpp: None }
    }
}

/// The longer side of the coarsest level is below this, px.
const COARSEST: u32 = 512;

/// Writes an image from top to bottom as a pyramidal tiled TIFF, 8-bit RGB.
///
/// Every level is the one before halved (mean of 2 x 2 pixels, sizes rounded up) until the longer
/// side is under 512 px. Each level keeps one row of tiles in memory: in all about
/// `width x tile x 3 x 2` bytes. The file is a classic TIFF if it stays below 4 GiB, else BigTIFF. It
/// is written beside its place under another name, and takes its place in [`PyramidWriter::finish`];
/// a writer that is dropped before leaves nothing behind.
///
/// ```
/// use scellst_slide::{PyramidOptions, PyramidWriter, RgbImage};
/// use scellst_types::Size;
///
/// # let folder = std::env::temp_dir().join(format!("scellst-pyramid-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("streamed.tif");
/// let mut writer = PyramidWriter::create(&path, Size::new(800, 600), &PyramidOptions::default())?;
/// while let Some(rows) = writer.next_rows() {
///     writer.push_rows(&RgbImage::new(800, rows.end - rows.start))?;
/// }
/// writer.finish()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PyramidWriter {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once finished.
    file: Option<File>,
    position: u64,
    options: PyramidOptions,
    levels: Vec<LevelState>,
}

#[derive(Debug)]
struct LevelState {
    data: LevelData,
    /// Rows that wait until they fill a row of tiles.
    band: Vec<u8>,
    /// Rows that were taken in.
    rows: u32,
}

impl PyramidWriter {
    /// Begins a file for an image of the given size.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] for a size, tile or quality out of range, [`SlideError::Io`].
    pub fn create(path: impl AsRef<Path>, size: Size, options: &PyramidOptions) -> Result<Self, SlideError> {
        let path = path.as_ref();
        if size.pixels() == 0 || size.width.max(size.height) > i32::MAX as u32 {
            return Err(SlideError::misuse("size", "from 1 to 2^31 - 1 px a side", size.to_string()));
        }
        if !(16..=4096).contains(&options.tile) || !options.tile.is_multiple_of(16) {
            return Err(SlideError::misuse("tile", "a multiple of 16 from 16 to 4096", options.tile.to_string()));
        }
        if let PyramidCompression::Jpeg { quality } = options.compression
            && !(1..=100).contains(&quality)
        {
            return Err(SlideError::misuse("quality", "from 1 to 100", quality.to_string()));
        }
        let temporary = temporary_name(path)?;
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|e| SlideError::io(&temporary, "create", e))?;
        let mut sizes = vec![size];
        let mut last = size;
        while last.width.max(last.height) >= COARSEST {
            last = Size::new(last.width.div_ceil(2), last.height.div_ceil(2));
            sizes.push(last);
        }
        let level = |size| LevelState { data: LevelData::new(size), band: Vec::new(), rows: 0 };
        let mut writer = Self {
            path: path.to_owned(),
            temporary,
            file: Some(file),
            position: 0,
            options: options.clone(),
            levels: sizes.into_iter().map(level).collect(),
        };
        // The longer header's place; which it will be is known at the end.
        writer.append(&[0; directory::HEADER])?;
        Ok(writer)
    }

    /// Writes a whole image.
    ///
    /// # Errors
    /// As [`PyramidWriter::create`] and [`PyramidWriter::push_rows`].
    pub fn write_image(path: impl AsRef<Path>, image: &RgbImage, options: &PyramidOptions) -> Result<(), SlideError> {
        let mut writer = Self::create(path, Size::new(image.width(), image.height()), options)?;
        writer.push_rows(image)?;
        writer.finish()
    }

    /// The rows of level 0 that fill the next row of tiles; `None` when the image is complete.
    pub fn next_rows(&self) -> Option<std::ops::Range<u32>> {
        let level = &self.levels[0];
        let (start, end) = (level.rows, level.data.size.height);
        let tile = self.options.tile;
        (start < end).then(|| start..(start / tile * tile).saturating_add(tile).min(end))
    }

    /// Takes the next rows of level 0: an image as wide as the whole, of any number of rows.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] for rows of another width or more rows than are left, [`SlideError::Io`].
    pub fn push_rows(&mut self, rows: &RgbImage) -> Result<(), SlideError> {
        let level = &self.levels[0];
        let left = level.data.size.height - level.rows;
        if rows.width() != level.data.size.width || rows.height() > left {
            let expected = format!("{} px wide and at most {left} px high", level.data.size.width);
            let found = format!("{} x {} px", rows.width(), rows.height());
            return Err(SlideError::misuse("rows", expected, found));
        }
        self.push(0, rows.as_raw())
    }

    /// Completes the file and puts it into its place, over whatever was there.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] if rows are missing, [`SlideError::Io`].
    pub fn finish(mut self) -> Result<(), SlideError> {
        let level = &self.levels[0];
        if level.rows < level.data.size.height {
            let expected = format!("{} rows before finishing", level.data.size.height);
            return Err(SlideError::misuse("rows", expected, level.rows.to_string()));
        }
        if self.position % 2 == 1 {
            self.append(&[0])?;
        }
        let levels: Vec<&LevelData> = self.levels.iter().map(|level| &level.data).collect();
        let (header, directories) = encode_directories(&levels, self.position, &self.options);
        self.append(&directories)?;
        if let Some(mut file) = self.file.take() {
            let end = |file: &mut File| -> io::Result<()> {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&header)?;
                file.sync_all()
            };
            let done = end(&mut file);
            drop(file);
            let done = done.and_then(|()| fs::rename(&self.temporary, &self.path));
            done.map_err(|e| {
                let _ = fs::remove_file(&self.temporary);
                SlideError::io(&self.path, "complete", e)
            })?;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SlideError> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes).map_err(|e| SlideError::io(&self.temporary, "write", e))?;
            self.position += bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes rows into a level, and hands on what becomes complete.
    fn push(&mut self, index: usize, mut rows: &[u8]) -> Result<(), SlideError> {
        let tile = self.options.tile as usize;
        while !rows.is_empty() {
            let Some(level) = self.levels.get_mut(index) else { return Ok(()) };
            let stride = level.data.size.width as usize * 3;
            let take = (tile * stride - level.band.len()).min(rows.len());
            level.band.extend_from_slice(&rows[..take]);
            level.rows += (take / stride) as u32;
            rows = &rows[take..];
            if level.band.len() == tile * stride || level.rows == level.data.size.height {
                let (width, height) = (level.data.size.width, (level.band.len() / stride) as u32);
                let band = RgbImage::from_raw(width, height, std::mem::take(&mut level.band));
                let Some(band) = band else { return Ok(()) };
                self.write_band(index, &band)?;
                if index + 1 < self.levels.len() {
                    let half = mean_of_squares(&band, 2);
                    self.push(index + 1, half.as_raw())?;
                }
                let mut buffer = band.into_raw();
                buffer.clear();
                self.levels[index].band = buffer;
            }
        }
        Ok(())
    }

    /// Packs and writes one row of tiles.
    fn write_band(&mut self, index: usize, band: &RgbImage) -> Result<(), SlideError> {
        let (tile, compression) = (self.options.tile, self.options.compression);
        let columns = band.width().div_ceil(tile);
        // Not all at once, so that memory does not grow with the width.
        let columns: Vec<u32> = (0..columns).collect();
        for group in columns.chunks(64) {
            let packed: Vec<io::Result<Vec<u8>>> =
                group.par_iter().map(|&column| pack(&cut(band, column * tile, tile), tile, compression)).collect();
            for bytes in packed {
                let bytes = bytes.map_err(|e| SlideError::io(&self.temporary, "pack a tile", e))?;
                let offset = self.position;
                self.append(&bytes)?;
                self.levels[index].data.tiles.push((offset, bytes.len() as u64));
            }
        }
        Ok(())
    }
}

impl Drop for PyramidWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A name beside the target that no other writer has.
fn temporary_name(path: &Path) -> Result<PathBuf, SlideError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name =
        path.file_name().ok_or_else(|| SlideError::misuse("path", "a file's name", path.display().to_string()))?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".{}.{}-{number}.tmp", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

/// A tile of a band, its edge repeated where it reaches beyond the image.
fn cut(band: &RgbImage, left: u32, tile: u32) -> Vec<u8> {
    let stride = band.width() as usize * 3;
    let left = left as usize * 3;
    let side = tile as usize * 3;
    let mut out = Vec::with_capacity(side * tile as usize);
    for line in band.as_raw().chunks_exact(stride) {
        let part = &line[left..stride.min(left + side)];
        out.extend_from_slice(part);
        let last = [part[part.len() - 3], part[part.len() - 2], part[part.len() - 1]];
        for _ in 0..(side - part.len()) / 3 {
            out.extend_from_slice(&last);
        }
    }
    while out.len() < side * tile as usize {
        out.extend_from_within(out.len() - side..);
    }
    out
}

fn pack(pixels: &[u8], tile: u32, compression: PyramidCompression) -> io::Result<Vec<u8>> {
    match compression {
        PyramidCompression::Deflate => {
            let row = tile as usize * 3;
            let mut differences = pixels.to_vec();
            for (line, original) in differences.chunks_exact_mut(row).zip(pixels.chunks_exact(row)) {
                for (i, value) in line.iter_mut().enumerate().skip(3) {
                    *value = value.wrapping_sub(original[i - 3]);
                }
            }
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&differences)?;
            encoder.finish()
        }
        PyramidCompression::Jpeg { quality } => {
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode(pixels, tile, tile, ExtendedColorType::Rgb8)
                .map_err(io::Error::other)?;
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use scellst_types::LevelIndex;

    use super::*;
    use crate::{Format, Slide};

    /// A hole of 4 GiB before the first tile makes it a BigTIFF; on disk it takes no room.
    #[test]
    fn beyond_four_gibibytes() {
        let folder = tempfile::tempdir().unwrap();
        let image = RgbImage::from_fn(600, 300, |x, y| image::Rgb([x as u8, y as u8, (x / 256) as u8]));
        for (start, format) in [(1_u64 << 20, Format::Tiff), (5 << 30, Format::BigTiff)] {
            let path = folder.path().join(format!("{start}.tif"));
            let mut writer = PyramidWriter::create(&path, Size::new(600, 300), &PyramidOptions::default()).unwrap();
            writer.position = writer.file.as_mut().unwrap().seek(SeekFrom::Start(start)).unwrap();
            writer.push_rows(&image).unwrap();
            writer.finish().unwrap();
            let slide = Slide::open(&path).unwrap();
            assert_eq!((slide.format(), slide.level_count()), (format, 2));
            let level = slide.level(LevelIndex(0)).unwrap();
            assert!(slide.read(&level.region(0, 0, level.size())).unwrap() == image);
        }
    }
}
