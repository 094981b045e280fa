use super::wide::wide;
use super::window::Window;

/// Values of a window of the grid, in row order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Field {
    pub(crate) window: Window,
    pub(crate) data: Vec<f32>,
}

impl Field {
    /// Takes the place of another window; the values are left as they were, for whoever writes them next.
    pub(crate) fn reset(&mut self, window: &Window) {
        self.window = window.clone();
        self.data.resize(window.area(), 0.0);
    }

    /// The row `y` of the grid.
    pub(crate) fn row(&self, y: usize) -> &[f32] {
        let w = self.window.width();
        &self.data[(y - self.window.y.start) * w..][..w]
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> f32 {
        self.data[(y - self.window.y.start) * self.window.width() + x - self.window.x.start]
    }
}

/// Convolution with a Gaussian that is cut off at three standard deviations; pixels at the edge of the grid repeat.
///
/// Each value is summed in the same order wherever a window lies, so that two windows agree to the last bit where they
/// overlap.
pub(crate) struct Gaussian {
    /// Weight of the middle, and of the two pixels at each distance from it.
    half: Vec<f32>,
}

impl Gaussian {
    /// Standard deviation in pixels.
    pub(crate) fn new(sigma: f64) -> Self {
        let radius = (3.0 * sigma).ceil() as usize;
        if radius == 0 {
            return Self { half: vec![1.0] };
        }
        let weight = |k: usize| (-0.5 * (k as f64 / sigma).powi(2)).exp();
        let sum = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f64>();
        Self { half: (0..=radius).map(|k| (weight(k) / sum) as f32).collect() }
    }

    /// How far it reaches, px.
    pub(crate) fn radius(&self) -> usize {
        self.half.len() - 1
    }

    /// `source` must hold the window and [`Gaussian::radius`] around it, as far as the grid goes.
    pub(crate) fn apply(&self, source: &Field, window: &Window, out: &mut Field) {
        out.reset(window);
        let mut line = Vec::new();
        for (y, row) in window.y.clone().zip(out.data.chunks_exact_mut(window.width().max(1))) {
            self.row(source, window, y, &mut line, row);
        }
    }

    /// The same for the row `y` of the window; `line` is room to work in.
    pub(crate) fn row(&self, source: &Field, window: &Window, y: usize, line: &mut Vec<f32>, out: &mut [f32]) {
        let (radius, w) = (self.radius(), window.width());
        line.resize(w + 2 * radius, 0.0);
        // The columns that there are, and how many repeat the first and the last.
        let from = window.x.start.saturating_sub(radius).max(source.window.x.start);
        let to = (window.x.end + radius).min(source.window.x.end);
        let before = from + radius - window.x.start;
        let (first, last) = (from - source.window.x.start, to - source.window.x.start);
        let rows = &source.window.y;
        let row = |k: usize| {
            let y = (y + k).saturating_sub(radius).clamp(rows.start, rows.end - 1);
            &source.row(y)[first..last]
        };
        let rows: Vec<&[f32]> = (0..=2 * radius).map(row).collect();
        let after = before + to - from;
        wide(|| weighted(&rows, &self.half, &mut line[before..after]));
        let (left, right) = (line[before], line[after - 1]);
        line[..before].fill(left);
        line[after..].fill(right);
        let shifted: Vec<&[f32]> = (0..=2 * radius).map(|k| &line[k..k + w]).collect();
        wide(|| weighted(&shifted, &self.half, out));
    }
}

/// Values summed at once, so that the sums stay in registers.
const LANES: usize = 32;

/// The rows summed: the middle one with the first weight, those around it in pairs.
#[inline(always)]
fn weighted(rows: &[&[f32]], half: &[f32], out: &mut [f32]) {
    let n = out.len();
    let radius = half.len() - 1;
    let whole = n - n % LANES;
    for x in (0..whole).step_by(LANES) {
        let mut sums = [0.0f32; LANES];
        let middle = &rows[radius][x..x + LANES];
        for i in 0..LANES {
            sums[i] = half[0] * middle[i];
        }
        for k in 1..=radius {
            let (a, b, weight) = (&rows[radius - k][x..x + LANES], &rows[radius + k][x..x + LANES], half[k]);
            for i in 0..LANES {
                sums[i] += weight * (a[i] + b[i]);
            }
        }
        out[x..x + LANES].copy_from_slice(&sums);
    }
    for x in whole..n {
        let mut sum = half[0] * rows[radius][x];
        for k in 1..=radius {
            sum += half[k] * (rows[radius - k][x] + rows[radius + k][x]);
        }
        out[x] = sum;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn window(x: usize, y: usize, w: usize, h: usize) -> Window {
        Window { x: x..x + w, y: y..y + h }
    }

    /// Numbers that look random, 0 to 1.
    pub(crate) fn field(w: usize, h: usize, seed: u32) -> Field {
        let mut state = seed;
        let data = (0..w * h).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        });
        Field { window: window(0, 0, w, h), data: data.collect() }
    }

    pub(crate) fn cut(f: &Field, window: &Window) -> Field {
        let data = window.y.clone().flat_map(|y| window.x.clone().map(move |x| f.at(x, y)));
        Field { window: window.clone(), data: data.collect() }
    }

    #[test]
    fn a_gaussian_is_the_weighted_mean_with_the_edge_repeated() {
        let f = field(70, 9, 3);
        let mut out = Field::default();
        let sigma = 1.3;
        Gaussian::new(sigma).apply(&f, &f.window, &mut out);
        for (x, y) in [(0usize, 0usize), (69, 8), (33, 4), (64, 1)] {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (j, i) in (-4i64..=4).flat_map(|j| (-4i64..=4).map(move |i| (j, i))) {
                let weight = (-0.5 * ((i * i + j * j) as f64) / (sigma * sigma)).exp();
                let at = |v: usize, d: i64, n: i64| (v as i64 + d).clamp(0, n - 1) as usize;
                sum += weight * f64::from(f.at(at(x, i, 70), at(y, j, 9)));
                weights += weight;
            }
            assert!((f64::from(out.at(x, y)) - sum / weights).abs() < 1e-5);
        }
    }

    proptest! {
        #[test]
        fn a_cut_field_gives_the_same_bits(x in 0usize..20, y in 0usize..20, seed in 0u32..1000) {
            let f = field(90, 60, seed);
            let gaussian = Gaussian::new(2.0);
            let (mut all, mut part) = (Field::default(), Field::default());
            gaussian.apply(&f, &f.window, &mut all);
            let inner = window(x + 6, y + 6, 50, 20);
            gaussian.apply(&cut(&f, &inner.grown(6, (90, 60))), &inner, &mut part);
            prop_assert_eq!(part, cut(&all, &inner));
        }

        #[test]
        fn smoothing_keeps_a_constant(v in 0.0f32..1.0, sigma in 0.0f64..4.0) {
            let f = Field { window: window(3, 2, 7, 5), data: vec![v; 35] };
            let mut out = Field::default();
            Gaussian::new(sigma).apply(&f, &f.window, &mut out);
            for got in out.data {
                prop_assert!((got - v).abs() < 1e-5);
            }
        }
    }
}
