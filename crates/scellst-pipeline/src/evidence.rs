use std::collections::HashMap;

use ndarray::{Array2, Axis};
use scellst_metrics::{
    Along, BootstrapOptions, CeilingOptions, Criteria, Evidence, Interval, Metric, MetricsError, Neighbours,
    NullOptions, PairOptions, PairedOptions, Scores, Shuffle, SsimOptions, Summary, Units, Window, bin_means,
    bootstrap, moran_agreement, morans_i, noise_ceiling, paired_test, permutation_null, predictable_genes,
    spatial_blocks, ssim, top_k,
};

use crate::PipelineError;

/// Predictions beside measurements, observations (spots or cells) x genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Names of the columns.
    pub genes: Vec<String>,
    /// Predicted log-normalised expression.
    pub predicted: Array2<f32>,
    /// Measured log-normalised expression.
    pub measured: Array2<f32>,
    /// Measured raw counts.
    pub counts: Array2<f32>,
    /// Counts of each observation over all genes of the truth.
    pub totals: Vec<f64>,
    /// Where each observation lies, um (x, y).
    pub places_um: Vec<[f64; 2]>,
    /// Which row of the truth each observation is.
    pub truth_rows: Vec<usize>,
    /// Cells in each.
    pub cells: Vec<usize>,
    /// What genes are ranked by.
    pub variance: Vec<f64>,
}

/// How evidence is gathered.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceOptions {
    /// Side of the square blocks that are drawn and swapped as a whole, um; else three times the distance between
    /// neighbouring observations.
    pub block_um: Option<f64>,
    /// Bootstrap replicates, shuffled slides and swaps.
    pub replicates: usize,
    /// When to call a gene predictable.
    pub criteria: Criteria,
    /// Of all random numbers.
    pub seed: u64,
}

impl Default for EvidenceOptions {
    /// 1,000 replicates.
    fn default() -> Self {
        Self { block_um: None, replicates: 1000, criteria: Criteria::default(), seed: 0 }
    }
}

/// How many genes, the mean Pearson over them, its 95 % interval.
pub type MeanPearson = (usize, f64, Option<(f64, f64)>);

/// How far predictions can be trusted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Weighed {
    /// Every score of every gene.
    pub scores: Scores,
    /// What speaks for each gene: interval over spatial blocks, moved slides, ceiling.
    pub genes: Vec<Evidence>,
    /// Structural similarity of each gene's map, where there is one.
    pub ssim: Vec<Option<f64>>,
    /// Moran's I of each gene, predicted and measured.
    pub morans_i: Vec<(Option<f64>, Option<f64>)>,
    /// Correlation over the genes between those two; `None` if fewer than three genes have both.
    pub moran_agreement: Option<f64>,
    /// Genes, mean Pearson over the most variable ones (a constant one as 0), and its 95 % interval.
    pub means: Vec<MeanPearson>,
    /// Mean ceiling of all genes that have one.
    pub mean_ceiling: Option<f64>,
    /// Blocks that intervals are drawn from.
    pub blocks: usize,
    /// What could not be done, and why.
    pub notes: Vec<String>,
}

/// Another method on the same observations.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// Root mean squared error, the mean over genes, in log-normalised expression.
    pub rmse: f64,
    /// Genes, mean Pearson over the most variable ones, and its 95 % interval.
    pub means: Vec<MeanPearson>,
    /// Mean Pearson of the first method less that of this one, over the genes that both have one of.
    pub difference: Option<f64>,
    /// How often swapped blocks give as large a difference, either way.
    pub p_value: Option<f64>,
    /// Genes without a correlation here.
    pub constant: usize,
}

/// The genes' mean root mean squared error.
fn mean_rmse(scores: &Scores) -> f64 {
    let all: Vec<f64> = scores.agreements.iter().filter_map(|a| a.rmse).collect();
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

impl Compared {
    /// The same observations with what another method predicts of them, `(observations, genes)` of these genes, which are
    /// those here and maybe more.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if a gene is lacking or there are other observations.
    pub fn with_predictions(&self, predicted: &Array2<f32>, genes: &[String]) -> Result<Self, PipelineError> {
        let at: HashMap<&String, usize> = genes.iter().zip(0..).collect();
        let column = |gene| at.get(gene).copied().ok_or_else(|| format!("no prediction of {gene}"));
        let columns: Result<Vec<usize>, String> = self.genes.iter().map(column).collect();
        let problem = match columns {
            Ok(columns) if predicted.dim() == (self.measured.nrows(), genes.len()) => {
                return Ok(Self { predicted: predicted.select(Axis(1), &columns), ..self.clone() });
            }
            Ok(_) => {
                let expected = (self.measured.nrows(), genes.len());
                format!("{:?} predictions for {expected:?} observations and genes", predicted.dim())
            }
            Err(problem) => problem,
        };
        Err(PipelineError::Misuse(format!("it has {problem}: predict the same cells and genes")))
    }

    /// Gathers what speaks for the predictions.
    ///
    /// Intervals are drawn over spatial blocks, since neighbours are alike; the null moves the slide as a whole; the
    /// ceiling thins the counts (Poisson). SSIM is of maps in squares of 1.5 times the distance between observations,
    /// in windows of 3 x 3.
    ///
    /// # Errors
    /// [`PipelineError::Metrics`] for fewer than three observations, or values that are no numbers.
    pub fn weigh(&self, options: &EvidenceOptions) -> Result<Weighed, PipelineError> {
        let (p, m) = (self.predicted.view(), self.measured.view());
        let scores = Scores::compute(p, m, &self.genes, Along::Genes, &PairOptions::default())?;
        let mut notes = Vec::new();
        let pitch = pitch(&self.places_um)?;
        let blocks = self.blocks(pitch, options)?;
        let count = blocks.iter().max().map_or(0, |&most| most as usize + 1);
        if count < 2 {
            notes.push("all observations lie in one block: no intervals; give a smaller block".to_owned());
        } else if count < 10 {
            notes.push(format!("intervals come from {count} blocks only: rough"));
        }
        let (intervals, means) = if count < 2 {
            let gene_means = self.mean_scores(&scores)?;
            (vec![None; self.genes.len()], gene_means)
        } else {
            self.intervals(&blocks, options)?
        };
        let null = NullOptions {
            shuffle: Shuffle::Moved(&self.places_um),
            replicates: options.replicates,
            seed: options.seed,
        };
        let nulls = permutation_null(p, m, &self.genes, Metric::Pearson, &null)?;
        let ceiling = CeilingOptions { totals: Some(&self.totals), seed: options.seed, ..CeilingOptions::default() };
        let ceilings = match noise_ceiling(self.counts.view(), &ceiling) {
            Ok(ceilings) => ceilings,
            Err(e @ MetricsError::Count { .. }) => {
                notes.push(format!("no noise ceiling: {e}"));
                Vec::new()
            }
            Err(e) => return Err(e.into()),
        };
        let known: Vec<f64> = ceilings.iter().flatten().map(|c| c.pearson).collect();
        let near = Neighbours::nearest(&self.places_um, 6)?;
        let sides = morans_i(p, &near)?.into_iter().zip(morans_i(m, &near)?).collect();
        Ok(Weighed {
            genes: predictable_genes(&self.genes, &intervals, &nulls, &ceilings, &options.criteria)?,
            ssim: self.ssim(1.5 * pitch)?,
            morans_i: sides,
            moran_agreement: moran_agreement(p, m, &near)?.pearson,
            means,
            mean_ceiling: (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64),
            blocks: count,
            scores,
            notes,
        })
    }

    /// Holds another method's predictions against the same measurements.
    ///
    /// # Errors
    /// [`PipelineError::Misuse`] if it has other observations or genes; as [`weigh`](Self::weigh).
    pub fn beside(&self, other: &Self, options: &EvidenceOptions) -> Result<Beside, PipelineError> {
        let lacks = |a: &Self, b: &Self| a.genes.iter().find(|gene| !b.genes.contains(gene)).cloned();
        let problem = match (lacks(self, other), lacks(other, self)) {
            _ if self.truth_rows != other.truth_rows => Some("other spots or cells of the truth".to_owned()),
            (Some(gene), _) => Some(format!("no prediction of {gene}")),
            (None, Some(gene)) => Some(format!("a prediction of {gene}, which this one lacks")),
            (None, None) if self.genes != other.genes => Some("the genes in another order".to_owned()),
            (None, None) => None,
        };
        if let Some(problem) = problem {
            return Err(PipelineError::Misuse(format!("it has {problem}: predict the same cells and genes")));
        }
        let (p, q, m) = (self.predicted.view(), other.predicted.view(), self.measured.view());
        let scores = Scores::compute(q, m, &self.genes, Along::Genes, &PairOptions::default())?;
        let constant = scores.agreements.iter().filter(|a| a.pearson.is_none()).count();
        let rmse = mean_rmse(&scores);
        // The same ranking for both.
        let ranked = Self { variance: self.variance.clone(), ..other.clone() };
        let blocks = self.blocks(pitch(&self.places_um)?, options)?;
        if blocks.iter().all(|&block| block == 0) {
            let means = ranked.mean_scores(&scores)?;
            return Ok(Beside { rmse, means, difference: None, p_value: None, constant });
        }
        let paired = PairedOptions {
            units: Units::Groups(&blocks),
            replicates: options.replicates,
            seed: options.seed,
            positive_above: None,
        };
        let test = paired_test(p, q, m, &self.genes, Metric::Pearson, &paired)?.mean;
        Ok(Beside {
            rmse,
            means: ranked.intervals(&blocks, options)?.1,
            difference: test.map(|t| t.difference),
            p_value: test.map(|t| t.p_value),
            constant,
        })
    }

    fn blocks(&self, pitch: f64, options: &EvidenceOptions) -> Result<Vec<u32>, PipelineError> {
        Ok(spatial_blocks(&self.places_um, options.block_um.unwrap_or(3.0 * pitch))?)
    }

    /// The genes of most variance: 50, 250 and all, as many as there are.
    fn ranked(&self) -> Result<Vec<Vec<usize>>, PipelineError> {
        let all = self.genes.len();
        let mut sizes: Vec<usize> = [50, 250, all].iter().map(|&k| k.min(all)).collect();
        sizes.dedup();
        Ok(sizes.into_iter().map(|k| top_k(&self.variance, k)).collect::<Result<_, _>>()?)
    }

    fn mean_scores(&self, scores: &Scores) -> Result<Vec<MeanPearson>, PipelineError> {
        let mean = |genes: Vec<usize>| {
            let sum: f64 = genes.iter().filter_map(|&g| scores.agreements[g].pearson).sum();
            (genes.len(), sum / genes.len().max(1) as f64, None)
        };
        Ok(self.ranked()?.into_iter().map(mean).collect())
    }

    #[allow(clippy::type_complexity)] // of genes, and of means
    fn intervals(
        &self,
        blocks: &[u32],
        options: &EvidenceOptions,
    ) -> Result<(Vec<Option<Interval>>, Vec<MeanPearson>), PipelineError> {
        let ranked = self.ranked()?;
        let lists: Vec<&[usize]> = ranked.iter().map(Vec::as_slice).collect();
        let draw = BootstrapOptions {
            units: Units::Groups(blocks),
            replicates: options.replicates,
            seed: options.seed,
            ..BootstrapOptions::default()
        };
        let (p, m) = (self.predicted.view(), self.measured.view());
        let found = bootstrap(p, m, &self.genes, Metric::Pearson, &lists, &draw)?;
        let mean = |(genes, mean): (&Vec<usize>, &scellst_metrics::MeanInterval)| {
            let Summary { mean_with_constant_as_zero, .. } = mean.summary;
            let interval = mean.mean_with_constant_as_zero.map(|i| (i.low, i.high));
            (genes.len(), mean_with_constant_as_zero.unwrap_or(0.0), interval)
        };
        let means = ranked.iter().zip(&found.means).map(mean).collect();
        Ok((found.genes, means))
    }

    fn ssim(&self, step: f64) -> Result<Vec<Option<f64>>, PipelineError> {
        let options = SsimOptions { window: Window::Square(3), ..SsimOptions::default() };
        let map = |values: &Array2<f32>, gene: usize| bin_means(&self.places_um, &values.column(gene).to_vec(), step);
        (0..self.genes.len())
            .map(|gene| {
                let (p, m) = (map(&self.predicted, gene)?, map(&self.measured, gene)?);
                Ok(ssim(p.view(), m.view(), &options)?.mean)
            })
            .collect()
    }
}

/// Median distance to the nearest other observation.
fn pitch(places: &[[f64; 2]]) -> Result<f64, PipelineError> {
    let near = Neighbours::nearest(places, 1)?;
    let distance = |at: usize| {
        near.of(at).first().map(|&other| {
            let (a, b) = (places[at], places[other as usize]);
            (a[0] - b[0]).hypot(a[1] - b[1])
        })
    };
    let mut all: Vec<f64> = (0..places.len()).filter_map(distance).filter(|d| *d > 0.0).collect();
    all.sort_unstable_by(f64::total_cmp);
    // All at one place: any block holds them.
    Ok(all.get(all.len() / 2).copied().unwrap_or(1.0))
}

impl Weighed {
    /// One row a gene: the scores, the evidence, and what they are to be read against. Fields of what a gene does not
    /// have are empty.
    pub fn csv(&self, variance: &[f64]) -> String {
        let text = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
        let mut out = format!("{}\n", COLUMNS.map(|(name, _)| name).join(","));
        for (gene, values) in self.rows(variance) {
            let fields: Vec<String> = values.into_iter().map(text).collect();
            out += &format!("{},{}\n", csv_field(gene), fields.join(","));
        }
        out
    }

    /// The values of [`COLUMNS`] but the first, gene by gene.
    pub fn rows<'a>(&'a self, variance: &'a [f64]) -> impl Iterator<Item = (&'a str, Vec<Option<f64>>)> {
        self.genes.iter().enumerate().map(move |(at, e)| {
            let (a, moran) = (&self.scores.agreements[at], self.morans_i[at]);
            let interval = |f: fn(Interval) -> f64| e.correlation.map(f);
            let values = vec![
                a.pearson,
                a.spearman,
                a.mse,
                a.rmse,
                a.mae,
                a.r2,
                a.concordance,
                a.cosine,
                self.ssim[at],
                moran.0,
                moran.1,
                interval(|i| i.low),
                interval(|i| i.high),
                e.null.map(|n| n.upper),
                e.null.map(|n| n.p_value),
                e.q_value,
                e.ceiling.map(|c| c.pearson),
                e.share_of_ceiling,
                variance.get(at).copied(),
                Some(f64::from(u8::from(e.predictable))),
            ];
            (e.gene.as_str(), values)
        })
    }

    /// Root mean squared error, the mean over genes, in log-normalised expression.
    pub fn rmse(&self) -> f64 {
        mean_rmse(&self.scores)
    }

    /// Genes that meet the criteria.
    pub fn predictable(&self) -> usize {
        self.genes.iter().filter(|e| e.predictable).count()
    }
}

/// Names and meanings of the columns of [`Weighed::csv`].
pub const COLUMNS: [(&str, &str); 21] = [
    ("gene", "name"),
    ("pearson", "Pearson correlation; empty if predictions or measurements are constant"),
    ("spearman", "Spearman correlation, ties at their mean rank"),
    ("mse", "mean squared error"),
    ("rmse", "its root, in log-normalised expression"),
    ("mae", "mean absolute error"),
    ("r2", "coefficient of determination: below 0 is worse than the mean"),
    ("concordance", "Lin's concordance: Pearson, less for a shift or another scale"),
    ("cosine", "cosine similarity"),
    ("ssim", "structural similarity of the maps, in squares of 1.5 spot distances, windows of 3 x 3"),
    ("moran_predicted", "Moran's I of the predictions, six nearest neighbours"),
    ("moran_measured", "Moran's I of the measurements"),
    ("pearson_low", "lower bound of the 95 % interval of Pearson, bootstrap over spatial blocks"),
    ("pearson_high", "upper bound"),
    ("null_upper", "the Pearson that 95 % of moved slides stay below"),
    ("p_value", "share of moved slides with at least this Pearson"),
    ("q_value", "its false discovery rate (Benjamini and Hochberg)"),
    ("ceiling", "the Pearson that a perfect prediction could reach with these counts (Poisson thinning)"),
    ("share_of_ceiling", "Pearson over the ceiling"),
    ("train_variance", "variance in training, which genes are ranked by"),
    ("predictable", "1: q at most 0.05 and the interval above 0"),
];

/// Quoted where it must be.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map with waves; predictions of gene 0 follow it, of gene 1 are noise, of gene 2 constant.
    fn compared(side: usize) -> Compared {
        let n = side * side;
        let places_um: Vec<[f64; 2]> = (0..n).map(|i| [200.0 * (i % side) as f64, 200.0 * (i / side) as f64]).collect();
        let wave = |i: usize| ((places_um[i][0] / 400.0).sin() + (places_um[i][1] / 500.0).cos()) as f32;
        let noise = |i: usize, k: usize| ((i * 7919 + k * 104_729 + i * i * 31) % 997) as f32 / 997.0;
        let counts = Array2::from_shape_fn((n, 3), |(i, g)| ((wave(i) + 2.5) * 10.0 + 4.0 * noise(i, g)).round());
        let totals = vec![1e4; n];
        let measured = counts.mapv(|c| c.ln_1p());
        let predicted = Array2::from_shape_fn((n, 3), |(i, g)| match g {
            0 => wave(i) + noise(i, 5),
            1 => noise(i, 9),
            _ => 1.0,
        });
        Compared {
            genes: ["A", "B", "C,1"].map(String::from).to_vec(),
            predicted,
            measured,
            counts,
            totals,
            truth_rows: (0..n).collect(),
            cells: vec![3; n],
            places_um,
            variance: vec![1.0, 3.0, 2.0],
        }
    }

    fn options() -> EvidenceOptions {
        EvidenceOptions { replicates: 200, ..EvidenceOptions::default() }
    }

    #[test]
    fn what_follows_the_map_is_predictable_and_noise_is_not() {
        let compared = compared(14);
        let found = compared.weigh(&options()).unwrap();
        let predictable: Vec<bool> = found.genes.iter().map(|e| e.predictable).collect();
        assert_eq!((predictable, found.predictable()), (vec![true, false, false], 1));
        assert!(found.blocks >= 16 && found.notes.is_empty(), "{} {:?}", found.blocks, found.notes);
        // The constant gene counts as 0 in the mean.
        let sum: f64 = found.scores.agreements.iter().filter_map(|a| a.pearson).sum();
        let &(genes, mean, interval) = found.means.last().unwrap();
        assert!(genes == 3 && (mean - sum / 3.0).abs() < 1e-12);
        assert!(interval.is_some_and(|(low, high)| low < mean && mean < high));
        let csv = found.csv(&compared.variance);
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("gene,pearson,spearman,mse,"));
        assert!(lines[3].starts_with("\"C,1\",,,"), "{}", lines[3]);
        assert!(lines[1].ends_with(",1,1") && lines[2].ends_with(",3,0"), "{csv}");
        assert_eq!(lines[1].split(',').count(), COLUMNS.len());
    }

    #[test]
    fn a_better_method_beside_it_is_told_apart() {
        let first = compared(14);
        let mut worse = first.clone();
        worse.predicted.column_mut(0).mapv_inplace(|v| if v > 1.0 { -v } else { v });
        let beside = first.beside(&worse, &options()).unwrap();
        assert!(beside.difference.unwrap() > 0.1 && beside.p_value.unwrap() < 0.05, "{beside:?}");
        let same = first.beside(&first, &options()).unwrap();
        assert_eq!((same.difference, same.p_value, same.constant), (Some(0.0), Some(1.0), 1));
        let mut other = first.clone();
        other.truth_rows[3] = 999;
        assert!(first.beside(&other, &options()).unwrap_err().to_string().contains("other spots"));
        let mut other = first.clone();
        other.genes[1] = "X".into();
        assert!(first.beside(&other, &options()).unwrap_err().to_string().contains("no prediction of B"));
    }

    #[test]
    fn one_block_and_broken_counts_are_said() {
        let mut small = compared(14);
        small.counts[[2, 0]] = 0.5;
        let found = small.weigh(&EvidenceOptions { block_um: Some(1e9), ..options() }).unwrap();
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
        assert!(found.genes.iter().all(|e| e.ceiling.is_none() && e.correlation.is_none()));
        assert!(found.mean_ceiling.is_none() && found.means.iter().all(|m| m.2.is_none()));
        assert!(compared(1).weigh(&options()).is_err());
    }
}
