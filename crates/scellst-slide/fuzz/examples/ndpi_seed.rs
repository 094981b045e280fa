//! Writes a small NDPI for the corpus, as `tests/hostile.rs` has it: `ndpi_seed FILE`.

#[path = "../../tests/common/ndpi.rs"]
mod ndpi;

use scellst_slide::RgbImage;

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("which file?"))?;
    let page = |width, height, lens, interval| {
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, (x + y) as u8]));
        ndpi::Page::level(&image, lens, interval)
    };
    let pages = [page(96, 64, 40.0, 4).listed(), page(48, 32, 20.0, 6), page(24, 16, 10.0, 0), page(40, 16, -1.0, 0)];
    std::fs::write(path, ndpi::ndpi(&pages, None))
}
