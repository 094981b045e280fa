use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CsrMatrix, ExprError, Expression, make_unique};

/// Which of a file's two names a gene goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GeneNaming {
    /// The symbol (`EPCAM`); the identifier where the symbol is empty.
    #[default]
    Symbol,
    /// The identifier (`ENSG00000119888`), its version (`.16`) taken off.
    Id,
}

/// What becomes of genes with one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateGenes {
    /// They get suffixes, as by anndata's `var_names_make_unique`; see [`make_unique`].
    #[default]
    Unique,
    /// Their counts are added, at the place of the first.
    Sum,
    /// They are an error.
    Refuse,
}

/// The columns of a counts file as it describes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Symbols, one a column.
    pub symbols: Vec<String>,
    /// Identifiers (Ensembl), one a column; empty if the file has none.
    pub ids: Vec<String>,
    /// Kinds (`Gene Expression`, `Negative Control Probe`, ...), one a column; empty if the file has none.
    pub kinds: Vec<String>,
}

/// How a file's features become genes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    /// Which name genes go by; the symbol.
    pub naming: GeneNaming,
    /// What becomes of genes with one name; made unique.
    pub duplicates: DuplicateGenes,
    /// Whether features that are no genes stay; no. See [`is_control`].
    pub keep_controls: bool,
    /// Further beginnings of names (symbol or identifier) that mark controls.
    pub control_prefixes: Vec<String>,
}

/// What [`FeatureConfig::apply`] changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureReport {
    /// Features before.
    pub features: usize,
    /// Genes after.
    pub genes: usize,
    /// Which feature (column of the counts) each gene was; the first of those that were summed.
    pub feature_of: Vec<usize>,
    /// Features left out as controls: name and why (its kind, or the beginning of its name).
    pub controls: Vec<(String, String)>,
    /// Genes that got a suffix: their name before and after.
    pub renamed: Vec<(String, String)>,
    /// Genes whose counts were added: the name and of how many features.
    pub summed: Vec<(String, usize)>,
    /// Genes without a symbol that go by their identifier.
    pub without_symbol: Vec<String>,
}

impl fmt::Display for FeatureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { features, genes, controls, renamed, summed, without_symbol, .. } = self;
        write!(f, "{genes} genes of {features} features")?;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        controls.iter().for_each(|(_, why)| *kinds.entry(why).or_default() += 1);
        for (why, count) in kinds {
            write!(f, "; {count} left out ({why})")?;
        }
        for (count, what) in [
            (renamed.len(), "with a name taken already got a suffix"),
            (summed.len(), "summed over features of one name"),
            (without_symbol.len(), "go by their identifier for want of a symbol"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Kinds of features that are genes, in lower case.
const GENE_KINDS: [&str; 2] = ["gene expression", "gene"];

/// Beginnings of names that mark controls, where a file states no kinds.
const CONTROL_PREFIXES: [&str; 15] = [
    // Xenium
    "NegControlProbe_",
    "NegControlCodeword_",
    "UnassignedCodeword_",
    "DeprecatedCodeword_",
    "Intergenic_Region_",
    "antisense_",
    "BLANK_",
    // MERSCOPE
    "Blank-",
    // CosMx
    "NegPrb",
    "Negative",
    "SystemControl",
    "FalseCode",
    // Spike-ins
    "ERCC-",
    // Counts of htseq-count and st_pipeline that belong to no gene
    "__",
    "ambiguous[",
];

/// Why a feature is no gene: its kind where the file states one, else the beginning of its symbol or identifier.
///
/// Kinds are those of 10x Genomics: everything but `Gene Expression` (antibodies, CRISPR guides, negative controls,
/// unassigned and deprecated codewords). Names are those that Xenium, MERSCOPE, CosMx, ERCC spike-ins and htseq-count
/// use. `None` for a gene.
pub fn is_control<'a>(symbol: &str, id: &str, kind: &'a str) -> Option<&'a str> {
    if !kind.is_empty() {
        return (!GENE_KINDS.contains(&kind.to_ascii_lowercase().as_str())).then_some(kind);
    }
    CONTROL_PREFIXES.into_iter().find(|prefix| symbol.starts_with(prefix) || id.starts_with(prefix))
}

impl FeatureConfig {
    /// Raw counts `observations x features` to an [`Expression`] of genes, in the order of the features.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if names, identifiers or kinds do not match the counts; [`ExprError::DuplicateGene`] as
    /// asked; [`ExprError::NothingLeft`] if every feature is a control; [`ExprError::Unsupported`] for identifiers
    /// of a file that has none; [`ExprError::NotACount`] for a value below zero.
    ///
    /// ```
    /// use scellst_expr::{CsrMatrix, DuplicateGenes, FeatureConfig, Features};
    ///
    /// let counts = CsrMatrix::from_dense(ndarray::arr2(&[[1.0, 2.0, 4.0]]).view())?;
    /// let features = Features {
    ///     symbols: ["TBCE", "TBCE", "NegControlProbe_1"].map(str::to_owned).to_vec(),
    ///     ..Features::default()
    /// };
    /// let sum = FeatureConfig { duplicates: DuplicateGenes::Sum, ..FeatureConfig::default() };
    /// let (genes, report) = sum.apply(counts, &features, vec!["spot".to_owned()])?;
    /// assert_eq!(genes.genes(), ["TBCE"]);
    /// assert_eq!(genes.counts().values(), [3.0]);
    /// assert_eq!(report.controls[0].0, "NegControlProbe_1");
    /// # Ok::<(), scellst_expr::ExprError>(())
    /// ```
    pub fn apply(
        &self,
        counts: CsrMatrix,
        features: &Features,
        observations: Vec<String>,
    ) -> Result<(Expression, FeatureReport), ExprError> {
        let n = counts.cols();
        self.check(features, n)?;
        let mut report = FeatureReport { features: n, ..FeatureReport::default() };
        let text = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
        let (mut kept, mut names) = (Vec::new(), Vec::new());
        for feature in 0..n {
            let (symbol, id) = (text(&features.symbols, feature), text(&features.ids, feature));
            let kind = features.kinds.get(feature).map_or("", String::as_str);
            if let Some(why) = self.why_left_out(&symbol, &id, kind) {
                report.controls.push((if symbol.is_empty() { id } else { symbol }, why.to_owned()));
                continue;
            }
            let name = match self.naming {
                GeneNaming::Symbol if symbol.trim().is_empty() && !id.is_empty() => {
                    report.without_symbol.push(id.clone());
                    id
                }
                GeneNaming::Symbol => symbol,
                GeneNaming::Id => without_version(&id).to_owned(),
            };
            kept.push(feature);
            names.push(name);
        }
        if kept.is_empty() {
            return Err(ExprError::NothingLeft {
                after: "leaving out features that are no genes".to_owned(),
                detail: format!("{report}; set keep_controls to have them all the same"),
            });
        }
        let counts = match self.duplicates {
            DuplicateGenes::Sum => self.sum(counts, &kept, &mut names, &mut report)?,
            DuplicateGenes::Unique | DuplicateGenes::Refuse => {
                if self.duplicates == DuplicateGenes::Unique {
                    let before = names.clone();
                    make_unique(&mut names);
                    let pairs = before.into_iter().zip(&names).filter(|(before, after)| before != *after);
                    report.renamed = pairs.map(|(before, after)| (before, after.clone())).collect();
                }
                let rows: Vec<usize> = (0..counts.rows()).collect();
                let chosen = if kept.len() == n { counts } else { counts.retain(&rows, &kept)? };
                report.feature_of = kept;
                chosen
            }
        };
        report.genes = names.len();
        Ok((Expression::new(counts, names, observations)?, report))
    }

    fn check(&self, features: &Features, n: usize) -> Result<(), ExprError> {
        let optional = |list: &[String]| if list.is_empty() { n } else { list.len() };
        for (what, found) in [
            ("symbols of features (one a column of the counts)", features.symbols.len()),
            ("identifiers of features (one a column of the counts)", optional(&features.ids)),
            ("kinds of features (one a column of the counts)", optional(&features.kinds)),
        ] {
            if found != n {
                return Err(ExprError::Shape { what: what.to_owned(), expected: n, found });
            }
        }
        if self.naming == GeneNaming::Id && features.ids.is_empty() && n > 0 {
            return Err(ExprError::Unsupported {
                what: "genes by identifier, of counts that come without identifiers".to_owned(),
                instead: "take their symbols".to_owned(),
            });
        }
        Ok(())
    }

    fn why_left_out<'a>(&'a self, symbol: &str, id: &str, kind: &'a str) -> Option<&'a str> {
        if self.keep_controls {
            return None;
        }
        let own = || self.control_prefixes.iter().map(String::as_str);
        let by_prefix = own().find(|prefix| symbol.starts_with(prefix) || id.starts_with(prefix));
        by_prefix.or_else(|| is_control(symbol, id, kind))
    }

    fn sum(
        &self,
        counts: CsrMatrix,
        kept: &[usize],
        names: &mut Vec<String>,
        report: &mut FeatureReport,
    ) -> Result<CsrMatrix, ExprError> {
        let mut target = vec![None; counts.cols()];
        let mut place: HashMap<String, usize> = HashMap::new();
        let mut times = Vec::new();
        let mut unique = Vec::new();
        for (&feature, name) in kept.iter().zip(names.drain(..)) {
            let at = *place.entry(name.clone()).or_insert(unique.len());
            if at == unique.len() {
                unique.push(name);
                times.push(0_usize);
                report.feature_of.push(feature);
            }
            times[at] += 1;
            target[feature] = Some(at);
        }
        let doubled = unique.iter().zip(&times).filter(|(_, times)| **times > 1);
        report.summed = doubled.map(|(name, &times)| (name.clone(), times)).collect();
        *names = unique;
        // Negative values would hide in a sum.
        counts.check_counts()?;
        if names.len() == counts.cols() { Ok(counts) } else { counts.sum_columns(&target, names.len()) }
    }
}

/// An Ensembl identifier without its version.
fn without_version(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((stem, version))
            if stem.starts_with("ENS") && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) =>
        {
            stem
        }
        _ => id,
    }
}
