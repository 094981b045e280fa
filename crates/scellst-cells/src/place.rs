//! Whether coordinates belong to a slide, and what is likely wrong where they do not.

use scellst_types::{Level0, MicronsPerPixel, Point, Size};

use crate::CellsError;
use crate::cells::on_slide;

/// Fewer cells than this may huddle in a corner without anybody wondering.
const FEW: usize = 100;

/// The least part of each side that many cells of a slide reach to; under it they are taken for another level's.
const REACH: f64 = 0.27;

/// The error for cells of which too many lie outside, with what would make them fit.
pub(crate) fn elsewhere(centroids: &[Point<Level0>], size: Size, mpp: Option<MicronsPerPixel>) -> CellsError {
    let on = on_slide(size);
    let outside = centroids.iter().filter(|p| !on(p)).count();
    error(centroids, size, outside, outside_suspicion(centroids, size, mpp))
}

/// Refuses cells that all lie in the upper left corner of the slide: coordinates of a coarser level, or um.
pub(crate) fn check_corner(
    centroids: &[Point<Level0>],
    size: Size,
    mpp: Option<MicronsPerPixel>,
) -> Result<(), CellsError> {
    if centroids.len() < FEW {
        return Ok(());
    }
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let bounds = Bounds::of(centroids);
    let reach = (bounds.x1 / w).max(bounds.y1 / h);
    if reach.is_nan() || reach > REACH || bounds.x1 <= 0.0 || bounds.y1 <= 0.0 {
        return Ok(());
    }
    let factor = (1.0 / reach).log2().floor().exp2();
    let um = mpp
        .filter(|m| (1.0 / m.x()) <= 1.05 / reach)
        .map(|m| format!(", or divided by {} um/px if they are um", (m.x() * 1e4).round() / 1e4));
    let suspicion = format!(
        "; all lie in the upper left {:.0} % of its sides: times {factor} they would still fit{}. If the cells are those \
         of a corner, set `corner` in the options",
        reach * 100.0,
        um.unwrap_or_default()
    );
    Err(error(centroids, size, 0, suspicion))
}

fn error(centroids: &[Point<Level0>], size: Size, outside: usize, suspicion: String) -> CellsError {
    let Bounds { x0: x_min, x1: x_max, y0: y_min, y1: y_max } = Bounds::of(centroids);
    CellsError::OtherLevel { outside, total: centroids.len(), size, x_min, x_max, y_min, y_max, suspicion }
}

/// Tried in order: x and y swapped, a power of two too large, pixels where um were meant.
fn outside_suspicion(centroids: &[Point<Level0>], size: Size, mpp: Option<MicronsPerPixel>) -> String {
    let on = on_slide(size);
    let fits = |f: &dyn Fn(&Point<Level0>) -> Point<Level0>| {
        centroids.iter().filter(|p| !on(&f(p))).count() * 100 <= centroids.len()
    };
    if fits(&|p| Point::new(p.y, p.x)) {
        return "; with x and y swapped they would fit".into();
    }
    let bounds = Bounds::of(centroids);
    let beyond = (bounds.x1 / f64::from(size.width)).max(bounds.y1 / f64::from(size.height));
    let factor = beyond.log2().ceil().exp2();
    if factor > 1.0 && factor < 1e4 && fits(&|p| Point::new(p.x / factor, p.y / factor)) {
        let um = mpp.filter(|m| m.x() > 1.0 && beyond <= m.x()).map_or("", |_| " (or they are um)");
        return format!("; divided by {factor} they would fit{um}");
    }
    String::new()
}

/// The least and greatest coordinates.
struct Bounds {
    x0: f64,
    x1: f64,
    y0: f64,
    y1: f64,
}

impl Bounds {
    fn of(points: &[Point<Level0>]) -> Self {
        let start = Self { x0: f64::INFINITY, x1: f64::NEG_INFINITY, y0: f64::INFINITY, y1: f64::NEG_INFINITY };
        points.iter().fold(start, |b, p| Self {
            x0: b.x0.min(p.x),
            x1: b.x1.max(p.x),
            y0: b.y0.min(p.y),
            y1: b.y1.max(p.y),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 cells on a grid that fills the given rectangle.
    fn grid(w: f64, h: f64) -> Vec<Point<Level0>> {
        (0..400).map(|i| Point::new(f64::from(i % 20) * w / 20.0 + 1.0, f64::from(i / 20) * h / 20.0 + 1.0)).collect()
    }

    #[test]
    fn the_factor_is_named() {
        let size = Size::new(8000, 4000);
        let text = |points: &[Point<Level0>]| elsewhere(points, size, None).to_string();
        assert!(text(&grid(32_000.0, 16_000.0)).contains("divided by 4 they would fit"));
        assert!(text(&grid(4000.0, 8000.0)).contains("x and y swapped"));
        assert!(text(&grid(-4000.0, 8000.0)).ends_with("another slide; give level-0 pixels"));
        let corner = check_corner(&grid(2000.0, 1000.0), size, None).unwrap_err().to_string();
        assert!(corner.contains("times 4 they would still fit"), "{corner}");
        let mpp = MicronsPerPixel::square(0.25).unwrap();
        let um = check_corner(&grid(2000.0, 1000.0), size, Some(mpp)).unwrap_err().to_string();
        assert!(um.contains("divided by 0.25 um/px"), "{um}");
        assert!(check_corner(&grid(4000.0, 1000.0), size, None).is_ok());
        assert!(check_corner(&grid(2000.0, 1000.0)[..99], size, None).is_ok());
    }
}
