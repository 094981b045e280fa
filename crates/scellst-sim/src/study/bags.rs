use ndarray::Array2;

use super::StudyCells;
use crate::SimError;

/// Spots and the cells in them, all of the same number.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyBags {
    cells: Vec<usize>,
    cells_per_spot: usize,
}

impl StudyBags {
    pub(super) fn new(cells: Vec<usize>, cells_per_spot: usize) -> Self {
        Self { cells, cells_per_spot }
    }

    /// Number of spots.
    pub fn len(&self) -> usize {
        self.cells.len() / self.cells_per_spot
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells of each spot.
    pub fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.cells.chunks(self.cells_per_spot)
    }

    /// Counts of every spot, the sums of its cells' (spots x genes), and its total over all genes.
    ///
    /// # Errors
    /// [`SimError::Expression`] for a gene that the reference lacks.
    pub fn counts(&self, cells: &StudyCells, genes: &[String]) -> Result<(Array2<f32>, Vec<f64>), SimError> {
        let (profiles, profile_totals) = cells.profiles(genes)?;
        let mut counts = Array2::zeros((self.len(), genes.len()));
        let mut totals = Vec::with_capacity(self.len());
        for (spot, mut row) in self.iter().zip(counts.rows_mut()) {
            let profile = |&cell: &usize| cells.profile_of()[cell];
            spot.iter().for_each(|cell| row += &profiles.row(profile(cell)));
            totals.push(spot.iter().map(|cell| profile_totals[profile(cell)]).sum());
        }
        Ok((counts, totals))
    }
}

/// log1p of counts brought to 10,000 of each row's total; a row without counts stays 0.
pub fn log_normalised(counts: &Array2<f32>, totals: &[f64]) -> Array2<f32> {
    let mut out = counts.clone();
    for (mut row, &total) in out.rows_mut().into_iter().zip(totals) {
        let scale = if total > 0.0 { 1e4 / total } else { 0.0 };
        row.mapv_inplace(|v| (f64::from(v) * scale).ln_1p() as f32);
    }
    out
}
