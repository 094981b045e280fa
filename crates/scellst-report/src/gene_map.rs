use image::RgbImage;
use scellst_slide::{Window, resample};
use scellst_types::{Level0, Point, Size};

use crate::ReportError;
use crate::canvas::{Align, Canvas, scale_bar, short_number, shortened, text_height};
use crate::colour::{BLACK, GREY, Rgb, WHITE, colour_of};

/// A gene as measured and as predicted; places are level-0 px.
#[derive(Debug, Clone)]
pub struct GeneMap<'a> {
    /// The heading, usually the gene's name.
    pub title: String,
    /// The whole slide as a small picture and how many level-0 px one of its pixels stands for
    /// (what `Slide::thumbnail` gives). The panels show the part of it where the values lie.
    pub background: Option<(RgbImage, f64)>,
    /// Centres of the measured spots.
    pub spots: &'a [Point<Level0>],
    /// Radius of a spot.
    pub spot_radius_px: f64,
    /// One value a spot; NaN is drawn grey.
    pub spot_values: &'a [f32],
    /// Centroids of the predicted cells.
    pub cells: &'a [Point<Level0>],
    /// One value a cell; NaN is drawn grey.
    pub cell_values: &'a [f32],
}

/// How a map of a gene is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct MapOptions {
    /// Resolution of level 0, um/px: adds a scale bar. Default none.
    pub mpp: Option<f64>,
    /// Longer side of a panel, px, 64 to 8192. Default 800.
    pub panel_px: u32,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { mpp: None, panel_px: 800 }
    }
}

/// How much of the slide's colour is left behind the values.
const PALE: f64 = 0.35;
/// The colour bar spans the values between these shares of them.
const TAILS: (f64, f64) = (0.02, 0.98);

/// Two panels side by side: measured spots as discs, predicted cells as dots, over a pale slide. Each panel has its
/// own colour bar, from the 2nd to the 98th percentile of its finite values.
///
/// # Errors
/// [`ReportError::Misuse`] if numbers of places and values differ, or a radius or downsample is not above 0.
pub fn gene_map(map: &GeneMap<'_>) -> Result<RgbImage, ReportError> {
    gene_map_with(map, &MapOptions::default())
}

/// As [`gene_map`], in another size or with a scale bar.
///
/// # Errors
/// As [`gene_map`], and for options out of range.
pub fn gene_map_with(map: &GeneMap<'_>, options: &MapOptions) -> Result<RgbImage, ReportError> {
    let (dot, gap) = sizes(options);
    let panels = drawn(map, None, options, dot)?;
    let (width, height) = panels.first().map_or((1, 1), |(_, p)| p.dimensions());
    let count = panels.len() as u32;
    let top = 2 * gap + text_height(2 * dot);
    let mut canvas = Canvas::new(count * width + (count + 1) * gap, top + height, WHITE);
    let title = shortened(&map.title, canvas.image.width() - 2 * gap, 2 * dot);
    let middle = i64::from(canvas.image.width() / 2);
    canvas.text((middle, i64::from(gap)), &title, 2 * dot, BLACK, Align::Centre);
    for (i, (_, panel)) in (0u32..).zip(&panels) {
        canvas.put(gap + i * (width + gap), top, panel);
    }
    Ok(canvas.image)
}

/// The panels of [`gene_map_with`] each by itself, without a heading, with their names; and, if there are predicted
/// values of the spots, one of those between the others. Words are larger than there, since a page shows panels smaller
/// than they are.
///
/// # Errors
/// As [`gene_map_with`].
pub fn gene_panels(
    map: &GeneMap<'_>,
    predicted_spots: Option<&[f32]>,
    options: &MapOptions,
) -> Result<Vec<(String, RgbImage)>, ReportError> {
    drawn(map, predicted_spots, options, (options.panel_px / 240).clamp(1, 8))
}

/// Size of a word's dot and of gaps.
fn sizes(options: &MapOptions) -> (u32, u32) {
    let dot = (options.panel_px / 350).clamp(1, 6);
    (dot, 10 * dot)
}

fn drawn(
    map: &GeneMap<'_>,
    predicted_spots: Option<&[f32]>,
    options: &MapOptions,
    dot: u32,
) -> Result<Vec<(String, RgbImage)>, ReportError> {
    check(map, options)?;
    let frame = Frame::new(map, options.panel_px)?;
    let gap = 10 * dot;
    let layout = Layout { dot, gap, panel: frame.size };
    let pale = frame.picture(map.background.as_ref());
    let spot_radius = (map.spot_radius_px / frame.downsample).clamp(1.5, 1e4);
    let cell_radius = cell_radius(map.cell_values.len(), frame.size);
    let mut panels = vec![("measured, spots", map.spots, map.spot_values, spot_radius)];
    if let Some(values) = predicted_spots {
        if values.len() != map.spots.len() {
            let expected = format!("{}, one a place", map.spots.len());
            return Err(ReportError::misuse("predicted values of spots", expected, values.len()));
        }
        panels.push(("predicted, spots", map.spots, values, spot_radius));
    }
    panels.push(("predicted, cells", map.cells, map.cell_values, cell_radius));
    type Panel<'a> = (&'a str, &'a [Point<Level0>], &'a [f32], f64);
    let draw = |(i, (label, places, values, radius)): (usize, Panel<'_>)| {
        let mut canvas = Canvas::new(layout.panel.width, layout.height(), WHITE);
        let mut panel = Canvas { image: pale.clone() };
        let range = Range::of(values);
        let drawn = || places.iter().zip(values).filter(|(p, _)| p.is_finite());
        // Places without a value lie below.
        for (place, _) in drawn().filter(|(_, v)| v.is_nan()) {
            panel.disc(frame.place(*place), radius, GREY);
        }
        for (place, value) in drawn().filter(|(_, v)| !v.is_nan()) {
            panel.disc(frame.place(*place), radius, range.colour(f64::from(*value)));
        }
        if let (0, Some(mpp)) = (i, options.mpp) {
            scale_bar(&mut panel, 0, frame.size.height, frame.size.width, mpp * frame.downsample, dot);
        }
        canvas.put(0, 0, &panel.image);
        layout.footer(&mut canvas, label, &range);
        (label.to_owned(), canvas.image)
    };
    Ok(panels.into_iter().enumerate().map(draw).collect())
}

fn check(map: &GeneMap<'_>, options: &MapOptions) -> Result<(), ReportError> {
    let same = |what: &'static str, places: usize, values: usize| {
        if places == values { Ok(()) } else { Err(ReportError::misuse(what, format!("{places}, one a place"), values)) }
    };
    same("values of spots", map.spots.len(), map.spot_values.len())?;
    same("values of cells", map.cells.len(), map.cell_values.len())?;
    let positive = |what: &'static str, v: f64| {
        if v.is_finite() && v > 0.0 { Ok(()) } else { Err(ReportError::misuse(what, "above 0 and finite", v)) }
    };
    positive("spot_radius_px", map.spot_radius_px)?;
    if let Some(mpp) = options.mpp {
        positive("mpp", mpp)?;
    }
    if let Some((_, downsample)) = &map.background {
        positive("downsample of the background", *downsample)?;
    }
    if !(64..=8192).contains(&options.panel_px) {
        return Err(ReportError::misuse("panel_px", "64 to 8192", options.panel_px));
    }
    Ok(())
}

/// Small enough that cells spread evenly would hardly overlap.
fn cell_radius(cells: usize, panel: Size) -> f64 {
    (0.4 * (panel.pixels() as f64 / cells.max(1) as f64).sqrt()).clamp(0.9, 4.0)
}

/// The part of level 0 that a panel shows.
struct Frame {
    corner: (f64, f64),
    /// Level-0 px to a pixel of the panel.
    downsample: f64,
    size: Size,
}

impl Frame {
    /// The area of the places, as far as it lies on the background; the whole background if there is nothing there.
    fn new(map: &GeneMap<'_>, panel_px: u32) -> Result<Self, ReportError> {
        let (mut low, mut high) = bounds(map).unwrap_or(((0.0, 0.0), (1.0, 1.0)));
        if let Some((picture, downsample)) = &map.background {
            let end = [picture.width(), picture.height()].map(|n| f64::from(n.max(1)) * downsample);
            low = (low.0.max(0.0), low.1.max(0.0));
            high = (high.0.min(end[0]), high.1.min(end[1]));
            if bounds(map).is_none() || low.0 >= high.0 || low.1 >= high.1 {
                (low, high) = ((0.0, 0.0), (end[0], end[1]));
            }
        }
        let (w, h) = (high.0 - low.0, high.1 - low.1);
        let downsample = w.max(h) / f64::from(panel_px);
        if !(downsample.is_finite() && downsample > 0.0) {
            return Err(ReportError::misuse("places", "coordinates of a slide", format!("{low:?} to {high:?}")));
        }
        let side = |v: f64| ((v / downsample).round() as u32).clamp(1, panel_px);
        Ok(Self { corner: low, downsample, size: Size::new(side(w), side(h)) })
    }

    fn place(&self, p: Point<Level0>) -> (f64, f64) {
        ((p.x - self.corner.0) / self.downsample, (p.y - self.corner.1) / self.downsample)
    }

    /// The slide made pale, or white.
    fn picture(&self, background: Option<&(RgbImage, f64)>) -> RgbImage {
        let white = || RgbImage::from_pixel(self.size.width, self.size.height, image::Rgb(WHITE));
        let shown = background.filter(|(p, _)| p.width() > 0 && p.height() > 0);
        let Some((picture, downsample)) = shown else { return white() };
        let ratio = self.downsample / downsample;
        let (x0, y0) = (self.corner.0 / downsample, self.corner.1 / downsample);
        let (x1, y1) = (x0 + f64::from(self.size.width) * ratio, y0 + f64::from(self.size.height) * ratio);
        let window = Window { x0, y0, x1, y1 };
        let mut pale = resample(picture, window, self.size);
        for v in pale.iter_mut() {
            *v = (255.0 - (255.0 - f64::from(*v)) * PALE).round() as u8;
        }
        pale
    }
}

/// The area of all finite places with a margin, if there are any.
fn bounds(map: &GeneMap<'_>) -> Option<((f64, f64), (f64, f64))> {
    let all = || map.spots.iter().chain(map.cells).filter(|p| p.is_finite());
    all().next()?;
    let least = |f: fn(&Point<Level0>) -> f64| all().map(f).fold(f64::INFINITY, f64::min);
    let (x0, y0) = (least(|p| p.x), least(|p| p.y));
    let (x1, y1) = (-least(|p| -p.x), -least(|p| -p.y));
    let margin = (0.04 * (x1 - x0).max(y1 - y0)).max(map.spot_radius_px);
    Some(((x0 - margin, y0 - margin), (x1 + margin, y1 + margin)))
}

/// The values that the two ends of a colour bar stand for; `None` if there are no finite values.
struct Range(Option<(f64, f64)>);

impl Range {
    fn of(values: &[f32]) -> Self {
        let mut finite: Vec<f64> = values.iter().map(|&v| f64::from(v)).filter(|v| v.is_finite()).collect();
        finite.sort_unstable_by(f64::total_cmp);
        let Some(last) = finite.len().checked_sub(1) else { return Self(None) };
        let at = |share: f64| {
            let place = share * last as f64;
            let (i, t) = (place as usize, place.fract());
            finite[i] + (finite[(i + 1).min(last)] - finite[i]) * t
        };
        Self(Some((at(TAILS.0), at(TAILS.1))))
    }

    /// A constant takes the middle of the bar.
    fn colour(&self, value: f64) -> Rgb {
        match self.0 {
            Some((low, high)) if high > low => colour_of((value - low) / (high - low)),
            Some(_) => colour_of(0.5),
            None => GREY,
        }
    }
}

struct Layout {
    dot: u32,
    gap: u32,
    panel: Size,
}

impl Layout {
    fn bar_height(&self) -> u32 {
        5 * self.dot
    }

    /// Of a panel with what is below it.
    fn height(&self) -> u32 {
        self.panel.height + 4 * self.gap + self.bar_height() + 2 * text_height(self.dot)
    }

    /// Label, colour bar and the values at its ends, below a panel.
    fn footer(&self, canvas: &mut Canvas, label: &str, range: &Range) {
        let (width, dot) = (self.panel.width, self.dot);
        let label = shortened(label, width, dot);
        let top = i64::from(self.panel.height + self.gap);
        let x = 0;
        let middle = x + i64::from(width / 2);
        canvas.text((middle, top), &label, dot, BLACK, Align::Centre);
        let bar = top + i64::from(text_height(dot) + self.gap);
        let words = bar + i64::from(self.bar_height() + self.gap / 2);
        let Some((low, high)) = range.0 else {
            canvas.text((middle, bar), "no values", dot, BLACK, Align::Centre);
            return;
        };
        for i in 0..width {
            let share = (f64::from(i) + 0.5) / f64::from(width);
            let colour = range.colour(low + (high - low) * share);
            canvas.rectangle(x + i64::from(i), bar, 1, i64::from(self.bar_height()), colour, 1.0);
        }
        if high > low {
            canvas.text((x, words), &short_number(low), dot, BLACK, Align::Left);
            canvas.text((x + i64::from(width), words), &short_number(high), dot, BLACK, Align::Right);
        } else {
            canvas.text((middle, words), &format!("all {}", short_number(low)), dot, BLACK, Align::Centre);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cut_the_tails_and_leave_out_what_is_no_number() {
        let mut values: Vec<f32> = (0..=100).map(|i| i as f32).collect();
        values.extend([f32::NAN, f32::INFINITY]);
        assert_eq!(Range::of(&values).0, Some((2.0, 98.0)));
        assert_eq!(Range::of(&[f32::NAN]).0, None);
        assert_eq!(Range::of(&[3.0]).colour(3.0), colour_of(0.5));
    }
}
