use std::io::Write;
use std::path::Path;

use image::{ImageEncoder, RgbImage};

use crate::ReportError;

/// Writes a PNG: under a temporary name beside its place first, so that it is whole or not there.
///
/// # Errors
/// [`ReportError::Write`].
pub fn save_png(image: &RgbImage, path: &Path) -> Result<(), ReportError> {
    let failed = |e: &dyn std::fmt::Display| ReportError::Write { path: path.to_owned(), reason: e.to_string() };
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(|e| failed(&e))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed(&e))?;
    file.write_all(&bytes).map_err(|e| failed(&e))?;
    file.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let image = RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let path = folder.path().join("a.png");
        save_png(&image, &path).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), image);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(save_png(&image, &folder.path().join("none/a.png")).unwrap_err().to_string().contains("a.png"));
    }
}
