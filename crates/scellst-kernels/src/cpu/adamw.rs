//! AdamW in one pass over a run of parameters (Loshchilov and Hutter 2019, with PyTorch's order of operations).

use pulp::{Arch, Simd, WithSimd};

/// What a step of AdamW depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f64,
    /// Decoupled weight decay.
    pub decay: f64,
    /// Of the gradient's running mean and of its square's.
    pub betas: (f64, f64),
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// Which step, counted from 1.
    pub step: u64,
    /// What gradients are multiplied with first: below 1 where they are clipped.
    pub scale: f32,
}

impl AdamW {
    /// Changes parameters and both running means.
    ///
    /// # Panics
    /// If they are not of the same length.
    pub fn apply(&self, parameters: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let n = parameters.len();
        assert!(gradient.len() == n && mean.len() == n && square.len() == n, "optimiser state of another size");
        Arch::new().dispatch(Run { step: self, parameters, gradient, mean, square });
    }
}

struct Run<'a> {
    step: &'a AdamW,
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let AdamW { rate, decay, betas, epsilon, step, scale } = *self.step;
        let power = |beta: f64| 1.0 - beta.powf(step as f64);
        let keep = (1.0 - rate * decay) as f32;
        let size = (rate / power(betas.0)) as f32;
        let root = (1.0 / power(betas.1).sqrt()) as f32;
        let (first, second) = ((1.0 - betas.0) as f32, betas.1 as f32);
        let (rest, epsilon) = ((1.0 - betas.1) as f32, epsilon as f32);
        let moments = self.mean.iter_mut().zip(self.square.iter_mut());
        for ((p, g), (m, v)) in self.parameters.iter_mut().zip(self.gradient).zip(moments) {
            let g = g * scale;
            *m += (g - *m) * first;
            *v = *v * second + rest * g * g;
            *p = *p * keep - size * (*m / (v.sqrt() * root + epsilon));
        }
    }
}

/// The sum of squares, in f64, the same whatever the threads: runs of fixed length are added up in turn.
pub fn square_sum(x: &[f32]) -> f64 {
    struct Sum<'a>(&'a [f32]);
    impl WithSimd for Sum<'_> {
        type Output = f64;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> f64 {
            let (runs, rest) = self.0.as_chunks::<16>();
            let mut sums = [0f64; 16];
            for run in runs {
                for (sum, &v) in sums.iter_mut().zip(run) {
                    *sum += f64::from(v) * f64::from(v);
                }
            }
            sums.iter().sum::<f64>() + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
        }
    }
    Arch::new().dispatch(Sum(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_steps_are_those_of_the_paper() {
        let mut step = AdamW { rate: 0.1, decay: 0.5, betas: (0.9, 0.999), epsilon: 1e-8, step: 1, scale: 0.5 };
        let (mut p, mut m, mut v) = (vec![1.0f32; 19], vec![0.0; 19], vec![0.0; 19]);
        let g = vec![4.0f32; 19]; // scaled to 2
        let (mut ep, mut em, mut ev) = (1.0f64, 0.0, 0.0);
        for t in 1..=5 {
            step.step = t;
            step.apply(&mut p, &g, &mut m, &mut v);
            em = 0.9 * em + 0.1 * 2.0;
            ev = 0.999 * ev + 0.001 * 4.0;
            let (mh, vh) = (em / (1.0 - 0.9f64.powi(t as i32)), ev / (1.0 - 0.999f64.powi(t as i32)));
            ep = ep - 0.1 * 0.5 * ep - 0.1 * mh / (vh.sqrt() + 1e-8);
            for p in &p {
                assert!((f64::from(*p) - ep).abs() < 1e-6, "{t}: {p} against {ep}");
            }
        }
        assert_eq!(square_sum(&g), 19.0 * 16.0);
    }
}
