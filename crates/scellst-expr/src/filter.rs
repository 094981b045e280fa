use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{ExprError, Expression};

/// Which genes and observations are worth keeping; the default is the published one.
///
/// Applied in this order: genes by total, genes by share of observations (both over all observations as given),
/// observations by their total over the genes that stay, then genes by prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Genes need at least this many counts in all; 200.
    pub min_gene_counts: f64,
    /// Genes need a count in at least this share of the observations, `share * n` rounded down; 0.1.
    pub min_gene_share: f64,
    /// Observations need at least this many counts; 20.
    pub min_observation_counts: f64,
    /// Genes whose name starts so are left out; `MT-` (mitochondrial).
    pub drop_prefixes: Vec<String>,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            min_gene_counts: 200.0,
            min_gene_share: 0.1,
            min_observation_counts: 20.0,
            drop_prefixes: vec!["MT-".to_owned()],
        }
    }
}

/// What a filter kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Filtered {
    /// What is left.
    pub expression: Expression,
    /// Rows of the given expression that are left, rising: for [`Spots::select`](crate::Spots::select).
    pub observations: Vec<usize>,
    /// Columns of the given expression that are left, rising.
    pub genes: Vec<usize>,
    /// What went, and why.
    pub report: FilterReport,
}

/// What a filter dropped; every gene is listed under the first reason that met it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FilterReport {
    /// Genes before.
    pub genes_before: usize,
    /// Genes after.
    pub genes_after: usize,
    /// Observations before.
    pub observations_before: usize,
    /// Observations after.
    pub observations_after: usize,
    /// Genes with too few counts in all.
    pub genes_few_counts: Vec<String>,
    /// Genes found in too few observations.
    pub genes_few_observations: Vec<String>,
    /// Genes with a prefix to drop.
    pub genes_prefixed: Vec<String>,
    /// Observations with too few counts.
    pub observations_few_counts: Vec<String>,
}

impl fmt::Display for FilterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} genes kept ({} with too few counts, {} in too few observations, {} by prefix), {} of {} observations kept",
            self.genes_after,
            self.genes_before,
            self.genes_few_counts.len(),
            self.genes_few_observations.len(),
            self.genes_prefixed.len(),
            self.observations_after,
            self.observations_before
        )
    }
}

impl FilterConfig {
    /// Keeps everything.
    pub fn none() -> Self {
        Self { min_gene_counts: 0.0, min_gene_share: 0.0, min_observation_counts: 0.0, drop_prefixes: Vec::new() }
    }

    /// Keeps what passes.
    ///
    /// # Errors
    /// [`ExprError::Setting`] for a limit that is not finite, below 0, or a share above 1;
    /// [`ExprError::NothingLeft`] if no gene or no observation passes.
    pub fn apply(&self, expression: &Expression) -> Result<Filtered, ExprError> {
        let (observations, genes, report) = self.decide(expression)?;
        // All observations often stay: then their copy is saved.
        let rows = (report.observations_after < report.observations_before).then_some(observations.as_slice());
        let expression = expression.select(rows, Some(&genes))?;
        Ok(Filtered { expression, observations, genes, report })
    }

    /// As [`FilterConfig::apply`], in place: the counts are never in memory twice.
    ///
    /// # Errors
    /// As [`FilterConfig::apply`].
    pub fn apply_owned(&self, expression: Expression) -> Result<Filtered, ExprError> {
        let (observations, genes, report) = self.decide(&expression)?;
        Ok(Filtered { expression: expression.retain(&observations, &genes)?, observations, genes, report })
    }

    /// Rows and columns that pass, both rising.
    fn decide(&self, expression: &Expression) -> Result<(Vec<usize>, Vec<usize>, FilterReport), ExprError> {
        self.check()?;
        let names = expression.genes();
        let n = expression.counts().rows();
        let mut report = FilterReport { genes_before: names.len(), observations_before: n, ..FilterReport::default() };
        let totals = expression.counts().column_totals();
        // The small number keeps 0.29 x 100 from becoming 28.
        let least_found = (self.min_gene_share * n as f64 + 1e-9).floor();

        let mut keep = vec![false; names.len()];
        for ((total, name), keep) in totals.iter().zip(names).zip(&mut keep) {
            if total.sum < self.min_gene_counts {
                report.genes_few_counts.push(name.clone());
            } else if f64::from(total.nonzero) < least_found {
                report.genes_few_observations.push(name.clone());
            } else {
                *keep = true;
            }
        }
        let weights: Vec<f64> = keep.iter().map(|&keep| f64::from(u8::from(keep))).collect();
        let total_kept = |row: usize| {
            let (columns, values) = expression.counts().row(row);
            columns.iter().zip(values).map(|(&column, &value)| f64::from(value) * weights[column as usize]).sum::<f64>()
        };
        let totals: Vec<f64> = (0..n).into_par_iter().with_min_len(256).map(total_kept).collect();
        let mut observations = Vec::new();
        for (row, total) in totals.into_iter().enumerate() {
            if total < self.min_observation_counts {
                report.observations_few_counts.push(expression.observations()[row].clone());
            } else {
                observations.push(row);
            }
        }
        for (gene, name) in names.iter().enumerate() {
            if keep[gene] && self.drop_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())) {
                keep[gene] = false;
                report.genes_prefixed.push(name.clone());
            }
        }
        let genes: Vec<usize> = (0..names.len()).filter(|&gene| keep[gene]).collect();
        report.genes_after = genes.len();
        report.observations_after = observations.len();
        if genes.is_empty() || observations.is_empty() {
            return Err(ExprError::NothingLeft {
                after: "filtering".to_owned(),
                detail: format!(
                    "{report}; are these raw counts? else lower the limits (genes: {} counts and {} of the observations; observations: {} counts)",
                    self.min_gene_counts, self.min_gene_share, self.min_observation_counts
                ),
            });
        }
        Ok((observations, genes, report))
    }

    fn check(&self) -> Result<(), ExprError> {
        for (setting, value, most) in [
            ("min_gene_counts", self.min_gene_counts, f64::MAX),
            ("min_gene_share", self.min_gene_share, 1.0),
            ("min_observation_counts", self.min_observation_counts, f64::MAX),
        ] {
            if !(0.0..=most).contains(&value) {
                let expected = if most == 1.0 { "from 0 to 1" } else { "0 or above, and finite" };
                return Err(ExprError::Setting { setting, expected, found: value.to_string() });
            }
        }
        Ok(())
    }
}
