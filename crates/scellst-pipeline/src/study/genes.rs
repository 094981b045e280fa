use ndarray::ArrayView2;
use scellst_expr::{GeneSelection, sorted_names};
use scellst_metrics::downstream::{RankOptions, Reference as Compared, Test, Values, rank_genes_groups};
use scellst_sim::study::Reference;
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Genes of the study, chosen from the single-cell reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StudyGenes {
    /// So many highly variable ones (`seurat_v3`).
    Hvg(usize),
    /// So many markers: of each type in turn the gene with the highest t against all other types.
    Markers(usize),
}

/// The paper's number of markers.
const MARKERS: usize = 51;

impl std::fmt::Display for StudyGenes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hvg(k) => write!(f, "hvg:{k}"),
            Self::Markers(k) => write!(f, "markers:{k}"),
        }
    }
}

impl std::str::FromStr for StudyGenes {
    type Err = PipelineError;
    fn from_str(text: &str) -> Result<Self, PipelineError> {
        let wrong = || {
            let expected = "hvg:K, markers or markers:K";
            PipelineError::Misuse(format!("the genes of the study are {expected}, found '{text}'"))
        };
        let (name, count) = text.split_once(':').unwrap_or((text, ""));
        let count = match (name, count) {
            ("markers", "") => Some(MARKERS),
            (_, count) => count.parse().ok().filter(|&k| k > 0),
        };
        match (name, count) {
            ("hvg", Some(k)) => Ok(Self::Hvg(k)),
            ("markers", Some(k)) => Ok(Self::Markers(k)),
            _ => Err(wrong()),
        }
    }
}

impl StudyGenes {
    /// The genes, sorted by name; fewer if fewer qualify.
    ///
    /// # Errors
    /// [`PipelineError::Expr`], [`PipelineError::Metrics`] for a reference with a type of a single cell.
    pub fn choose(&self, reference: &Reference) -> Result<Vec<String>, PipelineError> {
        match *self {
            Self::Hvg(k) => Ok(sorted_names(&GeneSelection::Hvg(k).select(&[reference.expression()])?)),
            Self::Markers(k) => {
                let genes = reference.expression().genes();
                let values = reference.expression().log_normalised(genes)?;
                let mut chosen: Vec<String> =
                    markers(values.view(), reference.type_of(), k)?.into_iter().map(|g| genes[g].clone()).collect();
                chosen.sort_unstable();
                Ok(chosen)
            }
        }
    }
}

/// Columns in turn from each type's ranking, none twice, as long as they are higher in the type.
fn markers(values: ArrayView2<'_, f32>, type_of: &[u32], most: usize) -> Result<Vec<usize>, PipelineError> {
    let options = RankOptions { test: Test::TTest, reference: Compared::Rest, values: Values::Measured };
    let mut rankings: Vec<_> = rank_genes_groups(values, type_of, &options)?
        .into_iter()
        .map(|group| group.genes.into_iter().take_while(|gene| gene.score > 0.0).map(|gene| gene.gene))
        .collect();
    let mut chosen = Vec::new();
    loop {
        let before = chosen.len();
        for ranking in &mut rankings {
            if chosen.len() < most
                && let Some(gene) = ranking.find(|gene| !chosen.contains(gene))
            {
                chosen.push(gene);
            }
        }
        if chosen.len() == before {
            return Ok(chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_come_from_each_type_in_turn() {
        // Genes 0 and 1 high in type 0, 2 and 3 in type 1, 4 everywhere.
        let values = ndarray::Array2::from_shape_fn((12, 5), |(cell, gene)| {
            let jitter = ((cell * 7 + gene * 5) % 4) as f32 / 10.0;
            let high = if gene < 4 && (gene / 2 == cell % 2) { 2.0 + (gene % 2) as f32 } else { 0.0 };
            1.0 + high + jitter
        });
        let type_of: Vec<u32> = (0..12).map(|cell| cell % 2).collect();
        let mut two = markers(values.view(), &type_of, 2).unwrap();
        two.sort_unstable();
        assert_eq!(two, [1, 3]);
        let mut all = markers(values.view(), &type_of, 4).unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn names_go_there_and_back() {
        for text in ["hvg:1000", "markers:51", "markers:7"] {
            assert_eq!(text.parse::<StudyGenes>().unwrap().to_string(), text);
        }
        assert_eq!("markers".parse::<StudyGenes>().unwrap(), StudyGenes::Markers(51));
        for text in ["hvg", "hvg:0", "svg:3", "markers:x", ""] {
            assert!(text.parse::<StudyGenes>().is_err(), "{text}");
        }
    }
}
