//! Any slide as a pyramidal tiled TIFF.

use std::ops::Range;
use std::path::Path;

use image::RgbImage;
use scellst_types::{LevelIndex, Size};

use crate::{Level, PyramidCompression, PyramidOptions, PyramidWriter, Slide, SlideError};

/// What is read at once, bytes: whole rows of tiles up to this, so that no tile is decoded twice.
const MOST_AT_ONCE: u64 = 1 << 28;

/// How a slide is converted.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertOptions {
    /// The level that becomes level 0. Default the finest.
    pub level: LevelIndex,
    /// How it is written. `mpp` is that of the slide's level 0, and where it is none, what the slide
    /// says of itself. Default JPEG of quality 85 with whole chroma, tiles of 256 px.
    pub pyramid: PyramidOptions,
    /// Whether to copy the associated images that the slide lists: label and macro may carry a
    /// patient's name (see [`OpenOptions::without_label`](crate::OpenOptions)). Default false.
    pub associated: bool,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        let compression = PyramidCompression::Jpeg { quality: 85 };
        Self {
            level: LevelIndex(0),
            pyramid: PyramidOptions { compression, ..PyramidOptions::default() },
            associated: false,
        }
    }
}

/// Writes a slide as a pyramidal tiled TIFF (BigTIFF from 4 GiB), as [`PyramidWriter`] does: whole or not
/// at all, over what was at `out`.
///
/// Every stored tile is decoded once, the next row of tiles while the one before is packed; memory is
/// that of a few rows of tiles (about `width x tile x 3 x 4` bytes), whatever the height. Pixels are those
/// of [`Slide::read`]; the coarser levels are made anew. Neither descriptions nor, unless wanted,
/// associated images are carried over. `progress` is called with rows done and rows in all.
///
/// ```
/// use scellst_slide::{ConvertOptions, OpenOptions, RgbImage, Slide, convert};
/// use scellst_types::MicronsPerPixel;
///
/// # let folder = std::env::temp_dir().join(format!("scellst-convert-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let (png, tif) = (folder.join("photo.png"), folder.join("photo.tif"));
/// RgbImage::new(900, 600).save(&png)?;
/// let options = OpenOptions { mpp: Some(MicronsPerPixel::square(0.5)?), without_label: true, ..OpenOptions::default() };
/// convert(&Slide::open_with(&png, &options)?, &tif, &ConvertOptions::default(), &|_, _| {})?;
/// let slide = Slide::open(&tif)?;
/// assert_eq!(slide.level_count(), 2);
/// assert_eq!(slide.require_mpp()?.x(), 0.5);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SlideError::Misuse`] where `out` is the slide itself or a directory, or for options out of range;
/// what reading finds wrong; [`SlideError::Io`]. Nothing is left behind then.
pub fn convert(
    slide: &Slide,
    out: impl AsRef<Path>,
    options: &ConvertOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<(), SlideError> {
    let out = out.as_ref();
    check_target(slide, out)?;
    let level = slide.level(options.level)?;
    let given = options.pyramid.mpp.or(slide.mpp().map(|mpp| mpp.value));
    let mpp = given.and_then(|mpp| mpp.coarser_by(level.downsample_x(), level.downsample_y()).ok());
    let size = level.size();
    let mut writer = PyramidWriter::create(out, size, &PyramidOptions { mpp, ..options.pyramid.clone() })?;

    let step = rows_at_once(&level);
    let bands = |start: u32| start..start.saturating_add(step).min(size.height);
    let total = u64::from(size.height);
    progress(0, total);
    let mut rows = bands(0);
    let mut pixels = read(slide, &level, &rows)?;
    while !rows.is_empty() {
        let next = bands(rows.end);
        let (ahead, written) = rayon::join(|| read(slide, &level, &next), || writer.push_rows(&pixels));
        written?;
        pixels = ahead?;
        progress(u64::from(rows.end), total);
        rows = next;
    }
    if options.associated {
        for image in slide.associated() {
            writer.add_associated(&image.name, &slide.read_associated(&image.name)?)?;
        }
    }
    writer.finish()
}

/// Rows of a level that are read at once: a row of its tiles where that is not too much.
fn rows_at_once(level: &Level<'_>) -> u32 {
    let most = (MOST_AT_ONCE / (u64::from(level.size().width) * 3)).max(1);
    level.info.step().height.min(u32::try_from(most).unwrap_or(u32::MAX))
}

/// Full rows of a level; none where there are none left.
fn read(slide: &Slide, level: &Level<'_>, rows: &Range<u32>) -> Result<RgbImage, SlideError> {
    let size = Size::new(level.size().width, rows.end - rows.start);
    let region = level.region(0, i64::from(rows.start), size);
    // Where a row of tiles is read in parts, the cache may keep it for the next part.
    if rows_at_once(level) < level.info.step().height { slide.read(&region) } else { slide.read_uncached(&region) }
}

/// Refuses to write a slide over itself, and what can only fail when all the work is done.
fn check_target(slide: &Slide, out: &Path) -> Result<(), SlideError> {
    if out.is_dir() {
        return Err(SlideError::misuse("output", "a file's name", format!("the directory {}", out.display())));
    }
    // A file that is not there yet has no such name: it is not the slide.
    if let (Ok(a), Ok(b)) = (slide.path().canonicalize(), out.canonicalize())
        && a == b
    {
        let expected = "another file than the slide that is read";
        return Err(SlideError::misuse("output", expected, out.display().to_string()));
    }
    Ok(())
}
