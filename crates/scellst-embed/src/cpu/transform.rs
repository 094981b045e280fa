//! Winograd's transforms of one tile, over all channels (Lavin and Gray 2016, arXiv 1509.09308): F(2, 3), F(3, 3) and
//! F(4, 3), interpolating at 0, 1, -1, 2, -2 and infinity.
#![allow(unsafe_code)] // see lanes.rs
#![allow(clippy::needless_range_loop)] // indices into small arrays, unrolled: iterators over them are not always

use super::lanes::{Four, Isa, Lanes};

/// `B^T d` of one row or column of an input tile.
#[inline(always)]
unsafe fn input<V: Lanes, const A: usize>(d: [V; A]) -> [V; A] {
    // SAFETY: arithmetic; the caller is compiled for `V`.
    unsafe {
        let mut r = d;
        let times = |c: f32| V::splat(c);
        if A == 4 {
            r[0] = d[0].sub(d[2]);
            r[1] = d[1].add(d[2]);
            r[2] = d[2].sub(d[1]);
            r[3] = d[1].sub(d[3]);
        } else if A == 5 {
            let two = times(2.0);
            let far = d[3].sub(d[1]);
            r[0] = far.fma(two, d[0].sub(d[2]));
            r[1] = d[3].sub(d[2]).fma(times(-2.0), d[1]);
            r[2] = d[3].fma(two, d[1]).fma(times(-3.0), d[2]);
            r[3] = far;
            r[4] = d[4].sub(d[2]).fma(times(-2.0), far);
        } else {
            let (even, odd) = (d[4].fma(times(-4.0), d[2]), d[3].fma(times(-4.0), d[1]));
            let (close, far) = (d[4].sub(d[2]), d[3].sub(d[1]));
            r[0] = d[4].fma(times(4.0), d[0]).fma(times(-5.0), d[2]);
            r[1] = even.add(odd);
            r[2] = even.sub(odd);
            r[3] = close.fma(times(2.0), far);
            r[4] = close.fma(times(-2.0), far);
            r[5] = d[5].fma(times(4.0), d[1]).fma(times(-5.0), d[3]);
        }
        r
    }
}

/// `A^T m` of one row or column of a product tile.
#[inline(always)]
unsafe fn output<V: Lanes, const A: usize, const M: usize>(m: [V; A]) -> [V; M] {
    // SAFETY: arithmetic; the caller is compiled for `V`.
    unsafe {
        let mut y = [m[0]; M];
        let times = |c: f32| V::splat(c);
        let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        if A == 4 {
            y[0] = m[0].add(sum);
            y[1] = difference.sub(m[3]);
        } else if A == 5 {
            y[0] = m[0].add(sum).add(m[3]);
            y[1] = difference.fma(times(2.0), m[3]);
            y[2] = sum.add(m[4]).fma(times(4.0), m[3]);
        } else {
            let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
            y[0] = m[0].add(sum).add(sum2);
            y[1] = difference.fma(times(2.0), difference2);
            y[2] = sum.fma(times(4.0), sum2);
            y[3] = difference.add(m[5]).fma(times(8.0), difference2);
        }
        y
    }
}

/// Filters that are transformed side by side: the columns of the widest panel.
pub(super) const COLUMNS: usize = 32;

/// `G g G^T` of 3 x 3 filters, each tap's values side by side: the first `A * A` rows.
pub(super) fn filters(isa: Isa, m: usize, g: &[[f32; COLUMNS]; 9]) -> [[f32; COLUMNS]; 36] {
    const SIXTH: f64 = 1.0 / 6.0;
    let rows: &[[f64; 3]] = match m {
        2 => &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
        3 => &[
            [0.5, 0.0, 0.0],
            [-0.5, -0.5, -0.5],
            [-SIXTH, SIXTH, -SIXTH],
            [SIXTH, 2.0 * SIXTH, 4.0 * SIXTH],
            [0.0, 0.0, 1.0],
        ],
        _ => &[
            [0.25, 0.0, 0.0],
            [-SIXTH, -SIXTH, -SIXTH],
            [-SIXTH, SIXTH, -SIXTH],
            [SIXTH / 4.0, SIXTH / 2.0, SIXTH],
            [SIXTH / 4.0, -SIXTH / 2.0, SIXTH],
            [0.0, 0.0, 1.0],
        ],
    };
    let mut values = [[0.0; COLUMNS]; 36];
    isa.run(|| {
        let dot = |a: &[f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        for (a, to) in rows.iter().zip(values.chunks_exact_mut(rows.len())) {
            let mut down = [[0.0; COLUMNS]; 3];
            for (t, down) in down.iter_mut().enumerate() {
                for (j, d) in down.iter_mut().enumerate() {
                    *d = dot(a, [0, 3, 6].map(|row| f64::from(g[row + t][j])));
                }
            }
            for (to, b) in to.iter_mut().zip(rows) {
                for (j, to) in to.iter_mut().enumerate() {
                    *to = dot(b, [0, 1, 2].map(|t| down[t][j])) as f32;
                }
            }
        }
    });
    values
}

/// An input tile: the pixels' addresses in rows, and where their transform goes.
pub(super) struct Scatter<'a> {
    /// `A * A` of them.
    pub pixels: &'a [*const f32],
    pub to: *mut f32,
    /// From one of the `A * A` values to the next.
    pub step: usize,
    pub channels: usize,
}

/// A product tile and where its pixels go.
pub(super) struct Gather<'a> {
    pub from: *const f32,
    pub step: usize,
    /// `M * M`, null where the tile hangs over the border.
    pub pixels: &'a [*mut f32],
    pub bias: *const f32,
    pub add: bool,
    pub low: f32,
    pub high: f32,
    pub channels: usize,
}

#[inline(always)]
unsafe fn scatter<V: Lanes, const A: usize>(t: &Scatter<'_>) {
    // SAFETY: the caller of `scatter_on` has checked what is read and written.
    unsafe {
        let mut c = 0;
        while c < t.channels {
            let mut half = [[V::splat(0.0); A]; A];
            for x in 0..A {
                let mut column = [V::splat(0.0); A];
                for y in 0..A {
                    column[y] = V::load((*t.pixels.get_unchecked(y * A + x)).add(c));
                }
                let column = input::<V, A>(column);
                for y in 0..A {
                    half[y][x] = column[y];
                }
            }
            for y in 0..A {
                let row = input::<V, A>(half[y]);
                for x in 0..A {
                    row[x].store(t.to.add((y * A + x) * t.step + c));
                }
            }
            c += V::N;
        }
    }
}

#[inline(always)]
unsafe fn gather<V: Lanes, const A: usize, const M: usize>(t: &Gather<'_>) {
    // SAFETY: the caller of `gather_on` has checked what is read and written.
    unsafe {
        let (low, high) = (V::splat(t.low), V::splat(t.high));
        let mut c = 0;
        while c < t.channels {
            let mut half = [[V::splat(0.0); A]; M];
            for x in 0..A {
                let mut column = [V::splat(0.0); A];
                for y in 0..A {
                    column[y] = V::load(t.from.add((y * A + x) * t.step + c));
                }
                let column = output::<V, A, M>(column);
                for y in 0..M {
                    half[y][x] = column[y];
                }
            }
            let bias = V::load(t.bias.add(c));
            for y in 0..M {
                let row = output::<V, A, M>(half[y]);
                for x in 0..M {
                    let pixel = *t.pixels.get_unchecked(y * M + x);
                    if !pixel.is_null() {
                        let mut v = row[x].add(bias);
                        if t.add {
                            v = v.add(V::load(pixel.add(c)));
                        }
                        v.clamp(low, high).store(pixel.add(c));
                    }
                }
            }
            c += V::N;
        }
    }
}

macro_rules! entries {
    ($scatter:ident, $gather:ident, $(#[$feature:meta])?, $vector:ty) => {
        $(#[$feature])?
        unsafe fn $scatter(m: usize, t: &Scatter<'_>) {
            // SAFETY: as `scatter_on`.
            unsafe {
                match m {
                    2 => scatter::<$vector, 4>(t),
                    3 => scatter::<$vector, 5>(t),
                    _ => scatter::<$vector, 6>(t),
                }
            }
        }
        $(#[$feature])?
        unsafe fn $gather(m: usize, t: &Gather<'_>) {
            // SAFETY: as `gather_on`.
            unsafe {
                match m {
                    2 => gather::<$vector, 4, 2>(t),
                    3 => gather::<$vector, 5, 3>(t),
                    _ => gather::<$vector, 6, 4>(t),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
entries!(scatter_avx512, gather_avx512, #[target_feature(enable = "avx512f")], std::arch::x86_64::__m512);
#[cfg(target_arch = "x86_64")]
entries!(scatter_avx2, gather_avx2, #[target_feature(enable = "avx2,fma")], std::arch::x86_64::__m256);
entries!(scatter_portable, gather_portable, , Four);

/// Transforms an input tile for outputs of `m` by `m`.
///
/// # Safety
/// The processor has `isa`; `m` is 2 to 4 with `(m + 2)^2` pixels; `channels` is a multiple of 16 and lies behind
/// every pixel, and behind `to` in every step.
pub(super) unsafe fn scatter_on(isa: Isa, m: usize, t: &Scatter<'_>) {
    // SAFETY: as this function.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => scatter_avx512(m, t),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => scatter_avx2(m, t),
            Isa::Portable => scatter_portable(m, t),
        }
    }
}

/// Transforms a product tile back.
///
/// # Safety
/// As [`scatter_on`], with `m^2` pixels, and `channels` values behind `bias`.
pub(super) unsafe fn gather_on(isa: Isa, m: usize, t: &Gather<'_>) {
    // SAFETY: as this function.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => gather_avx512(m, t),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => gather_avx2(m, t),
            Isa::Portable => gather_portable(m, t),
        }
    }
}
