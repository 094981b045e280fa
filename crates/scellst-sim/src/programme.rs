use rand::Rng;

use crate::SimConfig;
use crate::nucleus::{Nucleus, log_area};
use crate::random::{Stage, generator, normal};

/// What decides a gene's expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneRole {
    /// High in one type of cell (the index in [`SimConfig::types`]); every second marker also goes with the nucleus's
    /// area.
    Marker(usize),
    /// Goes with the area of the nucleus, up or down: how it compares with all cells and with its own type.
    Size,
    /// Goes with the density of haematoxylin in the nucleus, up or down, in the same way.
    Chromatin,
    /// The same in all cells.
    Housekeeping,
    /// Varies strongly, with nothing that shows: no method can predict it.
    Uninformative,
}

/// A gene of the simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Gene {
    /// Its name, such as `NEOPLASTIC-03`, `SIZE-01`, `HOUSE-12`.
    pub name: String,
    /// What decides its expression.
    pub role: GeneRole,
}

/// Standard deviation of the logarithm of an uninformative gene.
const UNINFORMATIVE_SD: f64 = 0.8;
/// Traits further out than this have no more effect.
const MOST: f64 = 3.0;

/// What each gene does in which cell: the same for all sections of one [`SimConfig::programme_seed`].
#[derive(Debug, Clone)]
pub struct Programme {
    genes: Vec<Gene>,
    /// Logarithm of the expected counts at average traits, types x genes.
    base: Vec<Vec<f64>>,
    /// Change of the logarithm for a standard deviation of area and of density.
    effects: Vec<(f64, f64)>,
    /// Standard deviation of the logarithm that nothing shows.
    hidden: Vec<f64>,
    area: Trait,
    density: Trait,
}

/// A trait's mean and standard deviation over cells of all types alike, and in each type.
#[derive(Debug, Clone)]
struct Trait {
    all: (f64, f64),
    types: Vec<(f64, f64)>,
}

impl Trait {
    /// Of a mixture in equal parts of normal distributions.
    fn of(types: impl Iterator<Item = (f64, f64)>) -> Self {
        let types: Vec<(f64, f64)> = types.collect();
        let n = types.len().max(1) as f64;
        let mean = types.iter().map(|(m, _)| m).sum::<f64>() / n;
        let variance = types.iter().map(|(m, sd)| (m - mean).powi(2) + sd * sd).sum::<f64>() / n;
        Self { all: (mean, variance.sqrt()), types }
    }

    /// How far a cell stands out from all cells and from its own type, in equal parts: expression then says something
    /// of the single cell that neither its type nor its size alone does.
    fn score(&self, value: f64, cell_type: usize) -> f64 {
        let out = |(mean, sd): (f64, f64)| if sd > 0.0 { ((value - mean) / sd).clamp(-MOST, MOST) } else { 0.0 };
        let own = self.types.get(cell_type).copied().unwrap_or(self.all);
        (out(self.all) + out(own)) / std::f64::consts::SQRT_2
    }
}

impl Programme {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let genes = genes(config);
        let counts = &config.counts;
        let types = config.types.len();
        let mut base = vec![Vec::with_capacity(genes.len()); types];
        let (mut effects, mut hidden) = (Vec::new(), Vec::new());
        for (g, gene) in genes.iter().enumerate() {
            // A generator for each gene: adding genes of one role leaves the others as they are.
            let mut rng = generator(config.programme_seed, Stage::Programme, g as u64);
            let abundance = normal(&mut rng, 0.0, 0.6);
            let sign = if rng.random::<f64>() < 0.7 { 1.0 } else { -1.0 };
            let effect = sign * counts.trait_effect * rng.random_range(0.7..1.3);
            let fold = (counts.marker_fold.ln() + normal(&mut rng, 0.0, 0.2)).max(0.0);
            for (t, row) in base.iter_mut().enumerate() {
                let own_way = normal(&mut rng, 0.0, 0.25);
                row.push(match gene.role {
                    GeneRole::Marker(of) if of == t => abundance,
                    GeneRole::Marker(_) => abundance - fold + own_way,
                    _ => abundance,
                });
            }
            effects.push(match gene.role {
                GeneRole::Size => (effect, 0.0),
                GeneRole::Marker(_) if g % 2 == 1 => (0.5 * effect, 0.0),
                GeneRole::Chromatin => (0.0, effect),
                _ => (0.0, 0.0),
            });
            hidden.push(if gene.role == GeneRole::Uninformative { UNINFORMATIVE_SD } else { counts.hidden_sd });
        }
        // All together a typical cell has the library that was asked for.
        let sum: f64 = base.iter().flatten().map(|v| v.exp()).sum::<f64>() / types.max(1) as f64;
        let shift = (counts.library / sum.max(1e-9)).ln();
        base.iter_mut().flatten().for_each(|v| *v += shift);
        let area = Trait::of(config.types.iter().map(log_area));
        let density = Trait::of(config.types.iter().map(|t| (t.haematoxylin, t.haematoxylin_sd)));
        Self { genes, base, effects, hidden, area, density }
    }

    /// The genes, in the order of all columns.
    pub fn genes(&self) -> &[Gene] {
        &self.genes
    }

    /// Standard deviation of the logarithm of each gene that nothing in the picture shows.
    pub(crate) fn hidden_sd(&self) -> &[f64] {
        &self.hidden
    }

    /// Expected counts of every gene in a cell of typical library size.
    pub fn expected(&self, nucleus: &Nucleus) -> Vec<f64> {
        let area = self.area.score(nucleus.area_um2.ln(), nucleus.cell_type);
        let density = self.density.score(nucleus.haematoxylin, nucleus.cell_type);
        let Some(base) = self.base.get(nucleus.cell_type) else { return vec![0.0; self.genes.len()] };
        let expected = |(b, e): (&f64, &(f64, f64))| (b + e.0 * area + e.1 * density).exp();
        base.iter().zip(&self.effects).map(expected).collect()
    }
}

fn genes(config: &SimConfig) -> Vec<Gene> {
    let n = &config.genes;
    let mut genes = Vec::with_capacity(n.total(config.types.len()));
    let mut add = |prefix: &str, count: usize, role: GeneRole| {
        genes.extend((1..=count).map(|i| Gene { name: format!("{prefix}-{i:02}"), role }));
    };
    for (t, cell_type) in config.types.iter().enumerate() {
        add(&cell_type.name.to_uppercase(), n.markers_per_type, GeneRole::Marker(t));
    }
    add("SIZE", n.size, GeneRole::Size);
    add("CHROMATIN", n.chromatin, GeneRole::Chromatin);
    add("HOUSE", n.housekeeping, GeneRole::Housekeeping);
    add("CHANCE", n.uninformative, GeneRole::Uninformative);
    genes
}
