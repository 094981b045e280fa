use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::network::{finite, same};
use crate::{InputScale, ModelError};

/// Linear regression with an L2 penalty on standardised features, all genes at once; the penalty by
/// leave-one-out error (as scikit-learn's `RidgeCV`).
#[derive(Debug, Clone)]
pub struct Ridge {
    input: InputScale,
    weights: Array2<f64>,
    intercept: Array1<f64>,
    penalty: f64,
}

impl Ridge {
    /// Eleven penalties from 1 to 100,000, a factor of about 3 apart.
    pub fn penalties() -> Vec<f64> {
        (0..11).map(|i| 10f64.powf(f64::from(i) / 2.0)).collect()
    }

    /// Fits `(spots, genes)` from `(spots, features)` with the best of the penalties.
    ///
    /// # Errors
    /// [`ModelError::Shape`] with fewer than three spots or other sizes, [`ModelError::NotFinite`],
    /// [`ModelError::Config`] without a positive penalty.
    pub fn fit(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>, penalties: &[f64]) -> Result<Self, ModelError> {
        same("spots of a ridge's labels", x.dim().0, y.dim().0)?;
        finite("a spot's features", x)?;
        finite("a spot's label", y)?;
        let n = x.dim().0;
        if n < 3 {
            return Err(ModelError::Shape {
                what: "spots of a ridge",
                expected: "at least 3".into(),
                found: n.to_string(),
            });
        }
        if penalties.is_empty() || penalties.iter().any(|p| !(p.is_finite() && *p > 0.0)) {
            let found = format!("{penalties:?}");
            return Err(ModelError::Config { setting: "the penalties", expected: "positive and finite", found });
        }
        let input = InputScale::standardising(x);
        let x = input.apply(x).mapv(f64::from); // has mean zero: the intercept is the mean of y
        let y = y.mapv(f64::from);
        let intercept = y.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(y.dim().1));
        let y = y - &intercept;
        let (scores, directions, squares) = principal(&x);
        let projected = scores.t().dot(&y);

        // Fitted values are Z D Z'y with D = 1 / (s + penalty); leaving a spot out divides its residual by
        // 1 - h, h the diagonal of Z D Z' plus 1/n for the intercept.
        let error = |penalty: f64| {
            let shrink = squares.mapv(|s| 1.0 / (s + penalty));
            let fitted = (&scores * &shrink).dot(&projected);
            let leverage = (&scores * &scores).dot(&shrink) + 1.0 / n as f64;
            let mut sum = 0.0;
            for ((truth, fit), h) in y.rows().into_iter().zip(fitted.rows()).zip(&leverage) {
                let rest = (1.0 - h).max(1e-9);
                sum += truth.iter().zip(fit).map(|(t, f)| ((t - f) / rest).powi(2)).sum::<f64>();
            }
            sum
        };
        let penalty = penalties
            .iter()
            .copied()
            .map(|p| (error(p), p))
            .fold((f64::INFINITY, penalties[0]), |best, e| if e.0 < best.0 { e } else { best });
        let shrink = squares.mapv(|s| 1.0 / (s + penalty.1));
        let weights = (&directions * &shrink).dot(&projected);
        Ok(Self { input, weights, intercept, penalty: penalty.1 })
    }

    /// The penalty that was chosen.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// What features are standardised by first.
    pub fn input(&self) -> &InputScale {
        &self.input
    }

    /// Of standardised features, `(features, genes)`.
    pub fn weights(&self) -> &Array2<f64> {
        &self.weights
    }

    /// Added to that, one a gene: the mean of the labels.
    pub fn intercept(&self) -> &Array1<f64> {
        &self.intercept
    }

    /// `(rows, features)` to `(rows, genes)`: spots, or single cells (it is linear, so a spot is the mean of its cells).
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of features.
    pub fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>, ModelError> {
        same("features of a ridge", self.weights.dim().0, x.dim().1)?;
        let y = self.input.apply(x).mapv(f64::from).dot(&self.weights) + &self.intercept;
        Ok(y.mapv(|v| v as f32))
    }
}

/// Principal scores `Z = X V` (rows x r), directions `V` (columns x r) and squared lengths of the columns of `Z`,
/// from the eigenvectors of the smaller of `X X'` and `X' X`.
fn principal(x: &Array2<f64>) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    let wide = x.dim().1 > x.dim().0;
    let gram = if wide { x.dot(&x.t()) } else { x.t().dot(x) };
    let size = gram.dim().0;
    let eigen = SymmetricEigen::new(DMatrix::from_fn(size, size, |i, j| gram[(i, j)]));
    let largest = eigen.eigenvalues.iter().fold(0.0, |m: f64, v| m.max(*v));
    // What is left of a direction without any variance is rounding.
    let kept: Vec<usize> = (0..size).filter(|&i| eigen.eigenvalues[i] > largest * 1e-12).collect();
    let squares: Array1<f64> = kept.iter().map(|&i| eigen.eigenvalues[i]).collect();
    let vectors = Array2::from_shape_fn((size, kept.len()), |(i, j)| eigen.eigenvectors[(i, kept[j])]);
    let lengths = squares.mapv(f64::sqrt);
    if wide {
        let directions = x.t().dot(&vectors) / &lengths;
        (vectors * &lengths, directions, squares)
    } else {
        (x.dot(&vectors), vectors, squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize, seed: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(i, j)| {
            ((i * 7919 + j * 104_729 + seed * 31 + i * j * 13) % 997) as f32 / 498.5 - 1.0
        })
    }

    /// Leave-one-out by fitting again without each spot gives the errors that the short formula gives.
    fn slow_best(x: &Array2<f32>, y: &Array2<f32>, penalties: &[f64]) -> f64 {
        let scaled = InputScale::standardising(x.view()).apply(x.view()).mapv(f64::from);
        let y = y.mapv(f64::from);
        let (n, d) = scaled.dim();
        let error = |p: f64| -> f64 {
            (0..n)
                .map(|out| {
                    let rest: Vec<usize> = (0..n).filter(|&i| i != out).collect();
                    let (a, b) = (scaled.select(Axis(0), &rest), y.select(Axis(0), &rest));
                    let (ma, mb) = (a.mean_axis(Axis(0)).unwrap(), b.mean_axis(Axis(0)).unwrap());
                    let (a, b) = (a - &ma, b - &mb);
                    let mut gram = a.t().dot(&a);
                    (0..d).for_each(|i| gram[(i, i)] += p);
                    let gram = DMatrix::from_fn(d, d, |i, j| gram[(i, j)]);
                    let right = a.t().dot(&b);
                    let right = DMatrix::from_fn(d, y.dim().1, |i, j| right[(i, j)]);
                    let w = gram.lu().solve(&right).unwrap();
                    (0..y.dim().1)
                        .map(|g| {
                            let fit: f64 = (0..d).map(|i| (scaled[(out, i)] - ma[i]) * w[(i, g)]).sum::<f64>() + mb[g];
                            (y[(out, g)] - fit).powi(2)
                        })
                        .sum::<f64>()
                })
                .sum()
        };
        penalties.iter().copied().min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap()
    }

    #[test]
    fn finds_a_linear_truth_from_many_and_from_few_spots() {
        for (spots, features) in [(60, 8), (20, 40)] {
            let x = numbers(spots, features, 1);
            let w = numbers(features, 3, 2);
            let y = x.dot(&w) + 5.0;
            let ridge = Ridge::fit(x.view(), y.view(), &[1e-6]).unwrap();
            let error = (&ridge.predict(x.view()).unwrap() - &y).iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(error < 1e-3, "{spots} x {features}: {error}");
        }
    }

    #[test]
    fn the_penalty_is_that_of_leaving_each_spot_out() {
        for (spots, features) in [(25, 6), (12, 20)] {
            let x = numbers(spots, features, 3);
            let y = x.dot(&numbers(features, 2, 4)) + numbers(spots, 2, 9) * 2.0;
            let penalties = [0.1, 1.0, 10.0, 100.0, 1000.0];
            let ridge = Ridge::fit(x.view(), y.view(), &penalties).unwrap();
            assert_eq!(ridge.penalty(), slow_best(&x, &y, &penalties), "{spots} x {features}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_fitted() {
        let x = numbers(5, 2, 1);
        assert!(Ridge::fit(x.view(), numbers(4, 1, 1).view(), &[1.0]).is_err());
        assert!(Ridge::fit(numbers(2, 2, 1).view(), numbers(2, 1, 1).view(), &[1.0]).is_err());
        assert!(Ridge::fit(x.view(), numbers(5, 1, 1).view(), &[]).is_err());
        let mut nan = x.clone();
        nan[(3, 1)] = f32::NAN;
        let e = Ridge::fit(nan.view(), numbers(5, 1, 1).view(), &[1.0]).unwrap_err();
        assert!(e.to_string().contains("row 3, column 1"), "{e}");
        assert!(Ridge::fit(x.view(), x.view(), &[1.0]).unwrap().predict(numbers(3, 4, 1).view()).is_err());
    }
}
