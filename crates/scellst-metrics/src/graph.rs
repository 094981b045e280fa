//! Who is whose neighbour.

use rayon::prelude::*;

use crate::MetricsError;
use crate::ssim::check_points;

/// For each observation its neighbours, as compressed rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    offsets: Vec<usize>,
    others: Vec<u32>,
}

impl Neighbours {
    /// From compressed rows: the neighbours of observation `i` are `others[offsets[i]..offsets[i + 1]]`.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] unless offsets start at 0, do not decrease and end at the number of neighbours, and
    /// every neighbour exists.
    pub fn new(offsets: Vec<usize>, others: Vec<u32>) -> Result<Self, MetricsError> {
        let what = "offsets of neighbours";
        let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if offsets.first() != Some(&0) || offsets.last() != Some(&others.len()) || !rising {
            let expected = format!("from 0 up to {}, not decreasing", others.len());
            let found = format!("{:?} to {:?}, {} in all", offsets.first(), offsets.last(), offsets.len());
            return Err(MetricsError::shape(what, expected, found));
        }
        let n = offsets.len() - 1;
        match others.iter().find(|&&other| other as usize >= n) {
            Some(other) => Err(MetricsError::shape("a neighbour", format!("below {n}"), other)),
            None => Ok(Self { offsets, others }),
        }
    }

    /// All others within `reach` (inclusive), in order.
    ///
    /// # Units
    /// `reach` in the unit of the points (x, y).
    ///
    /// # Errors
    /// [`MetricsError::Value`] for a place that is not finite, [`MetricsError::Setting`] if `reach` is not positive.
    pub fn within(points: &[[f64; 2]], reach: f64) -> Result<Self, MetricsError> {
        check_points(points)?;
        if !(reach > 0.0 && reach.is_finite()) {
            return Err(MetricsError::setting("reach of neighbours", "a positive number", reach));
        }
        let order = by_x(points);
        Ok(Self::collect(points.len(), &order, |at| {
            let centre = points[order[at] as usize];
            let near = |&&other: &&u32| points[other as usize][0] - centre[0] <= reach;
            let far = |&&other: &&u32| centre[0] - points[other as usize][0] <= reach;
            let candidates = order[at + 1..].iter().take_while(near).chain(order[..at].iter().rev().take_while(far));
            candidates.copied().filter(|&other| square(points[other as usize], centre) <= reach * reach).collect()
        }))
    }

    /// The `k` nearest others (fewer if there are fewer), of equally near ones the first, in order of the observation.
    ///
    /// # Errors
    /// [`MetricsError::Value`] for a place that is not finite.
    pub fn nearest(points: &[[f64; 2]], k: usize) -> Result<Self, MetricsError> {
        check_points(points)?;
        let order = by_x(points);
        Ok(Self::collect(points.len(), &order, |at| {
            let mut best: Vec<(f64, u32)> = Vec::with_capacity(k.min(points.len()) + 1);
            let centre = points[order[at] as usize];
            let mut visit = |other: u32| {
                let place = points[other as usize];
                if k == 0 || best.len() == k && (place[0] - centre[0]).powi(2) > best[k - 1].0 {
                    return false;
                }
                let candidate = (square(place, centre), other);
                let behind = best.partition_point(|known| *known < candidate);
                best.insert(behind, candidate);
                best.truncate(k);
                true
            };
            let (mut left, mut right) = (order[..at].iter().rev(), order[at + 1..].iter());
            let (mut go_left, mut go_right) = (true, true);
            while go_left || go_right {
                go_left = go_left && left.next().is_some_and(|&other| visit(other));
                go_right = go_right && right.next().is_some_and(|&other| visit(other));
            }
            best.into_iter().map(|(_, other)| other).collect()
        }))
    }

    fn collect(n: usize, order: &[u32], near: impl Fn(usize) -> Vec<u32> + Sync + Send) -> Self {
        let mut lists = vec![Vec::new(); n];
        let found: Vec<Vec<u32>> = (0..n).into_par_iter().map(near).collect();
        for (&place, mut near) in order.iter().zip(found) {
            near.sort_unstable();
            lists[place as usize] = near;
        }
        let mut offsets = vec![0];
        offsets.extend(lists.iter().scan(0, |end, list| {
            *end += list.len();
            Some(*end)
        }));
        Self { offsets, others: lists.concat() }
    }

    /// Number of observations.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbours of one observation.
    ///
    /// # Panics
    /// If there is no such observation.
    pub fn of(&self, observation: usize) -> &[u32] {
        &self.others[self.offsets[observation]..self.offsets[observation + 1]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|at| self.of(at))
    }
}

fn by_x(points: &[[f64; 2]]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..points.len() as u32).collect();
    order.sort_by(|&a, &b| points[a as usize][0].total_cmp(&points[b as usize][0]));
    order
}

fn square(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// Finds the nearest of some places, walking from its x to both sides.
pub(crate) struct Nearest<'a> {
    points: &'a [[f64; 2]],
    order: Vec<u32>,
}

impl<'a> Nearest<'a> {
    pub fn new(points: &'a [[f64; 2]]) -> Self {
        Self { points, order: by_x(points) }
    }

    /// The nearest point, of equally near ones the first. There must be one.
    pub fn of(&self, place: [f64; 2]) -> u32 {
        let x = |&&other: &&u32| self.points[other as usize][0];
        let middle = self.order.partition_point(|other| x(&other) < place[0]);
        let mut best = (f64::INFINITY, u32::MAX);
        let mut walk = |side: &mut dyn Iterator<Item = &u32>| {
            for other in side {
                if (x(&other) - place[0]).powi(2) > best.0 {
                    break;
                }
                let candidate = (square(self.points[*other as usize], place), *other);
                if candidate < best {
                    best = candidate;
                }
            }
        };
        walk(&mut self.order[middle..].iter());
        walk(&mut self.order[..middle].iter().rev());
        best.1
    }
}
