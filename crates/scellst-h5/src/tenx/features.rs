use std::path::Path;

use scellst_expr::{CsrMatrix, Expression, FeatureConfig, Features, is_control};

use crate::H5Error;
use crate::matrix::Csr;

/// Features that were in the files but are no genes, and so are in no expression.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeftOut {
    /// By kind (`Negative Control Probe`, `Antibody Capture`; where a file has no kinds the beginning of the names that
    /// gives them away, `ERCC-`), sorted by name.
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
    pub(crate) fn into_genes(self, path: &Path, config: &FeatureConfig) -> Result<Genes, H5Error> {
        let Self { counts, barcodes, features } = self;
        let broken = |e: scellst_expr::ExprError| H5Error::broken(path, "/", e.to_string());
        let Csr { pointers, indices, values } = without_zeros(counts);
        let counts = CsrMatrix::from_unsorted(barcodes.len(), features.symbols.len(), pointers, indices, values);
        let counts = counts.map_err(broken)?;
        let left_out = left_out(&features, &counts.column_sums());
        let (expression, report) = config.apply(counts, &features, barcodes).map_err(broken)?;
        if !report.renamed.is_empty() {
            log::warn!(
                "{}: {} of {} genes have a name that is there already; made unique by a suffix",
                path.display(),
                report.renamed.len(),
                report.genes
            );
        }
        if !left_out.is_empty() {
            log::info!("{}: {left_out}", path.display());
        }
        let ids = if features.ids.is_empty() {
            Vec::new()
        } else {
            report.feature_of.iter().map(|&feature| features.ids[feature].clone()).collect()
        };
        Ok(Genes { expression, ids, left_out })
    }
}

fn left_out(features: &Features, sums: &[f64]) -> LeftOut {
    let text = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
    let mut left_out = LeftOut::default();
    for (feature, (symbol, &sum)) in features.symbols.iter().zip(sums).enumerate() {
        let (id, kind) = (text(&features.ids, feature), text(&features.kinds, feature));
        if let Some(why) = is_control(symbol, &id, &kind) {
            left_out.add(why, if symbol.is_empty() { &id } else { symbol }, sum);
        }
    }
    left_out
}

/// Zeros that a file stores all the same, taken out in the memory that they have.
fn without_zeros(mut csr: Csr) -> Csr {
    let (mut start, mut kept) = (0, 0);
    for pointer in csr.pointers.iter_mut().skip(1) {
        for k in start..*pointer {
            if csr.values[k] != 0.0 {
                csr.indices[kept] = csr.indices[k];
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
