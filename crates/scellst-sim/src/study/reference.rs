use std::collections::HashMap;

use ndarray::Array2;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};
use rayon::prelude::*;
use scellst_expr::{CsrMatrix, Expression};

use crate::SimError;
use crate::random::{Stage, generator};

/// Single cells with raw counts and a type each.
#[derive(Debug, Clone)]
pub struct Reference {
    expression: Expression,
    type_of: Vec<u32>,
    types: Vec<String>,
}

impl Reference {
    /// From counts and the class of every cell. The `most` commonest classes are kept (ties in order of the name), with
    /// all of their cells; so are the genes that one of those has.
    ///
    /// # Errors
    /// [`SimError::Study`] for another number of classes than cells, or fewer classes than `most`.
    pub fn new(expression: &Expression, classes: &[String], most: usize) -> Result<Self, SimError> {
        if classes.len() != expression.observations().len() {
            return Err(SimError::study("classes of the reference", expression.observations().len(), classes.len()));
        }
        let mut sizes: HashMap<&String, usize> = HashMap::new();
        classes.iter().for_each(|class| *sizes.entry(class).or_default() += 1);
        if sizes.len() < most || most == 0 {
            return Err(SimError::study("classes of the reference", format!("at least {}", most.max(1)), sizes.len()));
        }
        let mut types: Vec<(&String, usize)> = sizes.into_iter().collect();
        types.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        types.truncate(most);
        let number: HashMap<&String, u32> = types.iter().zip(0..).map(|((name, _), at)| (*name, at)).collect();
        let rows: Vec<usize> = (0..classes.len()).filter(|&row| number.contains_key(&classes[row])).collect();
        let kept = expression.select_observations(&rows)?;
        let seen = kept.counts_per_gene();
        let genes: Vec<&String> = kept.genes().iter().zip(&seen).filter(|(_, n)| **n > 0.0).map(|(g, _)| g).collect();
        Ok(Self {
            expression: kept.select_genes(&genes)?,
            type_of: rows.iter().map(|&row| number[&classes[row]]).collect(),
            types: types.into_iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// Cells x genes.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The type of each cell.
    pub fn type_of(&self) -> &[u32] {
        &self.type_of
    }

    /// Names of the types.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// Cells of a type.
    pub fn cells_of(&self, cell_type: u32) -> Vec<usize> {
        (0..self.type_of.len()).filter(|&cell| self.type_of[cell] == cell_type).collect()
    }
}

/// A reference for those who have none: negative binomial counts with gene-wise dispersion, library sizes, markers and
/// a weaker programme of other genes. Sizes are rounded from droplet data of tissue (some thousand counts a cell, most
/// genes seen in a few per cent of the cells).
#[derive(Debug, Clone, PartialEq)]
pub struct MadeReference {
    /// Types.
    pub types: usize,
    /// Cells of each.
    pub cells_per_type: usize,
    /// All genes.
    pub genes: usize,
    /// Of them, markers of each type.
    pub markers_per_type: usize,
    /// Median counts of a cell.
    pub library: f64,
    /// Standard deviation of the logarithm of the library size.
    pub library_sd: f64,
    /// Decides all of it.
    pub seed: u64,
}

impl Default for MadeReference {
    /// Six types of 800 cells, 5,000 genes, 20 markers each, 4,000 counts a cell.
    fn default() -> Self {
        Self {
            types: 6,
            cells_per_type: 800,
            genes: 5000,
            markers_per_type: 20,
            library: 4000.0,
            library_sd: 0.45,
            seed: 1,
        }
    }
}

/// Standard deviation of the logarithm of genes' mean expression.
const MEAN_SD: f64 = 1.5;
/// Of the logarithm of a gene's level between types, for genes that are no markers.
const TYPE_SD: f64 = 0.35;
/// How many times a marker is higher in its type, logarithm: mean and standard deviation.
const FOLD: (f64, f64) = (3.2, 0.7);
/// Median inverse dispersion of a gene, and the standard deviation of its logarithm.
const THETA: (f64, f64) = (1.5, 0.6);

impl MadeReference {
    /// Draws it.
    ///
    /// # Errors
    /// [`SimError::Study`], [`SimError::OverLimit`].
    pub fn generate(&self) -> Result<Reference, SimError> {
        let markers = self.types.saturating_mul(self.markers_per_type);
        for (field, n, least) in [
            ("made reference's types", self.types, 1),
            ("made reference's cells of a type", self.cells_per_type, 1),
            ("made reference's genes", self.genes, markers.max(1)),
        ] {
            if n < least {
                return Err(SimError::study(field, format!("at least {least}"), n));
            }
        }
        for (field, v) in [("library", self.library), ("library_sd", self.library_sd)] {
            if !((0.0..1e6).contains(&v)) {
                return Err(SimError::study(format!("made reference's {field}"), "0 to 1e6", v));
            }
        }
        let cells = self.types.saturating_mul(self.cells_per_type);
        let found = cells.saturating_mul(self.genes) as u64;
        if found > MOST_VALUES {
            return Err(SimError::OverLimit { what: "counts of a made reference", limit: MOST_VALUES, found });
        }
        let (share, theta) = self.programme(markers);
        let rows: Vec<Vec<(u32, f32)>> = (0..cells)
            .into_par_iter()
            .map(|cell| {
                let mut rng = generator(self.seed, Stage::Counts, cell as u64);
                let z: f64 = StandardNormal.sample(&mut rng);
                let library = self.library * (z * self.library_sd).exp();
                let rates = share.row(cell % self.types);
                let mut row = Vec::new();
                for (gene, (&rate, &theta)) in (0..).zip(rates.iter().zip(&theta)) {
                    let gamma = Gamma::new(theta, 1.0 / theta).map_or(1.0, |gamma| gamma.sample(&mut rng));
                    let count: f64 = Poisson::new(library * rate * gamma).map_or(0.0, |p| p.sample(&mut rng));
                    if count > 0.0 {
                        row.push((gene, count as f32));
                    }
                }
                row
            })
            .collect();
        let mut indptr = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for row in &rows {
            indices.extend(row.iter().map(|entry| entry.0));
            values.extend(row.iter().map(|entry| entry.1));
            indptr.push(indices.len());
        }
        let counts = CsrMatrix::new(cells, self.genes, indptr, indices, values)?;
        let names = (0..self.genes).map(|gene| match gene < markers {
            true => format!("MARKER{}-{:02}", gene % self.types + 1, gene / self.types + 1),
            false => format!("GENE-{gene:05}"),
        });
        let observations = (0..cells).map(|cell| format!("cell-{cell}")).collect();
        let expression = Expression::new(counts, names.collect(), observations)?;
        let class = |cell: usize| format!("type-{}", cell % self.types + 1);
        Reference::new(&expression, &(0..cells).map(class).collect::<Vec<_>>(), self.types)
    }

    /// The share of each gene in a type's counts, types x genes, and each gene's inverse dispersion. Gene `g` below
    /// `markers` is a marker of type `g % types`.
    fn programme(&self, markers: usize) -> (Array2<f64>, Vec<f64>) {
        let mut rng = generator(self.seed, Stage::Programme, 0);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
        let mut share = Array2::zeros((self.types, self.genes));
        let mut theta = Vec::with_capacity(self.genes);
        for gene in 0..self.genes {
            let marker = gene < markers;
            // Markers are faint outside of their type.
            let base = if marker { normal() * 0.8 - 1.0 } else { normal() * MEAN_SD };
            for cell_type in 0..self.types {
                let level = match marker {
                    true if gene % self.types == cell_type => base + (FOLD.0 + FOLD.1 * normal()).max(1.0),
                    true => base,
                    false => base + TYPE_SD * normal(),
                };
                share[(cell_type, gene)] = level.exp();
            }
            theta.push(THETA.0 * (THETA.1 * normal()).exp());
        }
        for mut row in share.rows_mut() {
            let sum = row.sum();
            row /= sum;
        }
        (share, theta)
    }
}

/// 4 GiB of them.
const MOST_VALUES: u64 = 1 << 30;

/// So many of a list at random, with repetition where there are fewer.
pub(crate) fn deal(rng: &mut impl Rng, list: &[usize], count: usize) -> Vec<usize> {
    let mut dealt = Vec::with_capacity(count);
    while dealt.len() < count && !list.is_empty() {
        let mut round = list.to_vec();
        round.shuffle(rng);
        round.truncate(count - dealt.len());
        dealt.extend(round);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_high_in_their_type_and_counts_look_like_counts() {
        let made = MadeReference { cells_per_type: 100, genes: 600, ..MadeReference::default() }.generate().unwrap();
        assert_eq!((made.types().len(), made.type_of().len()), (6, 600));
        let gene = made.expression().gene_positions(&["MARKER1-01"]).unwrap()[0];
        let counts = made.expression().dense_counts(&["MARKER1-01"]).unwrap();
        let name = |t: u32| made.types()[t as usize].clone();
        let mean = |of: &dyn Fn(&str) -> bool| {
            let values: Vec<f32> = (0..600).filter(|&c| of(&name(made.type_of()[c]))).map(|c| counts[(c, 0)]).collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        assert!(mean(&|t| t == "type-1") > 2.0 * mean(&|t| t != "type-1"), "gene {gene}");
        assert!(made.expression().counts().values().iter().all(|v| v.fract() == 0.0 && *v > 0.0));
    }

    #[test]
    fn the_commonest_classes_are_kept() {
        let counts = CsrMatrix::from_dense(ndarray::arr2(&[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 0.0]]).view());
        let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
        let expression = Expression::new(counts.unwrap(), names("g", 2), names("c", 4)).unwrap();
        let classes = ["b", "a", "b", "c"].map(String::from);
        let reference = Reference::new(&expression, &classes, 2).unwrap();
        assert_eq!((reference.types(), reference.type_of()), (&["b".into(), "a".into()][..], &[0, 1, 0][..]));
        assert_eq!(reference.cells_of(0), [0, 2]);
        assert_eq!(reference.expression().genes(), ["g0", "g1"]);
        assert!(Reference::new(&expression, &classes, 4).is_err());
        assert!(Reference::new(&expression, &classes[..3], 2).is_err());
    }
}
