use super::bits::Bits;
use super::field::Field;
use super::wide::wide;
use super::window::Window;

/// Distances beyond this many pixels are not told apart.
pub(crate) const MOST: usize = 120;

/// Euclidean distance of each set pixel to the nearest unset one, pixels, at most a cap; 0 where unset. What lies
/// outside of the grid is not known: a nucleus that the slide's edge cuts keeps its shape.
///
/// By columns, then rows (Saito and Toriwaki 1994, doi 10.1016/0031-3203(94)90133-3), both cut off at the cap.
#[derive(Default)]
pub(crate) struct Distance {
    /// Along the column, rows of the larger window.
    vertical: Vec<u8>,
    /// Squares of a row of it.
    squares: Vec<u16>,
}

impl Distance {
    /// Over `window`, from what `bits` has in it and as far around as the cap reaches; the cap is at most [`MOST`].
    pub(crate) fn run(&mut self, bits: &Bits, window: &Window, cap: usize, out: &mut Field) {
        let around = Window {
            x: window.x.start.saturating_sub(cap)..window.x.end + cap,
            y: window.y.start.saturating_sub(cap)..window.y.end + cap,
        };
        let around = around.within(&bits.window);
        self.columns(bits, &around, cap as u8);
        out.reset(window);
        let w = around.width();
        let left = window.x.start - around.x.start;
        let far = (cap * cap) as u16;
        // Padded by the cap, so that every step to the side finds a value.
        self.squares.clear();
        self.squares.resize(window.width() + 2 * cap, far);
        let before = cap.saturating_sub(left);
        let first = left.saturating_sub(cap);
        let count = (w - first).min(window.width() + 2 * cap - before);
        for (y, out) in window.y.clone().zip(out.data.chunks_exact_mut(window.width().max(1))) {
            let row = &self.vertical[(y - around.y.start) * w..][..w];
            let squares = &mut self.squares;
            wide(|| {
                for (s, &v) in squares[before..before + count].iter_mut().zip(&row[first..first + count]) {
                    *s = u16::from(v) * u16::from(v);
                }
                across(squares, cap, out);
            });
        }
    }

    fn columns(&mut self, bits: &Bits, around: &Window, cap: u8) {
        let w = around.width();
        self.vertical.clear();
        self.vertical.resize(around.area(), 0);
        for (y, row) in around.y.clone().zip(self.vertical.chunks_exact_mut(w.max(1))) {
            bits.runs(y, &around.x, true).for_each(|r| row[r.start - around.x.start..r.end - around.x.start].fill(cap));
        }
        let vertical = &mut self.vertical;
        wide(|| {
            let rows = around.height();
            for y in 1..rows {
                let (above, row) = vertical[(y - 1) * w..(y + 1) * w].split_at_mut(w);
                row.iter_mut().zip(above).for_each(|(v, a)| *v = (*v).min(*a + 1));
            }
            for y in (1..rows).rev() {
                let (row, below) = vertical[(y - 1) * w..(y + 1) * w].split_at_mut(w);
                row.iter_mut().zip(below).for_each(|(v, b)| *v = (*v).min(*b + 1));
            }
        });
    }
}

/// Pixels that are worked on at once: nuclei are small beside a row, so most blocks need few steps.
const BLOCK: usize = 64;

/// From squared distances along the columns, padded by the cap, to distances.
#[inline(always)]
fn across(squares: &[u16], cap: usize, out: &mut [f32]) {
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let at = block * BLOCK + cap;
        let n = out.len();
        let mut best = [0u16; BLOCK];
        best[..n].copy_from_slice(&squares[at..at + n]);
        let most = best.iter().fold(0, |a, b| a.max(*b));
        for step in (1..cap).take_while(|s| s * s < usize::from(most)) {
            let square = (step * step) as u16;
            let (left, right) = (&squares[at - step..at - step + n], &squares[at + step..at + step + n]);
            if n == BLOCK {
                let (left, right) = (&left[..BLOCK], &right[..BLOCK]);
                for i in 0..BLOCK {
                    best[i] = best[i].min(square + left[i].min(right[i]));
                }
            } else {
                for i in 0..n {
                    best[i] = best[i].min(square + left[i].min(right[i]));
                }
            }
        }
        if most == 0 {
            out.fill(0.0);
        } else {
            out.iter_mut().zip(&best).for_each(|(o, b)| *o = f32::from(*b).sqrt());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::bits;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_least_distance_to_an_unset_pixel(
            unset in proptest::collection::vec(0u8..40, 90 * 9),
            cap in 2usize..9,
            margin in 0usize..4,
        ) {
            let set: Vec<bool> = unset.iter().map(|&b| b > 0).collect();
            let m = bits(20, 30, 90, &set);
            let window = Window { x: 20 + margin..110 - margin, y: 30 + margin..39 - margin };
            let mut got = Field::default();
            Distance::default().run(&m, &window, cap, &mut got);
            for (x, y) in window.y.clone().flat_map(|y| window.x.clone().map(move |x| (x, y))) {
                let least = (0..set.len())
                    .filter(|&i| !set[i])
                    .map(|i| (x as f64 - (20 + i % 90) as f64).hypot(y as f64 - (30 + i / 90) as f64))
                    .fold(cap as f64, f64::min);
                prop_assert!((f64::from(got.at(x, y)) - least).abs() < 1e-5);
            }
        }
    }
}
