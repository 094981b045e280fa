//! Locally weighted regression of one variable, as Cleveland and Grosse's `dloess` (netlib) has it and
//! scikit-misc runs it: local quadratics at the corners of a k-d tree, cubic blending in between.
//!
//! Cleveland, W. S. and Grosse, E.: Computational methods for local regression, Statistics and Computing 1 (1991) 47-62.

/// Share of the points that a cell of the tree may hold, relative to the span.
const CELL: f64 = 0.2;
/// How far the tree reaches beyond the points, relative to their range.
const MARGIN: f64 = 0.005;

/// Fitted values at the points themselves: degree 2, Gaussian family, interpolated.
///
/// `span` is the share of points in each neighbourhood, above 0 and at most 1. `x` and `y` are finite and of one
/// length. Fewer than four points, or points at one place, are fitted by what they determine.
pub(crate) fn fit_quadratic(x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    let n = x.len();
    if n == 0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let xs: Vec<f64> = order.iter().map(|&at| x[at]).collect();
    let ys: Vec<f64> = order.iter().map(|&at| y[at]).collect();
    let neighbours = ((n as f64 * span + 1e-5).floor() as usize).clamp(1, n);
    let most_in_cell = (n as f64 * span * CELL).floor() as usize;

    let range = (xs[n - 1] - xs[0]).max(xs[0].abs().max(xs[n - 1].abs()) * 1e-10 + 1e-30);
    let (low, high) = (xs[0] - MARGIN * range, xs[n - 1] + MARGIN * range);
    let mut corners = vec![low, high];
    cut(&xs, 0, n, (low, high), most_in_cell, &mut corners);
    corners.sort_unstable_by(f64::total_cmp);
    let local: Vec<(f64, f64)> = corners.iter().map(|&corner| local_fit(&xs, &ys, corner, neighbours)).collect();

    let mut fitted = vec![0.0; n];
    for (&at, &value) in order.iter().zip(&xs) {
        let right = corners.partition_point(|&corner| corner <= value).clamp(1, corners.len() - 1);
        fitted[at] = blend(value, (corners[right - 1], local[right - 1]), (corners[right], local[right]));
    }
    fitted
}

/// Cuts the cell that holds `xs[start..end]` at its median until few enough points are left.
fn cut(xs: &[f64], start: usize, end: usize, cell: (f64, f64), most: usize, corners: &mut Vec<f64>) {
    if end - start <= most.max(1) {
        return;
    }
    let last = last_of_lower_half(xs, start, end);
    let at = xs[last];
    if at == cell.0 || at == cell.1 {
        return;
    }
    corners.push(at);
    cut(xs, start, last + 1, (cell.0, at), most, corners);
    cut(xs, last + 1, end, (at, cell.1), most, corners);
}

/// The median, or the nearest point before a larger one: so that equal points stay together. Looks by turns one
/// further up and down, and gives up (for the median) where one side ends, as the original does.
fn last_of_lower_half(xs: &[f64], start: usize, end: usize) -> usize {
    let middle = (start + end - 1) / 2;
    if middle + 1 < end && xs[middle] != xs[middle + 1] {
        return middle;
    }
    for offset in 1..end - start {
        let above = middle + offset;
        if above + 1 >= end {
            break;
        }
        if xs[above] != xs[above + 1] {
            return above;
        }
        if middle < start + offset {
            break;
        }
        let below = middle - offset;
        if xs[below] != xs[below + 1] {
            return below;
        }
    }
    middle
}

/// Value and slope at `at` of the tricube-weighted quadratic through the nearest points.
fn local_fit(xs: &[f64], ys: &[f64], at: f64, neighbours: usize) -> (f64, f64) {
    // The window of nearest points slides up while the point that it would gain is nearer than the one it loses.
    let mut start = xs.partition_point(|&x| x < at).saturating_sub(neighbours);
    while start + neighbours < xs.len() && xs[start + neighbours] - at < at - xs[start] {
        start += 1;
    }
    let radius = (at - xs[start]).abs().max((xs[start + neighbours - 1] - at).abs());
    let (window, radius) = if radius > 0.0 {
        (start..start + neighbours, radius)
    } else {
        // More points than a neighbourhood holds lie right here, where scikit-misc gives up: all of them count.
        (xs.partition_point(|&x| x < at)..xs.partition_point(|&x| x <= at), 1.0)
    };
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    let mut target = Vec::new();
    // Equal distances beyond the window count too; their weight is zero.
    for (&x, &y) in xs[window.clone()].iter().zip(&ys[window]) {
        let distance = (x - at) / radius;
        let root = (1.0 - distance.abs().powi(3)).max(0.0).powi(3).sqrt();
        if root > 0.0 {
            columns[0].push(root);
            columns[1].push(root * distance);
            columns[2].push(root * distance * distance);
            target.push(root * y);
        }
    }
    let [value, slope, _] = least_squares(columns, &target);
    (value, slope / radius)
}

/// The least-squares solution of three columns, of least norm where they depend on each other:
/// singular values by one-sided Jacobi rotations of the columns.
fn least_squares(mut columns: [Vec<f64>; 3], target: &[f64]) -> [f64; 3] {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut norms = [1.0; 3];
    for (column, norm) in columns.iter_mut().zip(&mut norms) {
        let length = dot(column, column).sqrt();
        if length > 0.0 {
            *norm = length;
            column.iter_mut().for_each(|value| *value /= length);
        }
    }
    let mut basis = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _sweep in 0..30 {
        let mut largest: f64 = 0.0;
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            let (a, b, c) =
                (dot(&columns[i], &columns[i]), dot(&columns[j], &columns[j]), dot(&columns[i], &columns[j]));
            if c == 0.0 || c.abs() <= 1e-16 * (a * b).sqrt() {
                continue;
            }
            largest = largest.max(c.abs() / (a * b).sqrt());
            let zeta = (b - a) / (2.0 * c);
            let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            let sine = cosine * tangent;
            let (left, right) = columns.split_at_mut(j);
            rotate(&mut left[i], &mut right[0], cosine, sine);
            let (left, right) = basis.split_at_mut(j);
            rotate(&mut left[i], &mut right[0], cosine, sine);
        }
        if largest < 1e-14 {
            break;
        }
    }
    let squares = [0, 1, 2].map(|k| dot(&columns[k], &columns[k]));
    let least = squares.iter().copied().fold(0.0, f64::max) * (100.0 * f64::EPSILON).powi(2);
    let mut solution = [0.0; 3];
    for k in 0..3 {
        if squares[k] > least {
            let along = dot(&columns[k], target) / squares[k];
            for (value, direction) in solution.iter_mut().zip(basis[k]) {
                *value += along * direction;
            }
        }
    }
    [0, 1, 2].map(|k| solution[k] / norms[k])
}

fn rotate(a: &mut [f64], b: &mut [f64], cosine: f64, sine: f64) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

/// Cubic Hermite interpolation between two corners with values and slopes.
fn blend(x: f64, (x0, (y0, s0)): (f64, (f64, f64)), (x1, (y1, s1)): (f64, (f64, f64))) -> f64 {
    let width = x1 - x0;
    let h = (x - x0) / width;
    let rest = 1.0 - h;
    rest * rest * (1.0 + 2.0 * h) * y0
        + h * h * (3.0 - 2.0 * h) * y1
        + (h * rest * rest * s0 - h * h * rest * s1) * width
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `tests/data/loess.py`. The tolerance is for sums in another order: values are of size 1 to 100.
    #[test]
    fn fits_as_scikit_misc() {
        let cases: serde_json::Value = serde_json::from_str(include_str!("../tests/data/loess.json")).unwrap();
        for (name, case) in cases.as_object().unwrap() {
            let list =
                |key: &str| -> Vec<f64> { case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
            let fitted = fit_quadratic(&list("x"), &list("y"), case["span"].as_f64().unwrap());
            let wanted = list("fitted");
            assert_eq!(fitted.len(), wanted.len());
            for (ours, theirs) in fitted.iter().zip(&wanted) {
                assert!((ours - theirs).abs() < 1e-10, "{name}: {ours} beside {theirs}");
            }
        }
    }

    #[test]
    fn what_points_do_not_determine_is_still_finite() {
        assert!(fit_quadratic(&[], &[], 0.3).is_empty());
        let same_place = fit_quadratic(&[2.0; 40], &(0..40).map(f64::from).collect::<Vec<_>>(), 0.3);
        assert!(same_place.iter().all(|v| v.is_finite()));
        let two_places: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        for value in fit_quadratic(&two_places, &two_places, 0.3) {
            assert!(value.is_finite());
        }
        for n in 1..12 {
            let x: Vec<f64> = (0..n).map(f64::from).collect();
            assert!(fit_quadratic(&x, &x, 0.3).iter().all(|v| v.is_finite()), "{n} points");
        }
    }

    /// More points at one place than a neighbourhood holds: their mean, in whatever order they come.
    #[test]
    fn many_points_at_one_place() {
        let x: Vec<f64> = (0..40).map(|i| if i < 30 { 1.0 } else { f64::from(i) }).collect();
        let y: Vec<f64> = (0..40).map(|i| f64::from(i % 7)).collect();
        let mean = y[..30].iter().sum::<f64>() / 30.0;
        let fitted = fit_quadratic(&x, &y, 0.3);
        assert!(fitted[..30].iter().all(|v| (v - mean).abs() < 1e-9), "{} beside {mean}", fitted[0]);
        let reversed = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
        let backward = reversed(&fit_quadratic(&reversed(&x), &reversed(&y), 0.3));
        assert!(fitted.iter().zip(&backward).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    proptest! {
        #[test]
        fn a_parabola_is_its_own_fit(
            x in prop::collection::vec(-10.0..10.0f64, 60..200),
            a in -2.0..2.0f64, b in -2.0..2.0f64, c in -2.0..2.0f64,
        ) {
            // At the corners the fit is exact; in between cubic blending of a parabola's values and slopes is too.
            let y: Vec<f64> = x.iter().map(|x| a + b * x + c * x * x).collect();
            for (fitted, y) in fit_quadratic(&x, &y, 0.5).iter().zip(&y) {
                prop_assert!((fitted - y).abs() < 1e-7, "{} beside {}", fitted, y);
            }
        }

        #[test]
        fn order_does_not_matter(points in prop::collection::vec((-5.0..5.0f64, -5.0..5.0f64), 20..100)) {
            let x: Vec<f64> = points.iter().map(|p| p.0).collect();
            let y: Vec<f64> = points.iter().map(|p| p.1).collect();
            let forward = fit_quadratic(&x, &y, 0.4);
            let reversed = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
            let backward = reversed(&fit_quadratic(&reversed(&x), &reversed(&y), 0.4));
            prop_assert!(forward.iter().zip(&backward).all(|(a, b)| (a - b).abs() < 1e-8));
        }
    }
}
