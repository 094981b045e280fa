use ndarray::{Array2, ArrayView2};

use crate::ModelError;

/// A shift and a scale for each feature, part of the model: `(x - mean) / std`.
#[derive(Debug, Clone, PartialEq)]
pub struct InputScale {
    pub(crate) mean: Vec<f32>,
    pub(crate) std: Vec<f32>,
}

impl InputScale {
    /// Features as they come.
    pub fn none(features: usize) -> Self {
        Self { mean: vec![0.0; features], std: vec![1.0; features] }
    }

    /// From its shifts and scales, such as those of a file.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for other numbers of them, [`ModelError::Config`] unless all are finite and scales above 0.
    pub fn from_parts(mean: Vec<f32>, std: Vec<f32>) -> Result<Self, ModelError> {
        if mean.len() != std.len() {
            let (expected, found) = (mean.len().to_string(), std.len().to_string());
            return Err(ModelError::Shape { what: "scales of features", expected, found });
        }
        let bad = mean.iter().zip(&std).find(|(m, s)| !(m.is_finite() && s.is_finite() && **s > 0.0));
        match bad {
            Some((m, s)) => Err(ModelError::Config {
                setting: "a feature's shift and scale",
                expected: "finite, the scale above 0",
                found: format!("{m} and {s}"),
            }),
            None => Ok(Self { mean, std }),
        }
    }

    /// What is taken off each feature.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// What it is divided by then.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Mean 0 and standard deviation 1 over these cells `(cells, features)`; a constant feature becomes 0.
    pub fn standardising(x: ArrayView2<'_, f32>) -> Self {
        let (cells, features) = x.dim();
        let (mut sum, mut square) = (vec![0f64; features], vec![0f64; features]);
        for row in x.rows() {
            for (i, &v) in row.iter().enumerate() {
                sum[i] += f64::from(v);
                square[i] += f64::from(v) * f64::from(v);
            }
        }
        let n = cells.max(1) as f64;
        let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
        let std = square.iter().zip(&mean).map(|(s, m)| (s / n - m * m).max(0.0).sqrt());
        // The rounding of a constant feature's sums must not be blown up to a spread of one.
        let floor = |(s, m): (f64, &f64)| if s > 1e-5 * m.abs() && s > 1e-12 { s as f32 } else { 1.0 };
        Self { std: std.zip(&mean).map(floor).collect(), mean: mean.iter().map(|&m| m as f32).collect() }
    }

    /// Of `(cells, features)`.
    pub fn apply(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut y = x.to_owned();
        for mut row in y.rows_mut() {
            for (v, (m, s)) in row.iter_mut().zip(self.mean.iter().zip(&self.std)) {
                *v = (*v - m) / s;
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn standardises_and_leaves_constants_alone() {
        let x = array![[1.0f32, 7.0], [3.0, 7.0], [5.0, 7.0]];
        let y = InputScale::standardising(x.view()).apply(x.view());
        assert!((y[(0, 0)] + 1.5f32.sqrt()).abs() < 1e-6); // (1 - 3) / sqrt(8 / 3)
        assert!(y.column(1).iter().all(|&v| v == 0.0));
    }

    #[test]
    fn parts_make_the_same_and_bad_ones_are_refused() {
        let scale = InputScale::standardising(array![[1.0f32, 7.0], [3.0, 8.0]].view());
        assert_eq!(InputScale::from_parts(scale.mean().to_vec(), scale.std().to_vec()).unwrap(), scale);
        for (mean, std) in [(vec![0.0], vec![]), (vec![0.0], vec![0.0]), (vec![f32::NAN], vec![1.0])] {
            assert!(InputScale::from_parts(mean, std).is_err());
        }
    }
}
