use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::SimError;
use crate::random::{Stage, generator};

/// Embeddings for those who have none: clusters in a space of few dimensions, seen through a random layer as encoders
/// have it, so that features are positive, correlated and uneven.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeEmbeddings {
    /// Clusters.
    pub types: usize,
    /// Cells of each.
    pub cells_per_type: usize,
    /// Features of a cell.
    pub dims: usize,
    /// Dimensions in which cells differ.
    pub latent: usize,
    /// Distance of the clusters' centres from the origin, in standard deviations of a cluster along one dimension.
    pub separation: f64,
    /// Decides all of it.
    pub seed: u64,
}

impl Default for MadeEmbeddings {
    /// Six clusters of 3,000 cells in 512 features.
    fn default() -> Self {
        Self { types: 6, cells_per_type: 3000, dims: 512, latent: 24, separation: 5.0, seed: 1 }
    }
}

impl MadeEmbeddings {
    /// Cells x features, cell after cell of each type in turn.
    ///
    /// # Errors
    /// [`SimError::Study`], [`SimError::OverLimit`].
    pub fn generate(&self) -> Result<Array2<f32>, SimError> {
        let positive = |field: &'static str, n: usize| {
            if n == 0 { Err(SimError::study(field, "at least 1", n)) } else { Ok(()) }
        };
        positive("made embeddings' types", self.types)?;
        positive("made embeddings' cells of a type", self.cells_per_type)?;
        positive("made embeddings' features", self.dims)?;
        positive("made embeddings' latent dimensions", self.latent)?;
        if !(self.separation.is_finite() && self.separation >= 0.0) {
            return Err(SimError::study("made embeddings' separation", "0 or more", self.separation));
        }
        let cells = self.types.saturating_mul(self.cells_per_type);
        let found = cells.saturating_mul(self.dims.max(self.latent)) as u64;
        if found > MOST_VALUES {
            return Err(SimError::OverLimit { what: "values of embeddings", limit: MOST_VALUES, found });
        }
        let mut rng = generator(self.seed, Stage::Embeddings, 0);
        let mut normal = |rows: usize, columns: usize, scale: f64| made(&mut rng, rows, columns, scale);
        let centres = normal(self.types, self.latent, 1.0);
        let layer = normal(self.latent, self.dims, 1.0 / (self.latent as f64).sqrt());
        let bias = normal(1, self.dims, 0.5);
        let mut cells = normal(cells, self.latent, 1.0);
        for (i, mut cell) in cells.rows_mut().into_iter().enumerate() {
            let centre = centres.row(i % self.types);
            let length = centre.dot(&centre).sqrt().max(1e-6);
            cell.scaled_add(self.separation as f32 / length, &centre);
        }
        let mut seen = cells.dot(&layer);
        seen += &bias;
        seen.mapv_inplace(|v| v.max(0.0));
        Ok(seen)
    }
}

/// 4 GiB of them.
const MOST_VALUES: u64 = 1 << 30;

fn made(rng: &mut ChaCha8Rng, rows: usize, columns: usize, scale: f64) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || {
        let z: f64 = StandardNormal.sample(rng);
        (z * scale) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_cells_and_nonsense_is_refused() {
        let small = MadeEmbeddings { cells_per_type: 5, dims: 8, ..MadeEmbeddings::default() };
        let made = small.generate().unwrap();
        assert_eq!((made.dim(), &made), ((30, 8), &small.generate().unwrap()));
        assert_ne!(made, MadeEmbeddings { seed: 2, ..small.clone() }.generate().unwrap());
        assert!(made.iter().all(|v| *v >= 0.0));
        assert!(MadeEmbeddings { types: 0, ..small.clone() }.generate().is_err());
        assert!(MadeEmbeddings { separation: f64::NAN, ..small.clone() }.generate().is_err());
        let huge = MadeEmbeddings { cells_per_type: usize::MAX, ..small };
        assert!(huge.generate().unwrap_err().to_string().contains("over the limit"));
    }
}
