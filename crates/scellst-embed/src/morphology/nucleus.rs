//! The nucleus in the middle of a crop.

/// Which pixels are the nucleus, and what else is as dark.
pub(super) struct Mask {
    pub height: usize,
    pub width: usize,
    /// Of each pixel: is it the nucleus?
    pub inside: Vec<bool>,
    /// The nucleus's pixels in row order.
    pub pixels: Vec<usize>,
    /// Dark pixels of other components.
    pub other_area: usize,
    /// Number of other components of at least [`MIN_PIXELS`].
    pub others: usize,
}

/// Smaller components are noise: 1 um2 at 0.25 um/px.
const MIN_PIXELS: usize = 16;
/// Haematoxylin density under which nothing is a nucleus, however the threshold falls.
const MIN_DENSITY: f32 = 0.1;
/// How far from the middle the nucleus may begin, as a share of the crop's side.
const REACH: f32 = 0.125;

impl Mask {
    pub(super) fn of(haematoxylin: &[f32], height: usize, width: usize) -> Self {
        let smooth = box_blur(&box_blur(haematoxylin, height, width), height, width);
        let threshold = otsu(&smooth).max(MIN_DENSITY);
        let dark: Vec<bool> = smooth.iter().map(|&v| v > threshold).collect();
        let components = components(&dark, height, width);
        let middle = |i: usize| {
            let (y, x) = ((i / width) as f32 + 0.5, (i % width) as f32 + 0.5);
            (y - height as f32 / 2.0).hypot(x - width as f32 / 2.0)
        };
        let distance = |c: &Vec<usize>| c.iter().map(|&i| middle(i)).fold(f32::INFINITY, f32::min);
        let nucleus = (0..components.len())
            .filter(|&c| components[c].len() >= MIN_PIXELS)
            .map(|c| (distance(&components[c]), c))
            .filter(|(d, _)| *d <= REACH * width.min(height) as f32)
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, c)| c);
        let other = |c: &usize| Some(*c) != nucleus;
        let other_area = (0..components.len()).filter(other).map(|c| components[c].len()).sum();
        let others = (0..components.len()).filter(other).filter(|&c| components[c].len() >= MIN_PIXELS).count();
        let mut pixels = nucleus.map(|c| components[c].clone()).unwrap_or_default();
        pixels.sort_unstable();
        let mut inside = vec![false; height * width];
        pixels.iter().for_each(|&i| inside[i] = true);
        Self { height, width, inside, pixels, other_area, others }
    }

    /// Pixels outside of the nucleus within `reach` of it (city blocks).
    pub(super) fn rim(&self, reach: usize) -> Vec<usize> {
        let mut seen = self.inside.clone();
        let mut front = self.pixels.clone();
        let mut rim = Vec::new();
        for _ in 0..reach {
            let mut next = Vec::new();
            for &i in &front {
                for j in neighbours(i, self.height, self.width).into_iter().flatten() {
                    if !std::mem::replace(&mut seen[j], true) {
                        next.push(j);
                    }
                }
            }
            rim.extend(&next);
            front = next;
        }
        rim
    }
}

/// Left, right, above, below, where inside.
pub(super) fn neighbours(i: usize, height: usize, width: usize) -> [Option<usize>; 4] {
    let (y, x) = (i / width, i % width);
    [
        (x > 0).then(|| i - 1),
        (x + 1 < width).then(|| i + 1),
        (y > 0).then(|| i - width),
        (y + 1 < height).then(|| i + width),
    ]
}

/// 3 x 3 mean, with the edge repeated.
fn box_blur(v: &[f32], height: usize, width: usize) -> Vec<f32> {
    let mut rows = vec![0.0; v.len()];
    for (to, from) in rows.chunks_exact_mut(width).zip(v.chunks_exact(width)) {
        for x in 0..width {
            to[x] = (from[x.saturating_sub(1)] + from[x] + from[(x + 1).min(width - 1)]) / 3.0;
        }
    }
    let mut out = vec![0.0; v.len()];
    for y in 0..height {
        let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
        for x in 0..width {
            out[y * width + x] = (rows[above + x] + rows[y * width + x] + rows[below + x]) / 3.0;
        }
    }
    out
}

/// Otsu 1979: the threshold that parts a 128-bin histogram with the most variance between both sides.
fn otsu(values: &[f32]) -> f32 {
    const BINS: usize = 128;
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let width = (high - low) / BINS as f32;
    if width.is_nan() || width <= 0.0 {
        return high;
    }
    let mut histogram = [0.0f64; BINS];
    for &v in values {
        histogram[(((v - low) / width) as usize).min(BINS - 1)] += 1.0;
    }
    let total: f64 = histogram.iter().sum();
    let all: f64 = histogram.iter().enumerate().map(|(i, h)| i as f64 * h).sum();
    let (mut below, mut sum, mut best, mut at) = (0.0, 0.0, -1.0, 0);
    for (i, h) in histogram.iter().enumerate().take(BINS - 1) {
        below += h;
        sum += i as f64 * h;
        if below == 0.0 || below == total {
            continue;
        }
        let apart = sum / below - (all - sum) / (total - below);
        let between = below * (total - below) * apart * apart;
        if between > best {
            (best, at) = (between, i);
        }
    }
    low + (at + 1) as f32 * width
}

/// Components of four neighbours, in the order of their first pixel.
fn components(dark: &[bool], height: usize, width: usize) -> Vec<Vec<usize>> {
    let mut seen = vec![false; dark.len()];
    let mut found = Vec::new();
    for start in 0..dark.len() {
        if !dark[start] || seen[start] {
            continue;
        }
        seen[start] = true;
        let mut component = vec![start];
        let mut next = 0;
        while next < component.len() {
            for j in neighbours(component[next], height, width).into_iter().flatten() {
                if dark[j] && !std::mem::replace(&mut seen[j], true) {
                    component.push(j);
                }
            }
            next += 1;
        }
        found.push(component);
    }
    found
}
