//! Vectors of f32 as the kernels see them: AVX-512, AVX2 with FMA, and plain arrays for any machine.
//!
//! `unsafe` here and in `tile.rs` and `winograd.rs` only, for two reasons: the processor's vector
//! instructions are reachable in no other way when they are chosen at run time, and the inner loops read
//! through pointers. Whoever calls these functions has checked both: [`Isa::detect`] what the processor
//! has, `Gemm` and `Winograd` that every address lies in its slice.
#![allow(unsafe_code)] // see above

/// What the kernels are compiled for; one of them is chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same on pairs of bfloat16: for products only, see half.rs.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The best that this machine has.
    pub(crate) fn detect() -> Self {
        Self::available().first().copied().unwrap_or(Self::Portable)
    }

    /// All that this machine has, best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Portable);
        found
    }

    /// The same with products of pairs of bfloat16, where the machine has them.
    pub(super) fn of_pairs(self) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512 && is_x86_feature_detected!("avx512bf16") {
            return Some(Self::Avx512Bf16);
        }
        None
    }

    /// Runs `f` compiled for these instructions, where the compiler inlines it: for plain loops.
    pub(crate) fn run<T>(self, f: impl FnOnce() -> T) -> T {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of `Isa` other than `Portable` comes from `detect`, `available` or `of_pairs` alone.
            Self::Avx512 | Self::Avx512Bf16 => unsafe { with_avx512(f) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { with_avx2(f) },
            Self::Portable => f(),
        }
    }

    /// Columns of a panel of packed weights.
    pub(crate) fn columns(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Bf16 => 32,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 16,
            Self::Portable => 8,
        }
    }

    /// Most rows of a tile: as many as the registers hold beside two vectors of weights.
    pub(crate) fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Bf16 => 14,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 6,
            Self::Portable => 6,
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512<T>(f: impl FnOnce() -> T) -> T {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// A vector of [`Lanes::N`] values.
///
/// # Safety
/// Every function needs the processor to have the instructions of the implementing type, and is inlined
/// into a caller that is compiled for them; `load` and `store` need `N` values at the pointer.
pub(crate) trait Lanes: Copy {
    const N: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    /// `self + a b`, rounded once where the processor can.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    macro_rules! lanes {
        (
            $vector:ty, $n:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $fma:ident,
            $min:ident, $max:ident
        ) => {
            // SAFETY: each function is the instruction itself; what it needs is what `Lanes` asks for.
            impl Lanes for $vector {
                const N: usize = $n;
                #[inline(always)]
                unsafe fn splat(x: f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut f32) {
                    // SAFETY: as above.
                    unsafe { $store(p, self) }
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, b) }
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $sub(self, b) }
                }
                #[inline(always)]
                unsafe fn fma(self, a: Self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(a, b, self) }
                }
                #[inline(always)]
                unsafe fn clamp(self, low: Self, high: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $min($max(self, low), high) }
                }
            }
        };
    }

    /// Sums of 16 products, or what they are products of: 16 pairs of bfloat16.
    #[derive(Clone, Copy)]
    pub(crate) struct Pairs(__m512);

    // SAFETY: each function is the instruction itself; what it needs is what `Lanes` asks for.
    impl Lanes for Pairs {
        const N: usize = 16;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_loadu_ps(p) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_ps(self.0, b.0) })
        }
        /// `self` and the products of both halves of the pairs `a` and `b`.
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            // SAFETY: as above; the vectors' bits are what matters, whatever they are taken for.
            unsafe {
                let pairs = |v: __m512| std::mem::transmute::<__m512, __m512bh>(v);
                Self(_mm512_dpbf16_ps(self.0, pairs(a.0), pairs(b.0)))
            }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_min_ps(_mm512_max_ps(self.0, low.0), high.0) })
        }
    }

    lanes!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_fmadd_ps,
        _mm512_min_ps,
        _mm512_max_ps
    );
    lanes!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_fmadd_ps,
        _mm256_min_ps,
        _mm256_max_ps
    );
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Pairs;

/// Four values for which the compiler finds what the target has at least (SSE2, NEON).
#[derive(Clone, Copy)]
pub(crate) struct Four([f32; 4]);

macro_rules! each {
    ($f:expr) => {
        Four([$f(0), $f(1), $f(2), $f(3)])
    };
}

// SAFETY: plain arithmetic; only the pointers need what `Lanes` asks for.
impl Lanes for Four {
    const N: usize = 4;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller has four values there.
        Self(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller has room for four values there.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        each!(|i: usize| self.0[i] + b.0[i])
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        each!(|i: usize| self.0[i] - b.0[i])
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        if cfg!(target_arch = "aarch64") {
            each!(|i: usize| a.0[i].mul_add(b.0[i], self.0[i]))
        } else {
            each!(|i: usize| self.0[i] + a.0[i] * b.0[i])
        }
    }
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        each!(|i: usize| self.0[i].max(low.0[i]).min(high.0[i]))
    }
}
