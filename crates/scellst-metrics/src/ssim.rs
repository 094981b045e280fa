//! Structural similarity of maps on a grid (Wang, Bovik, Sheikh and Simoncelli 2004).

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::MetricsError;

/// Weights within a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Window {
    /// Equal weights in a square of this (odd) side.
    Square(usize),
    /// Gaussian weights of this standard deviation in grid steps, cut at 3.5 of them.
    Gaussian(f64),
}

/// How to compare two maps. The default is scikit-image's: a square of 7, sample covariance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SsimOptions {
    /// The window.
    pub window: Window,
    /// Range of the values, positive; that of the measured map where there is none.
    pub range: Option<f64>,
}

impl Default for SsimOptions {
    fn default() -> Self {
        Self { window: Window::Square(7), range: None }
    }
}

/// Structural similarity of two maps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ssim {
    /// Mean over the windows, -1 to 1; `None` if there is no window, or if both maps are constant.
    pub mean: Option<f64>,
    /// Windows that lie wholly in the map and hold no NaN.
    pub windows: usize,
    /// Windows that hold a NaN: where the tissue ends or a spot is missing.
    pub left_out: usize,
}

/// Compares a predicted with a measured map of the same grid, NaN where there is none.
///
/// As scikit-image's `structural_similarity` with `data_range` given (K1 = 0.01, K2 = 0.03, `use_sample_covariance`), which
/// averages over the windows that lie wholly in the picture as well; maps with NaN, which it does not take, are averaged over the
/// windows without one.
///
/// # Errors
/// [`MetricsError::Shape`]; [`MetricsError::Setting`] for a window that is even, below 3 or not finite, or a range that
/// is not positive; [`MetricsError::Value`] for an infinite value.
pub fn ssim(
    predicted: ArrayView2<'_, f64>,
    measured: ArrayView2<'_, f64>,
    options: &SsimOptions,
) -> Result<Ssim, MetricsError> {
    let shape = |(rows, cols)| format!("{rows} x {cols}");
    if predicted.dim() != measured.dim() {
        return Err(MetricsError::shape("measured map", shape(predicted.dim()), shape(measured.dim())));
    }
    for (what, map) in [("predicted map's value", predicted), ("measured map's value", measured)] {
        if let Some((at, &value)) = map.iter().enumerate().find(|(_, value)| value.is_infinite()) {
            return Err(MetricsError::Value { what, at, value });
        }
    }
    let weights = kernel(options.window)?;
    let range = match options.range {
        Some(range) if range > 0.0 && range.is_finite() => range,
        Some(range) => return Err(MetricsError::setting("range of SSIM", "a positive number", range)),
        None => spread(measured),
    };
    let size = weights.len();
    let (rows, cols) = predicted.dim();
    if rows < size || cols < size {
        return Ok(Ssim { mean: None, windows: 0, left_out: 0 });
    }
    let blur = |f: &dyn Fn(f64, f64) -> f64| {
        let map = Array2::from_shape_fn((rows, cols), |at| f(predicted[at], measured[at]));
        smooth(&map, &weights)
    };
    // NaN spreads over the windows that hold it.
    let (p, m) = (blur(&|p, m| p + 0.0 * m), blur(&|p, m| m + 0.0 * p));
    let (pp, mm, pm) = (blur(&|p, _| p * p), blur(&|_, m| m * m), blur(&|p, m| p * m));
    let pixels = (size * size) as f64;
    let sample = pixels / (pixels - 1.0);
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let (mut sum, mut windows, mut left_out) = (0.0, 0, 0);
    for (at, &p) in p.indexed_iter() {
        let m = m[at];
        if p.is_nan() || m.is_nan() {
            left_out += 1;
            continue;
        }
        let (vp, vm, cov) = (sample * (pp[at] - p * p), sample * (mm[at] - m * m), sample * (pm[at] - p * m));
        sum += (2.0 * p * m + c1) * (2.0 * cov + c2) / ((p * p + m * m + c1) * (vp + vm + c2));
        windows += 1;
    }
    let mean = (windows > 0).then(|| sum / windows as f64).filter(|mean| mean.is_finite());
    Ok(Ssim { mean, windows, left_out })
}

/// Means of scattered values in squares of side `step`, as a map (rows along y, from the lowest y); NaN where no value
/// lies. Bins are half open: `[low, low + step)`, from the lowest coordinates on.
///
/// # Units
/// `step` in the unit of `points` (x, y): um or level-0 pixels.
///
/// # Errors
/// [`MetricsError::Shape`], [`MetricsError::Value`] for a place or value that is not finite,
/// [`MetricsError::Setting`] if `step` is not positive or so small that the map has over 2^26 squares.
pub fn bin_means(points: &[[f64; 2]], values: &[f32], step: f64) -> Result<Array2<f64>, MetricsError> {
    const MOST: f64 = (1 << 26) as f64;
    MetricsError::same_length("values, one a point", points.len(), values.len())?;
    check_points(points)?;
    MetricsError::finite("value", values)?;
    if !(step > 0.0 && step.is_finite()) {
        return Err(MetricsError::setting("step of the grid", "a positive number", step));
    }
    if points.is_empty() {
        return Ok(Array2::zeros((0, 0)));
    }
    let low = [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min));
    let high = [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max));
    let count = [0, 1].map(|axis| ((high[axis] - low[axis]) / step).floor() + 1.0);
    if count[0] * count[1] > MOST {
        let found = format!("{step}: {} x {} squares", count[0], count[1]);
        return Err(MetricsError::setting("step of the grid", format!("at most {MOST} squares"), found));
    }
    let bin = |point: &[f64; 2]| {
        let [x, y] = [0, 1].map(|axis| ((point[axis] - low[axis]) / step) as usize);
        (y.min(count[1] as usize - 1), x.min(count[0] as usize - 1))
    };
    let shape = (count[1] as usize, count[0] as usize);
    let (mut sums, mut counts) = (Array2::<f64>::zeros(shape), Array2::<f64>::zeros(shape));
    for (point, &value) in points.iter().zip(values) {
        sums[bin(point)] += f64::from(value);
        counts[bin(point)] += 1.0;
    }
    sums.zip_mut_with(&counts, |sum, &count| *sum = if count > 0.0 { *sum / count } else { f64::NAN });
    Ok(sums)
}

pub(crate) fn check_points(points: &[[f64; 2]]) -> Result<(), MetricsError> {
    match points.iter().enumerate().find(|(_, point)| !(point[0].is_finite() && point[1].is_finite())) {
        Some((at, &[x, y])) => {
            Err(MetricsError::Value { what: "coordinate of point", at, value: if x.is_finite() { y } else { x } })
        }
        None => Ok(()),
    }
}

fn kernel(window: Window) -> Result<Vec<f64>, MetricsError> {
    match window {
        Window::Square(size) if size % 2 == 1 && (3..=1 << 12).contains(&size) => Ok(vec![1.0 / size as f64; size]),
        Window::Square(size) => Err(MetricsError::setting("window of SSIM", "odd, from 3 to 4095", size)),
        Window::Gaussian(sigma) if (0.15..=500.0).contains(&sigma) => {
            let reach = (3.5 * sigma + 0.5) as usize;
            let weights: Vec<f64> = (0..=2 * reach)
                .map(|at| {
                    let off = at as f64 - reach as f64;
                    (-0.5 * (off / sigma).powi(2)).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            Ok(weights.into_iter().map(|weight| weight / total).collect())
        }
        Window::Gaussian(sigma) => Err(MetricsError::setting("sigma of SSIM's window", "0.15 to 500", sigma)),
    }
}

/// Weighted means of all windows that lie wholly in the map.
fn smooth(map: &Array2<f64>, weights: &[f64]) -> Array2<f64> {
    let size = weights.len();
    let (rows, cols) = map.dim();
    let along = |get: &dyn Fn(usize) -> f64| weights.iter().enumerate().map(|(at, w)| w * get(at)).sum::<f64>();
    let across = Array2::from_shape_fn((rows, cols + 1 - size), |(y, x)| along(&|at| map[(y, x + at)]));
    Array2::from_shape_fn((rows + 1 - size, cols + 1 - size), |(y, x)| along(&|at| across[(y + at, x)]))
}

fn spread(map: ArrayView2<'_, f64>) -> f64 {
    let there = || map.iter().filter(|value| !value.is_nan());
    let (low, high) = there().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    (high - low).max(0.0)
}
