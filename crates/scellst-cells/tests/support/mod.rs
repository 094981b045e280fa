//! What the tests on real data share.
#![allow(dead_code)] // Each test binary uses its part.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use scellst_types::{Level0, Point};

/// A file or folder of the data beside the project, if it is there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    path.exists().then_some(path)
}

/// The size of the largest one-to-one matching between points at most `radius` apart.
///
/// Maximum bipartite matching by augmenting paths: as many pairs as scipy's `linear_sum_assignment` gives on the
/// thresholded distances, which is what the score counts.
pub fn matched(found: &[Point<Level0>], truth: &[Point<Level0>], radius: f64) -> usize {
    let near: Vec<Vec<usize>> =
        found.iter().map(|f| (0..truth.len()).filter(|&t| f.distance(truth[t]) <= radius).collect()).collect();
    let mut owner = vec![None; truth.len()];
    let mut seen = vec![usize::MAX; truth.len()];
    (0..found.len()).filter(|&f| augment(f, f, &near, &mut owner, &mut seen)).count()
}

fn augment(f: usize, round: usize, near: &[Vec<usize>], owner: &mut [Option<usize>], seen: &mut [usize]) -> bool {
    for &t in &near[f] {
        if seen[t] == round {
            continue;
        }
        seen[t] = round;
        if owner[t].is_none_or(|other| augment(other, round, near, owner, seen)) {
            owner[t] = Some(f);
            return true;
        }
    }
    false
}

/// Centroids of the labels of a 16-bit label image, in its pixels, pixel centres at +0.5.
pub fn label_centroids(path: &Path) -> Vec<Point<Level0>> {
    Labels::open(path).centroids()
}

/// Counts of right, wrong and missed nuclei.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    pub hit: usize,
    pub wrong: usize,
    pub missed: usize,
}

impl Score {
    pub fn add(&mut self, found: &[Point<Level0>], truth: &[Point<Level0>], radius: f64) {
        let hit = matched(found, truth, radius);
        self.hit += hit;
        self.wrong += found.len() - hit;
        self.missed += truth.len() - hit;
    }

    pub fn merge(&mut self, other: Self) {
        self.hit += other.hit;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    pub fn precision(self) -> f64 {
        self.hit as f64 / (self.hit + self.wrong).max(1) as f64
    }

    pub fn recall(self) -> f64 {
        self.hit as f64 / (self.hit + self.missed).max(1) as f64
    }

    pub fn f1(self) -> f64 {
        2.0 * self.hit as f64 / (2 * self.hit + self.wrong + self.missed).max(1) as f64
    }
}

/// A label image: 0 for none.
pub struct Labels {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u32>,
}

impl Labels {
    pub fn open(path: &Path) -> Self {
        let labels = image::open(path).expect("a label image").into_luma16();
        let (width, height) = (labels.width() as usize, labels.height() as usize);
        Self { width, height, data: labels.into_raw().into_iter().map(u32::from).collect() }
    }

    /// Centroids of the labels, pixel centres at +0.5.
    pub fn centroids(&self) -> Vec<Point<Level0>> {
        let mut sums = BTreeMap::<u32, (f64, f64, f64)>::new();
        for (i, label) in self.data.iter().enumerate().filter(|(_, l)| **l > 0) {
            let s = sums.entry(*label).or_default();
            *s = (s.0 + (i % self.width) as f64, s.1 + (i / self.width) as f64, s.2 + 1.0);
        }
        sums.values().map(|&(x, y, n)| Point::new(x / n + 0.5, y / n + 0.5)).collect()
    }

    /// The outlines of cells filled, cell `i` with `i + 1`; `scale`: pixels of this image to one of level 0. A pixel
    /// belongs to an outline that surrounds its centre (even-odd); where two do, to the later.
    pub fn of_cells(cells: &scellst_cells::Cells, width: usize, height: usize, scale: f64) -> Self {
        let mut data = vec![0; width * height];
        for i in 0..cells.len() {
            let ring: Vec<[f64; 2]> = cells.outline(i).iter().map(|c| c.map(|v| f64::from(v) * scale)).collect();
            let (low, high) = ring.iter().fold((f64::MAX, f64::MIN), |(a, b), c| (a.min(c[1]), b.max(c[1])));
            for y in low.floor().max(0.0) as usize..(high.ceil().max(0.0) as usize).min(height) {
                let at = y as f64 + 0.5;
                let mut cuts: Vec<f64> = Vec::new();
                for (k, a) in ring.iter().enumerate() {
                    let b = ring[(k + 1) % ring.len()];
                    if (a[1] > at) != (b[1] > at) {
                        cuts.push(a[0] + (at - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
                    }
                }
                cuts.sort_by(f64::total_cmp);
                for pair in cuts.chunks_exact(2) {
                    let from = (pair[0] - 0.5).ceil().max(0.0) as usize;
                    let to = ((pair[1] - 0.5).ceil().max(0.0) as usize).min(width);
                    data[y * width..][from.min(to)..to].fill(i as u32 + 1);
                }
            }
        }
        Self { width, height, data }
    }
}

/// How well outlines agree with the truth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overlap {
    /// Sum of the overlaps (intersection over union) of pairs that overlap by more than half.
    pub sum: f64,
    pub pairs: usize,
    pub found: usize,
    pub truth: usize,
    /// Pixels in both, and in each.
    pub pixels: (u64, u64, u64),
}

impl Overlap {
    pub fn add(&mut self, found: &Labels, truth: &Labels) {
        assert_eq!((found.width, found.height), (truth.width, truth.height));
        // Pixels of each label, and of each pair that meets.
        let (mut a, mut b) = (HashMap::<u32, u32>::new(), HashMap::<u32, u32>::new());
        let mut both = HashMap::<(u32, u32), u32>::new();
        for (&i, &j) in found.data.iter().zip(&truth.data) {
            if i > 0 {
                *a.entry(i).or_default() += 1;
            }
            if j > 0 {
                *b.entry(j).or_default() += 1;
            }
            if i > 0 && j > 0 {
                *both.entry((i, j)).or_default() += 1;
            }
        }
        for ((i, j), &n) in &both {
            let overlap = f64::from(n) / f64::from(a[i] + b[j] - n);
            // Only one pair of each label can pass.
            if overlap > 0.5 {
                self.sum += overlap;
                self.pairs += 1;
            }
            self.pixels.0 += u64::from(n);
        }
        self.found += a.len();
        self.truth += b.len();
        self.pixels.1 += a.values().map(|&n| u64::from(n)).sum::<u64>();
        self.pixels.2 += b.values().map(|&n| u64::from(n)).sum::<u64>();
    }

    pub fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.pairs += other.pairs;
        self.found += other.found;
        self.truth += other.truth;
        self.pixels.0 += other.pixels.0;
        self.pixels.1 += other.pixels.1;
        self.pixels.2 += other.pixels.2;
    }

    /// Panoptic quality (Kirillov et al. 2019, doi 10.1109/CVPR.2019.00963).
    pub fn panoptic(self) -> f64 {
        self.sum * 2.0 / (self.found + self.truth).max(1) as f64
    }

    /// Dice's coefficient of all nuclear pixels.
    pub fn dice(self) -> f64 {
        2.0 * self.pixels.0 as f64 / (self.pixels.1 + self.pixels.2).max(1) as f64
    }
}
