use super::mask::Mask;

/// The convex hull of a region as pixels, row by row.
///
/// As scikit-image's `convex_hull_image`: the hull of the middles of the four sides of every pixel, and of the pixels
/// those whose centre lies in it or on its edge. Reckoned in whole numbers, so without any tolerance.
#[derive(Debug)]
pub(super) struct Hull {
    /// First and last column of each row of the mask that has any.
    rows: Vec<(i64, i64, i64)>,
}

/// Half pixels: a pixel's centre is even, the middle of a side odd.
type Corner = (i64, i64);

impl Hull {
    pub(super) fn of(mask: &Mask) -> Self {
        let mut corners: Vec<Corner> = Vec::new();
        for (y, line) in mask.as_slice().chunks_exact(mask.width).enumerate() {
            let ends = line.iter().position(|&m| m).zip(line.iter().rposition(|&m| m));
            if let Some((first, last)) = ends {
                let y = 2 * y as i64;
                for x in [2 * first as i64, 2 * last as i64] {
                    corners.extend([(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]);
                }
            }
        }
        let ring = convex(corners);
        let even = |y: i64| y + y.rem_euclid(2);
        let (low, high) = ring.iter().fold((i64::MAX, i64::MIN), |(a, b), c| (a.min(c.1), b.max(c.1)));
        let first = even(low);
        let count = if low > high { 0 } else { ((high - first).max(0) / 2 + 1) as usize };
        let mut rows: Vec<(i64, i64, i64)> = (0..count as i64).map(|i| ((first / 2) + i, i64::MAX, i64::MIN)).collect();
        for (k, &a) in ring.iter().enumerate() {
            let b = ring[(k + 1) % ring.len()];
            let (up, down) = if a.1 <= b.1 { (a, b) } else { (b, a) };
            let mut y = even(up.1);
            while y <= down.1 {
                let row = &mut rows[((y - first) / 2) as usize];
                let mut meet = |numerator: i64, denominator: i64| {
                    // Columns are halves of x: rounded up for the first, down for the last.
                    row.1 = row.1.min(-(-numerator).div_euclid(2 * denominator));
                    row.2 = row.2.max(numerator.div_euclid(2 * denominator));
                };
                if up.1 == down.1 {
                    meet(up.0, 1);
                    meet(down.0, 1);
                } else {
                    let tall = down.1 - up.1;
                    meet(up.0 * tall + (y - up.1) * (down.0 - up.0), tall);
                }
                y += 2;
            }
        }
        rows.retain(|r| r.1 <= r.2);
        Self { rows }
    }

    /// Pixels in the hull.
    pub(super) fn area(&self) -> usize {
        self.rows.iter().map(|r| (r.2 - r.1 + 1) as usize).sum()
    }

    /// The greatest distance between middles of the hull's outer sides: scikit-image's `feret_diameter_max`.
    pub(super) fn widest(&self) -> f64 {
        let mut middles: Vec<Corner> = Vec::new();
        for &(y, first, last) in &self.rows {
            for x in [first, last] {
                middles.extend([(2 * x - 1, 2 * y), (2 * x + 1, 2 * y), (2 * x, 2 * y - 1), (2 * x, 2 * y + 1)]);
            }
        }
        let ring = convex(middles);
        let far = |a: &Corner, b: &Corner| (a.0 - b.0).pow(2) + (a.1 - b.1).pow(2);
        let squared = ring.iter().enumerate().flat_map(|(i, a)| ring[i..].iter().map(move |b| far(a, b))).max();
        (squared.unwrap_or(0) as f64).sqrt() / 2.0
    }
}

/// The corners of the convex hull in order (Andrew, Inf Process Lett 1979, 9:216).
fn convex(mut corners: Vec<Corner>) -> Vec<Corner> {
    corners.sort_unstable();
    corners.dedup();
    let cross = |o: Corner, a: Corner, b: Corner| (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0);
    let chain = |points: &mut dyn Iterator<Item = Corner>| {
        let mut hull: Vec<Corner> = Vec::new();
        for p in points {
            while let [.., a, b] = hull[..]
                && cross(a, b, p) <= 0
            {
                hull.pop();
            }
            hull.push(p);
        }
        // The last is the other chain's first.
        hull.pop();
        hull
    };
    let mut hull = chain(&mut corners.iter().copied());
    hull.extend(chain(&mut corners.iter().rev().copied()));
    hull
}
