use rayon::prelude::*;

/// Points in a plane, found by their distance: a k-d tree (Bentley, Commun ACM 1975, 18:509) whose nodes know how many
/// points they hold and their bounding box. Many points at one place cost no more than others.
pub(super) struct Neighbours {
    points: Vec<[f64; 2]>,
    /// Numbers of the points, a node's together.
    order: Vec<u32>,
    nodes: Vec<Node>,
}

struct Node {
    low: [f64; 2],
    high: [f64; 2],
    /// In `order`.
    start: u32,
    end: u32,
    /// The second child; the first follows its parent. 0 for a leaf.
    second: u32,
}

const LEAF: usize = 16;

impl Node {
    /// Squared distance to the nearest and the farthest place of the box.
    fn reach(&self, p: [f64; 2]) -> (f64, f64) {
        let along = |k: usize| {
            let (before, after) = (self.low[k] - p[k], p[k] - self.high[k]);
            (before.max(after).max(0.0), before.abs().max(after.abs()))
        };
        let ((near_x, far_x), (near_y, far_y)) = (along(0), along(1));
        (near_x * near_x + near_y * near_y, far_x * far_x + far_y * far_y)
    }
}

impl Neighbours {
    /// Of fewer than 2^32 points.
    pub(super) fn new(points: Vec<[f64; 2]>) -> Self {
        let order = (0..points.len() as u32).collect();
        let mut tree = Self { points, order, nodes: Vec::new() };
        let n = tree.points.len();
        if n > 0 {
            tree.grow(0, n);
        }
        tree
    }

    fn grow(&mut self, start: usize, end: usize) {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for &i in &self.order[start..end] {
            for k in 0..2 {
                low[k] = low[k].min(self.points[i as usize][k]);
                high[k] = high[k].max(self.points[i as usize][k]);
            }
        }
        let at = self.nodes.len();
        self.nodes.push(Node { low, high, start: start as u32, end: end as u32, second: 0 });
        if end - start > LEAF {
            let k = usize::from(high[1] - low[1] > high[0] - low[0]);
            let (middle, points) = ((end - start) / 2, &self.points);
            let key = |i: &u32| points[*i as usize][k];
            self.order[start..end].select_nth_unstable_by(middle, |a, b| key(a).total_cmp(&key(b)));
            self.grow(start, start + middle);
            self.nodes[at].second = self.nodes.len() as u32;
            self.grow(start + middle, end);
        }
    }

    /// For each point how many others lie within `radius` (itself not counted, the rim included), and the distances to
    /// its `k` nearest others, in rows of `k`, NaN where there are fewer. In the caller's rayon pool.
    pub(super) fn all(&self, radius: f64, k: usize) -> (Vec<u32>, Vec<f32>) {
        let n = self.points.len();
        let (mut counts, mut distances) = (vec![0u32; n], vec![f32::NAN; n * k]);
        counts.par_iter_mut().enumerate().with_min_len(256).for_each(|(i, count)| {
            *count = (self.within(0, self.points[i], radius * radius) - 1) as u32;
        });
        if k > 0 {
            distances.par_chunks_exact_mut(k).enumerate().with_min_len(256).for_each_init(
                Vec::new,
                |best, (i, row)| {
                    best.clear();
                    self.nearest(0, i as u32, k, best);
                    row.iter_mut().zip(best.iter()).for_each(|(to, d)| *to = d.sqrt() as f32);
                },
            );
        }
        (counts, distances)
    }

    fn within(&self, node: usize, p: [f64; 2], squared: f64) -> usize {
        let n = &self.nodes[node];
        let (near, far) = n.reach(p);
        if near > squared {
            return 0;
        }
        let (start, end) = (n.start as usize, n.end as usize);
        if far <= squared {
            return end - start;
        }
        if n.second == 0 {
            return self.order[start..end].iter().filter(|&&i| distance(self.points[i as usize], p) <= squared).count();
        }
        self.within(node + 1, p, squared) + self.within(n.second as usize, p, squared)
    }

    /// `best`: squared distances so far, the least first, at most `k`.
    fn nearest(&self, node: usize, of: u32, k: usize, best: &mut Vec<f64>) {
        let n = &self.nodes[node];
        let p = self.points[of as usize];
        let worst = |best: &Vec<f64>| if best.len() < k { f64::INFINITY } else { best[k - 1] };
        if n.reach(p).0 >= worst(best) {
            return;
        }
        if n.second == 0 {
            for &i in self.order[n.start as usize..n.end as usize].iter().filter(|&&i| i != of) {
                let d = distance(self.points[i as usize], p);
                if d < worst(best) {
                    best.insert(best.partition_point(|&b| b <= d), d);
                    best.truncate(k);
                }
            }
            return;
        }
        let mut children = [node + 1, n.second as usize];
        if self.nodes[children[1]].reach(p).0 < self.nodes[children[0]].reach(p).0 {
            children.swap(0, 1);
        }
        children.into_iter().for_each(|child| self.nearest(child, of, k, best));
    }
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_by_looking_at_all(
            // On a coarse grid, so that many coincide or lie on the rim.
            points in prop::collection::vec((0u8..40, 0u8..20), 1..200), radius in 0.0..12.0f64, k in 0usize..5,
        ) {
            let points: Vec<[f64; 2]> = points.iter().map(|&(x, y)| [f64::from(x) / 2.0, f64::from(y)]).collect();
            let radius = radius.round();
            let (counts, distances) = Neighbours::new(points.clone()).all(radius, k);
            for (i, p) in points.iter().enumerate() {
                let mut others: Vec<f64> = Vec::new();
                others.extend(points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, q)| distance(*p, *q)));
                others.sort_by(f64::total_cmp);
                prop_assert_eq!(counts[i] as usize, others.iter().filter(|d| **d <= radius * radius).count());
                for n in 0..k {
                    match others.get(n) {
                        Some(d) => prop_assert_eq!(distances[i * k + n], d.sqrt() as f32),
                        None => prop_assert!(distances[i * k + n].is_nan()),
                    }
                }
            }
        }
    }

    /// A tree that looked at every point of a place would take hours.
    #[test]
    fn many_at_one_place() {
        let n = 200_000;
        let (counts, distances) = Neighbours::new(vec![[3.0, 4.0]; n]).all(1.0, 3);
        assert!(counts.iter().all(|&c| c as usize == n - 1) && distances.iter().all(|&d| d == 0.0));
    }
}
