use super::bits::Bits;
use super::window::Window;

/// A stretch of equal pixels in a row of the grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) y: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The connected parts of what is set (or not) in a window: runs, joined from row to row.
#[derive(Default)]
pub(crate) struct Parts {
    /// In row order.
    pub(crate) runs: Vec<Run>,
    /// A run of the same part that comes before, or itself.
    parent: Vec<u32>,
}

impl Parts {
    /// `corners`: pixels that share a corner only are joined too.
    pub(crate) fn find(&mut self, bits: &Bits, window: &Window, set: bool, corners: bool) {
        self.runs.clear();
        self.parent.clear();
        let reach = u32::from(corners);
        let mut above = 0..0;
        for y in window.y.clone() {
            let first = self.runs.len();
            let mut candidate = above.start;
            for run in bits.runs(y, &window.x, set) {
                let run = Run { y: y as u32, start: run.start as u32, end: run.end as u32 };
                let this = self.runs.len();
                self.runs.push(run);
                self.parent.push(this as u32);
                while candidate < above.end && self.runs[candidate].end + reach <= run.start {
                    candidate += 1;
                }
                let mut other = candidate;
                while other < above.end && self.runs[other].start < run.end + reach {
                    self.join(this, other);
                    other += 1;
                }
            }
            above = first..self.runs.len();
        }
        // A parent comes first, so by now it points at the first of all.
        for i in 0..self.parent.len() {
            self.parent[i] = self.parent[self.parent[i] as usize];
        }
    }

    /// The first run of the part that a run belongs to.
    pub(crate) fn part(&self, run: usize) -> usize {
        self.parent[run] as usize
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.parent[a.max(b)] = a.min(b) as u32;
    }

    fn first(&mut self, mut run: usize) -> usize {
        while self.parent[run] as usize != run {
            let up = self.parent[run] as usize;
            self.parent[run] = self.parent[up];
            run = up;
        }
        run
    }
}

/// Largest extent of a hole that is filled, pixels: bounds how far filling looks.
pub(crate) const HOLE_EXTENT: usize = 16;

/// Fills gaps (four neighbours) of at most `most` pixels that fit a square of [`HOLE_EXTENT`] and do not touch the
/// window's edge.
pub(crate) fn fill_holes(bits: &mut Bits, most: usize, parts: &mut Parts) {
    let window = bits.window.clone();
    parts.find(bits, &window, false, false);
    /// What is known of a part, kept with its first run.
    #[derive(Clone, Copy)]
    struct Gap {
        pixels: usize,
        start: u32,
        end: u32,
        last: u32,
    }
    let mut gaps: Vec<Gap> =
        parts.runs.iter().map(|r| Gap { pixels: 0, start: r.start, end: r.end, last: r.y }).collect();
    for (i, run) in parts.runs.iter().enumerate() {
        let gap = &mut gaps[parts.part(i)];
        gap.pixels += (run.end - run.start) as usize;
        gap.start = gap.start.min(run.start);
        gap.end = gap.end.max(run.end);
        gap.last = run.y;
    }
    let (left, right) = (window.x.start as u32, window.x.end as u32);
    let (top, bottom) = (window.y.start as u32, window.y.end as u32);
    for (i, run) in parts.runs.iter().enumerate() {
        let (gap, first) = (gaps[parts.part(i)], parts.runs[parts.part(i)].y);
        let enclosed = gap.start > left && gap.end < right && first > top && gap.last + 1 < bottom;
        let small = (gap.end - gap.start) as usize <= HOLE_EXTENT && (gap.last - first) < HOLE_EXTENT as u32;
        if enclosed && small && gap.pixels <= most {
            bits.set(run.y as usize, run.start as usize..run.end as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::{bits, parse};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_small_enclosed_gaps_are_filled() {
        let mut m = parse(&["#####.#", "#.#..##", "###..#.", "#######"]);
        fill_holes(&mut m, 3, &mut Parts::default());
        assert_eq!(m, parse(&["#####.#", "###..##", "###..#.", "#######"]));
        fill_holes(&mut m, 4, &mut Parts::default());
        assert_eq!(m, parse(&["#####.#", "#######", "######.", "#######"]));
    }

    proptest! {
        #[test]
        fn parts_are_those_of_a_flood(set in proptest::collection::vec(any::<bool>(), 40 * 20), corners: bool) {
            let m = bits(3, 4, 40, &set);
            let mut parts = Parts::default();
            parts.find(&m, &m.window, true, corners);
            let mut got = vec![usize::MAX; set.len()];
            for (i, run) in parts.runs.iter().enumerate() {
                let row = (run.y as usize - 4) * 40;
                got[row + run.start as usize - 3..row + run.end as usize - 3].fill(parts.part(i));
            }
            // Neighbours are of one part, and there are as many parts as a flood finds.
            let mut seen = vec![false; set.len()];
            let mut floods = 0;
            for start in 0..set.len() {
                if !set[start] || std::mem::replace(&mut seen[start], true) {
                    continue;
                }
                floods += 1;
                let mut stack = vec![start];
                while let Some(at) = stack.pop() {
                    let (x, y) = ((at % 40) as i32, (at / 40) as i32);
                    for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
                        let (nx, ny) = (x + dx, y + dy);
                        let joined = (corners || dx == 0 || dy == 0) && (0..40).contains(&nx) && (0..20).contains(&ny);
                        let next = if joined { (ny * 40 + nx) as usize } else { at };
                        if set[next] {
                            prop_assert_eq!(got[next], got[start]);
                            if !std::mem::replace(&mut seen[next], true) {
                                stack.push(next);
                            }
                        }
                    }
                }
            }
            let mut distinct: Vec<usize> = (0..parts.runs.len()).map(|i| parts.part(i)).collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), floods);
        }
    }
}
