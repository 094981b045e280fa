use serde::{Deserialize, Serialize};

use crate::{Ceiling, Interval, MetricsError, Null, benjamini_hochberg};

/// When to call a gene predictable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    /// False discovery rate against a shuffled slide, at most.
    pub q_value: f64,
    /// The correlation's lower bound must be above this.
    pub low: f64,
}

impl Default for Criteria {
    /// 5 % false discoveries, lower bound above 0.
    fn default() -> Self {
        Self { q_value: 0.05, low: 0.0 }
    }
}

/// What speaks for a gene being predictable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Name.
    pub gene: String,
    /// Correlation and its interval; `None` if a side is constant.
    pub correlation: Option<Interval>,
    /// Beside shuffled slides.
    pub null: Option<Null>,
    /// Of its p-value over the genes that have one (Benjamini and Hochberg).
    pub q_value: Option<f64>,
    /// What was possible.
    pub ceiling: Option<Ceiling>,
    /// Correlation over the ceiling's: may exceed 1 by chance. `None` if the ceiling is 0.
    pub share_of_ceiling: Option<f64>,
    /// Whether it meets the criteria.
    pub predictable: bool,
}

/// Gathers the evidence of each gene and applies the criteria: significant beside a shuffled slide, and with an
/// interval above the bound. A gene without a correlation is not predictable.
///
/// `intervals`, `nulls` and `ceilings` (empty where there are no raw counts) are those of
/// [`bootstrap`](crate::bootstrap), [`permutation_null`](crate::permutation_null) and
/// [`noise_ceiling`](crate::noise_ceiling), in the order of `genes`.
///
/// # Errors
/// [`MetricsError::Shape`].
pub fn predictable_genes(
    genes: &[String],
    intervals: &[Option<Interval>],
    nulls: &[Option<Null>],
    ceilings: &[Option<Ceiling>],
    criteria: &Criteria,
) -> Result<Vec<Evidence>, MetricsError> {
    MetricsError::same_length("intervals, one a gene", genes.len(), intervals.len())?;
    MetricsError::same_length("nulls, one a gene", genes.len(), nulls.len())?;
    if !ceilings.is_empty() {
        MetricsError::same_length("ceilings, one a gene", genes.len(), ceilings.len())?;
    }
    let p_values: Vec<f64> = nulls.iter().flatten().map(|null| null.p_value).collect();
    let mut rates = benjamini_hochberg(&p_values)?.into_iter();
    let evidence = |(at, gene): (usize, &String)| {
        let (correlation, null) = (intervals[at], nulls[at]);
        let q_value = null.and_then(|_| rates.next());
        let ceiling = ceilings.get(at).copied().flatten();
        let share = |(r, ceiling): (Interval, Ceiling)| (ceiling.pearson > 0.0).then(|| r.estimate / ceiling.pearson);
        let significant = q_value.is_some_and(|q| q <= criteria.q_value);
        Evidence {
            gene: gene.clone(),
            correlation,
            null,
            q_value,
            ceiling,
            share_of_ceiling: correlation.zip(ceiling).and_then(share),
            predictable: significant && correlation.is_some_and(|r| r.low > criteria.low),
        }
    };
    Ok(genes.iter().enumerate().map(evidence).collect())
}
