//! What the tests on real data share.
#![allow(dead_code)] // Each test binary uses its part.

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
    let labels = image::open(path).expect("a label image").into_luma16();
    let mut sums = std::collections::BTreeMap::<u16, (f64, f64, f64)>::new();
    for (x, y, pixel) in labels.enumerate_pixels().filter(|(_, _, p)| p[0] > 0) {
        let s = sums.entry(pixel[0]).or_default();
        *s = (s.0 + f64::from(x), s.1 + f64::from(y), s.2 + 1.0);
    }
    sums.values().map(|&(x, y, n)| Point::new(x / n + 0.5, y / n + 0.5)).collect()
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
