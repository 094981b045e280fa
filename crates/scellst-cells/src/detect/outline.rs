/// The outer edge of a set of pixels as a smooth closed polygon.
///
/// `inside` says whether pixel `(x, y)` belongs to it; `start` is its first pixel in row order. The border between
/// pixels is followed with the set on the right hand; corners that touch at a point only are kept together (eight
/// neighbours). The corners of the polygon are the middles of the border's unit edges, moved by one binomial pass
/// (1 2 1)/4, every second one kept: within half a pixel of the border and close to its area.
/// Coordinates are pixel corners' (the first pixel covers 0 to 1).
pub(crate) fn outline(start: (i64, i64), inside: impl Fn(i64, i64) -> bool) -> Vec<[f64; 2]> {
    let border = trace(start, inside);
    let n = border.len();
    let middle: Vec<[f64; 2]> = (0..n)
        .map(|i| {
            let (a, b) = (border[i], border[(i + 1) % n]);
            [(a.0 + b.0) as f64 / 2.0, (a.1 + b.1) as f64 / 2.0]
        })
        .collect();
    let smooth = |i: usize| {
        let (a, b, c) = (middle[(i + n - 1) % n], middle[i], middle[(i + 1) % n]);
        [(a[0] + 2.0 * b[0] + c[0]) / 4.0, (a[1] + 2.0 * b[1] + c[1]) / 4.0]
    };
    let stride = if n >= 12 { 2 } else { 1 };
    (0..n).step_by(stride).map(smooth).collect()
}

/// Corners of the border, one to a unit edge.
pub(crate) fn trace(start: (i64, i64), inside: impl Fn(i64, i64) -> bool) -> Vec<(i64, i64)> {
    // Directions in clockwise order on the screen: right, down, left, up.
    const MOVES: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];
    // The pixels left and right of an edge that leaves the corner (x, y) in each direction.
    const LEFT: [(i64, i64); 4] = [(0, -1), (0, 0), (-1, 0), (-1, -1)];
    const RIGHT: [(i64, i64); 4] = [(0, 0), (-1, 0), (-1, -1), (0, -1)];
    let mut at = start;
    let mut direction = 0;
    let mut border = Vec::new();
    loop {
        border.push(at);
        at = (at.0 + MOVES[direction].0, at.1 + MOVES[direction].1);
        let is = |offset: (i64, i64)| inside(at.0 + offset.0, at.1 + offset.1);
        direction = if is(LEFT[direction]) {
            (direction + 3) % 4
        } else if is(RIGHT[direction]) {
            direction
        } else {
            (direction + 1) % 4
        };
        if at == start && direction == 0 {
            return border;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::ring_area_centroid;

    #[test]
    fn the_border_of_a_pixel_and_of_a_diagonal_pair() {
        assert_eq!(trace((3, 4), |x, y| (x, y) == (3, 4)), [(3, 4), (4, 4), (4, 5), (3, 5)]);
        let pair = trace((0, 0), |x, y| (x, y) == (0, 0) || (x, y) == (1, 1));
        assert_eq!(pair.len(), 8);
    }

    #[test]
    fn area_and_centre_of_a_disc_are_kept() {
        let inside = |x: i64, y: i64| (x - 50).pow(2) + (y - 50).pow(2) <= 64;
        let count = (0..100 * 100).filter(|i| inside(i % 100, i / 100)).count() as f64;
        let ring = outline((50, 42), inside);
        let (twice, centre) = ring_area_centroid(&ring);
        assert!((twice / 2.0 - count).abs() < 0.06 * count, "{} for {count} pixels", twice / 2.0);
        assert!((centre[0] - 50.5).abs() < 0.1 && (centre[1] - 50.5).abs() < 0.1);
        assert!((20..40).contains(&ring.len()));
    }
}
