use image::RgbImage;
use scellst_cells::Cells;
use scellst_slide::{Slide, Window, resample};
use scellst_types::{Level0, Point, Rect, Size};

use crate::ReportError;
use crate::canvas::{Align, Canvas, scale_bar, text_height, text_width};
use crate::colour::{BLACK, Rgb, WHITE, class_colour};

/// How detected cells are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct OverlayOptions {
    /// The part of the slide that is shown, level-0 px; `None` = all of it. What reaches beyond the slide is cut off.
    pub rect: Option<Rect<Level0>>,
    /// Longer side of the picture, px, 16 to 16,384. The whole slide is not enlarged.
    pub max_side_px: u32,
    /// How many times a part may be enlarged to fill that, so that small nuclei show; at least 1.
    pub max_zoom: f64,
    /// A bar of a round length, if the slide knows its resolution.
    pub scale_bar: bool,
}

impl Default for OverlayOptions {
    /// The whole slide in 2,000 px, with a scale bar.
    fn default() -> Self {
        Self { rect: None, max_side_px: 2000, max_zoom: 4.0, scale_bar: true }
    }
}

/// Outlines narrower than this in the picture are drawn as dots, px.
const LEAST_OUTLINE: f64 = 5.0;
/// A dot's radius, um, and without a resolution, px of the picture.
const DOT_RADIUS: (f64, f64) = (4.0, 1.2);
/// Words are this many pixels a dot for so many pixels of picture.
const DOT_PER_SIDE: u32 = 450;

/// Draws cells over their slide: outlines where they are large enough to see, dots where not; one colour a class, with
/// a legend, and a scale bar.
///
/// Memory: the part of the slide at the level next finer than the picture.
///
/// # Errors
/// [`ReportError::Misuse`] if the rectangle does not touch the slide or the size is out of range;
/// [`ReportError::Slide`] if the slide cannot be read.
pub fn detection_overlay(slide: &Slide, cells: &Cells, options: &OverlayOptions) -> Result<RgbImage, ReportError> {
    if !(16..=16_384).contains(&options.max_side_px) {
        return Err(ReportError::misuse("max_side_px", "16 to 16384", options.max_side_px));
    }
    if !(options.max_zoom >= 1.0 && options.max_zoom <= 100.0) {
        return Err(ReportError::misuse("max_zoom", "1 to 100", options.max_zoom));
    }
    let view = View::new(slide, options)?;
    let mut canvas = Canvas { image: view.picture };
    let place = |p: [f64; 2]| ((p[0] - view.corner.x) / view.scale.0, (p[1] - view.corner.y) / view.scale.1);
    let visible = visible_cells(cells, &view.rect);

    let extent = |i: &usize| {
        let ring = cells.outline(*i);
        let span = |k: usize| {
            let (low, high) = ring.iter().fold((f32::MAX, f32::MIN), |b, c| (b.0.min(c[k]), b.1.max(c[k])));
            f64::from(high - low)
        };
        (!ring.is_empty()).then(|| span(0).max(span(1)) / view.scale.0)
    };
    let mut extents: Vec<f64> = visible.iter().filter_map(extent).collect();
    extents.sort_unstable_by(f64::total_cmp);
    let outlines = extents.get(extents.len() / 2).is_some_and(|&median| median >= LEAST_OUTLINE);

    let um_per_px = slide.mpp().map(|mpp| mpp.value.x() * view.scale.0);
    let radius = um_per_px.map_or(DOT_RADIUS.1, |um| (DOT_RADIUS.0 / um).clamp(0.6, 2.5));
    let names = cells.class_names();
    let colour = |i: usize| {
        let class = cells.class(i).and_then(|c| names.iter().position(|n| n == c));
        class.map_or(UNCLASSED, class_colour)
    };
    for &i in &visible {
        let ring = cells.outline(i);
        if outlines && !ring.is_empty() {
            let corners: Vec<_> = ring.iter().map(|c| place([f64::from(c[0]), f64::from(c[1])])).collect();
            canvas.ring(&corners, 1.2, colour(i));
        } else if let Some(c) = cells.centroids().get(i) {
            canvas.disc(place([c.x, c.y]), if outlines { 2.5 } else { radius }, colour(i));
        }
    }

    let (width, height) = canvas.image.dimensions();
    let dot = (width.max(height) / DOT_PER_SIDE).clamp(1, 4);
    if options.scale_bar
        && let Some(um_per_px) = um_per_px
    {
        scale_bar(&mut canvas, 0, height, width, um_per_px, dot);
    }
    legend(&mut canvas, names, dot);
    Ok(canvas.image)
}

/// Of cells without a class: far from pink and violet.
const UNCLASSED: Rgb = [40, 225, 90];

/// The cells whose centroid lies in the rectangle or a little beside it.
fn visible_cells(cells: &Cells, rect: &Rect<Level0>) -> Vec<usize> {
    let margin = 0.05 * rect.width().max(rect.height());
    let near = |p: &Point<Level0>| {
        (rect.min().x - margin..rect.max().x + margin).contains(&p.x)
            && (rect.min().y - margin..rect.max().y + margin).contains(&p.y)
    };
    (0..cells.len()).filter(|&i| cells.centroids().get(i).is_some_and(near)).collect()
}

fn legend(canvas: &mut Canvas, names: &[String], dot: u32) {
    if names.is_empty() {
        return;
    }
    let line = i64::from(text_height(dot) + 3 * dot);
    let pad = i64::from(3 * dot);
    let widest = names.iter().map(|n| text_width(n, dot)).max().unwrap_or(0);
    let full = i64::from(widest) + 4 * pad + line;
    let left = i64::from(canvas.image.width()) - full - pad;
    canvas.rectangle(left, pad, full, line * names.len() as i64 + 2 * pad, WHITE, 0.8);
    for (i, name) in names.iter().enumerate() {
        let y = 2 * pad + i as i64 * line;
        let middle = (y + i64::from(text_height(dot)) / 2) as f64;
        canvas.disc(((left + pad + line / 2) as f64, middle), 3.0 * f64::from(dot), class_colour(i));
        canvas.text((left + 2 * pad + line, y), name, dot, BLACK, Align::Left);
    }
}

/// A part of the slide in the size of the picture.
struct View {
    picture: RgbImage,
    rect: Rect<Level0>,
    corner: Point<Level0>,
    /// Level-0 px to a pixel of the picture.
    scale: (f64, f64),
}

impl View {
    fn new(slide: &Slide, options: &OverlayOptions) -> Result<Self, ReportError> {
        let size = slide.size();
        let whole = Rect::new(Point::new(0.0, 0.0), Point::new(f64::from(size.width), f64::from(size.height)))
            .map_err(|e| ReportError::misuse("slide", "a size", e))?;
        let asked = options.rect.unwrap_or(whole);
        let rect = whole.intersection(&asked).ok_or_else(|| {
            let found = format!("{:?} to {:?}", asked.min(), asked.max());
            ReportError::misuse("rect", format!("a part of the slide of {size} px"), found)
        })?;
        let least = if rect == whole { 1.0 } else { 1.0 / options.max_zoom };
        let downsample = (rect.width().max(rect.height()) / f64::from(options.max_side_px)).max(least);
        let side = |v: f64| (v / downsample).round().max(1.0) as u32;
        let out = Size::new(side(rect.width()), side(rect.height()));
        let picture = if rect == whole {
            // Shrinks tile by tile: a slide of one level need not fit into memory.
            slide.thumbnail(options.max_side_px)?.0
        } else {
            let region = slide.level_for_downsample(downsample).region_covering(rect);
            let pixels = slide.read(&region)?;
            let ((x0, y0), (x1, y1)) = (region.from_level0(rect.min()), region.from_level0(rect.max()));
            resample(&pixels, Window { x0, y0, x1, y1 }, out)
        };
        let scale =
            (rect.width() / f64::from(picture.width().max(1)), rect.height() / f64::from(picture.height().max(1)));
        Ok(Self { picture, rect, corner: rect.min(), scale })
    }
}
