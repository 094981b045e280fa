use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::ReportError;

/// Writes a picture as PNG, over whatever is there: under another name first, so that there is never half a file.
///
/// # Errors
/// [`ReportError::Misuse`] for a path without a file's name or a picture without pixels, [`ReportError::Io`].
pub fn save_png(image: &RgbImage, path: impl AsRef<Path>) -> Result<(), ReportError> {
    if image.width() == 0 || image.height() == 0 {
        return Err(ReportError::misuse("image", "at least one pixel", format!("{:?}", image.dimensions())));
    }
    save_whole(path.as_ref(), |file| encode(file, image))
}

/// As [`save_png`], of bytes.
pub(crate) fn save_bytes(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    save_whole(path, |mut file| file.write_all(bytes))
}

fn save_whole(path: &Path, write: impl FnOnce(File) -> std::io::Result<()>) -> Result<(), ReportError> {
    let Some(name) = path.file_name() else {
        return Err(ReportError::misuse("path", "a file's name", path.display()));
    };
    // Two threads may write the same file.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".{}.{}-{number}.tmp", name.to_string_lossy(), std::process::id()));
    let error = |doing| {
        move |e: &dyn std::fmt::Display| ReportError::Io { path: path.to_owned(), doing, reason: e.to_string() }
    };
    let file = File::options().write(true).create_new(true).open(&temporary).map_err(|e| error("create")(&e))?;
    let written = write(file).map_err(|e| error("write")(&e));
    let done = written.and_then(|()| fs::rename(&temporary, path).map_err(|e| error("put into its place")(&e)));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn encode(file: File, image: &RgbImage) -> std::io::Result<()> {
    let mut writer = BufWriter::new(file);
    PngEncoder::new(&mut writer)
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(std::io::Error::other)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 9]));
        fs::write(&path, "old").unwrap();
        save_png(&image, &path).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), image);
        // A folder in the way: an error, and nothing is left behind.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), "x").unwrap();
        let error = save_png(&image, &taken).unwrap_err();
        assert!(matches!(error, ReportError::Io { .. }) && error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(matches!(save_png(&image, "/"), Err(ReportError::Misuse { .. })));
        assert!(matches!(save_png(&RgbImage::new(0, 3), &path), Err(ReportError::Misuse { .. })));
        let nowhere = save_png(&image, folder.path().join("no/folder/b.png")).unwrap_err();
        assert!(nowhere.to_string().contains("b.png"), "{nowhere}");
    }
}
