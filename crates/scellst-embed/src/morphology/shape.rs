//! Shape of a mask, after the definitions of scikit-image's `regionprops`, as shares of the crop's size.

use super::nucleus::{Mask, neighbours};

/// Area, perimeter, circularity, axes, eccentricity, extent, solidity, offset of the centroid, cut off by the edge.
pub(super) fn features(mask: &Mask) -> [f32; 10] {
    let n = mask.pixels.len() as f32;
    if mask.pixels.is_empty() {
        return [0.0; 10];
    }
    let side = mask.width.min(mask.height) as f32;
    let points: Vec<(f32, f32)> =
        mask.pixels.iter().map(|&i| ((i % mask.width) as f32, (i / mask.width) as f32)).collect();
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f32>() / n, points.iter().map(|p| p.1).sum::<f32>() / n);
    let moment = |f: &dyn Fn(f32, f32) -> f32| points.iter().map(|p| f(p.0 - mx, p.1 - my)).sum::<f32>() / n;
    // A pixel is a square, not a point: 1/12 each way.
    let (xx, yy, xy) = (moment(&|x, _| x * x) + 1.0 / 12.0, moment(&|_, y| y * y) + 1.0 / 12.0, moment(&|x, y| x * y));
    let spread = ((xx - yy).powi(2) / 4.0 + xy * xy).sqrt();
    let (large, small) = ((xx + yy) / 2.0 + spread, ((xx + yy) / 2.0 - spread).max(1e-6));
    let (major, minor) = (4.0 * large.sqrt(), 4.0 * small.sqrt());

    let perimeter = perimeter(mask);
    let bounds = points
        .iter()
        .fold((f32::MAX, f32::MAX, 0f32, 0f32), |b, p| (b.0.min(p.0), b.1.min(p.1), b.2.max(p.0), b.3.max(p.1)));
    let box_area = (bounds.2 - bounds.0 + 1.0) * (bounds.3 - bounds.1 + 1.0);
    let offset = (mx + 0.5 - mask.width as f32 / 2.0).hypot(my + 0.5 - mask.height as f32 / 2.0);
    let cut = mask.pixels.iter().any(|&i| neighbours(i, mask.height, mask.width).contains(&None));
    [
        n / (mask.width * mask.height) as f32,
        perimeter / side,
        4.0 * std::f32::consts::PI * n / (perimeter * perimeter).max(1.0),
        major / side,
        minor / side,
        (1.0 - small / large).max(0.0).sqrt(),
        n / box_area,
        (n / hull_area(&points)).min(1.0),
        offset / side,
        if cut { 1.0 } else { 0.0 },
    ]
}

/// Length of the edge by Crofton's formula in two directions (Lehmann and Legland 2012): pi/4 times the
/// number of pixel sides between inside and outside.
fn perimeter(mask: &Mask) -> f32 {
    let outside = |j: Option<usize>| j.is_none_or(|j| !mask.inside[j]);
    let sides: usize = mask
        .pixels
        .iter()
        .map(|&i| neighbours(i, mask.height, mask.width).into_iter().filter(|&j| outside(j)).count())
        .sum();
    std::f32::consts::FRAC_PI_4 * sides as f32
}

/// Area of the convex hull of the pixels' corners (Andrew's monotone chain).
fn hull_area(points: &[(f32, f32)]) -> f32 {
    let mut corners: Vec<(f32, f32)> =
        points.iter().flat_map(|&(x, y)| [(x, y), (x + 1.0, y), (x, y + 1.0), (x + 1.0, y + 1.0)]).collect();
    corners.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    corners.dedup();
    let cross = |o: (f32, f32), a: (f32, f32), b: (f32, f32)| (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0);
    let chain = |points: &mut dyn Iterator<Item = (f32, f32)>| {
        let mut hull: Vec<(f32, f32)> = Vec::new();
        for p in points {
            while hull.len() > 1 && cross(hull[hull.len() - 2], hull[hull.len() - 1], p) <= 0.0 {
                hull.pop();
            }
            hull.push(p);
        }
        hull.pop(); // the last is the other chain's first
        hull
    };
    let mut hull = chain(&mut corners.iter().copied());
    hull.extend(chain(&mut corners.iter().rev().copied()));
    let twice: f32 =
        (0..hull.len()).map(|i| (hull[i], hull[(i + 1) % hull.len()])).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
    twice.abs() / 2.0
}
