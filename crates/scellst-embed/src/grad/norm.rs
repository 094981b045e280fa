use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{values, with_values};
use crate::cpu::Isa;

/// Added to variances: PyTorch's default.
const EPSILON: f32 = 1e-5;
/// Rows whose sums are added up in f32.
const ROWS: usize = 512;

/// Mean and variance of each channel over a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    /// Over `rows`, not one less.
    pub variance: Vec<f32>,
    pub rows: usize,
}

impl Moments {
    /// Of `(..., channels)`.
    pub(crate) fn of(x: &Tensor) -> Result<Self> {
        let channels = x.dims().last().copied().unwrap_or(0);
        let rows = x.elem_count() / channels.max(1);
        if rows < 2 {
            bail!("a batch norm in training wants two rows at least, found {rows}");
        }
        if !x.device().is_cpu() {
            let x = x.detach().reshape((rows, channels))?;
            let mean = x.mean(0)?;
            let variance = x.broadcast_sub(&mean)?.sqr()?.mean(0)?;
            return Ok(Self { mean: mean.to_vec1()?, variance: variance.to_vec1()?, rows });
        }
        with_values(x, |x| {
            let n = rows as f64;
            let mean: Vec<f32> = sums(x, channels, |v, _| v).iter().map(|s| (s / n) as f32).collect();
            let squares = sums(x, channels, |v, c| (v - mean[c]) * (v - mean[c]));
            Self { variance: squares.iter().map(|s| (s / n) as f32).collect(), mean, rows }
        })
    }

    /// What standardised values are divided by, once over.
    fn inverse(&self) -> Vec<f32> {
        self.variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect()
    }
}

/// Sums of `f(value, channel)` over the rows.
fn sums(x: &[f32], channels: usize, f: impl Fn(f32, usize) -> f32 + Sync) -> Vec<f64> {
    let isa = Isa::detect();
    let parts: Vec<Vec<f32>> = x
        .par_chunks(ROWS * channels)
        .map(|rows| {
            let mut sum = vec![0.0; channels];
            isa.run(|| {
                for row in rows.chunks_exact(channels) {
                    sum.iter_mut().zip(row).enumerate().for_each(|(c, (s, v))| *s += f(*v, c));
                }
            });
            sum
        })
        .collect();
    let mut all = vec![0.0; channels];
    for part in parts {
        all.iter_mut().zip(part).for_each(|(a, p)| *a += f64::from(p));
    }
    all
}

struct BatchNorm {
    moments: Arc<Moments>,
    relu: bool,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gamma: &CpuStorage,
        lg: &Layout,
        beta: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gamma, beta) = (values(x, lx)?, values(gamma, lg)?, values(beta, lb)?);
        let channels = self.moments.mean.len();
        let scale: Vec<f32> = self.moments.inverse().iter().zip(gamma).map(|(i, g)| i * g).collect();
        let shift: Vec<f32> = self.moments.mean.iter().zip(&scale).zip(beta).map(|((m, s), b)| b - m * s).collect();
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let mut y = vec![0.0; x.len()];
        let isa = Isa::detect();
        y.par_chunks_mut(ROWS * channels).zip(x.par_chunks(ROWS * channels)).for_each(|(y, x)| {
            isa.run(|| {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        let v = x[c] * scale[c] + shift[c];
                        // A NaN stays one, to be found.
                        y[c] = if v < floor { floor } else { v };
                    }
                }
            });
        });
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dy, device) = (dy.contiguous()?, x.device());
        let gamma = with_values(gamma, <[f32]>::to_vec)?;
        let [dx, dgamma, dbeta] =
            with_values(x, |x| with_values(y, |y| with_values(&dy, |dy| self.back(x, &gamma, y, dy))))???;
        let channel = |v: Vec<f32>| Tensor::from_vec(v, gamma.len(), device).map(Some);
        Ok((Some(Tensor::from_vec(dx, x.shape(), device)?), channel(dgamma)?, channel(dbeta)?))
    }
}

impl BatchNorm {
    /// Gradients of input, gamma and beta (Ioffe and Szegedy 2015, section 3): mean and variance depend on the input.
    fn back(&self, x: &[f32], gamma: &[f32], y: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let channels = gamma.len();
        let (mean, inverse, n) = (&self.moments.mean, self.moments.inverse(), self.moments.rows as f64);
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let isa = Isa::detect();
        // In one pass: the sums of the gradient, and of it times the standardised input.
        let parts: Vec<Vec<f32>> = (x.par_chunks(ROWS * channels), y.par_chunks(ROWS * channels))
            .into_par_iter()
            .zip(dy.par_chunks(ROWS * channels))
            .map(|((x, y), dy)| {
                let mut sum = vec![0.0; 2 * channels];
                let (plain, with_x) = sum.split_at_mut(channels);
                isa.run(|| {
                    let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(dy.chunks_exact(channels));
                    for ((x, y), dy) in rows {
                        for c in 0..channels {
                            let g = if y[c] > floor { dy[c] } else { 0.0 };
                            plain[c] += g;
                            with_x[c] += g * (x[c] - mean[c]) * inverse[c];
                        }
                    }
                });
                sum
            })
            .collect();
        let mut sums = vec![0.0f64; 2 * channels];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(a, p)| *a += f64::from(p));
        }
        let (plain, with_x) = sums.split_at(channels);
        let scale: Vec<f32> = inverse.iter().zip(gamma).map(|(i, g)| i * g).collect();
        let by_x: Vec<f32> =
            (0..channels).map(|c| (-f64::from(scale[c] * inverse[c]) * with_x[c] / n) as f32).collect();
        let shift: Vec<f32> = (0..channels).map(|c| (-f64::from(scale[c]) * plain[c] / n) as f32).collect();
        let mut dx = vec![0.0; x.len()];
        dx.par_chunks_mut(ROWS * channels)
            .zip(x.par_chunks(ROWS * channels))
            .zip(y.par_chunks(ROWS * channels).zip(dy.par_chunks(ROWS * channels)))
            .for_each(|((dx, x), (y, dy))| {
                isa.run(|| {
                    let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                    for ((dx, x), (y, dy)) in rows.zip(y.chunks_exact(channels).zip(dy.chunks_exact(channels))) {
                        for c in 0..channels {
                            let g = if y[c] > floor { dy[c] } else { 0.0 };
                            dx[c] = g * scale[c] + (x[c] - mean[c]) * by_x[c] + shift[c];
                        }
                    }
                });
            });
        let narrow = |v: &[f64]| v.iter().map(|v| *v as f32).collect();
        [dx, narrow(with_x), narrow(plain)]
    }
}

/// `(..., channels)` standardised over all but the channels by `moments`, which are its own, times gamma plus beta
/// `(channels)`, and where asked for a ReLU. Gradients flow through the moments too.
pub(crate) fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    moments: &Arc<Moments>,
    relu: bool,
) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.apply_op3(gamma, beta, BatchNorm { moments: Arc::clone(moments), relu });
    }
    let (shape, channels) = (x.shape().clone(), moments.mean.len());
    let x = x.reshape((moments.rows, channels))?;
    let centred = x.broadcast_sub(&x.mean_keepdim(0)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(0)? + f64::from(EPSILON))?.sqrt()?;
    let y = centred.broadcast_div(&deviation)?.broadcast_mul(gamma)?.broadcast_add(beta)?;
    if relu { y.relu()? } else { y }.reshape(shape)
}
