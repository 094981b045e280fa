use scellst_types::{Micron, Point};

use crate::grid::bounds;

/// Points in groups of near ones: group `g` is `order[ends[g - 1]..ends[g]]`, rising.
pub(crate) struct Tiles {
    pub(crate) order: Vec<u32>,
    pub(crate) ends: Vec<u32>,
}

/// Halves the points along the longer side of their box until there are at most `most` and they lie within `side_um`.
pub(crate) fn tiles(points: &[Point<Micron>], most: usize, side_um: f64) -> Tiles {
    let mut order: Vec<u32> = (0..points.len() as u32).collect();
    let lengths = halve(points, &mut order, most.max(1), side_um);
    let mut end = 0;
    let ends = lengths.into_iter().map(|length| {
        end += length;
        end
    });
    Tiles { ends: ends.collect(), order }
}

/// Puts one part into order; gives the lengths of its groups.
fn halve(points: &[Point<Micron>], part: &mut [u32], most: usize, side_um: f64) -> Vec<u32> {
    let at = |i: &u32| points[*i as usize];
    let places: Vec<_> = part.iter().map(at).collect();
    let Some((low, high)) = bounds(&places) else { return Vec::new() };
    drop(places);
    let (width, height) = (high.x - low.x, high.y - low.y);
    if part.len() <= most && width.max(height) <= side_um {
        part.sort_unstable();
        return vec![part.len() as u32];
    }
    if part.len() == 1 {
        return vec![1];
    }
    let middle = part.len() / 2;
    // A total order: which points come before the middle does not depend on how they are sorted.
    part.select_nth_unstable_by(middle, |a, b| {
        let (p, q) = (at(a), at(b));
        let along = if width >= height { p.x.total_cmp(&q.x) } else { p.y.total_cmp(&q.y) };
        along.then(a.cmp(b))
    });
    const ALONE: usize = 1 << 13;
    let large = part.len() > ALONE;
    let (left, right) = part.split_at_mut(middle);
    let mut left = || halve(points, left, most, side_um);
    let mut right = || halve(points, right, most, side_um);
    let (mut lengths, rest) = if large { rayon::join(left, right) } else { (left(), right()) };
    lengths.extend(rest);
    lengths
}
