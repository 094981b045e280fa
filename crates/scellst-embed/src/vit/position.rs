//! Positions for another grid than that of the training.

/// `(rows, columns, dim)` to `(to.0, to.1, dim)`: bicubic (a = -0.5), antialiased, pixel centres at halves, as
/// PyTorch's `interpolate(mode="bicubic", antialias=True)` that timm calls.
pub(super) fn resample(from: &[f32], (rows, columns): (usize, usize), to: (usize, usize), dim: usize) -> Vec<f32> {
    if (rows, columns) == to {
        return from.to_vec();
    }
    let (down, across) = (weights(rows, to.0), weights(columns, to.1));
    // Across first, as PyTorch does; in f64 the order does not show.
    let mut half = vec![0.0f64; rows * to.1 * dim];
    for (y, row) in half.chunks_exact_mut((to.1 * dim).max(1)).enumerate() {
        for (pixel, (first, w)) in row.chunks_exact_mut(dim).zip(&across) {
            for (x, w) in w.iter().enumerate() {
                let source = &from[(y * columns + first + x) * dim..][..dim];
                pixel.iter_mut().zip(source).for_each(|(p, v)| *p += w * f64::from(*v));
            }
        }
    }
    let mut out = Vec::with_capacity(to.0 * to.1 * dim);
    for (first, w) in &down {
        let mut row = vec![0.0f64; to.1 * dim];
        for (y, w) in w.iter().enumerate() {
            let source = &half[(first + y) * to.1 * dim..][..to.1 * dim];
            row.iter_mut().zip(source).for_each(|(p, v)| *p += w * v);
        }
        out.extend(row.into_iter().map(|v| v as f32));
    }
    out
}

/// For each target the first source and the weights from there on; they add up to 1.
fn weights(from: usize, to: usize) -> Vec<(usize, Vec<f64>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    (0..to)
        .map(|i| {
            let centre = scale * (i as f64 + 0.5);
            let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
            let last = ((centre + 2.0 * stretch + 0.5) as usize).min(from);
            let mut w: Vec<f64> = (first..last).map(|j| cubic((j as f64 + 0.5 - centre) / stretch)).collect();
            let sum: f64 = w.iter().sum();
            w.iter_mut().for_each(|w| *w /= sum);
            (first, w)
        })
        .collect()
}

/// Keys 1981, a = -0.5.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    match x {
        _ if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// Crops `(images, height, width, 3)` enlarged to `side`, bilinear, pixel centres at halves, the edge repeated.
pub(super) fn enlarge(from: &[f32], (height, width): (usize, usize), (to_y, to_x): (usize, usize), out: &mut [f32]) {
    let places = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / to as f32;
        (0..to)
            .map(|i| {
                let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
                let low = (at as usize).min(from - 1);
                (low, (low + 1).min(from - 1), at - low as f32)
            })
            .collect()
    };
    let (down, across) = (places(height, to_y), places(width, to_x));
    let images = from.chunks_exact(height * width * 3).zip(out.chunks_exact_mut(to_y * to_x * 3));
    for (image, target) in images {
        for (row, &(y0, y1, fy)) in target.chunks_exact_mut(to_x * 3).zip(&down) {
            for (pixel, &(x0, x1, fx)) in row.chunks_exact_mut(3).zip(&across) {
                for (c, v) in pixel.iter_mut().enumerate() {
                    let at = |y: usize, x: usize| image[(y * width + x) * 3 + c];
                    let (top, bottom) =
                        (at(y0, x0) + fx * (at(y0, x1) - at(y0, x0)), at(y1, x0) + fx * (at(y1, x1) - at(y1, x0)));
                    *v = top + fy * (bottom - top);
                }
            }
        }
    }
}
