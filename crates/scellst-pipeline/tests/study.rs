//! A small simulation study: what there is to learn is learnt, what there is not is not.

use candle_core::Device;
use scellst_model::TrainConfig;
use scellst_pipeline::Quiet;
use scellst_pipeline::study::{
    Learner, Level, StudyCase, StudyGenes, StudyLoss, StudyOptions, StudyScore, run_case, study_csv,
};
use scellst_sim::study::{CellConfig, Degradation, MadeEmbeddings, MadeReference, Scenario, StudyCells};

fn run(scenario: Scenario, learner: Learner, degradation: Degradation) -> Vec<StudyScore> {
    run_with(scenario, learner, degradation, StudyLoss::Mse)
}

fn run_with(scenario: Scenario, learner: Learner, degradation: Degradation, loss: StudyLoss) -> Vec<StudyScore> {
    let reference = MadeReference { cells_per_type: 60, genes: 300, ..MadeReference::default() }.generate().unwrap();
    let embeddings = MadeEmbeddings { cells_per_type: 120, dims: 24, ..MadeEmbeddings::default() }.generate().unwrap();
    let config = CellConfig { cells_per_cluster: 100, components: 12, ..CellConfig::default() };
    let cells = StudyCells::new(embeddings.view(), &reference, scenario, &config).unwrap();
    let genes = StudyGenes::Markers(12);
    let names = genes.choose(&reference).unwrap();
    assert_eq!(names.len(), 12);
    assert!(names.iter().all(|name| name.starts_with("MARKER")), "{names:?}");
    let case = StudyCase {
        scenario,
        genes,
        learner,
        loss,
        // Counts of tens are far from where the network begins.
        learning_rate: if loss == StudyLoss::Mse { 1e-3 } else { 3e-3 },
        degradation,
        spots: 400,
        cells_per_spot: 6,
        seed: 1,
    };
    let max_epochs = if loss == StudyLoss::Mse { 40 } else { 400 };
    let patience = max_epochs / 4;
    let train = TrainConfig { max_epochs, patience, bags_per_step: 32, ..TrainConfig::default() };
    let options = StudyOptions { train, test_spots: 300, replicates: 50 };
    run_case(&cells, &names, &case, &options, &Device::Cpu, &Quiet).unwrap()
}

fn at(scores: &[StudyScore], level: Level) -> &StudyScore {
    scores.iter().find(|s| s.level == level).unwrap()
}

#[test]
fn cells_are_learnt_from_spots_where_pictures_tell_of_them() {
    let centroid = run(Scenario::Centroid, Learner::Mil, Degradation::None);
    for level in [Level::Bag, Level::Cell] {
        let s = at(&centroid, level);
        assert!(s.pearson > 0.8 && s.interval.0 <= s.pearson && s.pearson <= s.interval.1, "{s:?}");
    }
    let random = run(Scenario::Random, Learner::Mil, Degradation::None);
    assert!(at(&random, Level::Cell).pearson.abs() < 0.1, "{random:?}");
    let csv = study_csv(&centroid);
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(fields, [18, 18, 18]);
    assert!(csv.contains("centroid,markers:12,12,mil,mse,0.001,none,,400,6,1,cell,"));
}

#[test]
fn other_learners_and_spoilt_training() {
    let pearson = |learner, degradation| at(&run(Scenario::Cell, learner, degradation), Level::Cell).pearson;
    let ridge = pearson(Learner::Ridge, Degradation::None);
    let types = pearson(Learner::OneHot, Degradation::None);
    let bound = pearson(Learner::Supervised, Degradation::None);
    assert!(ridge > 0.3 && types > 0.3 && bound > 0.3, "{ridge} {types} {bound}");
    // Spots wholly beside the picture teach nothing.
    assert!(pearson(Learner::Ridge, Degradation::Shift(60.0)) < 0.3 * ridge);
    // A stain moves all cells alike: a linear model's predictions by a constant, which no correlation sees.
    assert!((pearson(Learner::Ridge, Degradation::Stain(4.0)) - ridge).abs() < 1e-3);
}

#[test]
fn losses_of_counts_learn_cells_too_and_others_are_refused() {
    for text in ["nb-mean", "nb-total"] {
        let loss: StudyLoss = text.parse().unwrap();
        assert_eq!(loss.to_string(), text);
        let scores = run_with(Scenario::Centroid, Learner::Mil, Degradation::None, loss);
        assert!(at(&scores, Level::Cell).pearson > 0.3, "{scores:?}");
    }
    let e = "huber".parse::<StudyLoss>().unwrap_err().to_string();
    assert!(e.contains("mse nb-mean nb-total") && e.contains("huber"), "{e}");
    assert!("forest".parse::<Learner>().is_err() && "slide".parse::<Level>().is_err());
}
