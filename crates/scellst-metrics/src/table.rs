use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::blocks::{map_columns, unusable};
use crate::pairs::{LEAST_PAIRS, Missing, PairOptions, Scratch, check_weights, compare};
use crate::{Agreement, Metric, MetricsError, Summary};

/// What a score is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Along {
    /// Of a gene, over the observations.
    #[default]
    Genes,
    /// Of an observation, over its genes.
    Observations,
}

/// All scores of every gene over the observations, or of every observation over its genes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scores {
    /// Genes or observations.
    pub along: Along,
    /// Whether [`Agreement::kendall`] was asked for.
    pub kendall: bool,
    /// Above which measurement one is positive, if [`Agreement::auroc`] and [`Agreement::average_precision`] were.
    pub positive_above: Option<f32>,
    /// Names, one a gene or observation.
    pub names: Vec<String>,
    /// The scores, in the same order.
    pub agreements: Vec<Agreement>,
}

/// A part of the observations, such as a class or a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupScores {
    /// Its name.
    pub group: String,
    /// How many observations it has.
    pub observations: usize,
    /// The scores of every gene over them. With fewer than three no correlation exists: see
    /// [`Scores::undefined`].
    pub scores: Scores,
}

impl Scores {
    /// Compares predictions with measurements, both observations x genes in the same order and unit.
    ///
    /// `names` are those of the genes, or of the observations for [`Along::Observations`]; so are weights one an
    /// observation, or one a gene. Runs in parallel, with the same result for any number of threads.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] if shapes, names or weights differ, [`MetricsError::TooFew`] below three pairs,
    /// [`MetricsError::NotFinite`] for an infinite value, and for NaN unless it is to be skipped;
    /// [`MetricsError::Weight`].
    pub fn compute(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        names: &[String],
        along: Along,
        options: &PairOptions<'_>,
    ) -> Result<Self, MetricsError> {
        check_shapes(predicted, measured)?;
        let turn = |view| if along == Along::Genes { view } else { ArrayView2::reversed_axes(view) };
        let (predicted, measured) = (turn(predicted), turn(measured));
        if predicted.nrows() < LEAST_PAIRS {
            return Err(MetricsError::TooFew { found: predicted.nrows(), least: LEAST_PAIRS });
        }
        Self::of_rows(predicted, measured, None, names, along, options)
    }

    /// The scores of every gene within each group of observations: cells of a class, spots of a section.
    ///
    /// `group_of` says for each observation which of `groups` it is in, `None` leaves it out.
    ///
    /// # Errors
    /// As [`compute`](Self::compute), but that a group may be of any size; [`MetricsError::NoSuchGroup`].
    pub fn by_group(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        genes: &[String],
        groups: &[String],
        group_of: &[Option<u32>],
        options: &PairOptions<'_>,
    ) -> Result<Vec<GroupScores>, MetricsError> {
        check_shapes(predicted, measured)?;
        MetricsError::same_length("groups, one an observation", predicted.nrows(), group_of.len())?;
        let mut rows_of = vec![Vec::new(); groups.len()];
        for (row, group) in group_of.iter().enumerate() {
            let Some(group) = *group else { continue };
            let rows = rows_of.get_mut(group as usize);
            rows.ok_or(MetricsError::NoSuchGroup { row, group, groups: groups.len() })?.push(row);
        }
        groups
            .iter()
            .zip(rows_of)
            .map(|(group, rows)| {
                Ok(GroupScores {
                    group: group.clone(),
                    observations: rows.len(),
                    scores: Self::of_rows(predicted, measured, Some(&rows), genes, Along::Genes, options)?,
                })
            })
            .collect()
    }

    fn of_rows(
        predicted: ArrayView2<'_, f32>,
        measured: ArrayView2<'_, f32>,
        rows: Option<&[usize]>,
        names: &[String],
        along: Along,
        options: &PairOptions<'_>,
    ) -> Result<Self, MetricsError> {
        MetricsError::same_length("names, one a gene or observation", predicted.ncols(), names.len())?;
        check_weights(options.weights, predicted.nrows())?;
        let most = i32::MAX as usize;
        if predicted.nrows() > most {
            return Err(MetricsError::shape("pairs of a column", format!("at most {most}"), predicted.nrows()));
        }
        let picked: Option<Vec<f64>> = match (options.weights, rows) {
            (Some(weights), Some(rows)) => Some(rows.iter().map(|&row| weights[row]).collect()),
            (weights, _) => weights.map(<[f64]>::to_vec),
        };
        let agreements = map_columns(predicted, measured, rows, |column, p, m, scratch: &mut Scratch| {
            for (side, values) in [("prediction", p), ("measurement", m)] {
                if let Some((at, value)) = unusable(values, options.missing == Missing::Skip) {
                    let row = rows.map_or(at, |rows| rows[at]);
                    return Err(MetricsError::NotFinite { side, row, column, gene: names[column].clone(), value });
                }
            }
            Ok(compare(p, m, picked.as_deref(), options, scratch))
        })?;
        let PairOptions { kendall, positive_above, .. } = *options;
        Ok(Self { along, kendall, positive_above, names: names.to_vec(), agreements })
    }

    /// Number of genes or observations.
    pub fn len(&self) -> usize {
        self.agreements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.agreements.is_empty()
    }

    /// One score of one gene; `None` if it has none or there is no such gene.
    pub fn get(&self, metric: Metric, at: usize) -> Option<f64> {
        self.agreements.get(at).and_then(|agreement| agreement.get(metric))
    }

    /// The mean over these genes (or observations).
    ///
    /// # Errors
    /// [`MetricsError::NoSuchGene`]; [`MetricsError::NotComputed`] for a score that was not asked for.
    pub fn mean_over(&self, metric: Metric, chosen: &[usize]) -> Result<Summary, MetricsError> {
        let computed = match metric {
            Metric::Kendall => self.kendall,
            Metric::Auroc | Metric::AveragePrecision => self.positive_above.is_some(),
            _ => true,
        };
        if !computed {
            return Err(MetricsError::NotComputed { metric, how: "ask for it in PairOptions" });
        }
        Summary::over(chosen, self.len(), |at| self.get(metric, at))
    }

    /// The mean over all.
    ///
    /// # Errors
    /// As [`mean_over`](Self::mean_over).
    pub fn mean_over_all(&self, metric: Metric) -> Result<Summary, MetricsError> {
        self.mean_over(metric, &(0..self.len()).collect::<Vec<_>>())
    }

    /// Names of the genes (or observations) that do not have this score.
    pub fn undefined(&self, metric: Metric) -> Vec<&str> {
        self.named(|agreement| agreement.get(metric).is_none())
    }

    /// Names of those of which a side is constant.
    pub fn constant(&self) -> Vec<&str> {
        self.named(|agreement| agreement.constant_predicted || agreement.constant_measured)
    }

    /// Names of those with a pair left out since a side is NaN.
    pub fn with_missing(&self) -> Vec<&str> {
        self.named(|agreement| agreement.missing > 0)
    }

    fn named(&self, which: impl Fn(&Agreement) -> bool) -> Vec<&str> {
        self.names.iter().zip(&self.agreements).filter(|(_, a)| which(a)).map(|(name, _)| name.as_str()).collect()
    }
}

pub(crate) fn check_shapes(predicted: ArrayView2<'_, f32>, measured: ArrayView2<'_, f32>) -> Result<(), MetricsError> {
    if measured.dim() == predicted.dim() {
        return Ok(());
    }
    let shape = |(rows, cols)| format!("{rows} observations x {cols} genes");
    Err(MetricsError::shape("measurements beside the predictions", shape(predicted.dim()), shape(measured.dim())))
}
