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
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    /// Over `rows`, not one less.
    pub variance: Vec<f32>,
    pub rows: usize,
}

/// Of some rows: they are merged in order.
pub(crate) struct Part {
    rows: usize,
    mean: Vec<f32>,
    /// Sums of squares about that mean.
    squares: Vec<f32>,
}

impl Part {
    /// Of rows of so many channels that are in the cache.
    pub(crate) fn of(x: &[f32], channels: usize) -> Self {
        let rows = x.len() / channels;
        let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        Isa::detect().run(|| {
            for row in x.chunks_exact(channels) {
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
            }
            mean.iter_mut().for_each(|m| *m /= rows as f32);
            for row in x.chunks_exact(channels) {
                let values = row.iter().zip(&mean);
                squares.iter_mut().zip(values).for_each(|(s, (v, m))| *s += (v - m) * (v - m));
            }
        });
        Self { rows, mean, squares }
    }
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
            let parts: Vec<Part> = x.par_chunks(ROWS * channels).map(|x| Part::of(x, channels)).collect();
            Self::merge(&parts)
        })
    }

    /// Of all parts together (Chan, Golub and LeVeque 1983).
    pub(crate) fn merge(parts: &[Part]) -> Self {
        let channels = parts.first().map_or(0, |p| p.mean.len());
        let rows: usize = parts.iter().map(|p| p.rows).sum();
        let (mut mean, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        for part in parts {
            mean.iter_mut().zip(&part.mean).for_each(|(m, p)| *m += f64::from(*p) * part.rows as f64 / rows as f64);
        }
        for part in parts {
            for (c, s) in squares.iter_mut().enumerate() {
                let apart = f64::from(part.mean[c]) - mean[c];
                *s += f64::from(part.squares[c]) + part.rows as f64 * apart * apart;
            }
        }
        let variance = squares.iter().map(|s| (s / rows as f64) as f32).collect();
        Self { mean: mean.iter().map(|m| *m as f32).collect(), variance, rows }
    }

    /// What standardised values are divided by, once over.
    fn inverse(&self) -> Vec<f32> {
        self.variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect()
    }
}

/// `y`: rows of `x` standardised by its `moments`, times `gamma` plus `beta`, plus a row of `residual`, and where asked
/// for a ReLU.
pub(crate) fn normalise(
    x: &[f32],
    moments: &Moments,
    [gamma, beta]: [&[f32]; 2],
    residual: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    let channels = moments.mean.len();
    let scale: Vec<f32> = moments.inverse().iter().zip(gamma).map(|(i, g)| i * g).collect();
    let shift: Vec<f32> = moments.mean.iter().zip(&scale).zip(beta).map(|((m, s), b)| b - m * s).collect();
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let isa = Isa::detect();
    let piece = ROWS * channels;
    // A NaN stays one, to be found.
    let floored = |v: f32| if v < floor { floor } else { v };
    y.par_chunks_mut(piece).zip(x.par_chunks(piece)).enumerate().for_each(|(i, (y, x))| {
        let rows = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
        match residual.map(|all| &all[i * piece..][..x.len()]) {
            Some(residual) => isa.run(|| {
                for ((y, x), r) in rows.zip(residual.chunks_exact(channels)) {
                    for c in 0..channels {
                        y[c] = floored(x[c] * scale[c] + shift[c] + r[c]);
                    }
                }
            }),
            None => isa.run(|| {
                for (y, x) in rows {
                    for c in 0..channels {
                        y[c] = floored(x[c] * scale[c] + shift[c]);
                    }
                }
            }),
        }
    });
}

/// Gradients of input, `dx`, and of gamma and beta (Ioffe and Szegedy 2015, section 3): mean and variance depend on the
/// input. `y` is the result if a ReLU came after.
pub(crate) fn normalise_back(
    x: &[f32],
    moments: &Moments,
    gamma: &[f32],
    y: Option<&[f32]>,
    dy: &[f32],
    dx: &mut [f32],
) -> [Vec<f32>; 2] {
    let channels = gamma.len();
    let (mean, inverse, n) = (&moments.mean, moments.inverse(), moments.rows as f64);
    // Without a ReLU all of its own gradient passes: any number is at least itself.
    let (y, relu) = (y.unwrap_or(dy), y.is_some());
    let passes = |y: f32, dy: f32| if !relu || y > 0.0 { dy } else { 0.0 };
    let (isa, piece) = (Isa::detect(), ROWS * channels);
    // In one pass: the sums of the gradient, and of it times the standardised input.
    let parts: Vec<Vec<f32>> = (x.par_chunks(piece), y.par_chunks(piece))
        .into_par_iter()
        .zip(dy.par_chunks(piece))
        .map(|((x, y), dy)| {
            let mut sum = vec![0.0; 2 * channels];
            let (plain, with_x) = sum.split_at_mut(channels);
            isa.run(|| {
                let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(dy.chunks_exact(channels));
                for ((x, y), dy) in rows {
                    for c in 0..channels {
                        let g = passes(y[c], dy[c]);
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
    let by_x: Vec<f32> = (0..channels).map(|c| (-f64::from(scale[c] * inverse[c]) * with_x[c] / n) as f32).collect();
    let shift: Vec<f32> = (0..channels).map(|c| (-f64::from(scale[c]) * plain[c] / n) as f32).collect();
    dx.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(y.par_chunks(piece).zip(dy.par_chunks(piece))).for_each(
        |((dx, x), (y, dy))| {
            isa.run(|| {
                let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                for ((dx, x), (y, dy)) in rows.zip(y.chunks_exact(channels).zip(dy.chunks_exact(channels))) {
                    for c in 0..channels {
                        dx[c] = passes(y[c], dy[c]) * scale[c] + (x[c] - mean[c]) * by_x[c] + shift[c];
                    }
                }
            });
        },
    );
    [with_x, plain].map(|sums| sums.iter().map(|v| *v as f32).collect())
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
        let mut y = vec![0.0; x.len()];
        normalise(x, &self.moments, [gamma, beta], None, self.relu, &mut y);
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
        let back = |x: &[f32], y: &[f32], dy: &[f32]| {
            let mut dx = vec![0.0; x.len()];
            let [dgamma, dbeta] = normalise_back(x, &self.moments, &gamma, self.relu.then_some(y), dy, &mut dx);
            [dx, dgamma, dbeta]
        };
        let [dx, dgamma, dbeta] = with_values(x, |x| with_values(y, |y| with_values(&dy, |dy| back(x, y, dy))))???;
        let channel = |v: Vec<f32>| Tensor::from_vec(v, gamma.len(), device).map(Some);
        Ok((Some(Tensor::from_vec(dx, x.shape(), device)?), channel(dgamma)?, channel(dbeta)?))
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
