/// A rectangle of values in row order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<f32>,
}

impl Field {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, data: vec![0.0; width * height] }
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.data.chunks_exact_mut(self.width)
    }

    /// Convolved with a Gaussian that is cut off at three standard deviations; edge pixels repeat.
    ///
    /// Each value is summed in the same order wherever the rectangle's corner lies, so that two
    /// rectangles agree to the last bit where they overlap (further than the radius from their edges).
    pub(crate) fn gaussian(&self, sigma: f64) -> Self {
        let radius = gaussian_radius(sigma);
        if radius == 0 {
            return self.clone();
        }
        let mut kernel: Vec<f64> =
            (0..=2 * radius).map(|i| (-0.5 * ((i as f64 - radius as f64) / sigma).powi(2)).exp()).collect();
        let sum: f64 = kernel.iter().sum();
        kernel.iter_mut().for_each(|k| *k /= sum);
        let kernel: Vec<f32> = kernel.into_iter().map(|k| k as f32).collect();

        let (w, h) = (self.width, self.height);
        let mut wide = Self::new(w, h);
        let mut padded = vec![0.0f32; w + 2 * radius];
        for (row, out) in self.data.chunks_exact(w).zip(wide.rows_mut()) {
            padded[..radius].fill(row[0]);
            padded[radius..radius + w].copy_from_slice(row);
            padded[radius + w..].fill(row[w - 1]);
            for (k, &weight) in kernel.iter().enumerate() {
                out.iter_mut().zip(&padded[k..k + w]).for_each(|(o, s)| *o += weight * s);
            }
        }
        let mut out = Self::new(w, h);
        for (y, line) in out.rows_mut().enumerate() {
            for (k, &weight) in kernel.iter().enumerate() {
                let from = (y + k).saturating_sub(radius).min(h - 1);
                let row = &wide.data[from * w..(from + 1) * w];
                line.iter_mut().zip(row).for_each(|(o, s)| *o += weight * s);
            }
        }
        out
    }

    /// The mean over the square of `2 radius + 1` pixels, what lies outside left out of it.
    ///
    /// In whole numbers (1/65536), because running sums of floats would depend on where they began.
    pub(crate) fn box_mean(&self, radius: usize) -> Self {
        let (w, h) = (self.width, self.height);
        let whole: Vec<i32> = self.data.iter().map(|&v| (v.clamp(-8.0, 8.0) * 65536.0).round() as i32).collect();
        let mut wide = vec![0i64; w * h];
        for (row, out) in whole.chunks_exact(w).zip(wide.chunks_exact_mut(w)) {
            let mut sum: i64 = row[..radius.min(w)].iter().map(|&v| i64::from(v)).sum();
            for x in 0..w {
                if x + radius < w {
                    sum += i64::from(row[x + radius]);
                }
                if x > radius {
                    sum -= i64::from(row[x - radius - 1]);
                }
                out[x] = sum;
            }
        }
        let count = |at: usize, n: usize| (at + radius + 1).min(n) - at.saturating_sub(radius);
        let across: Vec<f32> = (0..w).map(|x| count(x, w) as f32 * 65536.0).collect();
        let mut sums = vec![0i64; w];
        for y in 0..radius.min(h) {
            sums.iter_mut().zip(&wide[y * w..]).for_each(|(s, v)| *s += v);
        }
        let mut out = Self::new(w, h);
        for (y, line) in out.rows_mut().enumerate() {
            if y + radius < h {
                sums.iter_mut().zip(&wide[(y + radius) * w..]).for_each(|(s, v)| *s += v);
            }
            if y > radius {
                sums.iter_mut().zip(&wide[(y - radius - 1) * w..]).for_each(|(s, v)| *s -= v);
            }
            let rows = count(y, h) as f32;
            line.iter_mut().zip(&sums).zip(&across).for_each(|((o, &s), n)| *o = s as f32 / (n * rows));
        }
        out
    }
}

/// How far the Gaussian of [`Field::gaussian`] reaches, px.
pub(crate) fn gaussian_radius(sigma: f64) -> usize {
    (3.0 * sigma).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(w: usize, h: usize, seed: u32) -> Field {
        let mut state = seed;
        let data = (0..w * h).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        });
        Field { width: w, height: h, data: data.collect() }
    }

    fn cut(f: &Field, x: usize, y: usize, w: usize, h: usize) -> Field {
        let mut out = Field::new(w, h);
        for (j, row) in out.rows_mut().enumerate() {
            row.copy_from_slice(&f.data[(y + j) * f.width + x..][..w]);
        }
        out
    }

    #[test]
    fn box_mean_is_the_mean() {
        let f = field(13, 9, 1);
        let m = f.box_mean(2);
        for (x, y) in [(0usize, 0usize), (5, 4), (12, 8), (1, 7)] {
            let mut all = Vec::new();
            for j in y.saturating_sub(2)..(y + 3).min(9) {
                for i in x.saturating_sub(2)..(x + 3).min(13) {
                    all.push(f.data[j * 13 + i]);
                }
            }
            let mean = all.iter().sum::<f32>() / all.len() as f32;
            // Half a step of 1/65536 a value.
            assert!((m.data[y * 13 + x] - mean).abs() < 1e-5);
        }
        let far = f.box_mean(100);
        assert!(far.data.iter().all(|v| (v - far.data[0]).abs() < 1e-6));
    }

    proptest! {
        #[test]
        fn a_cut_field_gives_the_same_bits(x in 0usize..20, y in 0usize..20, seed in 0u32..1000) {
            let f = field(60, 60, seed);
            let c = cut(&f, x, y, 40, 40);
            let inner = |g: &Field, x: usize, y: usize| cut(g, x + 10, y + 10, 20, 20);
            prop_assert_eq!(inner(&f.gaussian(2.0), x, y), inner(&c.gaussian(2.0), 0, 0));
            prop_assert_eq!(inner(&f.box_mean(4).box_mean(3), x, y), inner(&c.box_mean(4).box_mean(3), 0, 0));
        }

        #[test]
        fn smoothing_keeps_a_constant(v in 0.0f32..1.0, sigma in 0.1f64..4.0) {
            let f = Field { width: 7, height: 5, data: vec![v; 35] };
            for got in f.gaussian(sigma).data {
                prop_assert!((got - v).abs() < 1e-5);
            }
        }
    }
}
