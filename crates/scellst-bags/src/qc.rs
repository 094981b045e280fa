use std::fmt;

use serde::{Deserialize, Serialize};

/// Spots with this many cells or more share the last place of [`Qc::histogram`].
const LAST_BIN: usize = 100;

/// How cells and spots met: what to look at before training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Qc {
    /// Cells in all.
    pub cells: usize,
    /// Spots in all.
    pub spots: usize,
    /// Spots without a cell; they make no bag.
    pub empty_spots: usize,
    /// Cells in no disc.
    pub cells_outside: usize,
    /// Cells in several discs (each went to the nearest centre).
    pub cells_in_several: usize,
    /// Fewest cells of a spot, empty ones included.
    pub min: usize,
    /// Median of cells per spot, empty ones included.
    pub median: f64,
    /// Mean of cells per spot, empty ones included.
    pub mean: f64,
    /// Most cells of a spot.
    pub max: usize,
    /// `histogram[n]` spots have n cells; the last place, if there are 101, holds those with 100 or more.
    pub histogram: Vec<usize>,
}

impl Qc {
    pub(crate) fn new(cells: usize, per_spot: &[u32], cells_in_several: usize) -> Self {
        let mut sorted = per_spot.to_vec();
        sorted.sort_unstable();
        let count = |at: usize| sorted.get(at).map_or(0, |&count| count as usize);
        let n = sorted.len();
        let inside: usize = sorted.iter().map(|&count| count as usize).sum();
        let max = count(n.saturating_sub(1));
        let mut histogram = vec![0; max.min(LAST_BIN) + 1];
        for &count in &sorted {
            histogram[(count as usize).min(LAST_BIN)] += 1;
        }
        Self {
            cells,
            spots: n,
            empty_spots: sorted.partition_point(|&count| count == 0),
            cells_outside: cells - inside,
            cells_in_several,
            min: count(0),
            median: (count(n.saturating_sub(1) / 2) + count(n / 2)) as f64 / 2.0,
            mean: inside as f64 / n.max(1) as f64,
            max,
            histogram,
        }
    }
}

impl fmt::Display for Qc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cells, {} spots: {} to {} cells a spot (median {}, mean {:.1}), {} spots empty, {} cells outside, {} in several discs",
            self.cells,
            self.spots,
            self.min,
            self.max,
            self.median,
            self.mean,
            self.empty_spots,
            self.cells_outside,
            self.cells_in_several
        )
    }
}
