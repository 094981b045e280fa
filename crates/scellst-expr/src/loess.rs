//! Locally weighted regression of one variable, as Cleveland and Grosse's `dloess` (netlib) has it and
//! scikit-misc runs it: local quadratics at the corners of a k-d tree, cubic blending in between.
//!
//! Cleveland, W. S. and Grosse, E.: Computational methods for local regression, Statistics and Computing 1 (1991) 47-62.

/// Share of the points that a cell of the tree may hold, relative to the span.
const CELL: f64 = 0.2;
/// How far the tree reaches beyond the points, relative to their range.
const MARGIN: f64 = 0.10;

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

/// Cuts the cell that holds `xs[start..end]` at its median until few enough points are left; equal points stay together.
fn cut(xs: &[f64], start: usize, end: usize, cell: (f64, f64), most: usize, corners: &mut Vec<f64>) {
    if end - start <= most.max(1) {
        return;
    }
    // The last point of the lower half, moved to the nearest gap between unequal points (upwards first).
    let middle = (start + end - 1) / 2;
    let gap = |last: usize| last >= start && last + 1 < end && xs[last] != xs[last + 1];
    let Some(last) = (0..end - start).find_map(|offset| {
        [middle.checked_add(offset), middle.checked_sub(offset)].into_iter().flatten().find(|&last| gap(last))
    }) else {
        return;
    };
    let at = (xs[last] + xs[last + 1]) / 2.0;
    if at <= cell.0 || at >= cell.1 {
        return;
    }
    corners.push(at);
    cut(xs, start, last + 1, (cell.0, at), most, corners);
    cut(xs, last + 1, end, (at, cell.1), most, corners);
}

/// Value and slope at `at` of the tricube-weighted quadratic through the nearest points.
fn local_fit(xs: &[f64], ys: &[f64], at: f64, neighbours: usize) -> (f64, f64) {
    // The window of nearest points slides up while the point that it would gain is nearer than the one it loses.
    let mut start = xs.partition_point(|&x| x < at).saturating_sub(neighbours);
    while start + neighbours < xs.len() && xs[start + neighbours] - at < at - xs[start] {
        start += 1;
    }
    let radius = (at - xs[start]).abs().max((xs[start + neighbours - 1] - at).abs());
    let radius = if radius > 0.0 { radius } else { 1.0 };
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    let mut target = Vec::new();
    // Equal distances beyond the window count too; their weight is zero.
    for (&x, &y) in xs[start..start + neighbours].iter().zip(&ys[start..]) {
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
