use std::collections::{HashMap, HashSet};

use ndarray::Array2;
use scellst_types::{Level0, Point, SpotShape};

use crate::{CsrMatrix, ExprError};

/// Counts of genes in observations (spots or cells), with the names of both.
///
/// Counts are finite and not below zero, gene names unique. Observation names are not checked for doubles.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    counts: CsrMatrix,
    genes: Vec<String>,
    observations: Vec<String>,
}

impl Expression {
    /// From counts `observations x genes` and the names of rows and columns.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if the names do not match the counts, [`ExprError::DuplicateGene`] (see
    /// [`make_unique`]), [`ExprError::NotACount`] for a value below zero.
    pub fn new(counts: CsrMatrix, genes: Vec<String>, observations: Vec<String>) -> Result<Self, ExprError> {
        let fits = |what: &str, expected, found| {
            if expected == found { Ok(()) } else { Err(ExprError::Shape { what: what.to_owned(), expected, found }) }
        };
        fits("names of genes (one a column of the counts)", counts.cols(), genes.len())?;
        fits("names of observations (one a row of the counts)", counts.rows(), observations.len())?;
        let mut seen = HashMap::with_capacity(genes.len());
        for (second, gene) in genes.iter().enumerate() {
            if let Some(first) = seen.insert(gene.as_str(), second) {
                return Err(ExprError::DuplicateGene { gene: gene.clone(), first, second });
            }
        }
        counts.check_counts()?;
        Ok(Self { counts, genes, observations })
    }

    /// The counts, observations x genes.
    pub fn counts(&self) -> &CsrMatrix {
        &self.counts
    }

    /// Names of the genes, one a column.
    pub fn genes(&self) -> &[String] {
        &self.genes
    }

    /// Names of the observations, one a row.
    pub fn observations(&self) -> &[String] {
        &self.observations
    }

    /// The three parts.
    pub fn into_parts(self) -> (CsrMatrix, Vec<String>, Vec<String>) {
        (self.counts, self.genes, self.observations)
    }

    /// Total counts of each observation.
    pub fn counts_per_observation(&self) -> Vec<f64> {
        self.counts.row_sums()
    }

    /// Total counts of each gene.
    pub fn counts_per_gene(&self) -> Vec<f64> {
        self.counts.column_sums()
    }

    /// In how many observations each gene has a count.
    pub fn observations_per_gene(&self) -> Vec<usize> {
        self.counts.column_nonzeros()
    }

    /// The columns of these genes, in the order asked.
    ///
    /// # Errors
    /// [`ExprError::MissingGenes`] with all names that are not there.
    pub fn gene_positions<S: AsRef<str>>(&self, genes: &[S]) -> Result<Vec<usize>, ExprError> {
        positions(&self.genes, genes, "the counts")
    }

    /// Only these genes, in the order asked.
    ///
    /// # Errors
    /// [`ExprError::MissingGenes`], or [`ExprError::BrokenMatrix`] if a gene is asked for twice.
    pub fn select_genes<S: AsRef<str>>(&self, genes: &[S]) -> Result<Self, ExprError> {
        self.select(None, Some(&self.gene_positions(genes)?))
    }

    /// Only these observations, in this order.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if there is no such row.
    pub fn select_observations(&self, rows: &[usize]) -> Result<Self, ExprError> {
        self.select(Some(rows), None)
    }

    /// Only these rows and columns (`None`: all).
    pub(crate) fn select(&self, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Self, ExprError> {
        let named = |names: &[String], at: &[usize]| at.iter().map(|&at| names[at].clone()).collect();
        let mut counts = None;
        let (mut genes, mut observations) = (self.genes.clone(), self.observations.clone());
        if let Some(rows) = rows {
            counts = Some(self.counts.select_rows(rows)?);
            observations = named(&self.observations, rows);
        }
        if let Some(columns) = columns {
            counts = Some(counts.as_ref().unwrap_or(&self.counts).select_columns(columns)?);
            genes = named(&self.genes, columns);
        }
        Ok(Self { counts: counts.unwrap_or_else(|| self.counts.clone()), genes, observations })
    }

    /// Keeps these rows and columns, both rising, without a copy of the counts.
    pub(crate) fn retain(self, rows: &[usize], columns: &[usize]) -> Result<Self, ExprError> {
        let named = |names: Vec<String>, at: &[usize]| {
            let mut keep = vec![false; names.len()];
            at.iter().for_each(|&at| keep[at] = true);
            names.into_iter().zip(keep).filter_map(|(name, keep)| keep.then_some(name)).collect()
        };
        let counts = self.counts.retain(rows, columns)?;
        Ok(Self { counts, genes: named(self.genes, columns), observations: named(self.observations, rows) })
    }

    /// Raw counts of these genes with their zeros, observations x genes in the order asked:
    /// the label of a negative binomial model.
    ///
    /// # Errors
    /// [`ExprError::MissingGenes`], [`ExprError::TooLarge`].
    pub fn dense_counts<S: AsRef<str>>(&self, genes: &[S]) -> Result<Array2<f32>, ExprError> {
        self.counts.dense_columns(&self.gene_positions(genes)?)
    }

    /// These genes after [`normalise_log1p`](crate::normalise_log1p) over *all* genes of this expression,
    /// observations x genes in the order asked.
    ///
    /// # Errors
    /// [`ExprError::MissingGenes`], [`ExprError::TooLarge`].
    pub fn log_normalised<S: AsRef<str>>(&self, genes: &[S]) -> Result<Array2<f32>, ExprError> {
        crate::normalise::log_normalised_columns(&self.counts, &self.gene_positions(genes)?)
    }
}

/// Where each of `wanted` lies in `genes`.
pub(crate) fn positions<S: AsRef<str>>(genes: &[String], wanted: &[S], place: &str) -> Result<Vec<usize>, ExprError> {
    let index: HashMap<&str, usize> = genes.iter().enumerate().map(|(at, gene)| (gene.as_str(), at)).collect();
    let mut found = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for gene in wanted {
        match index.get(gene.as_ref()) {
            Some(&at) => found.push(at),
            None => missing.push(gene.as_ref().to_owned()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(ExprError::MissingGenes {
            missing,
            requested: wanted.len(),
            available: genes.len(),
            place: place.to_owned(),
        })
    }
}

/// Gives repeated names a suffix, as anndata does: the first stays, the next become `NAME-1`, `NAME-2`;
/// a suffixed name that is taken already is passed over. Returns how many were changed.
pub fn make_unique(names: &mut [String]) -> usize {
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    if taken.len() == names.len() {
        return 0;
    }
    let mut uses: HashMap<String, usize> = HashMap::new();
    let mut changed = 0;
    for name in names.iter_mut() {
        let count = uses.entry(name.clone()).or_insert(0);
        if *count > 0 {
            let mut fresh = format!("{name}-{count}");
            while taken.contains(&fresh) {
                *count += 1;
                fresh = format!("{name}-{count}");
            }
            taken.insert(fresh.clone());
            *name = fresh;
            changed += 1;
        }
        *count += 1;
    }
    changed
}

/// The spots of a capture array: centres in level-0 pixels, their shape and their diameter (a square's side) in um.
///
/// Finite centres, positive diameter (Visium 55 um, legacy ST 100 um, bins of Visium HD 2 to 16 um). One centre per row
/// of the [`Expression`] beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spots {
    centres: Vec<Point<Level0>>,
    diameter_um: f64,
    shape: SpotShape,
    turn: f64,
}

impl Spots {
    /// Discs, from centres (level-0 px) and a diameter (um).
    ///
    /// # Errors
    /// [`ExprError::Setting`] if the diameter is not positive and finite or a centre is not finite.
    pub fn new(centres: Vec<Point<Level0>>, diameter_um: f64) -> Result<Self, ExprError> {
        if !(diameter_um.is_finite() && diameter_um > 0.0) {
            return Err(ExprError::Setting {
                setting: "spot diameter (um)",
                expected: "above 0 and finite",
                found: diameter_um.to_string(),
            });
        }
        if let Some(at) = centres.iter().position(|centre| !centre.is_finite()) {
            return Err(ExprError::Setting {
                setting: "spot centre",
                expected: "finite level-0 pixels",
                found: format!("{:?} at spot {at}", centres[at]),
            });
        }
        Ok(Self { centres, diameter_um, shape: SpotShape::Disc, turn: 0.0 })
    }

    /// The same as squares whose side is the diameter, turned by so much: radians from the x axis towards the y axis
    /// (clockwise in a picture).
    ///
    /// # Errors
    /// [`ExprError::Setting`] if the angle is not finite.
    pub fn squares(self, turn: f64) -> Result<Self, ExprError> {
        if !turn.is_finite() {
            let (setting, expected) = ("angle of the squares (radians)", "finite");
            return Err(ExprError::Setting { setting, expected, found: turn.to_string() });
        }
        Ok(Self { shape: SpotShape::Square, turn, ..self })
    }

    /// Discs or squares.
    pub fn shape(&self) -> SpotShape {
        self.shape
    }

    /// Angle of the squares, radians from the x axis towards the y axis; 0 for discs.
    pub fn turn(&self) -> f64 {
        self.turn
    }

    /// How far a spot reaches from its centre, um: a disc's radius, half a square's diagonal.
    pub fn reach_um(&self) -> f64 {
        match self.shape {
            SpotShape::Disc => self.diameter_um / 2.0,
            SpotShape::Square => self.diameter_um * std::f64::consts::FRAC_1_SQRT_2,
        }
    }

    /// Centres in level-0 pixels.
    pub fn centres(&self) -> &[Point<Level0>] {
        &self.centres
    }

    /// Diameter of every disc, or side of every square, um.
    pub fn diameter_um(&self) -> f64 {
        self.diameter_um
    }

    /// The array's pitch as these centres show it, level-0 px: the median distance of a spot to its nearest other.
    /// `None` for fewer than two spots.
    ///
    /// Where centres lie askew the nearest is nearer than the pitch: on the legacy arrays of Andersson et al. by 7 %.
    /// Of large arrays an even sample of 500 spots is measured, against all.
    pub fn pitch_px(&self) -> Option<f64> {
        const SAMPLE: usize = 500;
        let every = self.len().div_ceil(SAMPLE).max(1);
        let nearest = |(i, &centre): (usize, &Point<Level0>)| {
            let others = self.centres.iter().enumerate().filter(|&(j, _)| j != i);
            others.map(|(_, &other)| centre.distance(other)).min_by(f64::total_cmp)
        };
        let mut distances: Vec<f64> = self.centres.iter().enumerate().step_by(every).filter_map(nearest).collect();
        distances.sort_by(f64::total_cmp);
        distances.get(distances.len() / 2).copied()
    }

    /// Number of spots.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// Only these spots, in this order: what a filter of the expression kept.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if there is no such spot.
    pub fn select(&self, spots: &[usize]) -> Result<Self, ExprError> {
        let centre = |&at: &usize| {
            self.centres.get(at).copied().ok_or_else(|| ExprError::Shape {
                what: "spots to select, the largest position + 1 at most".to_owned(),
                expected: self.len(),
                found: at + 1,
            })
        };
        Ok(Self { centres: spots.iter().map(centre).collect::<Result<_, _>>()?, ..*self })
    }
}
