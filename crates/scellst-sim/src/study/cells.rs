use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;
use rand::seq::SliceRandom;
use scellst_expr::{CsrMatrix, Expression};
use scellst_metrics::Pca;
use serde::{Deserialize, Serialize};

use super::reference::deal;
use super::{Reference, StudyBags, kmeans};
use crate::SimError;
use crate::random::{Stage, generator};

/// What expression a cell of a type gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Its type's mean: all that a picture can tell, and nothing else.
    Centroid,
    /// That of a random cell of its type: variation that no picture shows.
    Cell,
    /// That of any cell: nothing to learn, so that what scores above 0 is wrong with the study.
    Random,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Centroid, Self::Cell, Self::Random];
}

impl std::str::FromStr for Scenario {
    type Err = SimError;
    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.to_string() == text)
            .ok_or_else(|| SimError::study("scenario", "centroid, cell or random", format!("'{text}'")))
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Centroid => "centroid",
            Self::Cell => "cell",
            Self::Random => "random",
        })
    }
}

/// Which cells take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellConfig {
    /// The cells nearest to each cluster's centre that are kept.
    pub cells_per_cluster: usize,
    /// Principal components that are clustered.
    pub components: usize,
    /// Starts of k-means.
    pub starts: usize,
    /// Of clusters, pairing, expression and halves.
    pub seed: u64,
}

impl Default for CellConfig {
    /// The published: 2,000 cells of a cluster on 50 components.
    fn default() -> Self {
        Self { cells_per_cluster: 2000, components: 50, starts: 10, seed: 1 }
    }
}

/// Cells with a picture (its embedding), a type and an expression.
#[derive(Debug, Clone)]
pub struct StudyCells {
    embeddings: Array2<f32>,
    type_of: Vec<u32>,
    types: usize,
    /// The expressions that cells can have; one row for several cells.
    profiles: Expression,
    profile_of: Vec<usize>,
    train: Vec<usize>,
    test: Vec<usize>,
    seed: u64,
}

impl StudyCells {
    /// Clusters embeddings (cells x features) into as many groups as the reference has types, keeps the cells nearest
    /// to each centre, pairs clusters with types at random, gives each cell an expression and halves every cluster into
    /// training and test.
    ///
    /// # Errors
    /// [`SimError::Study`] if a cluster has fewer than two cells, and what clustering gives. Clusters of fewer cells
    /// than asked for are taken whole.
    pub fn new(
        embeddings: ArrayView2<'_, f32>,
        reference: &Reference,
        scenario: Scenario,
        config: &CellConfig,
    ) -> Result<Self, SimError> {
        let types = reference.types().len();
        let pca = Pca::fit(embeddings, config.components, config.seed)?;
        let clusters = kmeans(pca.transform(embeddings)?.view(), types, config.starts, config.seed)?;
        let mut rng = generator(config.seed, Stage::Pairing, 0);
        let mut paired: Vec<u32> = (0..types as u32).collect();
        paired.shuffle(&mut rng);
        let (mut rows, mut type_of, mut profile_of) = (Vec::new(), Vec::new(), Vec::new());
        let (mut train, mut test) = (Vec::new(), Vec::new());
        let all: Vec<usize> = (0..reference.type_of().len()).collect();
        for (cluster, &cell_type) in (0..).zip(&paired) {
            let near = clusters.nearest(cluster, config.cells_per_cluster);
            if near.len() < 2 {
                let field = format!("cells of cluster {cluster}");
                return Err(SimError::study(field, "at least 2", near.len()));
            }
            profile_of.extend(match scenario {
                Scenario::Centroid => vec![cell_type as usize; near.len()],
                Scenario::Cell => deal(&mut rng, &reference.cells_of(cell_type), near.len()),
                Scenario::Random => (0..near.len()).map(|_| all[rng.random_range(0..all.len())]).collect(),
            });
            let mut cells: Vec<usize> = (rows.len()..rows.len() + near.len()).collect();
            cells.shuffle(&mut rng);
            let (first, second) = cells.split_at(cells.len() / 2);
            train.extend_from_slice(first);
            test.extend_from_slice(second);
            type_of.extend(std::iter::repeat_n(cell_type, near.len()));
            rows.extend(near);
        }
        train.sort_unstable();
        test.sort_unstable();
        let profiles = match scenario {
            Scenario::Centroid => means(reference)?,
            Scenario::Cell | Scenario::Random => reference.expression().clone(),
        };
        let embeddings = embeddings.select(Axis(0), &rows);
        Ok(Self { embeddings, type_of, types, profiles, profile_of, train, test, seed: config.seed })
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.type_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.type_of.is_empty()
    }

    /// Cells x features.
    pub fn embeddings(&self) -> ArrayView2<'_, f32> {
        self.embeddings.view()
    }

    /// The type of each as an input, cells x types: what a perfect look at the picture would give.
    pub fn one_hot(&self) -> Array2<f32> {
        let mut hot = Array2::zeros((self.len(), self.types));
        self.type_of.iter().enumerate().for_each(|(cell, &t)| hot[(cell, t as usize)] = 1.0);
        hot
    }

    /// The type of each.
    pub fn type_of(&self) -> &[u32] {
        &self.type_of
    }

    /// Training and test cells, half of each cluster each.
    pub fn halves(&self) -> (&[usize], &[usize]) {
        (&self.train, &self.test)
    }

    /// Counts of some cells in these genes (cells x genes, of a type's mean not whole), and each one's total over all.
    ///
    /// # Errors
    /// [`SimError::Expression`] for a gene that the reference lacks.
    pub fn counts(&self, cells: &[usize], genes: &[String]) -> Result<(Array2<f32>, Vec<f64>), SimError> {
        let (profiles, totals) = self.profiles(genes)?;
        let rows: Vec<usize> = cells.iter().map(|&cell| self.profile_of[cell]).collect();
        Ok((profiles.select(Axis(0), &rows), rows.iter().map(|&row| totals[row]).collect()))
    }

    /// Spots of `cells_per_spot` of these cells each, drawn with replacement.
    ///
    /// # Errors
    /// [`SimError::Study`] without spots or cells.
    pub fn draw_bags(
        &self,
        from: &[usize],
        spots: usize,
        cells_per_spot: usize,
        draw: u64,
    ) -> Result<StudyBags, SimError> {
        for (field, n) in [("cells to draw from", from.len()), ("spots", spots), ("cells of a spot", cells_per_spot)] {
            if n == 0 {
                return Err(SimError::study(field, "at least 1", n));
            }
        }
        let limit = u64::from(u32::MAX);
        let found = spots.saturating_mul(cells_per_spot) as u64;
        if found > limit {
            return Err(SimError::OverLimit { what: "cells in spots", limit, found });
        }
        let mut rng = generator(self.seed, Stage::Bags, draw);
        let cells = (0..spots * cells_per_spot).map(|_| from[rng.random_range(0..from.len())]).collect();
        Ok(StudyBags::new(cells, cells_per_spot))
    }

    pub(super) fn profiles(&self, genes: &[String]) -> Result<(Array2<f32>, Vec<f64>), SimError> {
        Ok((self.profiles.dense_counts(genes)?, self.profiles.counts_per_observation()))
    }

    pub(super) fn profile_of(&self) -> &[usize] {
        &self.profile_of
    }
}

/// Mean counts of each type, types x genes.
fn means(reference: &Reference) -> Result<Expression, SimError> {
    let counts = reference.expression().counts();
    let mut sums = Array2::<f64>::zeros((reference.types().len(), counts.cols()));
    let mut cells = vec![0.0; reference.types().len()];
    for (row, &cell_type) in reference.type_of().iter().enumerate() {
        cells[cell_type as usize] += 1.0;
        let (genes, values) = counts.row(row);
        genes.iter().zip(values).for_each(|(&gene, &v)| sums[(cell_type as usize, gene as usize)] += f64::from(v));
    }
    for (mut row, &n) in sums.rows_mut().into_iter().zip(&cells) {
        row /= f64::max(n, 1.0);
    }
    let means = CsrMatrix::from_dense(sums.mapv(|v| v as f32).view())?;
    Ok(Expression::new(means, reference.expression().genes().to_vec(), reference.types().to_vec())?)
}
