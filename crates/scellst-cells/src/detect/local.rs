use std::ops::Range;

use super::bits::Bits;
use super::field::Field;
use super::wide::wide;
use super::window::Window;

/// What is nuclear: stain above a threshold that lies between the slide's and the neighbourhood's mean.
///
/// That mean is taken over a square of the means over a larger square, what lies outside of the grid left out of both.
/// Sums run along in whole numbers, because running sums of floats would depend on where they began.
pub(crate) struct LocalThreshold {
    /// Half the sides of the two squares.
    pub(crate) radii: (usize, usize),
    /// The threshold's part that does not depend on the place.
    pub(crate) fixed: f32,
    /// How much the local mean counts.
    pub(crate) weight: f32,
    /// It never falls under this.
    pub(crate) least: f32,
}

/// Room to work in: sums down the columns, and one row's along it.
#[derive(Default)]
pub(crate) struct Sums {
    first: Vec<i32>,
    /// Rows of `first` that are in `second`.
    ring: Vec<i32>,
    second: Vec<i32>,
    values: Vec<i64>,
    means: Vec<i64>,
    above: Vec<u8>,
}

/// Stain counts up to here, in units of [`hed`](crate::hed).
const MOST_STAIN: f32 = 4.0;

impl LocalThreshold {
    /// How far around a pixel it looks.
    pub(crate) fn reach(&self) -> usize {
        self.radii.0 + self.radii.1
    }

    /// `stain` holds the window and [`LocalThreshold::reach`] around it, as far as the grid goes.
    pub(crate) fn run(&self, stain: &Field, window: &Window, room: &mut Sums, out: &mut Bits) {
        let b = self.radii.1;
        let (source, w) = (&stain.window, stain.window.width());
        out.reset(window);
        let height = 2 * b + 1;
        for (sums, n) in [(&mut room.first, w), (&mut room.second, w), (&mut room.ring, w * height)] {
            sums.clear();
            sums.resize(n, 0);
        }
        room.above.clear();
        room.above.resize(window.width().next_multiple_of(64), 0);
        let unit = self.unit();
        let (columns, rows) = (Axis::new(&source.x, self.radii), Axis::new(&source.y, self.radii));
        let inverse: Vec<f32> = window.x.clone().map(|x| 1.0 / columns.pixels(x) as f32).collect();
        let slot = |y: usize| y % height * w..(y % height + 1) * w;

        let Sums { first, ring, second, values, means, above } = room;
        let begin = rows.second(window.y.start).start;
        let mut seconds = begin..begin;
        let begin = rows.first(begin).start;
        let mut firsts = begin..begin;
        for y in window.y.clone() {
            let next = rows.second(y);
            wide(|| {
                for j in seconds.start..next.start {
                    second.iter_mut().zip(&ring[slot(j)]).for_each(|(s, v)| *s -= v);
                }
                for j in seconds.end..next.end {
                    let next = rows.first(j);
                    for i in firsts.start..next.start {
                        first.iter_mut().zip(stain.row(i)).for_each(|(s, v)| *s -= whole(*v, unit));
                    }
                    for i in firsts.end..next.end {
                        first.iter_mut().zip(stain.row(i)).for_each(|(s, v)| *s += whole(*v, unit));
                    }
                    firsts = next;
                    let kept = &mut ring[slot(j)];
                    for ((kept, second), first) in kept.iter_mut().zip(&mut *second).zip(&*first) {
                        *kept = *first;
                        *second += first;
                    }
                }
                columns.along(second, &window.x, values, means);
                let scale = 1.0 / (unit * rows.pixels(y) as f32);
                let stain = &stain.row(y)[window.x.start - source.x.start..][..window.width()];
                for (((out, v), sum), inverse) in above.iter_mut().zip(stain).zip(&*means).zip(&inverse) {
                    let mean = *sum as f32 * (inverse * scale);
                    *out = u8::from(*v > (self.fixed + self.weight * mean).max(self.least));
                }
            });
            seconds = next;
            out.line_mut(y).iter_mut().zip(above.chunks_exact(64)).for_each(|(word, bytes)| *word = pack(bytes));
        }
    }

    /// Whole numbers to a unit of stain: as many as fit the sums down a column.
    fn unit(&self) -> f32 {
        let rows = ((2 * self.radii.0 + 1) * (2 * self.radii.1 + 1)) as f32;
        let most = i32::MAX as f32 / (MOST_STAIN * rows);
        2f32.powi((most.log2().floor() as i32).clamp(0, 16))
    }
}

/// One axis of what there is, and the intervals of the two moving means on it.
struct Axis {
    source: Range<usize>,
    radii: (usize, usize),
}

impl Axis {
    fn new(source: &Range<usize>, radii: (usize, usize)) -> Self {
        Self { source: source.clone(), radii }
    }

    #[inline(always)]
    fn around(&self, at: usize, radius: usize) -> Range<usize> {
        at.saturating_sub(radius).max(self.source.start)..(at + radius + 1).min(self.source.end)
    }

    fn first(&self, at: usize) -> Range<usize> {
        self.around(at, self.radii.0)
    }

    fn second(&self, at: usize) -> Range<usize> {
        self.around(at, self.radii.1)
    }

    /// Pixels in the intervals of the interval, each as often as it counts.
    fn pixels(&self, at: usize) -> u64 {
        self.second(at).map(|j| self.first(j).len() as u64).sum()
    }

    /// Sums of sums at the pixels of a window, from a row of values. Differences of running totals, whose ends repeat
    /// where the grid ends.
    #[inline(always)]
    fn along(&self, row: &[i32], window: &Range<usize>, totals: &mut Vec<i64>, out: &mut Vec<i64>) {
        let (a, b) = self.radii;
        totals.clear();
        totals.resize(row.len() + 2 * a + 1, 0);
        let mut total = 0i64;
        for (t, v) in totals[a + 1..].iter_mut().zip(row) {
            total += i64::from(*v);
            *t = total;
        }
        totals[a + row.len()..].fill(total);
        // Totals of the first sums, over the pixels that the second ones look at.
        let span = self.second(window.start).start..self.second(window.end - 1).end;
        let (before, skip) = (span.start + b - window.start, span.start - self.source.start);
        out.clear();
        out.resize(window.len() + 2 * b + 1, 0);
        let mut total = 0i64;
        let sums = totals[skip + 2 * a + 1..].iter().zip(&totals[skip..]).take(span.len());
        for (o, (high, low)) in out[before + 1..].iter_mut().zip(sums) {
            total += high - low;
            *o = total;
        }
        out[before + span.len()..].fill(total);
        for x in 0..window.len() {
            out[x] = out[x + 2 * b + 1] - out[x];
        }
        out.truncate(window.len());
    }
}

/// A value in whole units. The sum's last bit is worth one, so that adding rounds.
#[inline(always)]
fn whole(value: f32, unit: f32) -> i32 {
    const SHIFT: f32 = 8_388_608.0;
    ((value.clamp(0.0, MOST_STAIN) * unit + SHIFT).to_bits() & 0x007f_ffff) as i32
}

/// 64 bytes of 0 and 1 as the bits of a word, the first the lowest.
fn pack(bytes: &[u8]) -> u64 {
    let mut word = 0;
    for (i, eight) in bytes.chunks_exact(8).enumerate() {
        let eight = eight.iter().rev().fold(0u64, |all, b| all << 8 | u64::from(*b));
        word |= (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::super::field::tests::{cut, field, window};
    use super::*;
    use proptest::prelude::*;

    fn means(threshold: &LocalThreshold, f: &Field, x: usize, y: usize) -> f64 {
        let mean = |at: (usize, usize), radius: usize, of: &dyn Fn(usize, usize) -> f64| {
            let (w, h) = (f.window.width(), f.window.height());
            let (mut sum, mut count) = (0.0, 0.0);
            for j in at.1.saturating_sub(radius)..(at.1 + radius + 1).min(h) {
                for i in at.0.saturating_sub(radius)..(at.0 + radius + 1).min(w) {
                    // The inner mean weighs by the pixels that it has.
                    let (value, weight) = (of(i, j), 1.0);
                    sum += value * weight;
                    count += weight;
                }
            }
            (sum, count)
        };
        let sum = mean((x, y), threshold.radii.1, &|i, j| mean((i, j), threshold.radii.0, &|i, j| f.at(i, j).into()).0);
        let count = mean((x, y), threshold.radii.1, &|i, j| mean((i, j), threshold.radii.0, &|_, _| 0.0).1);
        sum.0 / count.0
    }

    proptest! {
        #[test]
        fn it_compares_with_the_mean(seed in 0u32..1000, a in 0usize..6, b in 0usize..4) {
            let f = field(37, 23, seed);
            let threshold = LocalThreshold { radii: (a, b), fixed: 0.1, weight: 0.8, least: 0.3 };
            let mut bits = Bits::default();
            threshold.run(&f, &f.window, &mut Sums::default(), &mut bits);
            for (x, y) in (0..23).flat_map(|y| (0..37).map(move |x| (x, y))) {
                let limit = (0.1 + 0.8 * means(&threshold, &f, x, y)).max(0.3);
                let value = f64::from(f.at(x, y));
                // Half a unit a value.
                if (value - limit).abs() > 1e-5 {
                    prop_assert_eq!(bits.get(x, y), value > limit);
                }
            }
            // The same from a part of it.
            let inner = window(a + b, a + b, 37 - 2 * (a + b), 23 - 2 * (a + b));
            let mut part = Bits::default();
            threshold.run(&cut(&f, &inner.grown(a + b, (37, 23))), &inner, &mut Sums::default(), &mut part);
            let upper = window(0, 0, 37, 9);
            let mut top = Bits::default();
            threshold.run(&cut(&f, &upper.grown(a + b, (37, 23))), &upper, &mut Sums::default(), &mut top);
            for (x, y) in inner.y.flat_map(|y| inner.x.clone().map(move |x| (x, y))) {
                prop_assert_eq!(part.get(x, y), bits.get(x, y));
                prop_assert!(y >= 9 || top.get(x, y) == bits.get(x, y));
            }
        }
    }
}
