use scellst_types::{Micron, Point};

use crate::BagsError;
use crate::bags::fits_u32;

/// Points sorted into square buckets, to find those near a place quickly.
///
/// The buckets' side is near the radius that is asked for most; any radius gives right answers. A few points far away
/// from the rest do not slow it down.
#[derive(Debug, Clone)]
pub struct PointGrid {
    origin: Point<Micron>,
    side_um: f64,
    buckets: Buckets,
    /// Indices of the points, bucket by bucket, rising within a bucket.
    order: Vec<u32>,
    /// The points in that order.
    sorted: Vec<Point<Micron>>,
}

/// Where each bucket starts in `PointGrid::order`.
#[derive(Debug, Clone)]
enum Buckets {
    /// All buckets of the points' rectangle, row by row, and the end of the last.
    Dense { columns: usize, rows: usize, starts: Vec<u32> },
    /// Only buckets with a point, as `(row, column)` in rising order, and the end of the last.
    Sparse { keys: Vec<(i64, i64)>, starts: Vec<u32> },
}

/// Mean number of points that a point shares its bucket with at which buckets of the wanted side are worth a search.
const CROWDED: u64 = 32;
/// Buckets need not be smaller, um.
const LEAST_SIDE: f64 = 1e-3;

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
        // About as many buckets as points at most.
        let most = (4 * points.len() + 1024) as f64;
        let wanted = radius_um.max(LEAST_SIDE);
        let mut side_um = wanted;
        let count = |extent: f64, side: f64| (extent / side).floor() + 1.0;
        while count(high.x - low.x, side_um) * count(high.y - low.y, side_um) > most {
            side_um *= 2.0;
        }
        let dense = Self::dense(points, low, high, side_um);
        // Points far from the rest make buckets large, and those with the rest in them full.
        if side_um > wanted && dense.crowding() > CROWDED * points.len() as u64 {
            return Ok(Self::sparse(points, low, wanted));
        }
        Ok(dense)
    }

    fn dense(points: &[Point<Micron>], low: Point<Micron>, high: Point<Micron>, side_um: f64) -> Self {
        let along = |offset: f64| (offset / side_um) as usize;
        let (columns, rows) = (along(high.x - low.x) + 1, along(high.y - low.y) + 1);
        let bucket = |p: &Point<Micron>| along(p.y - low.y) * columns + along(p.x - low.x);
        let mut starts = vec![0_u32; columns * rows + 1];
        for point in points {
            starts[bucket(point) + 1] += 1;
        }
        for bucket in 0..columns * rows {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut order = vec![0; points.len()];
        let mut sorted = vec![low; points.len()];
        for (index, point) in (0..).zip(points) {
            let next = &mut next[bucket(point)];
            order[*next as usize] = index;
            sorted[*next as usize] = *point;
            *next += 1;
        }
        Self { origin: low, side_um, buckets: Buckets::Dense { columns, rows, starts }, order, sorted }
    }

    fn sparse(points: &[Point<Micron>], low: Point<Micron>, side_um: f64) -> Self {
        let along = |offset: f64| (offset / side_um) as i64;
        let mut keyed: Vec<((i64, i64), u32)> =
            points.iter().zip(0..).map(|(p, i)| ((along(p.y - low.y), along(p.x - low.x)), i)).collect();
        keyed.sort_unstable();
        let (mut keys, mut starts) = (Vec::new(), Vec::new());
        for (at, &(key, _)) in (0..).zip(&keyed) {
            if keys.last() != Some(&key) {
                keys.push(key);
                starts.push(at);
            }
        }
        starts.push(keyed.len() as u32);
        let order: Vec<u32> = keyed.into_iter().map(|(_, index)| index).collect();
        let sorted = order.iter().map(|&index| points[index as usize]).collect();
        Self { origin: low, side_um, buckets: Buckets::Sparse { keys, starts }, order, sorted }
    }

    /// Sum over all points of how many share the point's bucket.
    fn crowding(&self) -> u64 {
        let (Buckets::Dense { starts, .. } | Buckets::Sparse { starts, .. }) = &self.buckets;
        starts.windows(2).map(|pair| u64::from(pair[1] - pair[0]).pow(2)).sum()
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
        self.for_each_near(centre, radius_um, |index, at| {
            let (dx, dy) = (at.x - centre.x, at.y - centre.y);
            let squared = dx * dx + dy * dy;
            if squared <= limit {
                found(index, squared);
            }
        });
    }

    /// Calls `found(index, point)` for all points at most so far away along both axes, and some further ones.
    pub(crate) fn for_each_near(
        &self,
        centre: Point<Micron>,
        reach_um: f64,
        mut found: impl FnMut(u32, Point<Micron>),
    ) {
        let (left, right) = span(centre.x - self.origin.x, reach_um, self.side_um);
        let (top, bottom) = span(centre.y - self.origin.y, reach_um, self.side_um);
        let mut run = |first: u32, end: u32| {
            let run = first as usize..end as usize;
            for (&index, &point) in self.order[run.clone()].iter().zip(&self.sorted[run]) {
                found(index, point);
            }
        };
        // Neighbouring buckets of a row lie side by side.
        match &self.buckets {
            Buckets::Dense { columns, rows, starts } => {
                let inside = |low: i64, high: i64, count: usize| {
                    (high >= 0 && low < count as i64 && low <= high)
                        .then(|| (low.max(0) as usize, (high as usize).min(count - 1)))
                };
                let (Some((left, right)), Some((top, bottom))) =
                    (inside(left, right, *columns), inside(top, bottom, *rows))
                else {
                    return;
                };
                for row in top..=bottom {
                    run(starts[row * columns + left], starts[row * columns + right + 1]);
                }
            }
            Buckets::Sparse { keys, starts } => {
                let mut at = 0;
                let mut row = top;
                while row <= bottom {
                    at += keys[at..].partition_point(|&key| key < (row, left));
                    match keys.get(at) {
                        None => break,
                        Some(&(next, _)) if next > row => row = next,
                        Some(_) => {
                            let end = at + keys[at..].partition_point(|&key| key <= (row, right));
                            run(starts[at], starts[end]);
                            row = row.saturating_add(1);
                            if row == i64::MAX {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Gives the points other numbers: the point that was `i` becomes `names[i]`.
    pub(crate) fn renamed(mut self, names: &[u32]) -> Self {
        self.order.iter_mut().for_each(|index| *index = names[*index as usize]);
        self
    }
}

/// First and last bucket that a query touches along one axis. Wider by what the divisions may have rounded.
fn span(offset: f64, reach: f64, side: f64) -> (i64, i64) {
    let (low, high) = ((offset - reach) / side, (offset + reach) / side);
    let slack = |place: f64| 1e-5 + place.abs() * 1e-15;
    ((low - slack(low)).floor() as i64, (high + slack(high)).floor() as i64)
}

/// Lowest and highest coordinates.
pub(crate) fn bounds(points: &[Point<Micron>]) -> Option<(Point<Micron>, Point<Micron>)> {
    let first = *points.first()?;
    Some(points.iter().fold((first, first), |(low, high), p| {
        (Point::new(low.x.min(p.x), low.y.min(p.y)), Point::new(high.x.max(p.x), high.y.max(p.y)))
    }))
}

/// Nothing on a slide lies further away (um: a kilometre); below it distances keep six digits behind the point.
const FARTHEST: f64 = 1e9;

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
