/// Rings of more corners are not looked at, and no more pairs of edges than this: a hostile ring costs no more.
const MOST_CORNERS: usize = 4096;
const MOST_PAIRS: usize = 1 << 20;

/// Whether two edges of an open ring cross or overlap; edges that merely touch at a corner do not.
///
/// Edges are swept in the order of their least x, so that a ring of n corners costs about n log n.
pub(crate) fn crosses_itself(ring: &[[f32; 2]]) -> bool {
    let n = ring.len();
    if !(4..=MOST_CORNERS).contains(&n) {
        return false;
    }
    let at = |i: usize| ring[i % n].map(f64::from);
    let low = |i: usize| at(i)[0].min(at(i + 1)[0]);
    let high = |i: usize| at(i)[0].max(at(i + 1)[0]);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_unstable_by(|&a, &b| low(a).total_cmp(&low(b)));
    let mut pairs = 0;
    for (k, &a) in order.iter().enumerate() {
        for &b in order[k + 1..].iter().take_while(|&&b| low(b) <= high(a)) {
            pairs += 1;
            if pairs > MOST_PAIRS {
                return false;
            }
            let neighbours = (a + 1) % n == b || (b + 1) % n == a;
            if !neighbours && cross(at(a), at(a + 1), at(b), at(b + 1)) {
                return true;
            }
        }
    }
    false
}

/// Whether the open segments a-b and c-d share a point that is an end of neither.
fn cross(a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2]) -> bool {
    let side = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bow_ties_cross_and_rings_that_touch_do_not() {
        assert!(crosses_itself(&[[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]));
        assert!(!crosses_itself(&[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]));
        // Two squares that share a corner, drawn in one go.
        let eight = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0], [1.0, 1.0], [0.0, 1.0]];
        assert!(!crosses_itself(&eight));
        assert!(!crosses_itself(&[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]));
        let n = 2000;
        let round = |k: usize| {
            let turn = k as f32 / n as f32 * std::f32::consts::TAU;
            [turn.cos() * 100.0, turn.sin() * 100.0]
        };
        let mut ring: Vec<_> = (0..n).map(round).collect();
        assert!(!crosses_itself(&ring));
        ring.swap(700, 900);
        assert!(crosses_itself(&ring));
    }
}
