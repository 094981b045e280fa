//! Texture of one plane.

/// Length of the gradient by central differences, the edge repeated.
pub(super) fn gradient(v: &[f32], height: usize, width: usize) -> Vec<f32> {
    let at = |y: usize, x: usize| v[y.min(height - 1) * width + x.min(width - 1)];
    let mut out = Vec::with_capacity(v.len());
    for y in 0..height {
        for x in 0..width {
            let dx = at(y, x + 1) - at(y, x.saturating_sub(1));
            let dy = at(y + 1, x) - at(y.saturating_sub(1), x);
            out.push(0.5 * dx.hypot(dy));
        }
    }
    out
}

const GREYS: usize = 8;
/// Density that the highest grey begins at.
const TOP: f32 = 1.4;

/// Contrast, correlation, energy, homogeneity and entropy of the co-occurrence of eight grey levels one pixel
/// apart in four directions, both ways (Haralick 1973; definitions as scikit-image's `graycoprops`).
pub(super) fn co_occurrence(v: &[f32], height: usize, width: usize) -> [f32; 5] {
    let grey: Vec<usize> = v.iter().map(|&d| ((d / TOP * GREYS as f32) as usize).min(GREYS - 1)).collect();
    let mut pairs = [[0.0f32; GREYS]; GREYS];
    for y in 0..height {
        for x in 0..width {
            let a = grey[y * width + x];
            let mut count = |b: usize| pairs[a][b] += 1.0;
            if x + 1 < width {
                count(grey[y * width + x + 1]);
            }
            if y + 1 < height {
                count(grey[(y + 1) * width + x]);
                if x + 1 < width {
                    count(grey[(y + 1) * width + x + 1]);
                }
                if x > 0 {
                    count(grey[(y + 1) * width + x - 1]);
                }
            }
        }
    }
    let total: f32 = 2.0 * pairs.iter().flatten().sum::<f32>();
    let p = |i: usize, j: usize| (pairs[i][j] + pairs[j][i]) / total;
    let (mut contrast, mut energy, mut homogeneity, mut entropy, mut mean, mut square, mut product) =
        (0.0, 0.0f32, 0.0, 0.0, 0.0, 0.0, 0.0);
    for i in 0..GREYS {
        for j in 0..GREYS {
            let (w, a, b) = (p(i, j), i as f32, j as f32);
            contrast += w * (a - b) * (a - b);
            energy += w * w;
            homogeneity += w / (1.0 + (a - b) * (a - b));
            if w > 0.0 {
                entropy -= w * w.ln();
            }
            mean += w * a;
            square += w * a * a;
            product += w * a * b;
        }
    }
    let variance = square - mean * mean;
    // One grey level only: scikit-image calls that a correlation of 1.
    let correlation = if variance > 1e-9 { (product - mean * mean) / variance } else { 1.0 };
    [contrast, correlation, energy.sqrt(), homogeneity, entropy]
}
