//! Connected patches of a mask.

use scellst_types::Size;

/// Turns over every connected patch of `value` of which `unwanted` says so; it gets the patch's pixels. Patches of
/// `true` hang together by eight neighbours, gaps by four.
pub(crate) fn flip(mask: &mut [bool], size: Size, value: bool, mut unwanted: impl FnMut(&[usize]) -> bool) {
    let (w, h) = (size.width as usize, size.height as usize);
    let mut seen = vec![false; mask.len()];
    let (mut stack, mut patch) = (Vec::new(), Vec::new());
    for start in 0..mask.len() {
        if seen[start] || mask[start] != value {
            continue;
        }
        patch.clear();
        stack.push(start);
        seen[start] = true;
        while let Some(at) = stack.pop() {
            patch.push(at);
            let (x, y) = (at % w, at / w);
            for ny in y.saturating_sub(1)..(y + 2).min(h) {
                for nx in x.saturating_sub(1)..(x + 2).min(w) {
                    let next = ny * w + nx;
                    let diagonal = nx != x && ny != y;
                    if !seen[next] && mask[next] == value && (value || !diagonal) {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        if unwanted(&patch) {
            for &at in &patch {
                mask[at] = !value;
            }
        }
    }
}

/// The mask with the patches of `true` alone that hold a pixel of `seeds` (hysteresis: Canny 1986,
/// doi 10.1109/TPAMI.1986.4767851) and are no smaller than `least` pixels.
pub(crate) fn grown_from(mut mask: Vec<bool>, seeds: &[bool], size: Size, least: usize) -> Vec<bool> {
    flip(&mut mask, size, true, |patch| patch.len() < least || !patch.iter().any(|&at| seeds[at]));
    mask
}

/// The smallest or greatest value of every 3 x 3 neighbourhood, by `pick`; cut at the edges.
pub(crate) fn of_neighbours(values: &[f32], size: Size, pick: fn(f32, f32) -> f32) -> Vec<f32> {
    let (w, h) = (size.width as usize, size.height as usize);
    let line = |values: &[f32], at: usize, low: usize, high: usize, step: usize| {
        (low..=high).map(|i| values[at + i * step]).reduce(pick).unwrap_or_default()
    };
    let mut wide = vec![0.0; values.len()];
    for y in 0..h {
        for x in 0..w {
            wide[y * w + x] = line(values, y * w, x.saturating_sub(1), (x + 1).min(w - 1), 1);
        }
    }
    let mut out = vec![0.0; values.len()];
    for y in 0..h {
        for x in 0..w {
            out[y * w + x] = line(&wide, x, y.saturating_sub(1), (y + 1).min(h - 1), w);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_hang_together_by_corners_and_gaps_do_not() {
        let size = Size::new(4, 3);
        let mask = [1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1].map(|v| v == 1);
        let mut found = Vec::new();
        flip(&mut mask.clone(), size, true, |patch| {
            found.push(patch.len());
            false
        });
        assert_eq!(found, [3, 2]);
        found.clear();
        flip(&mut mask.clone(), size, false, |patch| {
            found.push(patch.len());
            false
        });
        assert_eq!(found, [6, 1]);
        let mut seeds = [false; 12];
        seeds[8] = true;
        let grown = grown_from(mask.to_vec(), &seeds, size, 1);
        assert_eq!(grown, [1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0].map(|v| v == 1));
        assert!(!grown_from(mask.to_vec(), &seeds, size, 4).contains(&true));
    }

    #[test]
    fn neighbourhoods() {
        let values = [1.0, 5.0, 2.0, 9.0, 4.0, 3.0];
        assert_eq!(of_neighbours(&values, Size::new(3, 2), f32::max), [9.0, 9.0, 5.0, 9.0, 9.0, 5.0]);
        assert_eq!(of_neighbours(&values, Size::new(3, 2), f32::min), [1.0, 1.0, 2.0, 1.0, 1.0, 2.0]);
    }
}
