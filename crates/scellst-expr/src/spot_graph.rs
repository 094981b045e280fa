use rayon::prelude::*;
use scellst_types::{Level0, Point};

use crate::ExprError;

/// Neighbours farther than this many median distances are none: at the rim, at holes.
const REACH: f64 = 1.3;
/// Points that a leaf of the search tree holds.
const LEAF: usize = 8;

/// Which spots of an array are neighbours, and how much they weigh: those of one spot sum up to 1.
///
/// As squidpy's `gr.spatial_neighbors(coord_type="grid", n_neighs=k)` with rows normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotGraph {
    starts: Vec<usize>,
    near: Vec<u32>,
}

impl SpotGraph {
    /// A hexagonal array (Visium): six neighbours a spot. See [`SpotGraph::grid`].
    ///
    /// # Errors
    /// As [`SpotGraph::grid`].
    pub fn hexagonal(centres: &[Point<Level0>]) -> Result<Self, ExprError> {
        Self::grid(centres, 6)
    }

    /// A square array (legacy ST, Visium HD bins): four neighbours a spot. See [`SpotGraph::grid`].
    ///
    /// # Errors
    /// As [`SpotGraph::grid`].
    pub fn square(centres: &[Point<Level0>]) -> Result<Self, ExprError> {
        Self::grid(centres, 4)
    }

    /// A spot's neighbours are its `neighbours` nearest others, as far as they lie within 1.3 times the median of
    /// all those distances. Which of equally near ones are taken is not specified, but always the same.
    ///
    /// # Errors
    /// [`ExprError::Setting`] for a centre that is not finite or fewer than one neighbour;
    /// [`ExprError::NothingLeft`] if no spot has a neighbour: fewer than two spots, or all at one place.
    pub fn grid(centres: &[Point<Level0>], neighbours: usize) -> Result<Self, ExprError> {
        if let Some(at) = centres.iter().position(|centre| !centre.is_finite()) {
            return Err(ExprError::Setting {
                setting: "spot centre",
                expected: "finite level-0 pixels",
                found: format!("{:?} at spot {at}", centres[at]),
            });
        }
        let most = centres.len().saturating_sub(1).clamp(1, u32::MAX as usize);
        if neighbours == 0 || (neighbours > most && neighbours > 64) {
            return Err(ExprError::Setting {
                setting: "neighbours of a spot",
                expected: "at least 1 and fewer than there are spots",
                found: neighbours.to_string(),
            });
        }
        let neighbours = neighbours.min(most);
        let tree = Tree::new(centres);
        let nearest: Vec<Vec<(f64, u32)>> = (0..centres.len())
            .into_par_iter()
            .with_min_len(64)
            .map(|spot| {
                let mut best = Vec::with_capacity(neighbours + 1);
                tree.search(0, centres.len(), 0, spot, neighbours, &mut best);
                best
            })
            .collect();
        let mut distances: Vec<f64> = nearest.iter().flatten().map(|(distance, _)| *distance).collect();
        distances.sort_unstable_by(f64::total_cmp);
        let reach = REACH * crate::normalise::median_of_sorted(&distances);
        let mut graph = Self { starts: vec![0], near: Vec::with_capacity(distances.len()) };
        for best in nearest {
            graph.near.extend(best.iter().filter(|(distance, _)| *distance < reach).map(|(_, other)| *other));
            graph.starts.push(graph.near.len());
        }
        if graph.near.is_empty() {
            return Err(ExprError::NothingLeft {
                after: "looking for neighbouring spots".to_owned(),
                detail: format!(
                    "none of {} spots has a neighbour; spatial statistics need an array of spots",
                    centres.len()
                ),
            });
        }
        Ok(graph)
    }

    /// Number of spots.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no spot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbours of a spot, nearest first; each weighs `1 / number of neighbours`.
    ///
    /// # Panics
    /// If there is no such spot.
    pub fn neighbours(&self, spot: usize) -> &[u32] {
        &self.near[self.starts[spot]..self.starts[spot + 1]]
    }

    /// Number of spots that have a neighbour: the sum of all weights.
    pub fn connected(&self) -> usize {
        self.starts.windows(2).filter(|pair| pair[0] < pair[1]).count()
    }

    /// The moments of the weights that variances under normality are made of: `S0`, `S1`, `S2` of Cliff and Ord
    /// (Spatial Processes, 1981).
    pub(crate) fn moments(&self) -> (f64, f64, f64) {
        let weight = |spot: usize| match self.neighbours(spot).len() {
            0 => 0.0,
            n => 1.0 / n as f64,
        };
        let mut s1 = 0.0;
        let mut in_and_out = vec![0.0; self.len()];
        for spot in 0..self.len() {
            let near = self.neighbours(spot);
            in_and_out[spot] += if near.is_empty() { 0.0 } else { 1.0 };
            for &other in near {
                let other = other as usize;
                in_and_out[other] += weight(spot);
                let back = if self.neighbours(other).contains(&(spot as u32)) { weight(other) } else { 0.0 };
                s1 += weight(spot) * (weight(spot) + back);
            }
        }
        (self.connected() as f64, s1, in_and_out.iter().map(|sum| sum * sum).sum())
    }
}

/// A k-d tree without nodes: `order` is cut at its middle, by x and y in turn.
struct Tree<'a> {
    centres: &'a [Point<Level0>],
    order: Vec<u32>,
}

impl<'a> Tree<'a> {
    fn new(centres: &'a [Point<Level0>]) -> Self {
        let mut order: Vec<u32> = (0..centres.len() as u32).collect();
        cut(centres, &mut order, 0);
        Self { centres, order }
    }

    /// Gathers in `best`, nearest first, the `k` others of `order[start..end]` that are nearest to `spot`.
    fn search(&self, start: usize, end: usize, depth: usize, spot: usize, k: usize, best: &mut Vec<(f64, u32)>) {
        let place = self.centres[spot];
        let mut visit = |at: usize| {
            let other = self.order[at];
            let candidate = (place.distance(self.centres[other as usize]), other);
            if other as usize != spot && (best.len() < k || candidate < best[k - 1]) {
                best.truncate(k - 1);
                best.insert(best.partition_point(|known| *known < candidate), candidate);
            }
        };
        if end - start <= LEAF {
            (start..end).for_each(visit);
            return;
        }
        let middle = (start + end) / 2;
        visit(middle);
        let offset = along(place, depth) - along(self.centres[self.order[middle] as usize], depth);
        let (lower, upper) = ((start, middle), (middle + 1, end));
        let (near, far) = if offset < 0.0 { (lower, upper) } else { (upper, lower) };
        self.search(near.0, near.1, depth + 1, spot, k, best);
        // Not `<=`: many spots at one place would be walked in full for each of them.
        if best.len() < k || offset.abs() < best[k - 1].0 {
            self.search(far.0, far.1, depth + 1, spot, k, best);
        }
    }
}

fn cut(centres: &[Point<Level0>], order: &mut [u32], depth: usize) {
    if order.len() <= LEAF {
        return;
    }
    let middle = order.len() / 2;
    let key = |spot: &u32| along(centres[*spot as usize], depth);
    order.select_nth_unstable_by(middle, |a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
    let (lower, upper) = order.split_at_mut(middle);
    cut(centres, lower, depth + 1);
    cut(centres, &mut upper[1..], depth + 1);
}

fn along(place: Point<Level0>, depth: usize) -> f64 {
    if depth.is_multiple_of(2) { place.x } else { place.y }
}
