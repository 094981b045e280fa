use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use crate::ExprError;

/// The upper quantile of the range; the lower is 0, the least value.
const UPPER: f64 = 0.95;

/// Over what each gene is scaled to comparable size before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// By its range within each section (the published default).
    #[default]
    Slide,
    /// By its range over all sections together.
    Global,
    /// Not at all: every range is 1.
    None,
}

impl std::str::FromStr for Scaling {
    type Err = ExprError;
    fn from_str(text: &str) -> Result<Self, ExprError> {
        match text {
            "slide" => Ok(Self::Slide),
            "global" => Ok(Self::Global),
            "none" => Ok(Self::None),
            _ => Err(ExprError::Setting {
                setting: "scaling",
                expected: "slide, global or none",
                found: format!("'{text}'"),
            }),
        }
    }
}

impl std::fmt::Display for Scaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slide => "slide",
            Self::Global => "global",
            Self::None => "none",
        })
    }
}

impl Scaling {
    /// The ranges of each section, from its log-normalised values (observations x genes).
    ///
    /// # Errors
    /// [`ExprError::Shape`] if the sections differ in genes, [`ExprError::NothingLeft`] if there is no
    /// section or one has no observation.
    pub fn fit(self, sections: &[ArrayView2<'_, f32>]) -> Result<Vec<GeneRanges>, ExprError> {
        let genes = sections.first().map_or(0, ArrayView2::ncols);
        for section in sections {
            if section.ncols() != genes {
                return Err(ExprError::Shape {
                    what: "genes of a section to scale".to_owned(),
                    expected: genes,
                    found: section.ncols(),
                });
            }
        }
        if sections.is_empty() || sections.iter().any(|section| section.nrows() == 0) {
            return Err(ExprError::NothingLeft {
                after: "choosing sections".to_owned(),
                detail: "a section to scale has no observation".to_owned(),
            });
        }
        Ok(match self {
            Self::Slide => sections.iter().map(|section| ranges_of(std::slice::from_ref(section), genes)).collect(),
            Self::Global => vec![ranges_of(sections, genes); sections.len()],
            Self::None => vec![GeneRanges(vec![1.0; genes]); sections.len()],
        })
    }
}

/// What each gene is divided by: the range from its least value to its 95 % quantile (NumPy's `linear`
/// percentile), 1 where that is 0. Nothing is centred.
///
/// As scikit-learn's `RobustScaler(with_centering=False, quantile_range=(0, 95))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f32>", into = "Vec<f32>")]
pub struct GeneRanges(Vec<f32>);

impl GeneRanges {
    /// From the ranges themselves.
    ///
    /// # Errors
    /// [`ExprError::Setting`] if one is not positive and finite.
    pub fn new(ranges: Vec<f32>) -> Result<Self, ExprError> {
        match ranges.iter().position(|&range| !(range.is_finite() && range > 0.0)) {
            None => Ok(Self(ranges)),
            Some(gene) => Err(ExprError::Setting {
                setting: "range of a gene",
                expected: "above 0 and finite",
                found: format!("{} at gene {gene}", ranges[gene]),
            }),
        }
    }

    /// One range a gene, above 0.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The mean over sections: to undo per-section scaling on a slide that has no counts of its own.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if they differ in genes, [`ExprError::NothingLeft`] if there is none.
    pub fn mean(sections: &[Self]) -> Result<Self, ExprError> {
        let Some(first) = sections.first() else {
            return Err(ExprError::NothingLeft {
                after: "choosing sections".to_owned(),
                detail: "no section to take the mean range of".to_owned(),
            });
        };
        let mut sums = vec![0.0; first.0.len()];
        for section in sections {
            section.check(sums.len())?;
            for (sum, &range) in sums.iter_mut().zip(&section.0) {
                *sum += f64::from(range);
            }
        }
        Ok(Self(sums.into_iter().map(|sum| (sum / sections.len() as f64) as f32).collect()))
    }

    /// Divides each column by its range.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if the columns are not these genes.
    pub fn apply(&self, values: ArrayViewMut2<'_, f32>) -> Result<(), ExprError> {
        self.each_row(values, |value, range| *value /= range)
    }

    /// Multiplies each column by its range.
    ///
    /// # Errors
    /// [`ExprError::Shape`] if the columns are not these genes.
    pub fn undo(&self, values: ArrayViewMut2<'_, f32>) -> Result<(), ExprError> {
        self.each_row(values, |value, range| *value *= range)
    }

    fn each_row(&self, mut values: ArrayViewMut2<'_, f32>, f: impl Fn(&mut f32, f32)) -> Result<(), ExprError> {
        self.check(values.ncols())?;
        for mut row in values.rows_mut() {
            row.iter_mut().zip(&self.0).for_each(|(value, &range)| f(value, range));
        }
        Ok(())
    }

    fn check(&self, found: usize) -> Result<(), ExprError> {
        if found == self.0.len() {
            return Ok(());
        }
        Err(ExprError::Shape { what: "genes to scale".to_owned(), expected: self.0.len(), found })
    }
}

impl TryFrom<Vec<f32>> for GeneRanges {
    type Error = ExprError;
    fn try_from(ranges: Vec<f32>) -> Result<Self, ExprError> {
        Self::new(ranges)
    }
}

impl From<GeneRanges> for Vec<f32> {
    fn from(ranges: GeneRanges) -> Self {
        ranges.0
    }
}

fn ranges_of(sections: &[ArrayView2<'_, f32>], genes: usize) -> GeneRanges {
    let mut column = Vec::new();
    let range = |gene| {
        column.clear();
        for section in sections {
            let values: ArrayView1<'_, f32> = section.column(gene);
            column.extend(values.iter().map(|&value| f64::from(value)));
        }
        column.sort_unstable_by(f64::total_cmp);
        let range = (quantile(&column, UPPER) - column[0]) as f32;
        if range > 0.0 && range.is_finite() { range } else { 1.0 }
    };
    GeneRanges((0..genes).map(range).collect())
}

/// NumPy's `linear` quantile of sorted values, of which there must be one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
