//! How dark the glass is, here and there.

use scellst_types::Size;

/// Side of a block in which the glass is taken for even, pixels of the mask (about 0.5 mm).
const BLOCK: usize = 40;
/// A block says something of the glass if this share of it is glass.
const LEAST_SHARE: usize = 16;

/// Optical density of the glass over the picture: known at a grid of blocks, in between by interpolation.
pub(super) struct Glass {
    blocks: Vec<[f32; 3]>,
    across: usize,
    down: usize,
}

impl Glass {
    /// From the densities of all pixels and which of them may be glass; `None` where too few may.
    pub(super) fn of(planes: &[Vec<f32>; 3], size: Size, candidates: &[bool]) -> Option<Self> {
        let (w, h) = (size.width as usize, size.height as usize);
        let (across, down) = (w.div_ceil(BLOCK), h.div_ceil(BLOCK));
        let mut blocks = Vec::with_capacity(across * down);
        let mut pixels = Vec::new();
        for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
            pixels.clear();
            let (rows, columns) =
                (row * BLOCK..((row + 1) * BLOCK).min(h), column * BLOCK..((column + 1) * BLOCK).min(w));
            let whole = rows.len() * columns.len();
            pixels.extend(rows.flat_map(|y| columns.clone().map(move |x| y * w + x)).filter(|&at| candidates[at]));
            let enough = !pixels.is_empty() && pixels.len() * LEAST_SHARE >= whole;
            blocks.push(enough.then(|| median(planes, &mut pixels)));
        }
        Some(Self { blocks: fill(blocks, across, down)?, across, down })
    }

    /// At a pixel of the mask.
    pub(super) fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let place = |i: usize, n: usize| {
            let at = ((i as f32 + 0.5) / BLOCK as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(n - 1), at - low as f32)
        };
        let ((left, right, fx), (above, below, fy)) = (place(x, self.across), place(y, self.down));
        std::array::from_fn(|k| {
            let mix = |row: usize| {
                let row = &self.blocks[row * self.across..];
                row[left][k] * (1.0 - fx) + row[right][k] * fx
            };
            mix(above) * (1.0 - fy) + mix(below) * fy
        })
    }
}

/// The median of each channel over the given pixels, of which there must be some.
pub(super) fn median(planes: &[Vec<f32>; 3], pixels: &mut [usize]) -> [f32; 3] {
    let middle = pixels.len() / 2;
    std::array::from_fn(|k| {
        let (_, &mut at, _) = pixels.select_nth_unstable_by(middle, |&a, &b| planes[k][a].total_cmp(&planes[k][b]));
        planes[k][at]
    })
}

/// Blocks of which nothing is known take the mean of their neighbours, ring by ring; `None` if none is known.
fn fill(mut blocks: Vec<Option<[f32; 3]>>, across: usize, down: usize) -> Option<Vec<[f32; 3]>> {
    while blocks.contains(&None) {
        let mean_of_known = |at: usize| {
            let (x, y) = (at % across, at / across);
            let (mut sum, mut count) = ([0.0; 3], 0.0);
            for row in y.saturating_sub(1)..(y + 2).min(down) {
                for known in blocks[row * across..][x.saturating_sub(1)..(x + 2).min(across)].iter().flatten() {
                    count += 1.0;
                    sum.iter_mut().zip(known).for_each(|(s, v)| *s += v);
                }
            }
            (count > 0.0).then(|| sum.map(|s| s / count))
        };
        let next: Vec<_> = (0..blocks.len()).map(|at| blocks[at].or_else(|| mean_of_known(at))).collect();
        if next == blocks {
            return None;
        }
        blocks = next;
    }
    blocks.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_followed_and_gaps_are_bridged() {
        let size = Size::new(200, 120);
        let slope: Vec<f32> = (0..200 * 120).map(|at| (at % 200) as f32 / 200.0).collect();
        let planes = [slope.clone(), slope.clone(), slope];
        // No glass in the third column of blocks.
        let candidates: Vec<bool> = (0..200 * 120).map(|at| !(80..120).contains(&(at % 200))).collect();
        let glass = Glass::of(&planes, size, &candidates).unwrap();
        for x in [30, 70, 100, 150] {
            let (found, expected) = (glass.at(x, 60)[1], x as f32 / 200.0);
            assert!((found - expected).abs() < 0.01, "{x}: {found} for {expected}");
        }
        assert!(Glass::of(&planes, size, &vec![false; 200 * 120]).is_none());
    }
}
