use super::field::Field;

/// A rectangle of yes and no in row order. What lies outside of it counts as "yes" when something is eroded and as
/// "not known" for distances: a nucleus that the slide's edge cuts keeps its shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mask {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<bool>,
}

/// Largest extent of a hole that is filled, pixels: bounds how far filling looks.
pub(crate) const HOLE_EXTENT: usize = 16;

impl Mask {
    pub(crate) fn new(width: usize, height: usize, data: Vec<bool>) -> Self {
        debug_assert_eq!(data.len(), width * height);
        Self { width, height, data }
    }

    /// Eroded, then dilated by the disc of a radius in pixels: drops specks and threads.
    pub(crate) fn opened(&self, radius: f64) -> Self {
        let disc = disc(radius);
        if disc.len() == 1 {
            return self.clone();
        }
        let (w, h) = (self.width as isize, self.height as isize);
        let inside = |x: isize, y: isize| (0..w).contains(&x) && (0..h).contains(&y);
        let mut eroded = vec![false; self.data.len()];
        for (at, out) in eroded.iter_mut().enumerate().filter(|(at, _)| self.data[*at]) {
            let (x, y) = (at as isize % w, at as isize / w);
            *out = disc.iter().all(|&(dx, dy)| !inside(x + dx, y + dy) || self.data[((y + dy) * w + x + dx) as usize]);
        }
        let mut opened = vec![false; self.data.len()];
        for (at, _) in eroded.iter().enumerate().filter(|(_, on)| **on) {
            let (x, y) = (at as isize % w, at as isize / w);
            for &(dx, dy) in disc.iter().filter(|&&(dx, dy)| inside(x + dx, y + dy)) {
                opened[((y + dy) * w + x + dx) as usize] = true;
            }
        }
        Self { data: opened, ..*self }
    }

    /// Fills gaps (four neighbours) of at most `most` pixels that fit a square of [`HOLE_EXTENT`].
    pub(crate) fn fill_holes(&mut self, most: usize) {
        let (w, h) = (self.width, self.height);
        let mut seen = vec![false; self.data.len()];
        let (mut stack, mut patch) = (Vec::new(), Vec::new());
        for start in 0..self.data.len() {
            if seen[start] || self.data[start] {
                continue;
            }
            patch.clear();
            stack.push(start);
            seen[start] = true;
            let (mut x0, mut x1, mut y0, mut y1) = (w, 0, h, 0);
            let mut count = 0;
            while let Some(at) = stack.pop() {
                let (x, y) = (at % w, at / w);
                (x0, x1, y0, y1) = (x0.min(x), x1.max(x), y0.min(y), y1.max(y));
                count += 1;
                if count <= most {
                    patch.push(at);
                }
                let mut visit = |next: usize| {
                    if !seen[next] && !self.data[next] {
                        seen[next] = true;
                        stack.push(next);
                    }
                };
                if x > 0 {
                    visit(at - 1);
                }
                if x + 1 < w {
                    visit(at + 1);
                }
                if y > 0 {
                    visit(at - w);
                }
                if y + 1 < h {
                    visit(at + w);
                }
            }
            let enclosed = x0 > 0 && y0 > 0 && x1 + 1 < w && y1 + 1 < h;
            if enclosed && count <= most && x1 - x0 < HOLE_EXTENT && y1 - y0 < HOLE_EXTENT {
                patch.iter().for_each(|&at| self.data[at] = true);
            }
        }
    }

    /// Euclidean distance of each set pixel to the nearest unset one, pixels, at most `cap`; 0 where unset.
    ///
    /// By columns, then rows (Saito and Toriwaki 1994, doi 10.1016/0031-3203(94)90133-3), both cut off at the cap.
    pub(crate) fn distance(&self, cap: usize) -> Field {
        let (w, h) = (self.width, self.height);
        let far = (cap as u16).min(4096);
        let mut vertical = vec![far; w * h];
        for y in 0..h {
            for x in 0..w {
                let at = y * w + x;
                vertical[at] = match (self.data[at], y) {
                    (false, _) => 0,
                    (true, 0) => far,
                    (true, _) => (vertical[at - w] + 1).min(far),
                };
            }
        }
        for y in (0..h.saturating_sub(1)).rev() {
            for x in 0..w {
                let at = y * w + x;
                vertical[at] = vertical[at].min(vertical[at + w] + 1);
            }
        }
        let mut out = Field::new(w, h);
        for (y, line) in out.rows_mut().enumerate() {
            let row = &vertical[y * w..(y + 1) * w];
            for (x, value) in line.iter_mut().enumerate().filter(|(x, _)| row[*x] > 0) {
                let mut best = u32::from(row[x]).pow(2);
                for step in 1..cap {
                    let across = (step * step) as u32;
                    if across >= best {
                        break;
                    }
                    if x >= step {
                        best = best.min(across + u32::from(row[x - step]).pow(2));
                    }
                    if x + step < w {
                        best = best.min(across + u32::from(row[x + step]).pow(2));
                    }
                }
                *value = (best as f32).sqrt();
            }
        }
        out
    }
}

/// Offsets within a distance of 0, in row order.
pub(crate) fn disc(radius: f64) -> Vec<(isize, isize)> {
    let r = radius.floor() as isize;
    let within = |dx: isize, dy: isize| (dx * dx + dy * dy) as f64 <= radius * radius;
    (-r..=r).flat_map(|dy| (-r..=r).map(move |dx| (dx, dy))).filter(|&(dx, dy)| within(dx, dy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(rows: &[&str]) -> Mask {
        let data = rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect();
        Mask::new(rows[0].len(), rows.len(), data)
    }

    #[test]
    fn opening_drops_threads_and_keeps_the_body() {
        let m = parse(&[".......", ".###...", ".######", ".###...", "......."]);
        let o = m.opened(1.0);
        assert_eq!(o, parse(&[".......", "..##...", ".####..", "..##...", "......."]));
        assert_eq!(m.opened(0.5), m);
    }

    #[test]
    fn only_small_enclosed_gaps_are_filled() {
        let mut m = parse(&["#####.#", "#.#..##", "###..#.", "#######"]);
        m.fill_holes(3);
        assert_eq!(m, parse(&["#####.#", "###..##", "###..#.", "#######"]));
        m.fill_holes(4);
        assert_eq!(m, parse(&["#####.#", "#######", "######.", "#######"]));
    }

    proptest! {
        #[test]
        fn distance_is_the_least_distance_to_an_unset_pixel(bits in proptest::collection::vec(0u8..10, 12 * 9)) {
            let m = Mask::new(12, 9, bits.iter().map(|&b| b > 0).collect());
            let d = m.distance(6);
            for at in 0..bits.len() {
                let (x, y) = ((at % 12) as f64, (at / 12) as f64);
                let least = (0..bits.len())
                    .filter(|&i| !m.data[i])
                    .map(|i| (x - (i % 12) as f64).hypot(y - (i / 12) as f64))
                    .fold(6.0, f64::min);
                prop_assert!((f64::from(d.data[at]) - least).abs() < 1e-5);
            }
        }
    }
}
