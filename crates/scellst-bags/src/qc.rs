use std::fmt;

use serde::{Deserialize, Serialize};

use crate::BagsError;

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
    /// Cells in no spot.
    pub cells_outside: usize,
    /// Cells in several spots (each went to the nearest centre).
    pub cells_in_several: usize,
    /// Fewest cells of a spot, empty ones included.
    pub min: usize,
    /// Median of cells per spot, empty ones included.
    pub median: f64,
    /// Mean of cells per spot, empty ones included.
    pub mean: f64,
    /// Most cells of a spot.
    pub max: usize,
    /// First and third quartile of cells per spot (the counts at these shares of the sorted spots).
    #[serde(default)]
    pub quartiles: (usize, usize),
    /// A spot with more cells than this is huge: the third quartile and three times the distance of the quartiles
    /// (Tukey's outer fence); a distance of at least one cell is assumed.
    #[serde(default)]
    pub huge_above: usize,
    /// Number of huge spots: folds, lymph follicles, or a detector that sees cells in pen marks.
    #[serde(default)]
    pub huge_spots: usize,
    /// Of the tissue below the spots, if it is known ([`Qc::with_tissue`]).
    #[serde(default)]
    pub tissue: Option<TissueQc>,
    /// `histogram[n]` spots have n cells; the last place, if there are 101, holds those with 100 or more.
    pub histogram: Vec<usize>,
}

/// How spots and tissue met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TissueQc {
    /// Mean over the spots of the share of their area that is tissue, 0 to 1.
    pub mean_share: f64,
    /// Spots of which less than half is tissue.
    pub spots_off_tissue: usize,
    /// Spots of which at least half is tissue and that have no cell: does the detector see the nuclei there?
    pub empty_on_tissue: usize,
    /// Cells in spots of which less than half is tissue: dirt, or a mask that is too narrow.
    pub cells_off_tissue: usize,
}

impl Qc {
    pub(crate) fn new(cells: usize, per_spot: &[u32], cells_in_several: usize) -> Self {
        let mut sorted = per_spot.to_vec();
        sorted.sort_unstable();
        let count = |at: usize| sorted.get(at).map_or(0, |&count| count as usize);
        let n = sorted.len();
        let inside: usize = sorted.iter().map(|&count| count as usize).sum();
        let max = count(n.saturating_sub(1));
        let quartiles = (count(n.saturating_sub(1) / 4), count(3 * n.saturating_sub(1) / 4));
        // Where most spots hold the same number, one more is nothing to speak of.
        let huge_above = quartiles.1 + 3 * (quartiles.1 - quartiles.0).max(1);
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
            quartiles,
            huge_above,
            huge_spots: n - sorted.partition_point(|&count| count as usize <= huge_above),
            tissue: None,
            histogram,
        }
    }

    /// Adds what is known of the tissue: for every spot the cells in it (see [`crate::Bags::cells_per_spot`]) and the share of
    /// its area that is tissue, 0 to 1.
    ///
    /// # Errors
    /// [`BagsError::Lengths`] unless there is one of each a spot, [`BagsError::Setting`] for a share that is not
    /// 0 to 1.
    pub fn with_tissue(mut self, per_spot: &[u32], shares: &[f32]) -> Result<Self, BagsError> {
        for (what, found) in [("counts of spots", per_spot.len()), ("tissue shares of spots", shares.len())] {
            if found != self.spots {
                return Err(BagsError::Lengths { what, expected: self.spots, found });
            }
        }
        if let Some(spot) = shares.iter().position(|share| !(0.0..=1.0).contains(share)) {
            let found = format!("{} at spot {spot}", shares[spot]);
            return Err(BagsError::Setting { setting: "tissue share of a spot", expected: "0 to 1", found });
        }
        let off = || per_spot.iter().zip(shares).filter(|(_, share)| **share < 0.5).map(|(count, _)| count);
        let empty_off = off().filter(|count| **count == 0).count();
        self.tissue = Some(TissueQc {
            mean_share: shares.iter().map(|&share| f64::from(share)).sum::<f64>() / self.spots.max(1) as f64,
            spots_off_tissue: off().count(),
            empty_on_tissue: per_spot.iter().filter(|count| **count == 0).count() - empty_off,
            cells_off_tissue: off().map(|&count| count as usize).sum(),
        });
        Ok(self)
    }

    /// Share of the cells that lie in a spot, 0 to 1: the others have no counts, but serve as context.
    pub fn share_in_spots(&self) -> f64 {
        (self.cells - self.cells_outside) as f64 / self.cells.max(1) as f64
    }
}

impl fmt::Display for Qc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cells, {} spots: {} to {} cells a spot (median {}, mean {:.1}), {} spots empty, {} huge (over {}), {} cells outside, {} in several spots",
            self.cells,
            self.spots,
            self.min,
            self.max,
            self.median,
            self.mean,
            self.empty_spots,
            self.huge_spots,
            self.huge_above,
            self.cells_outside,
            self.cells_in_several
        )
    }
}
