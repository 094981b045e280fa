use candle_core::{Result, Tensor};

/// How much features of a batch `(n, dim)` tell apart: [`spread`, `rank`](super::MocoStep).
pub(super) fn spread_and_rank(features: &Tensor) -> Result<(f64, f64)> {
    let (n, dim) = features.dims2()?;
    let scalar = |t: Tensor| t.to_scalar::<f32>().map(f64::from);
    let length = (features.sqr()?.sum_keepdim(1)?.sqrt()? + 1e-12)?;
    let unit = features.broadcast_div(&length)?;
    let centred = unit.broadcast_sub(&unit.mean_keepdim(0)?)?;
    let deviation = (centred.sqr()?.sum(0)? / n as f64)?.sqrt()?;
    let spread = scalar(deviation.mean(0)?)? * (dim as f64).sqrt();
    // Of the covariance's eigenvalues: their sum squared over the sum of their squares, both without finding them.
    let centred = features.broadcast_sub(&features.mean_keepdim(0)?)?;
    let gram = centred.matmul(&centred.t()?)?;
    let trace = scalar(centred.sqr()?.sum_all()?)?;
    let squares = scalar(gram.sqr()?.sum_all()?)?;
    let rank = if squares > 0.0 { trace * trace / squares } else { 0.0 };
    Ok((spread, rank))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn of(rows: usize, dim: usize, f: impl Fn(usize, usize) -> f32) -> (f64, f64) {
        let values: Vec<f32> = (0..rows * dim).map(|i| f(i / dim, i % dim)).collect();
        spread_and_rank(&Tensor::from_vec(values, (rows, dim), &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn collapse_is_seen() {
        // One row for all: nothing.
        let (spread, rank) = of(10, 8, |_, c| c as f32);
        assert!(spread < 1e-3 && rank < 1.0 + 1e-3, "{spread} {rank}");
        // On a line: rank 1.
        let (_, rank) = of(10, 8, |r, c| r as f32 * (c as f32 + 1.0));
        assert!((rank - 1.0).abs() < 1e-3, "{rank}");
        // As many to each of 8 axes, both ways: all of them, and the unit sphere's spread.
        let (spread, rank) = of(16, 8, |r, c| if r % 8 == c { 1.0 - 2.0 * (r / 8) as f32 } else { 0.0 });
        assert!((rank - 8.0).abs() < 1e-3 && (spread - 1.0).abs() < 1e-3, "{spread} {rank}");
    }
}
