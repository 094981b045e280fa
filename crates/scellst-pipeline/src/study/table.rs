use scellst_metrics::mean_interval;

use super::{Level, StudyCase, StudyScore};
use crate::PipelineError;

/// A case over several seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedMean {
    /// The case, with the first of the seeds.
    pub case: StudyCase,
    /// Of what.
    pub level: Level,
    /// Mean over the seeds of the mean Pearson.
    pub pearson: f64,
    /// Student's 95 % interval of it; `None` for one seed.
    pub interval: Option<(f64, f64)>,
    /// How many.
    pub seeds: usize,
}

/// Means over the seeds, cases in the order of their first score.
///
/// # Errors
/// [`PipelineError::Metrics`] for a score that is no number.
pub fn over_seeds(scores: &[StudyScore]) -> Result<Vec<SeedMean>, PipelineError> {
    let mut groups: Vec<(StudyCase, Level, Vec<f64>)> = Vec::new();
    for score in scores {
        let same = |(case, level, _): &&mut (StudyCase, Level, Vec<f64>)| {
            *level == score.level && StudyCase { seed: score.case.seed, ..case.clone() } == score.case
        };
        match groups.iter_mut().find(same) {
            Some((_, _, values)) => values.push(score.pearson),
            None => groups.push((score.case.clone(), score.level, vec![score.pearson])),
        }
    }
    let mean = |(case, level, values): (StudyCase, Level, Vec<f64>)| {
        let (pearson, interval) = mean_interval(&values, 0.95)?;
        Ok(SeedMean { case, level, pearson, interval, seeds: values.len() })
    };
    groups.into_iter().map(mean).collect()
}

/// The scores as CSV, one row a case and level.
pub fn study_csv(scores: &[StudyScore]) -> String {
    let mut text = String::from(
        "scenario,genes,n_genes,learner,loss,learning_rate,degradation,amount,spots,cells_per_spot,seed,level,pearson,\
         pearson_low,pearson_high,constant_genes,epochs,seconds\n",
    );
    for s in scores {
        let c = &s.case;
        let (degradation, amount) = c.degradation.parts();
        let amount = amount.map(|a| a.to_string()).unwrap_or_default();
        text += &format!(
            "{},{},{},{},{},{},{degradation},{amount},{},{},{},{},{:.5},{:.5},{:.5},{},{},{:.1}\n",
            c.scenario,
            c.genes,
            s.genes,
            c.learner,
            c.loss,
            c.learning_rate,
            c.spots,
            c.cells_per_spot,
            c.seed,
            s.level,
            s.pearson,
            s.interval.0,
            s.interval.1,
            s.constant,
            s.epochs,
            s.seconds,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use scellst_sim::study::{Degradation, Scenario};

    use super::*;
    use crate::study::{Learner, StudyGenes, StudyLoss};

    #[test]
    fn seeds_of_a_case_are_one_row() {
        let case = StudyCase {
            scenario: Scenario::Cell,
            genes: StudyGenes::Markers(51),
            learner: Learner::Mil,
            loss: StudyLoss::Mse,
            learning_rate: 0.002,
            degradation: Degradation::None,
            spots: 10,
            cells_per_spot: 2,
            seed: 1,
        };
        let score = |seed, learner, level, pearson| StudyScore {
            case: StudyCase { seed, learner, ..case.clone() },
            level,
            pearson,
            interval: (0.0, 1.0),
            genes: 51,
            constant: 0,
            epochs: 3,
            seconds: 1.0,
        };
        let scores = [
            score(1, Learner::Mil, Level::Cell, 0.5),
            score(1, Learner::Ridge, Level::Cell, 0.25),
            score(2, Learner::Mil, Level::Cell, 0.7),
            score(2, Learner::Mil, Level::Bag, 0.9),
        ];
        let found = over_seeds(&scores).unwrap();
        let rows: Vec<_> = found.iter().map(|row| (row.case.learner, row.level, row.seeds)).collect();
        assert_eq!(
            rows,
            [(Learner::Mil, Level::Cell, 2), (Learner::Ridge, Level::Cell, 1), (Learner::Mil, Level::Bag, 1)]
        );
        assert!((found[0].pearson - 0.6).abs() < 1e-12 && found[0].interval.is_some() && found[1].interval.is_none());
    }
}
