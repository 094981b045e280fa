//! The three products of a linear layer, on panels: outputs, gradient of the inputs, gradient of the weights.
//!
//! A tile of 8 rows and 32 columns stays in registers while it runs over the inner dimension; one operand is read as
//! vectors, the other is broadcast. Sums run in the order of the inner dimension and nothing is split over threads
//! here, so that a result depends on its operands only.

use pulp::{Arch, Simd, WithSimd};

use super::panels::LANES;

/// Inner dimension that a tile runs over before the next tile: 32 columns of it are 32 KiB, a first-level cache.
const INNER: usize = 256;

/// The left side of a product: rows of one matrix by their index, or panels.
#[derive(Clone, Copy)]
pub enum Left<'a> {
    /// Rows `rows[i]` of a row-major matrix of `width` columns, read where they lie.
    Rows {
        /// The whole matrix.
        x: &'a [f32],
        /// Its columns.
        width: usize,
        /// Which rows.
        rows: &'a [u32],
    },
    /// Panels of so many rows.
    Panels {
        /// The panels.
        x: &'a [f32],
        /// Rows of each.
        rows: usize,
    },
}

/// `out (+)= left right`: `right` is panels over the output's columns, each `height` rows high, of which the first
/// `inner` are used; `out` is panels of as many rows as `left` has.
pub struct Product<'a> {
    /// `(rows, inner)`.
    pub left: Left<'a>,
    /// `(inner, columns)`.
    pub right: &'a [f32],
    /// Rows of a panel of `right`.
    pub height: usize,
    /// First row of `right` that is used.
    pub from: usize,
    /// Length of the sums; columns of `left`.
    pub inner: usize,
    /// `(rows, columns)`.
    pub out: &'a mut [f32],
    /// Whether to add to what is in `out`.
    pub add: bool,
}

impl Product<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        let rows = match self.left {
            Left::Rows { x, width, rows } => {
                assert!(self.inner <= width && x.len() % width.max(1) == 0, "a product of rows of another width");
                rows.len()
            }
            Left::Panels { x, rows } => {
                assert!(x.len() >= self.inner.div_ceil(LANES) * LANES * rows, "a product of other panels");
                rows
            }
        };
        assert!(self.from + self.inner <= self.height, "a product over more than there is");
        if rows == 0 {
            return;
        }
        assert!(
            self.out.len() / (rows * LANES) <= self.right.len() / (self.height * LANES),
            "a product of other sizes"
        );
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Vectors that make up 32 columns.
        match LANES / S::F32_LANES {
            2 => product::<S, 2>(simd, self),
            4 => product::<S, 4>(simd, self),
            8 => product::<S, 8>(simd, self),
            _ => product::<S, LANES>(simd, self),
        }
    }
}

#[inline(always)]
fn product<S: Simd, const VECTORS: usize>(simd: S, op: Product<'_>) {
    match op.left {
        Left::Rows { x, width, rows } => {
            let at = |i: usize, k: usize, len: usize| &x[rows[i] as usize * width + k..][..len];
            sweep::<S, VECTORS>(simd, rows.len(), INNER, at, op);
        }
        Left::Panels { x, rows } => {
            let at = |i: usize, k: usize, len: usize| &x[(k / LANES * rows + i) * LANES..][..len];
            sweep::<S, VECTORS>(simd, rows, LANES, at, op);
        }
    }
}

/// All tiles; `at` gives so many elements of a row of the left side, at most `run` and never across a multiple of it.
#[inline(always)]
fn sweep<'a, S: Simd, const VECTORS: usize>(
    simd: S,
    rows: usize,
    run: usize,
    at: impl Fn(usize, usize, usize) -> &'a [f32],
    op: Product<'_>,
) {
    let wide = S::REGISTER_COUNT >= 32;
    for k0 in (0..op.inner).step_by(INNER) {
        let inner = INNER.min(op.inner - k0);
        let add = op.add || k0 > 0;
        for (p, out) in op.out.chunks_mut(rows * LANES).enumerate() {
            let right = &op.right[(p * op.height + op.from + k0) * LANES..][..inner * LANES];
            let mut i = 0;
            while i < rows {
                let out = &mut out[i * LANES..];
                let (k, run) = (k0..k0 + inner, run);
                i += match rows - i {
                    8.. if wide => tile::<S, 8, VECTORS>(simd, i, k, run, &at, right, out, add),
                    4.. => tile::<S, 4, VECTORS>(simd, i, k, run, &at, right, out, add),
                    2.. => tile::<S, 2, VECTORS>(simd, i, k, run, &at, right, out, add),
                    _ => tile::<S, 1, VECTORS>(simd, i, k, run, &at, right, out, add),
                };
            }
        }
    }
}

#[allow(clippy::too_many_arguments)] // of one loop, taken apart
#[inline(always)]
fn tile<'a, S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    i: usize,
    k: std::ops::Range<usize>,
    run: usize,
    at: &impl Fn(usize, usize, usize) -> &'a [f32],
    right: &[f32],
    out: &mut [f32],
    add: bool,
) -> usize {
    let (right, _) = S::as_simd_f32s(right);
    let (right, _) = pulp::as_arrays::<VECTORS, _>(right);
    let (out, _) = S::as_mut_simd_f32s(&mut out[..ROWS * LANES]);
    let (out, _) = pulp::as_arrays_mut::<VECTORS, _>(out);
    // Two vectors at a time: 16 sums and what they are made of fit in 32 registers.
    for v in (0..VECTORS).step_by(2) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
        let mut begin = k.start;
        while begin < k.end {
            let len = run.min(k.end - begin);
            let right = &right[begin - k.start..][..len];
            let left: [&[f32]; ROWS] = std::array::from_fn(|r| &at(i + r, begin, len)[..len]);
            for (j, b) in right.iter().enumerate() {
                let (b0, b1) = (b[v], b[v + 1]);
                for (sums, left) in sums.iter_mut().zip(left) {
                    let a = simd.splat_f32s(left[j]);
                    sums[0] = simd.mul_add_e_f32s(a, b0, sums[0]);
                    sums[1] = simd.mul_add_e_f32s(a, b1, sums[1]);
                }
            }
            begin += len;
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (out, sum) in out[v..v + 2].iter_mut().zip(sums) {
                *out = if add { simd.add_f32s(*out, sum) } else { sum };
            }
        }
    }
    ROWS
}

/// `out (+)= left' right`, the gradient of weights: panel `left` `(rows, 32)` and panel `right` `(rows, 32)` to `(32, 32)`,
/// of which the first `units` rows are made. `out` is `units` times 32.
pub struct OuterProduct<'a> {
    /// Panels `(rows, units)` of the outputs' gradients.
    pub left: &'a [f32],
    /// One panel of the inputs.
    pub right: &'a [f32],
    /// Rows of either.
    pub rows: usize,
    /// One panel, as high as `left` has columns.
    pub out: &'a mut [f32],
    /// Whether to add to what is in `out`.
    pub add: bool,
}

impl OuterProduct<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        assert!(self.right.len() == self.rows * LANES, "inputs of another size");
        assert!(self.left.len() * LANES == self.out.len() * self.rows, "gradients of another size");
        if self.rows > 0 {
            Arch::new().dispatch(self);
        } else if !self.add {
            self.out.fill(0.0);
        }
    }
}

impl WithSimd for OuterProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match LANES / S::F32_LANES {
            2 => outer::<S, 2>(simd, self),
            4 => outer::<S, 4>(simd, self),
            8 => outer::<S, 8>(simd, self),
            _ => outer::<S, LANES>(simd, self),
        }
    }
}

#[inline(always)]
fn outer<S: Simd, const VECTORS: usize>(simd: S, op: OuterProduct<'_>) {
    let wide = S::REGISTER_COUNT >= 32;
    let (right, _) = S::as_simd_f32s(op.right);
    let (right, _) = pulp::as_arrays::<VECTORS, _>(right);
    for (left, out) in op.left.chunks(op.rows * LANES).zip(op.out.chunks_mut(LANES * LANES)) {
        let (left, _) = pulp::as_arrays::<LANES, _>(left);
        let mut i = 0;
        while i < LANES {
            let out = &mut out[i * LANES..];
            i += if wide {
                outer_tile::<S, 8, VECTORS>(simd, left, i, right, out, op.add)
            } else {
                outer_tile::<S, 4, VECTORS>(simd, left, i, right, out, op.add)
            };
        }
    }
}

#[inline(always)]
fn outer_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    left: &[[f32; LANES]],
    i: usize,
    right: &[[S::f32s; VECTORS]],
    out: &mut [f32],
    add: bool,
) -> usize {
    let (out, _) = S::as_mut_simd_f32s(&mut out[..ROWS * LANES]);
    let (out, _) = pulp::as_arrays_mut::<VECTORS, _>(out);
    for v in (0..VECTORS).step_by(2) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
        for (a, b) in left.iter().zip(right) {
            let a = &a[i..i + ROWS];
            let (b0, b1) = (b[v], b[v + 1]);
            for (sums, &a) in sums.iter_mut().zip(a) {
                let a = simd.splat_f32s(a);
                sums[0] = simd.mul_add_e_f32s(a, b0, sums[0]);
                sums[1] = simd.mul_add_e_f32s(a, b1, sums[1]);
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (out, sum) in out[v..v + 2].iter_mut().zip(sums) {
                *out = if add { simd.add_f32s(*out, sum) } else { sum };
            }
        }
    }
    ROWS
}

#[cfg(test)]
mod tests {
    use super::super::panels::{from_rows, padded, to_rows};
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 500.0 - 1.0).collect()
    }

    fn slow(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f64> {
        let of = |i, j| (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j])).sum::<f64>();
        (0..m * n).map(|i| of(i / n, i % n)).collect()
    }

    fn close(found: &[f32], expected: &[f64], k: usize) {
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*f) - e).abs() < 1e-6 * (k as f64).sqrt().max(1.0) * 4.0, "{i}: {f} against {e}");
        }
    }

    #[test]
    fn products_of_rows_and_of_panels_are_sums_of_products() {
        for (m, k, n) in [(1, 1, 1), (8, 32, 32), (13, 300, 70), (15, 513, 33), (31, 256, 64)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let expected = slow(&a, &b, m, k, n);
            let height = padded(k);
            let mut right = vec![0.0; height * padded(n)];
            from_rows(&b, k, n, height, &mut right);
            let mut left = vec![0.0; m * padded(k)];
            from_rows(&a, m, k, m, &mut left);
            // Every other row of a matrix twice as high.
            let mut spread = vec![f32::NAN; 2 * m * k];
            let rows: Vec<u32> = (0..m as u32).map(|i| 2 * i + 1).collect();
            a.chunks(k).zip(&rows).for_each(|(a, &r)| spread[r as usize * k..][..k].copy_from_slice(a));
            for left in [Left::Panels { x: &left, rows: m }, Left::Rows { x: &spread, width: k, rows: &rows }] {
                let mut out = vec![f32::NAN; m * padded(n)];
                let mut found = vec![0.0; m * n];
                Product { left, right: &right, height, from: 0, inner: k, out: &mut out, add: false }.run();
                to_rows(&out, m, n, m, &mut found);
                close(&found, &expected, k);
                Product { left, right: &right, height, from: 0, inner: k, out: &mut out, add: true }.run();
                to_rows(&out, m, n, m, &mut found);
                close(&found, &expected.iter().map(|e| 2.0 * e).collect::<Vec<_>>(), k);
            }
        }
    }

    #[test]
    fn outer_products_sum_over_rows() {
        for (rows, m, n) in [(1, 3, 5), (77, 70, 32), (200, 32, 9)] {
            let (a, b) = (numbers(rows * m, 3), numbers(rows * n, 4));
            let turned: Vec<f32> = (0..m * rows).map(|i| a[i % rows * m + i / rows]).collect();
            let expected = slow(&turned, &b, m, rows, n);
            let (mut left, mut right) = (vec![0.0; rows * padded(m)], vec![0.0; rows * padded(n)]);
            from_rows(&a, rows, m, rows, &mut left);
            from_rows(&b, rows, n, rows, &mut right);
            let mut out = vec![f32::NAN; padded(m) * LANES];
            for (add, factor) in [(false, 1.0), (true, 2.0)] {
                OuterProduct { left: &left, right: &right, rows, out: &mut out, add }.run();
                let mut found = vec![0.0; m * n];
                to_rows(&out, m, n, padded(m), &mut found);
                close(&found, &expected.iter().map(|e| factor * e).collect::<Vec<_>>(), rows);
            }
        }
    }
}
