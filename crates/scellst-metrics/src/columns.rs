//! Numbers of one pair of columns, gathered into contiguous memory.

/// Pearson correlation, Spearman correlation and mean squared error of one gene, and which side is constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnScore {
    pub pearson: Option<f64>,
    pub spearman: Option<f64>,
    pub mse: f64,
    pub constant_predicted: bool,
    pub constant_measured: bool,
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    keys: Vec<u64>,
    spare: Vec<u64>,
    ranks: [Vec<f64>; 2],
}

pub(crate) fn score(predicted: &[f32], measured: &[f32], scratch: &mut Scratch) -> ColumnScore {
    let n = predicted.len() as f64;
    let squares = predicted.iter().zip(measured).map(|(&p, &m)| (f64::from(p) - f64::from(m)).powi(2));
    let mut score = ColumnScore {
        pearson: None,
        spearman: None,
        mse: squares.sum::<f64>() / n,
        constant_predicted: is_constant(predicted),
        constant_measured: is_constant(measured),
    };
    if !score.constant_predicted && !score.constant_measured {
        let wide = |values: &[f32], out: &mut Vec<f64>| {
            out.clear();
            out.extend(values.iter().map(|&value| f64::from(value)));
        };
        wide(predicted, &mut scratch.ranks[0]);
        wide(measured, &mut scratch.ranks[1]);
        score.pearson = pearson(&scratch.ranks[0], &scratch.ranks[1]);
        for (side, values) in [predicted, measured].into_iter().enumerate() {
            average_ranks(values, &mut scratch.keys, &mut scratch.spare, &mut scratch.ranks[side]);
        }
        score.spearman = pearson(&scratch.ranks[0], &scratch.ranks[1]);
    }
    score
}

/// By comparing, not by a variance of zero: rounding gives the variance of equal values a tail.
fn is_constant(values: &[f32]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Pearson correlation in two passes (means first); `None` if a side has no variance.
pub(crate) fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let r = (ab / aa.sqrt()) / bb.sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Ranks from 1, equal values sharing the mean of theirs (SciPy's `rankdata` with `average`).
pub(crate) fn average_ranks(values: &[f32], keys: &mut Vec<u64>, spare: &mut Vec<u64>, ranks: &mut Vec<f64>) {
    keys.clear();
    // The value's order in the upper half, its row in the lower.
    keys.extend(values.iter().enumerate().map(|(row, &value)| u64::from(ordered(value)) << 32 | row as u64));
    sort_by_upper_half(keys, spare);
    ranks.clear();
    ranks.resize(values.len(), 0.0);
    let mut start = 0;
    for run in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        let rank = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        for &key in run {
            ranks[(key & 0xffff_ffff) as usize] = rank;
        }
        start += run.len();
    }
}

/// An integer in the order of the (finite) floats, both zeros the same.
fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Sorts by the upper 32 bits: radix of 11 bits for many keys.
fn sort_by_upper_half(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    const BITS: u32 = 11;
    const BUCKETS: usize = 1 << BITS;
    if keys.len() < BUCKETS {
        return keys.sort_unstable();
    }
    spare.clear();
    spare.resize(keys.len(), 0);
    for shift in [32, 32 + BITS, 32 + 2 * BITS] {
        let digit = |key: u64| (key >> shift) as usize & (BUCKETS - 1);
        let mut next = [0_usize; BUCKETS];
        for &key in keys.iter() {
            next[digit(key)] += 1;
        }
        let mut start = 0;
        for count in &mut next {
            start += std::mem::replace(count, start);
        }
        for &key in keys.iter() {
            let at = &mut next[digit(key)];
            spare[*at] = key;
            *at += 1;
        }
        std::mem::swap(keys, spare);
    }
}
