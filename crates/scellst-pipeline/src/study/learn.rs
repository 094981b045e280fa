use std::time::Instant;

use candle_core::Device;
use ndarray::{Array2, ArrayView2, Axis};
use scellst_bags::Split;
use scellst_expr::Scaling;
use scellst_metrics::{BootstrapOptions, Metric, bootstrap};
use scellst_model::{InputScale, Loss, MilModel, ModelShape, Ridge, TrainConfig, TrainData, train};
use scellst_sim::study::{StudyBags, StudyCells, log_normalised};
use serde::{Deserialize, Serialize};

use super::{Learner, Level, StudyCase, StudyLoss};
use crate::{Observer, PipelineError};

/// What all cases of a study share.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyOptions {
    /// Epochs, patience and so on; the case's learning rate and seed take the place of those here.
    pub train: TrainConfig,
    /// Test spots.
    pub test_spots: usize,
    /// Bootstrap replicates of the intervals, over test spots or cells.
    pub replicates: usize,
}

impl Default for StudyOptions {
    /// The published training, 2,000 test spots, 200 replicates.
    fn default() -> Self {
        Self { train: TrainConfig::default(), test_spots: 2000, replicates: 200 }
    }
}

/// How well a case did at one level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyScore {
    /// Which training.
    pub case: StudyCase,
    /// Of what.
    pub level: Level,
    /// Mean Pearson over the genes, those without one counted as 0.
    pub pearson: f64,
    /// 95 % bootstrap interval of it over test spots or cells (of this training: seeds say how trainings vary).
    pub interval: (f64, f64),
    /// Genes.
    pub genes: usize,
    /// Genes without a Pearson, constant in predictions or truth.
    pub constant: usize,
    /// Epochs run; 0 of a ridge.
    pub epochs: usize,
    /// Time of the training, s.
    pub seconds: f64,
}

/// Trains one case and scores it at test spots and test cells. `cells` are those of the case's scenario and seed.
///
/// Labels of the mean squared error are log-normalised over all genes of the reference and scaled by their range
/// 0..95 %, those of the negative binomials raw counts with size factors over the median total, their predictions being
/// log-normalised by it afterwards; a fifth of the training spots decides when to stop.
///
/// # Errors
/// What making, training and scoring give.
pub fn run_case(
    cells: &StudyCells,
    genes: &[String],
    case: &StudyCase,
    options: &StudyOptions,
    device: &Device,
    observer: &dyn Observer,
) -> Result<Vec<StudyScore>, PipelineError> {
    let (fit, test) = cells.halves();
    let one_hot;
    let inputs = match case.learner {
        Learner::OneHot => {
            one_hot = cells.one_hot();
            one_hot.view()
        }
        _ => cells.embeddings(),
    };
    let (data, typical_total) = match case.learner {
        Learner::Supervised => supervised(cells, inputs, fit, genes, case.loss)?,
        _ => spots(cells, inputs, &cells.draw_bags(fit, case.spots, case.cells_per_spot, 1)?, genes, case)?,
    };
    let began = Instant::now();
    let mut seen = inputs.select(Axis(0), test);
    case.degradation.stain(&mut seen, case.seed);
    let (mut predicted, epochs) = match case.learner {
        Learner::Ridge => {
            let ridge = Ridge::fit(data.bag_means().view(), data.labels(), &Ridge::penalties())?;
            (ridge.predict(seen.view())?, 0)
        }
        _ => network(&data, seen.view(), case, options, device, observer)?,
    };
    let seconds = began.elapsed().as_secs_f64();

    // Places of the test cells among the predictions.
    let mut place = vec![0; cells.len()];
    test.iter().enumerate().for_each(|(at, &cell)| place[cell] = at);
    let bags = cells.draw_bags(test, options.test_spots, case.cells_per_spot, 2)?;
    let mut pooled = Array2::zeros((bags.len(), genes.len()));
    for (spot, mut row) in bags.iter().zip(pooled.rows_mut()) {
        spot.iter().for_each(|&cell| row += &predicted.row(place[cell]));
        row /= spot.len() as f32;
    }
    if Loss::from(case.loss).of_counts() {
        // Counts of a spot (or cell) of typical size, to the unit of the truth.
        for values in [&mut predicted, &mut pooled] {
            values.mapv_inplace(|v| (f64::from(v) / typical_total * 1e4).ln_1p() as f32);
        }
    }
    let truth = |(counts, totals): (Array2<f32>, Vec<f64>)| log_normalised(&counts, &totals);
    let levels = [
        (Level::Bag, pooled, truth(bags.counts(cells, genes)?)),
        (Level::Cell, predicted, truth(cells.counts(test, genes)?)),
    ];
    let score = |(level, predicted, truth): (Level, Array2<f32>, Array2<f32>)| {
        let (pearson, interval, constant) = mean_pearson(predicted.view(), truth.view(), genes, options, case.seed)?;
        Ok(StudyScore { case: case.clone(), level, pearson, interval, genes: genes.len(), constant, epochs, seconds })
    };
    levels.into_iter().map(score).collect()
}

/// Spots as bags of what is seen in them, and the median total.
fn spots(
    cells: &StudyCells,
    inputs: ArrayView2<'_, f32>,
    bags: &StudyBags,
    genes: &[String],
    case: &StudyCase,
) -> Result<(TrainData, f64), PipelineError> {
    let (mut counts, mut totals) = bags.counts(cells, genes)?;
    case.degradation.thin(&mut counts, &mut totals, case.seed);
    let seen = case.degradation.see(bags, inputs, cells.type_of(), case.seed)?;
    labelled(seen.features, seen.offsets, counts, &totals, case.loss)
}

/// Each training cell as a bag of its own, and the median total.
fn supervised(
    cells: &StudyCells,
    inputs: ArrayView2<'_, f32>,
    fit: &[usize],
    genes: &[String],
    loss: StudyLoss,
) -> Result<(TrainData, f64), PipelineError> {
    let (counts, totals) = cells.counts(fit, genes)?;
    labelled(inputs.select(Axis(0), fit), (0..=fit.len() as u32).collect(), counts, &totals, loss)
}

/// With the labels that the loss wants.
fn labelled(
    features: Array2<f32>,
    offsets: Vec<u32>,
    counts: Array2<f32>,
    totals: &[f64],
    loss: StudyLoss,
) -> Result<(TrainData, f64), PipelineError> {
    let mut sorted = totals.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let typical = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0).max(1.0);
    if Loss::from(loss).of_counts() {
        // A spot without counts, after much thinning, says nothing: any size does.
        let sizes = totals.iter().map(|total| (total.max(1.0) / typical) as f32).collect();
        return Ok((TrainData::new(features, offsets, counts)?.with_size_factors(sizes)?, typical));
    }
    let mut labels = log_normalised(&counts, totals);
    for ranges in Scaling::Slide.fit(&[labels.view()])? {
        ranges.apply(labels.view_mut())?;
    }
    Ok((TrainData::new(features, offsets, labels)?, typical))
}

/// Predictions of test cells, and epochs run.
fn network(
    data: &TrainData,
    test: ArrayView2<'_, f32>,
    case: &StudyCase,
    options: &StudyOptions,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(Array2<f32>, usize), PipelineError> {
    let dims = data.features().ncols();
    let input = match case.learner {
        Learner::OneHot => InputScale::none(dims),
        _ => InputScale::standardising(data.features()),
    };
    let shape = ModelShape::published(dims, data.labels().ncols())?.with_loss(case.loss.into());
    let mut model = MilModel::new(shape, case.seed, device)?.with_input(input)?;
    let config = TrainConfig { learning_rate: case.learning_rate, seed: case.seed, ..options.train.clone() };
    let split = Split::random(data.bags(), 0.8, case.seed)?;
    let most = config.max_epochs as u64;
    let mut heard = |epoch: &scellst_model::Epoch| {
        observer.progress(epoch.epoch as u64, most);
        true
    };
    let training = train(&mut model, data, &split.train, &split.validation, &config, &mut heard)?;
    Ok((model.predict_cells(test)?, training.history.len()))
}

/// Mean over the genes, its 95 % interval, and genes that have none.
fn mean_pearson(
    predicted: ArrayView2<'_, f32>,
    truth: ArrayView2<'_, f32>,
    genes: &[String],
    options: &StudyOptions,
    seed: u64,
) -> Result<(f64, (f64, f64), usize), PipelineError> {
    let all: Vec<usize> = (0..genes.len()).collect();
    let draw = BootstrapOptions { replicates: options.replicates, seed, ..BootstrapOptions::default() };
    let found = bootstrap(predicted, truth, genes, Metric::Pearson, &[&all], &draw)?;
    let Some(mean) = found.means.first() else { return Ok((0.0, (0.0, 0.0), genes.len())) };
    let pearson = mean.summary.mean_with_constant_as_zero.unwrap_or(0.0);
    let interval = mean.mean_with_constant_as_zero.map_or((pearson, pearson), |i| (i.low, i.high));
    Ok((pearson, interval, mean.summary.constant))
}
