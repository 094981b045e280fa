//! Products with weights that were packed once.
#![allow(unsafe_code)] // one call, see lanes.rs

use super::buffer::Buffer;
use super::lanes::Isa;
use super::tile::{self, Span, Tile};

/// A matrix `(k, n)` as panels of as many columns as the micro-kernel takes, one after another, the last
/// filled up with zeros.
pub(crate) struct Packed {
    isa: Isa,
    k: usize,
    n: usize,
    panels: Buffer,
}

impl Packed {
    /// Of no rows and columns, to be filled.
    pub(crate) fn empty(isa: Isa) -> Self {
        Self { isa, k: 0, n: 0, panels: Buffer::default() }
    }

    /// From `at(row, column)`.
    pub(crate) fn new(isa: Isa, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut packed = Self::empty(isa);
        packed.fill(k, n, at);
        packed
    }

    /// The panels of a matrix `(k, n)`, to be filled.
    pub(super) fn reshape(&mut self, k: usize, n: usize) -> &mut [f32] {
        let width = self.isa.columns();
        (self.k, self.n) = (k, n);
        self.panels.resize(n.div_ceil(width) * k * width)
    }

    /// Other values in the same place.
    pub(crate) fn fill(&mut self, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) {
        let width = self.isa.columns();
        let panels = self.reshape(k, n);
        for (p, panel) in panels.chunks_exact_mut((k * width).max(1)).enumerate() {
            for (row, values) in panel.chunks_exact_mut(width).enumerate() {
                for (j, value) in values.iter_mut().enumerate() {
                    let column = p * width + j;
                    *value = if column < n { at(row, column) } else { 0.0 };
                }
            }
        }
    }

    /// The same from rows of `n` values one after another.
    pub(crate) fn fill_rows(&mut self, rows: &[f32], n: usize) {
        let (k, width) = (rows.len() / n.max(1), self.isa.columns());
        let panels = self.reshape(k, n);
        for (p, panel) in panels.chunks_exact_mut((k * width).max(1)).enumerate() {
            let columns = (n - p * width).min(width);
            for (to, row) in panel.chunks_exact_mut(width).zip(rows.chunks_exact(n)) {
                to[..columns].copy_from_slice(&row[p * width..][..columns]);
                to[columns..].fill(0.0);
            }
        }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// Row by row again.
    pub(crate) fn unpacked(&self) -> Vec<f32> {
        let (width, panels) = (self.isa.columns(), self.panels.as_slice());
        let at = |row: usize, column: usize| panels[((column / width) * self.k + row) * width + column % width];
        (0..self.k).flat_map(|row| (0..self.n).map(move |column| at(row, column))).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.panels.as_slice())
    }
}

/// Which rows: each has its place on the left side and in the result.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// `count` rows, one every `a` values on the left and every `c` in the result.
    Every { count: usize, a: usize, c: usize },
    /// At these places.
    At(&'a [[usize; 2]]),
}

/// What is done to a product before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct After<'a> {
    /// One a column; none is zero.
    pub bias: Option<&'a [f32]>,
    /// Whether it is added to what the result holds (a residual).
    pub add: bool,
    /// Bounds of the result: `(0, inf)` is a ReLU.
    pub clamp: (f32, f32),
}

impl After<'_> {
    pub(crate) const NOTHING: After<'static> =
        After { bias: None, add: false, clamp: (f32::NEG_INFINITY, f32::INFINITY) };
}

/// Pieces of the left side that one row of the result takes, see [`Span`], and the first row of weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub ny: usize,
    pub nx: usize,
    pub k: usize,
    pub a_y: usize,
    pub a_x: usize,
    pub b_y: usize,
    pub b: usize,
}

impl Window {
    pub(crate) fn whole(k: usize) -> Self {
        Self { ny: 1, nx: 1, k, a_y: 0, a_x: 0, b_y: 0, b: 0 }
    }

    /// Values from the first to behind the last.
    fn reach(&self) -> usize {
        (self.ny - 1) * self.a_y + (self.nx - 1) * self.a_x + self.k
    }

    fn weights(&self) -> usize {
        self.b + (self.ny - 1) * self.b_y + self.nx * self.k
    }
}

/// `c = clamp(a b + bias (+ c))`: every row of `c` is a sum in the order of `k` whatever the other rows are, so that
/// the result does not depend on how rows are shared among calls and threads.
///
/// # Panics
/// If a row reaches out of its slice.
pub(crate) fn multiply(a: &[f32], b: &Packed, c: &mut [f32], rows: Rows<'_>, window: Window, after: After<'_>) {
    let (isa, n, width) = (b.isa, b.n, b.isa.columns());
    let count = match rows {
        Rows::Every { count, .. } => count,
        Rows::At(places) => places.len(),
    };
    if count == 0 || n == 0 {
        return;
    }
    assert!(
        window.ny > 0 && window.nx > 0 && b.k > 0 && window.weights() <= b.k,
        "{window:?} of {} rows of weights",
        b.k
    );
    let inside = |[from, to]: [usize; 2]| from + window.reach() <= a.len() && to + n <= c.len();
    let all_inside = match rows {
        Rows::Every { count, a, c } => inside([(count - 1) * a, (count - 1) * c]),
        Rows::At(places) => places.iter().all(|&p| inside(p)),
    };
    assert!(all_inside, "{count} rows of {window:?} reach out of {} values or {n} columns out of {}", a.len(), c.len());
    if let Some(bias) = after.bias {
        assert_eq!(bias.len(), n, "bias of a product of {n} columns");
    }

    let Window { ny, nx, k, a_y, a_x, b_y, b: first } = window;
    let span = Span { ny, nx, k, a_y, a_x, b_y };
    let blocks = count.div_ceil(isa.rows());
    let mut bias = [0.0; MAX_COLUMNS];
    let mut edge = [0.0; MAX_ROWS * MAX_COLUMNS];
    for (p, panel) in b.panels.as_slice().chunks_exact(b.k * width).enumerate() {
        let columns = (n - p * width).min(width);
        if let Some(all) = after.bias {
            bias[..columns].copy_from_slice(&all[p * width..][..columns]);
        }
        let mut begin = 0;
        for block in 0..blocks {
            // Blocks of even height: a last one of a row or two would cost nearly as much as a full one.
            let height = (count - begin) / (blocks - block);
            let mut places = [[0; 2]; MAX_ROWS];
            for (r, place) in places[..height].iter_mut().enumerate() {
                let [from, to] = match rows {
                    Rows::Every { a, c, .. } => [(begin + r) * a, (begin + r) * c],
                    Rows::At(places) => places[begin + r],
                };
                *place = [from, to + p * width];
            }
            begin += height;
            let partial = columns < width;
            let targets = places;
            if partial {
                for (r, place) in places[..height].iter_mut().enumerate() {
                    edge[r * width..][..columns].copy_from_slice(&c[place[1]..][..columns]);
                    place[1] = r * width;
                }
            }
            let tile = Tile {
                a: a.as_ptr(),
                c: if partial { edge.as_mut_ptr() } else { c.as_mut_ptr() },
                rows: places.as_ptr(),
                span,
                b: panel[first * width..].as_ptr(),
                bias: bias.as_ptr(),
                add: after.add,
                low: after.clamp.0,
                high: after.clamp.1,
            };
            // SAFETY: `isa` was detected where `b` was packed; a block has at most `isa.rows()` rows and at least
            // one; every row's pieces lie in `a` and its columns in `c` (asserted above) or in `edge`, which has
            // room for all rows of a block; the window's rows of weights lie in the panel (asserted); `bias` and
            // `places` are arrays of the largest size.
            unsafe { tile::run(isa, height, &tile) };
            if partial {
                for (r, place) in targets[..height].iter().enumerate() {
                    c[place[1]..][..columns].copy_from_slice(&edge[r * width..][..columns]);
                }
            }
        }
    }
}

/// Over all that [`Isa`] says.
const MAX_ROWS: usize = 14;
const MAX_COLUMNS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize, of: usize) -> f32 {
        (i * 7919 % of) as f32 - (of / 2) as f32
    }

    #[test]
    fn is_the_sum_of_products_on_every_isa() {
        for isa in Isa::available() {
            for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (29, 7, 64), (14, 64, 33), (100, 3, 40), (0, 2, 2)] {
                let a: Vec<f32> = (0..m * k).map(|i| value(i, 7)).collect();
                let b = Packed::new(isa, k, n, |i, j| value(i * n + j, 5));
                let bias: Vec<f32> = (0..n).map(|j| value(j, 11)).collect();
                let before: Vec<f32> = (0..m * n).map(|i| value(i, 13)).collect();
                let mut c = before.clone();
                let rows = Rows::Every { count: m, a: k, c: n };
                let after = After { bias: Some(&bias), add: true, clamp: (-3.0, 40.0) };
                multiply(&a, &b, &mut c, rows, Window::whole(k), after);
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let sum: f32 = (0..k).map(|l| a[i * k + l] * value(l * n + j, 5)).sum();
                    // small whole numbers are exact
                    let expected = (sum + bias[j] + before[i * n + j]).clamp(-3.0, 40.0);
                    assert_eq!(c[i * n + j], expected, "{isa:?} {m} x {k} x {n} at {i}, {j}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_in_any_company() {
        for isa in Isa::available() {
            let (k, n) = (65, 48);
            let a: Vec<f32> = (0..50 * k).map(|i| value(i, 1009) / 77.0).collect();
            let b = Packed::new(isa, k, n, |i, j| value(i * n + j, 997) / 31.0);
            let run = |from: usize, count: usize| {
                let mut c = vec![0.0; count * n];
                let rows = Rows::Every { count, a: k, c: n };
                multiply(&a[from * k..], &b, &mut c, rows, Window::whole(k), After::NOTHING);
                c
            };
            let all = run(0, 50);
            for (from, count) in [(0, 1), (3, 14), (20, 30), (49, 1)] {
                assert_eq!(run(from, count), all[from * n..(from + count) * n], "{isa:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "reach out of")]
    fn a_slice_too_short_is_caught_before_the_pointers() {
        let b = Packed::new(Isa::detect(), 4, 4, |_, _| 1.0);
        let rows = Rows::Every { count: 2, a: 4, c: 4 };
        multiply(&[0.0; 7], &b, &mut [0.0; 8], rows, Window::whole(4), After::NOTHING);
    }

    #[test]
    #[should_panic(expected = "rows of weights")]
    fn weights_too_few_are_caught_before_the_pointers() {
        let b = Packed::new(Isa::detect(), 4, 4, |_, _| 1.0);
        let rows = Rows::Every { count: 1, a: 8, c: 4 };
        multiply(&[0.0; 8], &b, &mut [0.0; 8], rows, Window::whole(5), After::NOTHING);
    }
}
