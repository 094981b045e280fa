//! Order and ranks of a column.

const BITS: u32 = 11;
const BUCKETS: usize = 1 << BITS;
/// Fewer keys than this are sorted by comparing.
const RADIX_FROM: usize = 1024;

/// Sorts columns of finite `f32`, and keeps its buffers.
#[derive(Default)]
pub(crate) struct Sorter {
    keys: Vec<u64>,
    spare: Vec<u64>,
}

impl Sorter {
    /// Runs of equal values, lowest first; each entry is a row by [`row_of`].
    pub fn runs(&mut self, values: &[f32]) -> impl DoubleEndedIterator<Item = &[u64]> {
        self.sort(values);
        self.keys.chunk_by(|a, b| a >> 32 == b >> 32)
    }

    /// The value's order in the upper half of a key, its row in the lower: radix of 11 bits for many keys.
    fn sort(&mut self, values: &[f32]) {
        let key = |(row, &value): (usize, &f32)| u64::from(ordered(value)) << 32 | row as u64;
        self.keys.clear();
        if values.len() < RADIX_FROM {
            self.keys.extend(values.iter().enumerate().map(key));
            return self.keys.sort_unstable();
        }
        // All three histograms in one pass.
        let mut next = [[0_u32; BUCKETS]; 3];
        self.keys.extend(values.iter().enumerate().map(|entry| {
            let key = key(entry);
            for (digit, counts) in next.iter_mut().enumerate() {
                counts[bucket(key, digit)] += 1;
            }
            key
        }));
        self.spare.resize(values.len(), 0);
        for (digit, next) in next.iter_mut().enumerate() {
            if next[bucket(self.keys[0], digit)] as usize == values.len() {
                continue; // the same in every key
            }
            let mut start = 0;
            for count in next.iter_mut() {
                start += std::mem::replace(count, start);
            }
            for &key in &self.keys {
                let at = &mut next[bucket(key, digit)];
                self.spare[*at as usize] = key;
                *at += 1;
            }
            std::mem::swap(&mut self.keys, &mut self.spare);
        }
    }
}

pub(crate) fn row_of(key: u64) -> usize {
    (key & 0xffff_ffff) as usize
}

/// An integer in the order of the (finite) floats, both zeros the same.
pub(crate) fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    // Negative: all bits turned; else the sign alone.
    bits ^ ((bits as i32 >> 31) as u32 | 1 << 31)
}

fn bucket(key: u64, digit: usize) -> usize {
    (key >> (32 + BITS * digit as u32)) as usize & (BUCKETS - 1)
}

/// Spearman correlation without weights, equal values at their mean rank: sums of integers, hence exact up to the last
/// division. `None` if a side is constant.
pub(crate) fn spearman(p: &[f32], m: &[f32], sorter: &mut Sorter, ranks: &mut Vec<i32>) -> Option<f64> {
    let n = p.len() as i64;
    // Twice the rank, less twice the mean rank: for rows start..start + len of equal values 2 * start + len - n.
    let centred = |start: i64, len: usize| 2 * start + len as i64 - n;
    ranks.clear();
    ranks.resize(p.len(), 0);
    let (mut start, mut pp) = (0, 0_i128);
    for run in sorter.runs(p) {
        let rank = centred(start, run.len());
        for &key in run {
            ranks[row_of(key)] = rank as i32;
        }
        start += run.len() as i64;
        pp += i128::from(rank * rank) * run.len() as i128;
    }
    let (mut start, mut mm, mut pm) = (0, 0_i128, 0_i128);
    for run in sorter.runs(m) {
        let rank = centred(start, run.len());
        let with: i64 = run.iter().map(|&key| i64::from(ranks[row_of(key)])).sum();
        pm += i128::from(rank) * i128::from(with);
        start += run.len() as i64;
        mm += i128::from(rank * rank) * run.len() as i128;
    }
    let r = (pm as f64 / (pp as f64).sqrt()) / (mm as f64).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Ranks with weights: the weight of all lower values plus half of that of the equal ones (a row itself among them).
/// With whole numbers as weights these are, up to a shift, the ranks of a column in which each row is repeated so often.
pub(crate) fn weighted_ranks(values: &[f32], weights: &[f64], sorter: &mut Sorter, ranks: &mut Vec<f64>) {
    ranks.clear();
    ranks.resize(values.len(), 0.0);
    let mut below = 0.0;
    for run in sorter.runs(values) {
        let weight: f64 = run.iter().map(|&key| weights[row_of(key)]).sum();
        for &key in run {
            ranks[row_of(key)] = below + weight / 2.0;
        }
        below += weight;
    }
}

/// Ranks from 1, equal values at their mean rank (SciPy's `rankdata`).
pub(crate) fn average_ranks(values: &[f32], sorter: &mut Sorter, ranks: &mut Vec<f64>) {
    ranks.clear();
    ranks.resize(values.len(), 0.0);
    let mut start = 0;
    for run in sorter.runs(values) {
        for &key in run {
            ranks[row_of(key)] = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        }
        start += run.len();
    }
}
