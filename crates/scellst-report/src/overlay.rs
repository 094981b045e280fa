use image::{Rgb, RgbImage};
use scellst_cells::Cells;
use scellst_slide::{Slide, Window, resample};
use scellst_types::{Level0, Point, Rect, Size};

use crate::ReportError;
use crate::canvas::{BLACK, WHITE, disc, fill, line, text};

const OUTLINE: Rgb<u8> = Rgb([0, 200, 60]);
/// Outlines narrower than this are dots, pixels of the picture.
const SMALLEST_OUTLINE: f64 = 5.0;

/// What an overlay shows.
#[derive(Debug, Clone)]
pub struct OverlayOptions {
    /// A part of the slide, level-0 pixels; the whole otherwise.
    pub rect: Option<Rect<Level0>>,
    /// Longer side of the picture at most, pixels.
    pub max_side_px: u32,
    /// How many times a part may be enlarged to fill that.
    pub max_zoom: f64,
}

impl Default for OverlayOptions {
    fn default() -> Self {
        Self { rect: None, max_side_px: 2000, max_zoom: 4.0 }
    }
}

/// The cells on the slide: green outlines, dots where they would be too small to see, and a scale bar.
///
/// # Errors
/// [`ReportError::Outside`] for a part that is not on the slide, [`ReportError::Slide`] if it cannot be read.
pub fn detection_overlay(slide: &Slide, cells: &Cells, options: &OverlayOptions) -> Result<RgbImage, ReportError> {
    let size = slide.size();
    let outside = || ReportError::Outside { area: format!("{:?}", options.rect), slide: size.to_string() };
    let far = Point::new(f64::from(size.width), f64::from(size.height));
    let whole = Rect::new(Point::new(0.0, 0.0), far).map_err(|_| outside())?;
    let rect = match options.rect {
        None => whole,
        Some(r) => r.intersection(&whole).filter(|r| r.width() >= 1.0 && r.height() >= 1.0).ok_or_else(outside)?,
    };
    let zoom = (f64::from(options.max_side_px.max(16)) / rect.width().max(rect.height())).min(options.max_zoom);
    let mut image = picture(slide, rect, zoom)?;
    let place = |x: f64, y: f64| ((x - rect.min().x) * zoom, (y - rect.min().y) * zoom);
    for (i, c) in cells.centroids().iter().enumerate() {
        let outline = cells.outline(i);
        let (x, y) = place(c.x, c.y);
        let extent = outline
            .iter()
            .map(|p| (f64::from(p[0]) - c.x).abs().max((f64::from(p[1]) - c.y).abs()))
            .fold(0.0, f64::max);
        if outline.len() < 3 || 2.0 * extent * zoom < SMALLEST_OUTLINE {
            disc(&mut image, x, y, 1.0, OUTLINE);
            continue;
        }
        for (k, a) in outline.iter().enumerate() {
            let b = outline[(k + 1) % outline.len()];
            let at = |p: &[f32; 2]| place(f64::from(p[0]), f64::from(p[1]));
            line(&mut image, at(a), at(&b), OUTLINE);
        }
    }
    if let Some(mpp) = slide.mpp() {
        scale_bar(&mut image, zoom / mpp.value.x());
    }
    Ok(image)
}

/// A part of the slide at `zoom` pixels a level-0 pixel.
fn picture(slide: &Slide, rect: Rect<Level0>, zoom: f64) -> Result<RgbImage, ReportError> {
    let level = slide.level_for_downsample((1.0 / zoom).max(1.0));
    let region = level.region_covering(rect);
    let read = slide.read(&region)?;
    let ((x0, y0), (x1, y1)) = (region.from_level0(rect.min()), region.from_level0(rect.max()));
    let side = |v: f64| ((v * zoom).round() as u32).max(1);
    Ok(resample(&read, Window { x0, y0, x1, y1 }, Size::new(side(rect.width()), side(rect.height()))))
}

/// A bar of a round number of um, a tenth to a quarter of the width.
pub(crate) fn scale_bar(image: &mut RgbImage, px_per_um: f64) {
    let widest = f64::from(image.width()) / 4.0 / px_per_um;
    let decade = 10f64.powf(widest.log10().floor());
    let um = [5.0, 2.0, 1.0].iter().map(|f| f * decade).find(|um| *um <= widest).unwrap_or(decade);
    let length = (um * px_per_um).round() as i64;
    let y = i64::from(image.height()) - 16;
    let words = if um >= 1000.0 { format!("{} mm", um / 1000.0) } else { format!("{um} um") };
    fill(image, 8, y - 16, length.max(words.len() as i64 * 6) + 8, 26, WHITE);
    fill(image, 12, y, length, 4, BLACK);
    text(image, 12, y - 11, 1, BLACK, &words);
}
