//! Products of numbers of half the bits, summed in f32.
//!
//! A bfloat16 is the upper half of an f32: its range, 8 bits of precision. Where the processor multiplies pairs of them
//! (AVX-512 BF16) it takes two products in the time of one; elsewhere the same numbers are rounded and multiplied as
//! f32, so that results do not depend on the machine by more than the order of sums.

use super::buffer::Buffer;
use super::gemm::Packed;
use super::lanes::Isa;

/// How products of bfloat16 are taken on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Two in the place of one f32, the first in its lower half.
    Pairs(Isa),
    /// Each in an f32 of its own.
    Rounded(Isa),
}

impl Half {
    pub(crate) fn on(isa: Isa) -> Self {
        isa.of_pairs().map_or(Self::Rounded(isa), Self::Pairs)
    }

    /// Numbers in the place of one f32.
    pub(crate) fn unit(self) -> usize {
        match self {
            Self::Pairs(_) => 2,
            Self::Rounded(_) => 1,
        }
    }

    /// A matrix `(k, n)` of an even `k`.
    pub(crate) fn pack(self, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) -> Packed {
        match self {
            Self::Pairs(isa) => Packed::new(isa, k / 2, n, |row, o| pair(at(2 * row, o), at(2 * row + 1, o))),
            Self::Rounded(isa) => Packed::new(isa, k, n, |row, o| f32::from_bits(round(at(row, o)))),
        }
    }

    /// The matrix that was packed, rounded, row by row.
    pub(crate) fn unpacked(self, packed: &Packed) -> Vec<f32> {
        let (values, n) = (packed.unpacked(), packed.shape().1);
        match self {
            Self::Rounded(_) => values,
            Self::Pairs(_) => {
                let lower = |v: &f32| f32::from_bits(v.to_bits() << 16);
                let upper = |v: &f32| f32::from_bits(v.to_bits() & 0xffff_0000);
                let rows = values.chunks_exact(n.max(1));
                rows.flat_map(|row| row.iter().map(lower).chain(row.iter().map(upper))).collect()
            }
        }
    }

    /// An even number of values.
    pub(crate) fn convert<'a>(self, x: &[f32], to: &'a mut Buffer) -> &'a [f32] {
        let out = to.resize(x.len() / self.unit());
        match self {
            Self::Pairs(isa) => isa.run(|| {
                out.iter_mut().zip(x.chunks_exact(2)).for_each(|(to, two)| *to = pair(two[0], two[1]));
            }),
            Self::Rounded(isa) => isa.run(|| {
                out.iter_mut().zip(x).for_each(|(to, v)| *to = f32::from_bits(round(*v)));
            }),
        }
        out
    }
}

/// The bits of the nearest bfloat16, of two as near the even one, in the upper half.
#[inline(always)]
fn round(v: f32) -> u32 {
    let bits = v.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    // A NaN stays one.
    if v.is_nan() { bits | 0x0040_0000 } else { nearest }
}

#[inline(always)]
fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(round(first) >> 16 | round(second) & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_what_was_packed_but_rounded() {
        let at = |row: usize, o: usize| (row * 7 + o) as f32 * 0.37 - 3.0;
        for isa in Isa::available() {
            let half = Half::on(isa);
            let found = half.unpacked(&half.pack(6, 37, at));
            let expected = (0..6 * 37).map(|i| f32::from_bits(round(at(i / 37, i % 37))));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{isa:?}");
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        for (v, expected) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0), // half way, to the even one
            (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
            (1.0 + 1.1 / 256.0, 1.0 + 1.0 / 128.0),
            (-3.0e38, -3.0040553e38),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (0.0, 0.0),
        ] {
            assert_eq!(f32::from_bits(round(v)), expected, "{v}");
        }
        assert!(f32::from_bits(round(f32::NAN)).is_nan());
        let two = pair(1.5, -2.0).to_bits();
        assert_eq!((f32::from_bits(two << 16), f32::from_bits(two & 0xffff_0000)), (1.5, -2.0));
    }
}
