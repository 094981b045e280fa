//! Rows of cells to rows of bags and back, on panels: what a network that looks at the whole set needs.
//!
//! [`to_bags`] and [`to_cells`] are each other's transpose, so that each is the way back of the other.

use pulp::{Arch, Simd, WithSimd};

use super::head::BagRows;
use super::panels::LANES;

/// What a cell counts for in its bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// 1: sums.
    Whole,
    /// One over the number of the bag's cells: means.
    Equal,
}

impl Share {
    #[inline(always)]
    fn of(self, bag: &BagRows) -> f32 {
        match self {
            Self::Whole => 1.0,
            Self::Equal => 1.0 / bag.rows.len() as f32,
        }
    }
}

/// `out[bag] = share x sum of cells[row]` over the bag's rows, set: panels of `rows` rows to panels of `bags.len()` rows.
///
/// # Panics
/// If the sizes do not go together.
pub fn to_bags(cells: &[f32], rows: usize, bags: &[BagRows], share: Share, out: &mut [f32]) {
    assert_eq!(cells.len() * bags.len(), out.len() * rows, "bags of another size");
    if rows > 0 && !bags.is_empty() {
        Arch::new().dispatch(ToBags { cells, rows, bags, share, out });
    }
}

/// `cells[row] += share x bags[bag]` for each of the bag's rows, the other way round.
///
/// # Panics
/// If the sizes do not go together.
pub fn to_cells(from: &[f32], bags: &[BagRows], share: Share, cells: &mut [f32], rows: usize) {
    assert_eq!(cells.len() * bags.len(), from.len() * rows, "bags of another size");
    if rows > 0 && !bags.is_empty() {
        Arch::new().dispatch(ToCells { from, bags, share, cells, rows });
    }
}

struct ToBags<'a> {
    cells: &'a [f32],
    rows: usize,
    bags: &'a [BagRows],
    share: Share,
    out: &'a mut [f32],
}

impl WithSimd for ToBags<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let panels = self.cells.chunks(self.rows * LANES).zip(self.out.chunks_mut(self.bags.len() * LANES));
        for (cells, out) in panels {
            let cells = cells.as_chunks::<LANES>().0;
            for (bag, out) in self.bags.iter().zip(out.as_chunks_mut::<LANES>().0) {
                let mut sum = [0f32; LANES];
                for row in &cells[bag.rows.clone()] {
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                let share = self.share.of(bag);
                *out = sum.map(|sum| sum * share);
            }
        }
    }
}

struct ToCells<'a> {
    from: &'a [f32],
    bags: &'a [BagRows],
    share: Share,
    cells: &'a mut [f32],
    rows: usize,
}

impl WithSimd for ToCells<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let panels = self.cells.chunks_mut(self.rows * LANES).zip(self.from.chunks(self.bags.len() * LANES));
        for (cells, from) in panels {
            let cells = cells.as_chunks_mut::<LANES>().0;
            for (bag, from) in self.bags.iter().zip(from.as_chunks::<LANES>().0) {
                let share = self.share.of(bag);
                for row in &mut cells[bag.rows.clone()] {
                    row.iter_mut().zip(from).for_each(|(x, b)| *x += share * b);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_are_transposes() {
        let bag = |rows| BagRows { rows, weight: 1.0, label: 0, size: 1.0, importance: 1.0 };
        let bags = [bag(0..3), bag(3..4), bag(4..9)];
        let number = |i: usize| ((i * 37) % 19) as f32 - 9.0;
        let cells: Vec<f32> = (0..9 * 2 * LANES).map(number).collect();
        let of_bags: Vec<f32> = (0..3 * 2 * LANES).map(|i| number(i + 5)).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        for share in [Share::Whole, Share::Equal] {
            let mut down = vec![f32::NAN; of_bags.len()];
            to_bags(&cells, 9, &bags, share, &mut down);
            let mut up = vec![0.0; cells.len()];
            to_cells(&of_bags, &bags, share, &mut up, 9);
            // <A x, y> = <x, A' y>.
            assert!((dot(&down, &of_bags) - dot(&cells, &up)).abs() < 1e-3);
            // The second bag is one cell: itself.
            assert_eq!(down[LANES..2 * LANES], cells[3 * LANES..4 * LANES]);
        }
    }
}
