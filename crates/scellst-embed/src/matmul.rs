//! The one place with `unsafe`: matrix products through the `gemm` crate (the one that candle uses), which
//! takes raw pointers. Worth it since they are nearly all of an encoder's time and candle's tensors would
//! copy the operands.

/// `out = a b`, all row-major: `a` is `(m, k)`, `b` is `(k, n)`, `out` is `(m, n)`. On the calling thread.
///
/// # Panics
/// If a slice is not of that size.
#[allow(unsafe_code)] // see above
pub(crate) fn matmul(m: usize, k: usize, n: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert_eq!(a.len(), m * k, "left side of a product of {m} x {k} x {n}");
    assert_eq!(b.len(), k * n, "right side of a product of {m} x {k} x {n}");
    assert_eq!(out.len(), m * n, "result of a product of {m} x {k} x {n}");
    if out.is_empty() {
        return;
    }
    if k == 0 {
        out.fill(0.0);
        return;
    }
    // SAFETY: the three slices have just the sizes that the dimensions and row-major strides span (asserted),
    // `out` is borrowed mutably and so overlaps neither of the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sum_of_products() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (4, 0, 3), (0, 2, 2)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut out = vec![f32::NAN; m * n];
            matmul(m, k, n, &a, &b, &mut out);
            for i in 0..m {
                for j in 0..n {
                    let expected: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                    assert_eq!(out[i * n + j], expected); // small whole numbers are exact
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "right side")]
    fn a_slice_too_short_is_caught_before_the_pointers() {
        matmul(2, 2, 2, &[0.0; 4], &[0.0; 3], &mut [0.0; 4]);
    }
}
