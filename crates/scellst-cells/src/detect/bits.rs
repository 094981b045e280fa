use std::ops::Range;

use super::window::Window;

/// Yes and no over a window of the grid, 64 pixels to a word; rows begin with a word and end with zeros.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Bits {
    pub(crate) window: Window,
    /// Words of a row.
    stride: usize,
    words: Vec<u64>,
}

impl Bits {
    /// Takes the place of another window; nothing is set.
    pub(crate) fn reset(&mut self, window: &Window) {
        self.window = window.clone();
        self.stride = window.width().div_ceil(64);
        self.words.clear();
        self.words.resize(self.stride * window.height(), 0);
    }

    fn line(&self, y: usize) -> &[u64] {
        &self.words[(y - self.window.y.start) * self.stride..][..self.stride]
    }

    /// The words of the row `y` of the grid; bits beyond the window must stay zero.
    pub(crate) fn line_mut(&mut self, y: usize) -> &mut [u64] {
        &mut self.words[(y - self.window.y.start) * self.stride..][..self.stride]
    }

    #[cfg(test)]
    pub(crate) fn get(&self, x: usize, y: usize) -> bool {
        let x = x - self.window.x.start;
        self.line(y)[x / 64] >> (x % 64) & 1 == 1
    }

    /// Sets the pixels `x` of the row `y`.
    pub(crate) fn set(&mut self, y: usize, x: Range<usize>) {
        let start = self.window.x.start;
        let line = self.line_mut(y);
        for x in x {
            line[(x - start) / 64] |= 1 << ((x - start) % 64);
        }
    }

    /// The stretches of the row `y` within columns `x` that are set (or not).
    pub(crate) fn runs(&self, y: usize, x: &Range<usize>, set: bool) -> impl Iterator<Item = Range<usize>> {
        let (line, start) = (self.line(y), self.window.x.start);
        let (mut at, end) = (x.start - start, x.end - start);
        std::iter::from_fn(move || {
            let from = next(line, at, end, set);
            if from >= end {
                return None;
            }
            at = next(line, from, end, !set);
            Some(from + start..at + start)
        })
    }

    /// Eroded, then dilated by a disc: drops specks and threads. What lies outside of the window counts as set when
    /// eroding.
    pub(crate) fn open(&mut self, disc: &[(isize, isize)], room: &mut Self) {
        if disc.len() == 1 {
            return;
        }
        // Eroding is dilating what is not set; the disc is the same turned round.
        self.turn();
        self.dilate(disc, room);
        room.turn();
        room.dilate(disc, self);
    }

    fn turn(&mut self) {
        let rest = self.window.width() % 64;
        for line in self.words.chunks_exact_mut(self.stride.max(1)) {
            line.iter_mut().for_each(|w| *w = !*w);
            if let (Some(last), 1..) = (line.last_mut(), rest) {
                *last &= (1 << rest) - 1;
            }
        }
    }

    fn dilate(&self, disc: &[(isize, isize)], out: &mut Self) {
        out.reset(&self.window);
        let rest = self.window.width() % 64;
        let (start, end) = (self.window.y.start as isize, self.window.y.end as isize);
        for y in start..end {
            for &(dx, dy) in disc.iter().filter(|o| (start..end).contains(&(y + o.1))) {
                let from = self.line((y + dy) as usize);
                shift_or(from, dx, out.line_mut(y as usize));
            }
            if let (Some(last), 1..) = (out.line_mut(y as usize).last_mut(), rest) {
                *last &= (1 << rest) - 1;
            }
        }
    }
}

/// Pixel `i` of `to` is set if pixel `i + dx` of `from` is.
fn shift_or(from: &[u64], dx: isize, to: &mut [u64]) {
    let (words, bits) = (dx.unsigned_abs() / 64, dx.unsigned_abs() % 64);
    let word = |i: Option<usize>| i.and_then(|i| from.get(i)).copied().unwrap_or(0);
    for (i, to) in to.iter_mut().enumerate() {
        let (near, far) = if dx >= 0 {
            (word(Some(i + words)), word(Some(i + words + 1)))
        } else {
            (word(i.checked_sub(words)), word(i.checked_sub(words + 1)))
        };
        *to |= match (bits, dx >= 0) {
            (0, _) => near,
            (_, true) => near >> bits | far << (64 - bits),
            (_, false) => near << bits | far >> (64 - bits),
        };
    }
}

/// The first pixel from `at` on that is `set`, or `end`.
#[inline]
fn next(line: &[u64], at: usize, end: usize, set: bool) -> usize {
    if at >= end {
        return end;
    }
    let flip = if set { 0 } else { u64::MAX };
    let mut i = at / 64;
    let mut word = (line[i] ^ flip) & (u64::MAX << (at % 64));
    while word == 0 {
        i += 1;
        if i * 64 >= end {
            return end;
        }
        word = line[i] ^ flip;
    }
    (i * 64 + word.trailing_zeros() as usize).min(end)
}

/// Offsets within a distance of 0, in row order.
pub(crate) fn disc(radius: f64) -> Vec<(isize, isize)> {
    let r = radius.floor() as isize;
    let within = |dx: isize, dy: isize| (dx * dx + dy * dy) as f64 <= radius * radius;
    (-r..=r).flat_map(|dy| (-r..=r).map(move |dx| (dx, dy))).filter(|&(dx, dy)| within(dx, dy)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `w` columns from pixel (x, y) of the grid on.
    pub(crate) fn bits(x: usize, y: usize, w: usize, of: &[bool]) -> Bits {
        let mut bits = Bits::default();
        bits.reset(&Window { x: x..x + w, y: y..y + of.len() / w });
        for (i, _) in of.iter().enumerate().filter(|(_, on)| **on) {
            bits.set(y + i / w, x + i % w..x + i % w + 1);
        }
        bits
    }

    pub(crate) fn parse(rows: &[&str]) -> Bits {
        let data: Vec<bool> = rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect();
        bits(5, 3, rows[0].len(), &data)
    }

    #[test]
    fn opening_drops_threads_and_keeps_the_body() {
        let m = parse(&[".......", ".###...", ".######", ".###...", "......."]);
        let mut o = m.clone();
        o.open(&disc(1.0), &mut Bits::default());
        assert_eq!(o, parse(&[".......", "..##...", ".####..", "..##...", "......."]));
        let mut o = m.clone();
        o.open(&disc(0.5), &mut Bits::default());
        assert_eq!(o, m);
    }

    proptest! {
        #[test]
        fn opening_is_what_the_disc_covers(seed in proptest::collection::vec(0u8..12, 150 * 12), radius in 1.0f64..4.0) {
            let (w, h) = (150isize, 12isize);
            let set: Vec<bool> = seed.iter().map(|&v| v > 0).collect();
            let disc = disc(radius);
            let inside = |x: isize, y: isize| (0..w).contains(&x) && (0..h).contains(&y);
            let fits = |x: isize, y: isize| {
                disc.iter().all(|&(dx, dy)| !inside(x + dx, y + dy) || set[((y + dy) * w + x + dx) as usize])
            };
            let mut got = bits(7, 2, 150, &set);
            got.open(&disc, &mut Bits::default());
            for y in 0..h {
                for x in 0..w {
                    let want = disc.iter().any(|&(dx, dy)| inside(x + dx, y + dy) && fits(x + dx, y + dy));
                    prop_assert_eq!(got.get(x as usize + 7, y as usize + 2), want);
                }
            }
        }

        #[test]
        fn runs_hold_what_is_set(set in proptest::collection::vec(any::<bool>(), 1..300), skip in 0usize..90) {
            let m = bits(11, 0, set.len(), &set);
            let skip = skip.min(set.len());
            let columns = 11 + skip..11 + set.len();
            for on in [true, false] {
                let mut seen = vec![!on; set.len()];
                m.runs(0, &columns, on).for_each(|r| seen[r.start - 11..r.end - 11].fill(on));
                prop_assert_eq!(&seen[skip..], &set[skip..]);
            }
        }
    }
}
