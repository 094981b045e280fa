//! What the targets share: opening bytes as a slide under small limits, and reading all of it.

use scellst_slide::{Limits, OpenOptions, Slide};
use scellst_types::Size;

/// Limits under which a run is quick and needs little memory.
pub fn options() -> OpenOptions {
    let limits = Limits {
        max_image_bytes: 1 << 22,
        max_tile_bytes: 1 << 21,
        max_directories: 32,
        max_tag_bytes: 1 << 18,
        ..Limits::default()
    };
    OpenOptions { limits, cache_bytes: 1 << 20, ..OpenOptions::default() }
}

/// Opens, and asks everything that needs no pixels.
pub fn open(bytes: &[u8]) -> Option<Slide> {
    let slide = Slide::from_bytes("fuzz", bytes, &options()).ok()?;
    let _ = (slide.mpp_doubts(), slide.require_mpp(), slide.level_for_downsample(4.0));
    for level in slide.levels() {
        assert!(level.size().pixels() > 0 && level.downsample() >= 0.5, "{level:?}");
    }
    Some(slide)
}

/// Reads a part of every level, and the associated images.
pub fn read(slide: &Slide) {
    for level in slide.levels().take(4) {
        let size = Size::new(level.size().width.min(300), level.size().height.min(300));
        if let Ok(image) = slide.read(&level.region(-3, -3, size)) {
            assert_eq!(image.dimensions(), (size.width, size.height));
        }
    }
    for image in slide.associated().iter().take(4) {
        if let Ok(pixels) = slide.read_associated(&image.name) {
            assert_eq!(pixels.dimensions(), (image.size.width, image.size.height));
        }
    }
    if slide.size().pixels() < 1 << 20 {
        let _ = slide.thumbnail(50);
    }
}
