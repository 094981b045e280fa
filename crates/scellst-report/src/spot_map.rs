use image::RgbImage;
use scellst_types::{Level0, Point};

use crate::ReportError;
use crate::canvas::{Align, Canvas, scale_bar, shortened, text_height};
use crate::colour::{BLACK, GREY, Rgb, WHITE, colour_of};

/// How cells and spots met; places are level-0 px.
#[derive(Debug, Clone)]
pub struct SpotMap<'a> {
    /// The heading, usually the section's name.
    pub title: String,
    /// Centres of the spots.
    pub spots: &'a [Point<Level0>],
    /// Cells of each spot.
    pub counts: &'a [u32],
    /// Half of a spot's extent: a disc's radius, half a square's side.
    pub half_px: f64,
    /// Whether spots are squares.
    pub square: bool,
    /// A spot with more cells than this is huge and gets a ring.
    pub huge_above: u32,
    /// Cells that lie in no spot.
    pub outside: &'a [Point<Level0>],
    /// Resolution of level 0, um/px: adds a scale bar.
    pub mpp: Option<f64>,
}

/// Longer side of the area with the spots, px.
const PANEL: f64 = 1000.0;
const GAP: u32 = 20;
const DOT: u32 = 2;
const HUGE: Rgb = [213, 94, 0];
const CELL: Rgb = [205, 205, 205];

/// Spots coloured by their number of cells (dark few, yellow many, held at `huge_above`): empty ones grey with a cross,
/// huge ones in a thick orange ring, cells outside of all spots as pale dots below.
///
/// # Errors
/// [`ReportError::Misuse`] without a spot at a place, for another number of counts than of spots, or for an extent or
/// resolution that is not above 0.
pub fn spot_map(map: &SpotMap<'_>) -> Result<RgbImage, ReportError> {
    let positive = |what: &'static str, v: f64| {
        if v.is_finite() && v > 0.0 { Ok(()) } else { Err(ReportError::misuse(what, "above 0 and finite", v)) }
    };
    positive("half_px", map.half_px)?;
    map.mpp.map_or(Ok(()), |mpp| positive("mpp", mpp))?;
    if map.spots.len() != map.counts.len() {
        let expected = format!("{}, one a spot", map.spots.len());
        return Err(ReportError::misuse("counts of spots", expected, map.counts.len()));
    }
    let there = || map.spots.iter().filter(|p| p.is_finite());
    let (low, high) = there().fold(((f64::MAX, f64::MAX), (f64::MIN, f64::MIN)), |(low, high), p| {
        ((low.0.min(p.x), low.1.min(p.y)), (high.0.max(p.x), high.1.max(p.y)))
    });
    if there().next().is_none() {
        return Err(ReportError::misuse("spots", "at least one at a place", "none"));
    }
    let margin = 1.5 * map.half_px;
    let corner = (low.0 - margin, low.1 - margin);
    let extent = (high.0 - low.0 + 2.0 * margin, high.1 - low.1 + 2.0 * margin);
    let zoom = PANEL / extent.0.max(extent.1);
    positive("extent of the spots", zoom)?;
    // A single row is still a picture.
    let side = |extent: f64| (extent * zoom).ceil().clamp(32.0, PANEL) as u32;
    let (width, height) = (side(extent.0).max(400), side(extent.1));

    let mut panel = Canvas::new(width, height, WHITE);
    let place = |p: &Point<Level0>| ((p.x - corner.0) * zoom, (p.y - corner.1) * zoom);
    for cell in map.outside.iter().filter(|p| p.is_finite()) {
        panel.disc(place(cell), 0.8, CELL);
    }
    let half = (map.half_px * zoom).max(1.0);
    let most = map.huge_above.min(map.counts.iter().copied().max().unwrap_or(0)).max(1);
    // Marks of outliers last, so that no neighbour covers them.
    let mut marked = Vec::new();
    for (spot, &count) in map.spots.iter().zip(map.counts).filter(|(p, _)| p.is_finite()) {
        let colour = if count == 0 { GREY } else { colour_of(f64::from(count) / f64::from(most)) };
        fill(&mut panel, place(spot), half, map.square, colour);
        if count == 0 || count > map.huge_above {
            marked.push((place(spot), count));
        }
    }
    for ((x, y), count) in marked {
        if count == 0 {
            let arm = 0.5 * half;
            panel.line((x - arm, y - arm), (x + arm, y + arm), 1.0, BLACK);
            panel.line((x - arm, y + arm), (x + arm, y - arm), 1.0, BLACK);
        } else {
            ring(&mut panel, (x, y), half + 1.0, map.square);
        }
    }
    if let Some(mpp) = map.mpp {
        scale_bar(&mut panel, 0, height, width, mpp / zoom, DOT);
    }
    Ok(framed(map, &panel.image, most))
}

fn fill(panel: &mut Canvas, (x, y): (f64, f64), half: f64, square: bool, colour: Rgb) {
    if square {
        // Whole pixels, so that bins neither overlap nor leave seams.
        let (left, top) = ((x - half).round() as i64, (y - half).round() as i64);
        let (right, bottom) = ((x + half).round() as i64, (y + half).round() as i64);
        panel.rectangle(left, top, (right - left).max(1), (bottom - top).max(1), colour, 1.0);
    } else {
        panel.disc((x, y), half, colour);
    }
}

fn ring(panel: &mut Canvas, (x, y): (f64, f64), half: f64, square: bool) {
    let corners: Vec<(f64, f64)> = if square {
        vec![(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    } else {
        let turn = |i: u32| f64::from(i) * std::f64::consts::TAU / 24.0;
        (0..24).map(|i| (x + half * turn(i).cos(), y + half * turn(i).sin())).collect()
    };
    panel.ring(&corners, 2.5, HUGE);
}

/// Heading above, colours with their numbers and what is marked below.
fn framed(map: &SpotMap<'_>, panel: &RgbImage, most: u32) -> RgbImage {
    let line = text_height(DOT) + GAP / 2;
    let width = panel.width() + 2 * GAP;
    let mut canvas = Canvas::new(width, panel.height() + 4 * GAP + 4 * line, WHITE);
    let title = shortened(&map.title, panel.width(), DOT);
    canvas.text((i64::from(width / 2), i64::from(GAP)), &title, DOT, BLACK, Align::Centre);
    canvas.put(GAP, GAP + line, panel);

    let (left, mut y) = (i64::from(GAP), i64::from(2 * GAP + line + panel.height()));
    let bar = panel.width();
    for i in 0..bar {
        let colour = colour_of((f64::from(i) + 0.5) / f64::from(bar));
        canvas.rectangle(left + i64::from(i), y, 1, i64::from(GAP), colour, 1.0);
    }
    y += i64::from(GAP + GAP / 2);
    canvas.text((left, y), "0", DOT, BLACK, Align::Left);
    canvas.text((i64::from(width / 2), y), "cells a spot", DOT, BLACK, Align::Centre);
    let or_more = if map.counts.iter().any(|&count| count > most) { " or more" } else { "" };
    canvas.text((left + i64::from(bar), y), &format!("{most}{or_more}"), DOT, BLACK, Align::Right);
    y += i64::from(line);
    let empty = map.counts.iter().filter(|&&count| count == 0).count();
    let huge = map.counts.iter().filter(|&&count| count > map.huge_above).count();
    for text in [
        format!("{} spots, {empty} empty (x), {huge} over {} (ring)", map.spots.len(), map.huge_above),
        format!("{} cells outside (dots)", map.outside.len()),
    ] {
        canvas.text((left, y), &shortened(&text, panel.width(), DOT), DOT, BLACK, Align::Left);
        y += i64::from(line);
    }
    canvas.image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<'a>(spots: &'a [Point<Level0>], counts: &'a [u32], outside: &'a [Point<Level0>]) -> SpotMap<'a> {
        SpotMap {
            title: "C2".into(),
            spots,
            counts,
            half_px: 50.0,
            square: false,
            huge_above: 20,
            outside,
            mpp: Some(0.5),
        }
    }

    fn count(image: &RgbImage, colour: Rgb) -> usize {
        image.pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn spots_are_coloured_and_outliers_marked() {
        let spots: Vec<Point<Level0>> =
            (0..25).map(|i| Point::new(1e4 + 200.0 * f64::from(i % 5), 200.0 * f64::from(i / 5))).collect();
        let mut counts = vec![10; 25];
        let outside = [Point::new(1e4 + 100.0, 100.0), Point::new(f64::NAN, 0.0)];
        let plain = spot_map(&map(&spots, &counts, &[])).unwrap();
        assert_eq!((count(&plain, HUGE), count(&plain, GREY), count(&plain, CELL)), (0, 0, 0));
        // All at half of what is huge would be told as their own maximum: 10 of 10.
        assert!(count(&plain, colour_of(1.0)) > 25 * 1000);
        counts[7] = 0;
        counts[12] = 40;
        counts[13] = 5;
        let marked = spot_map(&map(&spots, &counts, &outside)).unwrap();
        assert!(count(&marked, HUGE) > 100 && count(&marked, GREY) > 1000 && count(&marked, CELL) > 0);
        assert!(count(&marked, colour_of(0.25)) > 1000, "5 of 20");
        let squares = spot_map(&SpotMap { square: true, ..map(&spots, &counts, &outside) }).unwrap();
        assert!(count(&squares, colour_of(0.25)) > count(&marked, colour_of(0.25)));
    }

    #[test]
    fn bins_leave_no_seams() {
        let bins: Vec<Point<Level0>> =
            (0..900).map(|i| Point::new(7.3 * f64::from(i % 30), 7.3 * f64::from(i / 30))).collect();
        let counts = vec![3; 900];
        let image = spot_map(&SpotMap { square: true, half_px: 3.65, mpp: None, ..map(&bins, &counts, &[]) }).unwrap();
        // From the middle of the first bin to the middle of the last.
        let (left, top) = (GAP + 40, GAP + text_height(DOT) + GAP / 2 + 40);
        for y in top..top + 900 {
            for x in left..left + 900 {
                assert_eq!(image.get_pixel(x, y).0, colour_of(1.0), "{x}, {y}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let spots = [Point::new(0.0, 0.0)];
        assert!(spot_map(&map(&spots, &[], &[])).is_err() && spot_map(&map(&[], &[], &[])).is_err());
        assert!(spot_map(&map(&[Point::new(f64::NAN, 0.0)], &[1], &[])).is_err());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e308] {
            assert!(spot_map(&SpotMap { half_px: bad, ..map(&spots, &[1], &[]) }).is_err(), "{bad}");
        }
        assert!(spot_map(&SpotMap { mpp: Some(0.0), ..map(&spots, &[1], &[]) }).is_err());
        // One spot, no cell, nothing huge.
        assert!(spot_map(&SpotMap { huge_above: 0, ..map(&spots, &[0], &[]) }).is_ok());
    }
}
