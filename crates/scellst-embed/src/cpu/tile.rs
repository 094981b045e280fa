//! The micro-kernel: a few rows of a product, accumulated in registers, with all that follows a convolution.
#![allow(unsafe_code)] // see lanes.rs
#![allow(clippy::needless_range_loop)] // indices into small arrays, unrolled: iterators over them are not always

use super::lanes::{Four, Isa, Lanes};

/// Where the left side of a product lies and which part of the weights it meets: `ny` times `nx` pieces of
/// `k` values. A 1 x 1 convolution has one piece, a 3 x 3 one nine, fewer at the border.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub ny: usize,
    pub nx: usize,
    pub k: usize,
    /// From one piece to the next, values.
    pub a_y: usize,
    pub a_x: usize,
    /// From one row of pieces to the next, rows of weights.
    pub b_y: usize,
}

/// One tile of the result.
pub(super) struct Tile {
    pub a: *const f32,
    pub c: *mut f32,
    /// Offset of each row in `a` and in `c`.
    pub rows: *const [usize; 2],
    pub span: Span,
    /// The panel's first row that takes part.
    pub b: *const f32,
    /// A panel's width of values.
    pub bias: *const f32,
    /// Whether to add to what is in `c`.
    pub add: bool,
    pub low: f32,
    pub high: f32,
}

/// `c = clamp(a b + bias (+ c))` for `MR` rows and a panel of `NV` vectors.
#[inline(always)]
unsafe fn tile<V: Lanes, const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: `run`'s caller has checked that all of this lies in the slices.
    unsafe {
        let rows = &*t.rows.cast::<[[usize; 2]; MR]>();
        let mut acc = [[V::splat(0.0); NV]; MR];
        let Span { ny, nx, k, a_y, a_x, b_y } = t.span;
        let columns = NV * V::N;
        for y in 0..ny {
            let mut b = t.b.add(y * b_y * columns);
            for x in 0..nx {
                let mut a = [t.a; MR];
                for r in 0..MR {
                    a[r] = t.a.add(rows[r][0] + y * a_y + x * a_x);
                }
                let mut i = 0;
                while i < k {
                    let mut w = [V::splat(0.0); NV];
                    for v in 0..NV {
                        w[v] = V::load(b.add(v * V::N));
                    }
                    for r in 0..MR {
                        let value = V::splat(*a[r].add(i));
                        for v in 0..NV {
                            acc[r][v] = acc[r][v].fma(value, w[v]);
                        }
                    }
                    b = b.add(columns);
                    i += 1;
                }
            }
        }
        let (low, high) = (V::splat(t.low), V::splat(t.high));
        for v in 0..NV {
            let bias = V::load(t.bias.add(v * V::N));
            for r in 0..MR {
                let c = t.c.add(rows[r][1] + v * V::N);
                let mut sum = acc[r][v].add(bias);
                if t.add {
                    sum = sum.add(V::load(c));
                }
                sum.clamp(low, high).store(c);
            }
        }
    }
}

macro_rules! entry {
    ($name:ident, $(#[$feature:meta])?, $vector:ty) => {
        $(#[$feature])?
        unsafe fn $name<const MR: usize>(t: &Tile) {
            // SAFETY: as `run`.
            unsafe { tile::<$vector, MR, 2>(t) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
entry!(avx512, #[target_feature(enable = "avx512f")], std::arch::x86_64::__m512);
#[cfg(target_arch = "x86_64")]
entry!(avx512_bf16, #[target_feature(enable = "avx512f,avx512bf16")], super::lanes::Pairs);
#[cfg(target_arch = "x86_64")]
entry!(avx2, #[target_feature(enable = "avx2,fma")], std::arch::x86_64::__m256);
entry!(portable, , Four);

/// The function for each number of rows.
macro_rules! rows {
    ($rows:expr, $kernel:ident($tile:expr), $($n:literal)*) => {
        match $rows {
            $($n => $kernel::<$n>($tile),)*
            n => unreachable!("a tile of {n} rows"),
        }
    };
}

/// Computes one tile of `rows` rows.
///
/// # Safety
/// The processor has `isa`; `rows` is 1 to `isa.rows()`; the pointers in `tile` span what its `rows` and
/// `span` say, `c` is not reached otherwise meanwhile.
pub(super) unsafe fn run(isa: Isa, rows: usize, tile: &Tile) {
    // SAFETY: as this function.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => rows!(rows, avx512(tile), 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => rows!(rows, avx512_bf16(tile), 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => rows!(rows, avx2(tile), 1 2 3 4 5 6),
            Isa::Portable => rows!(rows, portable(tile), 1 2 3 4 5 6),
        }
    }
}
