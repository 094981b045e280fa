//! Principal components of many rows.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand_distr::{Distribution, StandardNormal};

use crate::MetricsError;
use crate::random::stream;

/// Up to this many rows or columns (the fewer of them) the components are exact.
const EXACT: usize = 1024;
/// Directions beyond those asked for, and passes over the data: Halko, Martinsson and Tropp 2011 with power iterations.
const SPARE: usize = 20;
const PASSES: usize = 7;

/// The directions in which rows vary most, as scikit-learn's `PCA`; the largest entry of each direction is positive.
///
/// ```
/// use ndarray::array;
/// use scellst_metrics::Pca;
///
/// let rows = array![[0.0f32, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]];
/// let pca = Pca::fit(rows.view(), 1, 0)?;
/// let scores = pca.transform(rows.view())?;
/// assert!((scores[[3, 0]] - 1.5 * 5f32.sqrt()).abs() < 1e-6);
/// # Ok::<(), scellst_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Array1<f64>,
    /// Components x dimensions, of length 1.
    components: Array2<f64>,
    variance: Vec<f64>,
}

impl Pca {
    /// At most `components` of rows (observations x dimensions): fewer if there are not so many rows or dimensions, or
    /// if what is left does not vary.
    ///
    /// Exact where rows or dimensions are at most 1,024; else by random projections from `seed`, with 7 passes, which
    /// give all but equal components their digits.
    ///
    /// # Errors
    /// [`MetricsError::TooFew`] below two rows, [`MetricsError::Setting`] for no component,
    /// [`MetricsError::NotFinite`].
    pub fn fit(rows: ArrayView2<'_, f32>, components: usize, seed: u64) -> Result<Self, MetricsError> {
        let (n, dims) = rows.dim();
        if n < 2 {
            return Err(MetricsError::TooFew { found: n, least: 2 });
        }
        if components == 0 {
            return Err(MetricsError::setting("principal components", "at least 1", components));
        }
        check(rows)?;
        let mut centred = rows.mapv(f64::from);
        let mean = centred.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(dims));
        centred -= &mean;
        let (mut directions, squares) =
            if n.min(dims) <= EXACT { exact(&centred, components) } else { projected(&centred, components, seed) };
        for mut direction in directions.rows_mut() {
            let largest = direction.iter().fold(0.0_f64, |most, &v| if v.abs() > most.abs() { v } else { most });
            if largest < 0.0 {
                direction.mapv_inplace(|v| -v);
            }
        }
        let variance = squares.iter().map(|square| square / (n - 1) as f64).collect();
        Ok(Self { mean, components: directions, variance })
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.variance.len()
    }

    /// Whether there is none: the rows were all equal.
    pub fn is_empty(&self) -> bool {
        self.variance.is_empty()
    }

    /// Variance (over n - 1) of the rows along each component, largest first.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Mean of the rows, which is taken off first.
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The directions, components x dimensions, each of length 1.
    pub fn components(&self) -> &Array2<f64> {
        &self.components
    }

    /// Scores of rows: observations x components.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for other dimensions, [`MetricsError::NotFinite`].
    pub fn transform(&self, rows: ArrayView2<'_, f32>) -> Result<Array2<f32>, MetricsError> {
        MetricsError::same_length("dimensions of the rows", self.mean.len(), rows.ncols())?;
        check(rows)?;
        let mut out = Array2::zeros((rows.nrows(), self.len()));
        for (x, mut y) in rows.axis_chunks_iter(Axis(0), 4096).zip(out.axis_chunks_iter_mut(Axis(0), 4096)) {
            y.assign(&(x.mapv(f64::from) - &self.mean).dot(&self.components.t()).mapv(|v| v as f32));
        }
        Ok(out)
    }
}

fn check(rows: ArrayView2<'_, f32>) -> Result<(), MetricsError> {
    match rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricsError::NotFinite { side: "value", row, column, gene: format!("dimension {column}"), value })
        }
        None => Ok(()),
    }
}

/// Eigenvectors of the smaller of `X X'` and `X' X`: directions and squared lengths of the scores along them.
fn exact(x: &Array2<f64>, components: usize) -> (Array2<f64>, Vec<f64>) {
    let wide = x.ncols() > x.nrows();
    let gram = if wide { x.dot(&x.t()) } else { x.t().dot(x) };
    let (vectors, squares) = largest(&gram, components);
    if wide {
        let lengths = Array1::from_iter(squares.iter().map(|s| s.sqrt()));
        return ((x.t().dot(&vectors) / lengths).reversed_axes(), squares);
    }
    (vectors.reversed_axes(), squares)
}

/// The same by passing a random block of directions through the data again and again.
fn projected(x: &Array2<f64>, components: usize, seed: u64) -> (Array2<f64>, Vec<f64>) {
    let mut random = stream(seed, 0);
    let width = (components + SPARE).min(x.ncols());
    let mut block = Array2::from_shape_simple_fn((x.ncols(), width), || StandardNormal.sample(&mut random));
    for _ in 0..PASSES {
        orthonormalise(&mut block);
        block = x.t().dot(&x.dot(&block));
    }
    orthonormalise(&mut block);
    let scores = x.dot(&block);
    let (vectors, squares) = largest(&scores.t().dot(&scores), components);
    (block.dot(&vectors).reversed_axes(), squares)
}

/// Columns become orthogonal and of length 1 (Gram and Schmidt, twice for the sake of rounding).
fn orthonormalise(block: &mut Array2<f64>) {
    for at in 0..block.ncols() {
        for _ in 0..2 {
            let (before, mut rest) = block.view_mut().split_at(Axis(1), at);
            let mut column = rest.column_mut(0);
            let shared = before.t().dot(&column);
            column -= &before.dot(&shared);
        }
        let length = block.column(at).dot(&block.column(at)).sqrt();
        // A direction that is nothing but rounding stays, as zeros.
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        block.column_mut(at).mapv_inplace(|v| v * scale);
    }
}

/// At most so many eigenvectors (columns) of a symmetric matrix, largest first, without those that are rounding.
fn largest(gram: &Array2<f64>, most: usize) -> (Array2<f64>, Vec<f64>) {
    let size = gram.nrows();
    let eigen = SymmetricEigen::new(DMatrix::from_fn(size, size, |i, j| gram[[i, j]]));
    let top = eigen.eigenvalues.iter().fold(0.0_f64, |m, &v| m.max(v));
    let mut order: Vec<usize> = (0..size).filter(|&i| eigen.eigenvalues[i] > top * 1e-12).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    order.truncate(most);
    let vectors = Array2::from_shape_fn((size, order.len()), |(i, j)| eigen.eigenvectors[(i, order[j])]);
    (vectors, order.iter().map(|&i| eigen.eigenvalues[i]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize, dims: usize) -> Array2<f32> {
        let mut random = stream(7, 1);
        let latent = Array2::<f64>::from_shape_simple_fn((n, 5), || StandardNormal.sample(&mut random));
        let mix = Array2::<f64>::from_shape_fn((5, dims), |(i, j)| ((i * 31 + j * 17) % 23) as f64 / (3.0 + i as f64));
        let noise = Array2::<f64>::from_shape_simple_fn((n, dims), || StandardNormal.sample(&mut random));
        (latent.dot(&mix) + noise * 0.1).mapv(|v| v as f32)
    }

    #[test]
    fn projections_agree_with_the_exact_components() {
        let x = rows(300, 60);
        let mut centred = x.mapv(f64::from);
        centred -= &x.mapv(f64::from).mean_axis(Axis(0)).unwrap();
        let (exact, squares) = exact(&centred, 5);
        let (near, near_squares) = projected(&centred, 5, 3);
        for (a, b) in squares.iter().zip(&near_squares) {
            assert!((a - b).abs() < 1e-9 * a, "{squares:?} {near_squares:?}");
        }
        for (a, b) in exact.rows().into_iter().zip(near.rows()) {
            assert!(1.0 - a.dot(&b).abs() < 1e-9);
        }
    }

    #[test]
    fn scores_are_uncorrelated_and_the_wide_case_is_the_same() {
        for (n, dims) in [(80, 20), (20, 80)] {
            let x = rows(n, dims);
            let pca = Pca::fit(x.view(), 4, 0).unwrap();
            let scores = pca.transform(x.view()).unwrap().mapv(f64::from);
            let covariance = scores.t().dot(&scores) / (n - 1) as f64;
            for ((i, j), v) in covariance.indexed_iter() {
                let expected = if i == j { pca.variance()[i] } else { 0.0 };
                assert!((v - expected).abs() < 1e-4 * pca.variance()[0], "{n} x {dims}: {covariance}");
            }
        }
    }

    #[test]
    fn fewer_components_where_rows_do_not_vary_and_errors() {
        let same = Array2::from_elem((5, 3), 2.0f32);
        assert!(Pca::fit(same.view(), 2, 0).unwrap().is_empty());
        assert_eq!(Pca::fit(rows(4, 10).view(), 50, 0).unwrap().len(), 3);
        assert!(Pca::fit(rows(1, 3).view(), 1, 0).is_err());
        assert!(Pca::fit(same.view(), 0, 0).is_err());
        let mut bad = rows(4, 3);
        bad[[2, 1]] = f32::NAN;
        assert!(Pca::fit(bad.view(), 1, 0).unwrap_err().to_string().contains("dimension 1"));
        assert!(Pca::fit(rows(9, 3).view(), 1, 0).unwrap().transform(rows(2, 4).view()).is_err());
    }
}
