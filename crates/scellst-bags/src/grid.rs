use scellst_types::{Micron, Point};

use crate::BagsError;
use crate::bags::fits_u32;

/// Points sorted into square buckets, to find those near a place quickly.
///
/// The buckets' side is near the radius that is asked for most; any radius gives right answers.
#[derive(Debug, Clone)]
pub struct PointGrid {
    origin: Point<Micron>,
    side_um: f64,
    columns: usize,
    rows: usize,
    /// Where each bucket starts in `order`, row by row, and the end of the last.
    starts: Vec<u32>,
    /// Indices of the points, bucket by bucket, rising within a bucket.
    order: Vec<u32>,
    /// The points in that order.
    sorted: Vec<Point<Micron>>,
}

impl PointGrid {
    /// Sorts points (um) for queries of about this radius (um).
    ///
    /// # Errors
    /// [`BagsError::NotFinite`] for a point at no place, [`BagsError::Setting`] for a radius that is not positive
    /// and finite, [`BagsError::TooMany`] above `u32::MAX` points.
    pub fn new(points: &[Point<Micron>], radius_um: f64) -> Result<Self, BagsError> {
        check_radius(radius_um)?;
        fits_u32("points", points.len())?;
        check_finite("point", points)?;
        let (low, high) = bounds(points).unwrap_or((Point::new(0.0, 0.0), Point::new(0.0, 0.0)));
        // A few far points must not make millions of buckets: about as many as points at most.
        let most = (4 * points.len() + 1024) as f64;
        let mut side_um = radius_um;
        let count = |extent: f64, side: f64| (extent / side).floor() + 1.0;
        while count(high.x - low.x, side_um) * count(high.y - low.y, side_um) > most {
            side_um *= 2.0;
        }
        let columns = count(high.x - low.x, side_um) as usize;
        let rows = count(high.y - low.y, side_um) as usize;
        let mut grid =
            Self { origin: low, side_um, columns, rows, starts: Vec::new(), order: Vec::new(), sorted: Vec::new() };

        let buckets: Vec<u32> = points.iter().map(|&point| grid.bucket(point) as u32).collect();
        let mut starts = vec![0_u32; columns * rows + 1];
        for &bucket in &buckets {
            starts[bucket as usize + 1] += 1;
        }
        for bucket in 0..columns * rows {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        grid.order = vec![0; points.len()];
        grid.sorted = vec![low; points.len()];
        for (point, &bucket) in buckets.iter().enumerate() {
            let at = next[bucket as usize] as usize;
            grid.order[at] = point as u32;
            grid.sorted[at] = points[point];
            next[bucket as usize] += 1;
        }
        grid.starts = starts;
        Ok(grid)
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Calls `found(index, squared distance in um^2)` for every point at most `radius_um` from the centre, in no
    /// particular (but fixed) order.
    pub fn for_each_within(&self, centre: Point<Micron>, radius_um: f64, mut found: impl FnMut(u32, f64)) {
        let limit = radius_um * radius_um;
        let Some(columns) = span(centre.x - self.origin.x, radius_um, self.side_um, self.columns) else { return };
        let Some(rows) = span(centre.y - self.origin.y, radius_um, self.side_um, self.rows) else { return };
        for row in rows.0..=rows.1 {
            // Neighbouring buckets of a row lie side by side.
            let first = self.starts[row * self.columns + columns.0] as usize;
            let end = self.starts[row * self.columns + columns.1 + 1] as usize;
            for (&index, point) in self.order[first..end].iter().zip(&self.sorted[first..end]) {
                let (dx, dy) = (point.x - centre.x, point.y - centre.y);
                let squared = dx * dx + dy * dy;
                if squared <= limit {
                    found(index, squared);
                }
            }
        }
    }

    fn bucket(&self, point: Point<Micron>) -> usize {
        let along = |offset: f64, count: usize| ((offset / self.side_um) as usize).min(count - 1);
        along(point.y - self.origin.y, self.rows) * self.columns + along(point.x - self.origin.x, self.columns)
    }
}

/// Share of a bucket by which queries reach further, for the rounding of the division.
const SLACK: f64 = 1e-5;

/// First and last bucket that a query touches along one axis; `None` if it passes by (NaN does).
fn span(offset: f64, radius: f64, side: f64, count: usize) -> Option<(usize, usize)> {
    let low = ((offset - radius) / side - SLACK).floor();
    let high = ((offset + radius) / side + SLACK).floor();
    if high >= 0.0 && low < count as f64 { Some((low.max(0.0) as usize, (high as usize).min(count - 1))) } else { None }
}

/// Lowest and highest coordinates.
pub(crate) fn bounds(points: &[Point<Micron>]) -> Option<(Point<Micron>, Point<Micron>)> {
    let first = *points.first()?;
    Some(points.iter().fold((first, first), |(low, high), p| {
        (Point::new(low.x.min(p.x), low.y.min(p.y)), Point::new(high.x.max(p.x), high.y.max(p.y)))
    }))
}

/// Beyond this (um) squares of distances would overflow.
const FARTHEST: f64 = 1e150;

pub(crate) fn check_finite(what: &'static str, points: &[Point<Micron>]) -> Result<(), BagsError> {
    match points.iter().position(|point| !(point.x.abs() < FARTHEST && point.y.abs() < FARTHEST)) {
        None => Ok(()),
        Some(index) => Err(BagsError::NotFinite { what, index, x: points[index].x, y: points[index].y }),
    }
}

pub(crate) fn check_radius(radius_um: f64) -> Result<(), BagsError> {
    if radius_um.is_finite() && radius_um > 0.0 {
        return Ok(());
    }
    Err(BagsError::Setting { setting: "radius (um)", expected: "above 0 and finite", found: radius_um.to_string() })
}
