use std::collections::HashMap;
use std::path::Path;

use scellst_expr::{CsrMatrix, DuplicateGenes, Expression, GeneNaming, make_unique};

use crate::H5Error;
use crate::matrix::Csr;

/// The kind of feature that is a gene; everything else is left out.
const GENE: &str = "Gene Expression";

/// Features that were in the files but are no genes, and so are in no expression.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeftOut {
    /// By kind (`Negative Control Probe`, `Antibody Capture`), sorted by name.
    pub kinds: Vec<FeatureCount>,
}

/// The features of one kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeatureCount {
    /// The kind as the file names it.
    pub kind: String,
    /// The features' names, in the order of the file.
    pub names: Vec<String>,
    /// All their counts together.
    pub counts: f64,
}

impl LeftOut {
    pub(crate) fn add(&mut self, kind: &str, name: &str, counts: f64) {
        let at = match self.kinds.binary_search_by(|k| k.kind.as_str().cmp(kind)) {
            Ok(at) => at,
            Err(at) => {
                self.kinds.insert(at, FeatureCount { kind: kind.to_owned(), names: Vec::new(), counts: 0.0 });
                at
            }
        };
        self.kinds[at].names.push(name.to_owned());
        self.kinds[at].counts += counts;
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("no features left out");
        }
        for (i, kind) in self.kinds.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let first = kind.names.first().map(String::as_str).unwrap_or_default();
            write!(
                f,
                "{comma}{} features of the kind '{}' ({first}, ...; {} counts)",
                kind.names.len(),
                kind.kind,
                kind.counts
            )?;
        }
        f.write_str(" left out")
    }
}

/// What a file says about its features, one entry each.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// Ensembl ids, or whatever the reference has.
    pub(crate) ids: Vec<String>,
    /// Symbols.
    pub(crate) names: Vec<String>,
    /// Kinds; empty where the format knows only genes.
    pub(crate) kinds: Vec<String>,
}

/// How genes are named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NameRules {
    pub(crate) names: GeneNaming,
    pub(crate) duplicates: DuplicateGenes,
}

/// A matrix as it lies in a file: barcodes x features, canonical rows.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) counts: Csr,
    pub(crate) barcodes: Vec<String>,
    pub(crate) features: Features,
}

/// Genes only, named as asked.
#[derive(Debug)]
pub(crate) struct Genes {
    pub(crate) expression: Expression,
    pub(crate) ids: Vec<String>,
    pub(crate) left_out: LeftOut,
}

impl Table {
    pub(crate) fn into_genes(self, path: &Path, rules: NameRules) -> Result<Genes, H5Error> {
        let Self { counts, barcodes, features } = self;
        let mut sums = vec![0.0f64; features.names.len()];
        for (&column, &value) in counts.indices.iter().zip(&counts.values) {
            if let Some(sum) = sums.get_mut(column as usize) {
                *sum += f64::from(value);
            }
        }
        let mut left_out = LeftOut::default();
        let (mut names, mut ids): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        // Where each feature goes.
        let mut places: Vec<Option<u32>> = Vec::with_capacity(features.names.len());
        let mut seen: HashMap<String, u32> = HashMap::new();
        for (i, (name, id)) in features.names.into_iter().zip(features.ids).enumerate() {
            if let Some(kind) = features.kinds.get(i).filter(|k| *k != GENE) {
                left_out.add(kind, &name, sums[i]);
                places.push(None);
                continue;
            }
            let name = if rules.names == GeneNaming::Id { id.clone() } else { name };
            if rules.duplicates == DuplicateGenes::Sum {
                if let Some(&place) = seen.get(&name) {
                    places.push(Some(place));
                    continue;
                }
                seen.insert(name.clone(), names.len() as u32);
            }
            places.push(Some(names.len() as u32));
            names.push(name);
            ids.push(id);
        }
        // Left as they are, `Expression` refuses them.
        let renamed = if rules.duplicates == DuplicateGenes::Refuse { 0 } else { make_unique(&mut names) };
        if renamed > 0 {
            log::warn!(
                "{}: {renamed} of {} genes have a name that is there already; made unique by a suffix",
                path.display(),
                names.len()
            );
        }
        if !left_out.is_empty() {
            log::info!("{}: {left_out}", path.display());
        }
        let counts = moved(counts, &places);
        let broken = |e: scellst_expr::ExprError| H5Error::broken(path, "/", e.to_string());
        // Rows are out of order where features were added up.
        let counts =
            CsrMatrix::from_unsorted(barcodes.len(), names.len(), counts.pointers, counts.indices, counts.values);
        let expression = Expression::new(counts.map_err(broken)?, names, barcodes).map_err(broken)?;
        Ok(Genes { expression, ids, left_out })
    }
}

/// Columns moved to their places, in the memory that they have.
fn moved(mut csr: Csr, places: &[Option<u32>]) -> Csr {
    let (mut start, mut kept) = (0, 0);
    for pointer in csr.pointers.iter_mut().skip(1) {
        for k in start..*pointer {
            if let (Some(&Some(place)), true) = (places.get(csr.indices[k] as usize), csr.values[k] != 0.0) {
                csr.indices[kept] = place;
                csr.values[kept] = csr.values[k];
                kept += 1;
            }
        }
        start = *pointer;
        *pointer = kept;
    }
    csr.indices.truncate(kept);
    csr.values.truncate(kept);
    csr
}
