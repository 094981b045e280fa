//! Exact areas of what two plane figures share.

use std::f64::consts::PI;

type Corner = (f64, f64);

fn cross(p: Corner, q: Corner) -> f64 {
    p.0 * q.1 - p.1 * q.0
}

fn edges(ring: &[Corner]) -> impl Iterator<Item = (Corner, Corner)> + '_ {
    ring.iter().zip(ring.iter().cycle().skip(1)).map(|(&p, &q)| (p, q))
}

/// Area within a ring, positive if its corners turn from x to y.
pub(crate) fn of_ring(ring: &[Corner]) -> f64 {
    edges(ring).map(|(p, q)| cross(p, q)).sum::<f64>() / 2.0
}

/// Area that a ring shares with the disc of this radius around the origin, signed as [`of_ring`].
///
/// The sum over the edges of what the disc shares with the triangle of the origin and the edge: a triangle where the
/// edge lies within the disc, sectors where it does not.
pub(crate) fn ring_and_disc(ring: &[Corner], radius: f64) -> f64 {
    let sector = |p: Corner, q: Corner| {
        let dot = p.0 * q.0 + p.1 * q.1;
        radius * radius * cross(p, q).atan2(dot) / 2.0
    };
    let edge = |(p, q): (Corner, Corner)| {
        let d = (q.0 - p.0, q.1 - p.1);
        let a = d.0 * d.0 + d.1 * d.1;
        if a == 0.0 {
            return 0.0;
        }
        // Where the line p + t d meets the circle: a t^2 + 2 b t + c = 0.
        let b = p.0 * d.0 + p.1 * d.1;
        let c = p.0 * p.0 + p.1 * p.1 - radius * radius;
        let root = b * b - a * c;
        if root <= 0.0 {
            return sector(p, q);
        }
        let (enter, leave) = ((-b - root.sqrt()) / a, (-b + root.sqrt()) / a);
        if enter >= 1.0 || leave <= 0.0 {
            return sector(p, q);
        }
        let at = |t: f64| (p.0 + t * d.0, p.1 + t * d.1);
        let first = if enter > 0.0 { at(enter) } else { p };
        let last = if leave < 1.0 { at(leave) } else { q };
        let before = if enter > 0.0 { sector(p, first) } else { 0.0 };
        let after = if leave < 1.0 { sector(last, q) } else { 0.0 };
        before + cross(first, last) / 2.0 + after
    };
    edges(ring).map(edge).sum()
}

/// Area that a ring shares with the square of this half side around the origin, signed as [`of_ring`]: cut off along
/// each side in turn (Sutherland and Hodgman 1974; what is left over of a ring that is not convex has no area).
pub(crate) fn ring_and_square(ring: &[Corner], half: f64) -> f64 {
    let sides: [fn(Corner) -> f64; 4] = [|p| p.0, |p| -p.0, |p| p.1, |p| -p.1];
    let mut left = ring.to_vec();
    for side in sides {
        let mut kept = Vec::with_capacity(left.len() + 4);
        for (p, q) in edges(&left) {
            let (u, v) = (half - side(p), half - side(q));
            if u >= 0.0 {
                kept.push(p);
            }
            if (u >= 0.0) != (v >= 0.0) {
                let t = u / (u - v);
                kept.push((p.0 + t * (q.0 - p.0), p.1 + t * (q.1 - p.1)));
            }
        }
        left = kept;
    }
    of_ring(&left)
}

/// Area that two discs share whose centres lie so far apart.
pub(crate) fn disc_and_disc(distance: f64, one: f64, two: f64) -> f64 {
    if distance >= one + two {
        return 0.0;
    }
    let (small, large) = (one.min(two), one.max(two));
    if distance <= large - small {
        return PI * small * small;
    }
    // Of each disc the sector between the points where the circles meet, less the triangle to them.
    let along = |r: f64, other: f64| (distance * distance + r * r - other * other) / (2.0 * distance);
    let segment = |r: f64, other: f64| {
        let x = along(r, other).clamp(-r, r);
        r * r * (x / r).acos() - x * (r * r - x * x).sqrt()
    };
    segment(one, two) + segment(two, one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(x: f64, y: f64, half: f64) -> Vec<Corner> {
        vec![(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    }

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-12 * (1.0 + wanted.abs()), "{found}, not {wanted}");
    }

    #[test]
    fn areas_that_are_known() {
        close(of_ring(&square(5.0, -3.0, 2.0)), 16.0);
        // All within, all around, apart, a quarter, a half.
        close(ring_and_disc(&square(0.1, 0.2, 0.5), 2.0), 1.0);
        close(ring_and_disc(&square(0.0, 0.0, 9.0), 2.0), 4.0 * PI);
        close(ring_and_disc(&square(9.0, 0.0, 1.0), 2.0), 0.0);
        close(ring_and_disc(&square(3.0, 3.0, 3.0), 2.0), PI);
        close(ring_and_disc(&square(0.0, 5.0, 5.0), 2.0), 2.0 * PI);
        // The inscribed square leaves four equal segments.
        close(ring_and_disc(&square(0.0, 0.0, 0.5_f64.sqrt()), 1.0), 2.0);
        // Corners on the circle's centre and edges that touch the circle.
        close(ring_and_disc(&square(0.0, 0.0, 1.0), 1.0), PI);
        close(disc_and_disc(0.0, 1.0, 3.0), PI);
        close(disc_and_disc(4.0, 1.0, 3.0), 0.0);
        // Each through the other's centre: 2 pi / 3 - sqrt(3) / 2.
        close(disc_and_disc(1.0, 1.0, 1.0), 2.0 * PI / 3.0 - 3.0_f64.sqrt() / 2.0);
        close(ring_and_square(&square(1.0, 1.0, 1.0), 1.0), 1.0);
        // An L around the square's corner: its hollow lies on the square.
        let l = [(0.0, 0.0), (3.0, 0.0), (3.0, 1.0), (0.5, 1.0), (0.5, 3.0), (0.0, 3.0)];
        close(ring_and_square(&l, 2.0), 2.0 + 0.5);
        for area in [ring_and_disc(&[], 1.0), ring_and_square(&[], 1.0), ring_and_disc(&[(0.0, 0.0)], 1.0)] {
            assert_eq!(area, 0.0);
        }
    }

    /// A star around a place: simple, seldom convex.
    fn star() -> impl Strategy<Value = Vec<Corner>> {
        (prop::collection::vec(0.2..3.0f64, 3..14), -3.0..3.0f64, -3.0..3.0f64).prop_map(|(radii, x, y)| {
            let n = radii.len() as f64;
            (0..)
                .zip(radii)
                .map(|(i, r)| {
                    let turn = 2.0 * PI * f64::from(i) / n;
                    (x + r * turn.cos(), y + r * turn.sin())
                })
                .collect()
        })
    }

    proptest! {
        /// Cut into thin strips along x, whose length within a simple ring and a figure is plain.
        #[test]
        fn areas_are_those_of_strips(ring in star(), radius in 0.3..4.0f64) {
            const STRIPS: usize = 20_000;
            let strip = 2.0 * radius / STRIPS as f64;
            let (mut disc, mut square) = (0.0, 0.0);
            for i in 0..STRIPS {
                let y = -radius + (i as f64 + 0.5) * strip;
                let mut meets: Vec<f64> = edges(&ring)
                    .filter(|(p, q)| (p.1 <= y) != (q.1 <= y))
                    .map(|(p, q)| p.0 + (y - p.1) / (q.1 - p.1) * (q.0 - p.0))
                    .collect();
                meets.sort_unstable_by(f64::total_cmp);
                for pair in meets.chunks(2) {
                    let within = |half: f64| (pair[1].min(half) - pair[0].max(-half)).max(0.0);
                    disc += strip * within((radius * radius - y * y).sqrt());
                    square += strip * within(radius);
                }
            }
            prop_assert!((ring_and_disc(&ring, radius) - disc).abs() < 2e-3, "{} {disc}", ring_and_disc(&ring, radius));
            prop_assert!((ring_and_square(&ring, radius) - square).abs() < 2e-3, "{} {square}", ring_and_square(&ring, radius));
            // The other way round it is the negative.
            let back: Vec<Corner> = ring.iter().rev().copied().collect();
            prop_assert!((ring_and_disc(&back, radius) + ring_and_disc(&ring, radius)).abs() < 1e-9);
        }

        /// A disc is nearly a polygon of many corners.
        #[test]
        fn discs_are_polygons_of_many_corners(x in -4.0..4.0f64, one in 0.2..3.0f64, two in 0.2..3.0f64) {
            let corners = 4000;
            let ring: Vec<Corner> = (0..corners).map(|i| {
                let turn = 2.0 * PI * f64::from(i) / f64::from(corners);
                (x + one * turn.cos(), one * turn.sin())
            }).collect();
            prop_assert!((ring_and_disc(&ring, two) - disc_and_disc(x.abs(), one, two)).abs() < 1e-4);
        }
    }
}
