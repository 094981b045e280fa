use image::{Rgb, RgbImage};
use scellst_types::{Level0, Point};

use crate::ReportError;
use crate::canvas::{BLACK, WHITE, disc, fill, number, text, text_width};
use crate::colour::{colour, limits, share};

/// A gene as measured and as predicted; places are level-0 pixels.
#[derive(Debug, Clone)]
pub struct GeneMap<'a> {
    /// Over the picture.
    pub title: String,
    /// The slide at small scale and how many level-0 pixels one of its pixels is.
    pub background: Option<(RgbImage, f64)>,
    /// Centres of the measured spots.
    pub spots: &'a [Point<Level0>],
    /// Of a spot.
    pub spot_radius_px: f64,
    /// One a spot.
    pub spot_values: &'a [f32],
    /// Centroids of the predicted cells.
    pub cells: &'a [Point<Level0>],
    /// One a cell.
    pub cell_values: &'a [f32],
}

const MARGIN: i64 = 16;
const HEAD: i64 = 48;
const BAR: i64 = 44;

/// Two panels over the pale slide: the measured spots as discs on the left, the predicted cells as dots on the right.
/// Each has its own colours, from the 2nd to the 98th percentile of its values; what is no number is grey.
///
/// # Errors
/// [`ReportError::Shape`] if there is not one value a place.
pub fn gene_map(map: &GeneMap<'_>) -> Result<RgbImage, ReportError> {
    let same = |what, expected: usize, found: usize| {
        if expected == found { Ok(()) } else { Err(ReportError::Shape { what, expected, found }) }
    };
    same("values of spots", map.spots.len(), map.spot_values.len())?;
    same("values of cells", map.cells.len(), map.cell_values.len())?;

    let (pale, step) = ground(map);
    let (w, h) = (i64::from(pale.width()), i64::from(pale.height()));
    let (width, height) = (2 * w + 3 * MARGIN, h + HEAD + BAR);
    let mut image = RgbImage::from_pixel(width as u32, height as u32, WHITE);
    text(&mut image, MARGIN, 8, 2, BLACK, &map.title);
    let dot = (w as f64 / 450.0).max(1.0);
    let panels = [
        ("measured spots", MARGIN, map.spots, map.spot_values, (map.spot_radius_px / step).max(2.0)),
        ("predicted cells", 2 * MARGIN + w, map.cells, map.cell_values, dot),
    ];
    for (name, left, places, values, radius) in panels {
        text(&mut image, left, 32, 1, BLACK, name);
        let mut panel = pale.clone();
        let range = limits(values);
        for (p, &v) in places.iter().zip(values) {
            disc(&mut panel, p.x / step, p.y / step, radius, colour(share(v, range)));
        }
        image::imageops::replace(&mut image, &panel, left, HEAD);
        colour_bar(&mut image, left, HEAD + h + 10, w.min(200), range);
    }
    Ok(image)
}

/// The slide made pale, or white of the places' extent; and level-0 pixels a pixel of it.
fn ground(map: &GeneMap<'_>) -> (RgbImage, f64) {
    if let Some((picture, step)) = &map.background
        && *step > 0.0
    {
        let mut pale = picture.clone();
        pale.pixels_mut().for_each(|p| *p = Rgb(p.0.map(|v| 255 - (255 - v) / 3)));
        return (pale, *step);
    }
    let far = map.spots.iter().chain(map.cells).filter(|p| p.is_finite()).fold(1.0f64, |m, p| m.max(p.x).max(p.y));
    (RgbImage::from_pixel(600, 600, Rgb([245, 245, 245])), far / 590.0)
}

fn colour_bar(image: &mut RgbImage, x: i64, y: i64, width: i64, (low, high): (f32, f32)) {
    for i in 0..width {
        fill(image, x + i, y, 1, 10, colour(i as f32 / (width - 1).max(1) as f32));
    }
    text(image, x, y + 14, 1, BLACK, &number(low));
    let words = number(high);
    text(image, x + width - text_width(&words, 1), y + 14, 1, BLACK, &words);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Point<Level0> {
        Point::new(x, y)
    }

    #[test]
    fn discs_and_dots_have_their_colours_at_their_places() {
        let (spots, cells) = ([at(100.0, 100.0), at(300.0, 300.0)], [at(200.0, 100.0), at(50.0, 350.0)]);
        let map = GeneMap {
            title: "ERBB2".into(),
            background: Some((RgbImage::from_pixel(200, 200, Rgb([200, 150, 180])), 2.0)),
            spots: &spots,
            spot_radius_px: 20.0,
            spot_values: &[0.0, 5.0],
            cells: &cells,
            cell_values: &[1.0, f32::NAN],
        };
        let image = gene_map(&map).unwrap();
        let (left, right) = (MARGIN as u32, 2 * MARGIN as u32 + 200);
        let top = HEAD as u32;
        assert_eq!(*image.get_pixel(left + 50, top + 50), colour(0.0));
        assert_eq!(*image.get_pixel(left + 150, top + 150), colour(1.0));
        assert_eq!(*image.get_pixel(right + 100, top + 50), colour(0.0)); // all values equal
        assert_eq!(*image.get_pixel(right + 25, top + 175), crate::colour::MISSING);
        assert_eq!(*image.get_pixel(left + 5, top + 5), Rgb([237, 220, 230])); // the slide, pale
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_too() {
        let mut map = GeneMap {
            title: String::new(),
            background: None,
            spots: &[],
            spot_radius_px: f64::NAN,
            spot_values: &[],
            cells: &[],
            cell_values: &[],
        };
        gene_map(&map).unwrap();
        let far = [at(f64::INFINITY, 1.0), at(-5.0, 1e9)];
        map.spots = &far;
        assert!(gene_map(&map).is_err());
        map.spot_values = &[1.0, f32::INFINITY];
        map.spot_radius_px = 1e12;
        gene_map(&map).unwrap();
    }
}
