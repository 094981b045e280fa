//! Kendall's tau-b by sorting (Knight 1966), with weights of pairs.

use crate::ranks::ordered;

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    rows: Vec<(u64, f64)>,
    items: Vec<(u32, f64)>,
    spare: Vec<(u32, f64)>,
}

/// Tau-b: a pair of rows counts by the product of their weights. `None` if a side is constant.
///
/// With whole numbers as weights this is the tau of the data in which each row is repeated so often.
pub(crate) fn kendall(p: &[f32], m: &[f32], weights: Option<&[f64]>, scratch: &mut Scratch) -> Option<f64> {
    let Scratch { rows, items, spare } = scratch;
    let weight = |at: usize| weights.map_or(1.0, |weights| weights[at]);
    rows.clear();
    rows.extend(p.iter().zip(m).enumerate().map(|(at, (&p, &m))| {
        let key = u64::from(ordered(p)) << 32 | u64::from(ordered(m));
        (key, weight(at))
    }));
    rows.sort_unstable_by_key(|&(key, _)| key);
    // Twice the weight of all pairs, of those tied in p, in p and m, and in m; pairs of a row with itself are in all
    // of them alike and cancel.
    let total: f64 = rows.iter().map(|&(_, w)| w).sum();
    let square = |run: &[(u64, f64)]| run.iter().map(|&(_, w)| w).sum::<f64>().powi(2);
    let all = total * total;
    let tied_p: f64 = rows.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32).map(square).sum();
    let tied_both: f64 = rows.chunk_by(|a, b| a.0 == b.0).map(square).sum();
    items.clear();
    items.extend(rows.iter().map(|&(key, w)| ((key & 0xffff_ffff) as u32, w)));
    let discordant = 2.0 * inversions(items, spare);
    let tied_m: f64 =
        items.chunk_by(|a, b| a.0 == b.0).map(|run| run.iter().map(|&(_, w)| w).sum::<f64>().powi(2)).sum();
    let concordant_less_discordant = all - tied_p - tied_m + tied_both - 2.0 * discordant;
    let tau = concordant_less_discordant / (all - tied_p).sqrt() / (all - tied_m).sqrt();
    tau.is_finite().then(|| tau.clamp(-1.0, 1.0))
}

/// Sorts by the first number; the weight of pairs that were in the wrong order.
fn inversions(items: &mut Vec<(u32, f64)>, spare: &mut Vec<(u32, f64)>) -> f64 {
    let n = items.len();
    spare.clear();
    spare.resize(n, (0, 0.0));
    let (mut found, mut width) = (0.0, 1);
    while width < n {
        for (from, to) in items.chunks(2 * width).zip(spare.chunks_mut(2 * width)) {
            let (left, right) = from.split_at(width.min(from.len()));
            let mut waiting: f64 = left.iter().map(|&(_, w)| w).sum();
            let (mut i, mut j) = (0, 0);
            for out in to {
                if j == right.len() || (i < left.len() && left[i].0 <= right[j].0) {
                    *out = left[i];
                    waiting -= left[i].1;
                    i += 1;
                } else {
                    *out = right[j];
                    found += right[j].1 * waiting;
                    j += 1;
                }
            }
        }
        std::mem::swap(items, spare);
        width *= 2;
    }
    found
}
