use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use scellst_types::{Level0, Point};
use serde::{Deserialize, Serialize};

use crate::expression::positions;
use crate::{ExprError, Expression, GeneScore, gene_list, hvg, moran, variance};

/// How the genes of a model are chosen: `hvg:1000`, `var:1000`, `svg:50`, or the path of a gene list.
///
/// Fewer than asked are given where fewer qualify (with a warning in the log). All spots that are given have a say in
/// it, those too that a split holds out afterwards: whoever wants a figure free of that gives whole sections only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum GeneSelection {
    /// The k highest normalised variances of raw counts; see [`highly_variable`](crate::highly_variable).
    Hvg(usize),
    /// The k most variable after log-normalising; see [`most_variable`](crate::most_variable).
    Var(usize),
    /// The k highest Moran's I; see [`spatially_variable`](crate::spatially_variable).
    Svg(usize),
    /// A gene list; see [`read_gene_list`](crate::read_gene_list).
    File(PathBuf),
}

impl FromStr for GeneSelection {
    type Err = ExprError;
    fn from_str(text: &str) -> Result<Self, ExprError> {
        let wrong = |problem: &str| ExprError::Selection { text: text.to_owned(), problem: problem.to_owned() };
        let (kind, number) = match text.split_once(':') {
            Some((kind @ ("hvg" | "var" | "svg"), number)) => (kind, number),
            _ if text.trim().is_empty() => return Err(wrong("it is empty")),
            _ if matches!(text, "hvg" | "var" | "svg") => return Err(wrong("the number of genes is missing")),
            _ => return Ok(Self::File(PathBuf::from(text))),
        };
        match (number.parse(), kind) {
            (Ok(0) | Err(_), _) => Err(wrong(&format!("'{number}' is no whole number above 0"))),
            (Ok(k), "hvg") => Ok(Self::Hvg(k)),
            (Ok(k), "var") => Ok(Self::Var(k)),
            (Ok(k), _) => Ok(Self::Svg(k)),
        }
    }
}

impl fmt::Display for GeneSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hvg(k) => write!(f, "hvg:{k}"),
            Self::Var(k) => write!(f, "var:{k}"),
            Self::Svg(k) => write!(f, "svg:{k}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl TryFrom<String> for GeneSelection {
    type Error = ExprError;
    fn try_from(text: String) -> Result<Self, ExprError> {
        text.parse()
    }
}

impl From<GeneSelection> for String {
    fn from(selection: GeneSelection) -> Self {
        selection.to_string()
    }
}

impl GeneSelection {
    /// The genes chosen from the raw counts of the training sections (filtered as wished before), best first.
    ///
    /// Only genes that all sections have are considered. The score of a file's genes is their variance after
    /// log-normalising, their rank the order of the file.
    ///
    /// # Errors
    /// [`ExprError::NoCommonGenes`]; [`ExprError::MissingGenes`], [`ExprError::GeneList`] and [`ExprError::Io`] of a
    /// file; [`ExprError::NothingLeft`] if no gene qualifies; [`ExprError::Unsupported`] for `svg`, which needs
    /// [`GeneSelection::select_with_centres`].
    pub fn select(&self, sections: &[&Expression]) -> Result<Vec<GeneScore>, ExprError> {
        match self {
            Self::Hvg(k) => self.checked(*k, hvg::highly_variable(sections, *k)?),
            Self::Var(k) => self.checked(*k, variance::most_variable(sections, *k)?),
            Self::Svg(_) => Err(ExprError::Unsupported {
                what: format!("{self} (spatially variable genes) without the places of the spots"),
                instead: "give them (select_with_centres, an h5ad with obsm['spatial']), or use hvg:K or var:K"
                    .to_owned(),
            }),
            Self::File(path) => {
                let genes = gene_list::read_gene_list(path)?;
                let common = gene_list::common_genes(sections)?;
                let place = if sections.len() == 1 { "the section" } else { "all sections together" };
                positions(&common.genes, &genes, place)?;
                let variances = variance::log_normalised_variance(sections, &genes)?;
                let scores = genes.into_iter().zip(variances).enumerate();
                Ok(scores.map(|(at, (gene, score))| GeneScore { gene, score, rank: at + 1 }).collect())
            }
        }
    }

    /// As [`GeneSelection::select`], each section with the centres of its observations, which `svg` needs.
    ///
    /// # Errors
    /// As [`GeneSelection::select`] and [`spatially_variable`](crate::spatially_variable).
    pub fn select_with_centres(
        &self,
        sections: &[(&Expression, &[Point<Level0>])],
    ) -> Result<Vec<GeneScore>, ExprError> {
        match self {
            Self::Svg(k) => self.checked(*k, moran::spatially_variable(sections, *k)?),
            _ => self.select(&sections.iter().map(|(expression, _)| *expression).collect::<Vec<_>>()),
        }
    }

    fn checked(&self, wanted: usize, chosen: Vec<GeneScore>) -> Result<Vec<GeneScore>, ExprError> {
        if chosen.is_empty() {
            return Err(ExprError::NothingLeft {
                after: format!("selecting {self}"),
                detail: "no gene qualifies; are these raw counts?".to_owned(),
            });
        }
        if chosen.len() < wanted {
            log::warn!("{self}: only {} genes qualify", chosen.len());
        }
        Ok(chosen)
    }
}
