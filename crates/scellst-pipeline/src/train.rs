use candle_core::Device;
use ndarray::{Array2, ArrayView2, Axis};
use scellst_bags::{
    EncoderTraining, LeakageOptions, LeakageReport, Reach, SectionBags, Split, SplitBy, SplitPlan, check_leakage,
};
use scellst_embed::Encoder;
use scellst_expr::{
    Expression, FilterReport, GeneRanges, GeneScore, GeneSelection, Scaling, log_normalised_variance, sorted_names,
};
use scellst_model::{Epoch, InputScale, MilModel, ModelShape, Ridge, TrainConfig, TrainData, Training};

use crate::bundle::{Manifest, SectionRecord, TrainingRecord};
use crate::{
    Baseline, Bundle, CellOutliers, Observer, PipelineError, PrepareOptions, PreparedSection, Scored, SpotIntervals,
    score_bags,
};

/// Which bags decide when to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validation {
    /// So large a share of the training sections' spots at random. Neighbours look alike, so that the score flatters.
    Random(f64),
    /// All spots of the last so many sections given, which train nothing and choose no gene.
    LastSections(usize),
    /// By a rule that holds out a share: blocks with a gap, patients, sections. Held-out spots have a say in which genes
    /// are chosen, as with [`Validation::Random`].
    Plan(SplitPlan),
}

/// What is trained, and how.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Which genes.
    pub genes: GeneSelection,
    /// How labels are scaled.
    pub scaling: Scaling,
    /// The held-out bags.
    pub validation: Validation,
    /// Features to mean 0 and deviation 1 over the training cells first.
    pub standardise: bool,
    /// Refuse to train if the validation bags are known to leak (see [`check_leakage`]); else it is told and kept in the
    /// bundle.
    pub strict: bool,
    /// Optimiser, epochs, seed.
    pub train: TrainConfig,
}

/// What came of it.
pub struct TrainOutcome {
    /// To save.
    pub bundle: Bundle,
    /// The loss curve.
    pub training: Training,
    /// Model and baselines on the validation bags, the model first.
    pub scores: Vec<Scored>,
    /// The linear baseline, on the training bags' mean features (with their context, if there is one); predicts in the
    /// unit of the scaled labels.
    /// `None` for fewer than three bags.
    pub ridge: Option<Ridge>,
    /// The genes with what they were chosen by.
    pub genes: Vec<GeneScore>,
}

/// Trains on prepared sections, measures model and baselines on the validation bags, and keeps with the model how far off
/// it was there and what its cells looked like.
///
/// # Errors
/// [`PipelineError::Misuse`] if nothing is left to train on; what choosing genes and training give.
pub fn train(
    sections: &[PreparedSection],
    prepared: &PrepareOptions,
    encoder: &dyn Encoder,
    options: &TrainOptions,
    device: &Device,
    observer: &dyn Observer,
) -> Result<TrainOutcome, PipelineError> {
    let held = match options.validation {
        Validation::Random(_) | Validation::Plan(_) => 0,
        Validation::LastSections(n) => n,
    };
    if sections.len() <= held {
        return Err(PipelineError::Misuse(format!(
            "{} sections, {held} of them held out: none to train on",
            sections.len()
        )));
    }
    let training_sections = &sections[..sections.len() - held];
    let expressions: Vec<&Expression> = training_sections.iter().map(|s| &s.filtered).collect();
    let with_centres: Vec<_> = training_sections.iter().map(|s| (&s.filtered, s.spots.centres())).collect();
    let gene_scores = options.genes.select_with_centres(&with_centres)?;
    let genes = sorted_names(&gene_scores);
    let variance = log_normalised_variance(&expressions, &genes)?;

    let mut labels: Vec<Array2<f32>> = sections.iter().map(|s| s.labels(&genes)).collect::<Result<_, _>>()?;
    let views: Vec<_> = labels.iter().map(|l| l.view()).collect();
    // Held-out sections are scaled too, so that their loss compares.
    let ranges = options.scaling.fit(&views)?;
    for (labels, ranges) in labels.iter_mut().zip(&ranges) {
        ranges.apply(labels.view_mut())?;
    }
    let undo = GeneRanges::mean(&ranges[..training_sections.len()])?;
    let parts: Vec<TrainData> = sections
        .iter()
        .zip(labels)
        .map(|(s, l)| TrainData::new(s.features.clone(), s.bags.offsets().to_vec(), l))
        .collect::<Result<_, _>>()?;
    let section_of: Vec<usize> = parts.iter().enumerate().flat_map(|(i, p)| vec![i; p.bags()]).collect();
    let data = TrainData::concat(parts)?;
    let of_sections = section_bags(sections)?;
    let split = match options.validation {
        Validation::Random(share) => Split::random(data.bags(), 1.0 - share, options.train.seed)?,
        Validation::LastSections(_) => {
            Split::by_section(&section_of, &(training_sections.len()..sections.len()).collect::<Vec<_>>())?
        }
        Validation::Plan(plan) => one_split(plan, &of_sections)?,
    };

    let leakage = leakage(&of_sections, &split, prepared, encoder, options.validation)?;
    observer.note(&leakage.to_string());
    if options.strict {
        leakage.require_clean()?;
    }

    let fit = data.subset(&split.train);
    let width = prepared.context.as_ref().map_or(encoder.dim(), |context| context.width(encoder.dim()));
    let shape = ModelShape::published(width, genes.len())?;
    let input = if options.standardise { InputScale::standardising(fit.features()) } else { InputScale::none(width) };
    let mut model = MilModel::new(shape, options.train.seed, device)?.with_input(input)?;
    observer.stage("training");
    let epochs = options.train.max_epochs as u64;
    let mut heard = |epoch: &Epoch| {
        observer.progress(epoch.epoch as u64, epochs);
        true
    };
    let training =
        scellst_model::train(&mut model, &data, &split.train, &split.validation, &options.train, &mut heard)?;
    observer.progress(epochs, epochs);

    observer.stage("baselines and uncertainty");
    let held = data.subset(&split.validation);
    let held_bags = bag_predictions(&model, &held)?;
    let dim = encoder.dim();
    let (ridge, scores) = compare(&fit, &held, held_bags.view(), dim, &genes, &variance)?;
    let outliers = outliers(training_sections, dim, options.train.seed)?;
    let intervals = {
        let of: Vec<u32> = split.validation.iter().map(|&bag| section_of[bag] as u32).collect();
        let (mut predicted, mut measured) = (held_bags, held.labels().to_owned());
        undo.undo(predicted.view_mut())?;
        for (mut row, &section) in measured.axis_iter_mut(Axis(0)).zip(&of) {
            ranges[section as usize].undo(row.view_mut().insert_axis(Axis(0)))?;
        }
        intervals(predicted.view(), measured.view(), &genes, &of, options.validation)?
    };
    let (format, version) =
        Manifest::header(prepared.stain.is_some(), prepared.context.is_some() || prepared.slide_scale);
    let manifest = Manifest {
        format,
        version,
        created_by: concat!("scellst ", env!("CARGO_PKG_VERSION")).into(),
        genes,
        encoder: encoder.spec().clone(),
        crop: prepared.crop.clone(),
        stain: prepared.stain.clone(),
        slide_scale: prepared.slide_scale,
        context: prepared.context.clone(),
        detect: prepared.detect.clone(),
        filter: prepared.filter.clone(),
        shape: model.shape().clone(),
        gene_selection: options.genes.clone(),
        train_variance: variance,
        ranges: undo,
        training: TrainingRecord {
            sections: training_sections.iter().map(SectionRecord::of).collect(),
            validation: sections[training_sections.len()..].iter().map(SectionRecord::of).collect(),
            validation_bags: split.validation.len(),
            loss: "mse".into(),
            scaling: options.scaling,
            standardised: options.standardise,
            config: options.train.clone(),
            epochs: training.history.len(),
            best_epoch: training.best_epoch,
            best_loss: training.best_loss,
            scores: scores.clone(),
            leakage: Some(leakage),
        },
    };
    let bundle = Bundle::new(manifest, model).with_uncertainty(intervals, outliers);
    Ok(TrainOutcome { bundle, training, scores, ridge, genes: gene_scores })
}

fn section_bags(sections: &[PreparedSection]) -> Result<Vec<SectionBags>, PipelineError> {
    let of = |section: &PreparedSection| {
        let um: Vec<_> = section.spots.centres().iter().map(|&p| section.mpp.to_micron(p)).collect();
        let bags = SectionBags::new(section.id.clone(), &section.bags, &um, section.spots.reach_um())?;
        Ok(SectionBags { patient: section.patient.clone(), ..bags })
    };
    sections.iter().map(of).collect()
}

fn one_split(plan: SplitPlan, sections: &[SectionBags]) -> Result<Split, PipelineError> {
    match plan.split(sections)?.as_slice() {
        [split] => Ok(split.clone()),
        folds => Err(PipelineError::Misuse(format!(
            "a plan of {} folds wants as many trainings: hold out a share",
            folds.len()
        ))),
    }
}

/// Whether what validates was seen in training, as far as sections say.
fn leakage(
    sections: &[SectionBags],
    split: &Split,
    prepared: &PrepareOptions,
    encoder: &dyn Encoder,
    validation: Validation,
) -> Result<LeakageReport, PipelineError> {
    let reach = prepared.context.as_ref().map_or(Reach::Spot, |context| Reach::CellContext(context.largest_um()));
    // An encoder without weights was trained on nothing; others do not say yet on what.
    let encoder = encoder.spec().weights.is_none().then(EncoderTraining::default);
    // Spots at random or in blocks are of the same patients by intent.
    let patients_apart = match validation {
        Validation::LastSections(_) => true,
        Validation::Random(_) => false,
        Validation::Plan(plan) => matches!(plan.by, SplitBy::Patient | SplitBy::Section),
    };
    Ok(check_leakage(sections, split, &LeakageOptions { reach, patients_apart, encoder })?)
}

/// Mean prediction of each bag's cells, in the unit of the labels.
fn bag_predictions(model: &MilModel, bags: &TrainData) -> Result<Array2<f32>, PipelineError> {
    let cells = model.predict_cells(bags.features())?;
    let mut means = Array2::zeros(bags.labels().dim());
    for (i, mut row) in means.rows_mut().into_iter().enumerate() {
        for cell in bags.bag(i) {
            row += &cells.row(cell);
        }
        row /= bags.bag(i).len() as f32;
    }
    Ok(means)
}

/// Model and baselines on held-out bags, the model first; no score if they are too few to correlate.
fn compare(
    fit: &TrainData,
    held: &TrainData,
    model: ArrayView2<'_, f32>,
    dim: usize,
    genes: &[String],
    variance: &[f64],
) -> Result<(Option<Ridge>, Vec<Scored>), PipelineError> {
    if fit.bags() < 3 {
        return Ok((None, Vec::new()));
    }
    let (seen, unseen) = (fit.bag_means(), held.bag_means());
    let ridge = Ridge::fit(seen.view(), fit.labels(), &Ridge::penalties())?;
    if held.bags() < 3 {
        return Ok((Some(ridge), Vec::new()));
    }
    let score =
        |name: &str, predicted: ArrayView2<'_, f32>| score_bags(name, predicted, held.labels(), genes, variance);
    let with_context = seen.ncols() > dim;
    let name = if with_context { "ridge on spot means with context" } else { "ridge on spot means" };
    let mut scores = vec![score("model", model)?, score(name, ridge.predict(unseen.view())?.view())?];
    let [own_seen, own_unseen] = [&seen, &unseen].map(|x| x.slice_axis(Axis(1), (..dim).into()));
    for baseline in Baseline::ALL {
        // The mean predicts the same for every spot; the ridge is there already unless it saw more than the spot.
        if baseline == Baseline::Mean || (baseline == Baseline::Ridge && !with_context) {
            continue;
        }
        let fitted = baseline.fit(own_seen, fit.labels())?;
        scores.push(score(&baseline.to_string(), fitted.predict(own_unseen)?.view())?);
    }
    Ok((Some(ridge), scores))
}

/// What tells cells that look unlike those in the bags of the training sections, by their own features as the encoder
/// gave them; nothing from too few cells.
fn outliers(sections: &[PreparedSection], dim: usize, seed: u64) -> Result<Option<CellOutliers>, PipelineError> {
    const FEWEST_CELLS: usize = 200;
    let cells = sections.iter().map(|section| section.features.nrows()).sum();
    if cells < FEWEST_CELLS {
        return Ok(None);
    }
    let mut own = Array2::zeros((cells, dim));
    let mut start = 0;
    for section in sections {
        let end = start + section.features.nrows();
        let mut part = own.slice_axis_mut(Axis(0), (start..end).into());
        part.assign(&section.features.slice_axis(Axis(1), (..dim).into()));
        if let Some(scale) = &section.scale {
            scale.undo(part);
        }
        start = end;
    }
    CellOutliers::fit(own.view(), seed).map(Some)
}

/// Intervals from log-normalised predictions and measurements of the validation bags; nothing from too few.
fn intervals(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    genes: &[String],
    section_of: &[u32],
    validation: Validation,
) -> Result<Option<SpotIntervals>, PipelineError> {
    const FEWEST_BAGS: usize = 20;
    if predicted.nrows() < FEWEST_BAGS {
        return Ok(None);
    }
    let held = match validation {
        Validation::LastSections(_) => "spots of held-out sections",
        Validation::Random(_) => "spots at random of the training sections, which flatters",
        Validation::Plan(plan) => match plan.by {
            SplitBy::Random => "spots at random of the training sections, which flatters",
            SplitBy::Block { .. } => "spots of held-out blocks of the training sections",
            SplitBy::Patient => "spots of held-out patients",
            SplitBy::Section => "spots of held-out sections",
        },
    };
    let on = format!("{} {held}; the same that chose the epoch", predicted.nrows());
    SpotIntervals::fit(predicted, measured, genes, Some(section_of), &on).map(Some)
}

impl SectionRecord {
    fn of(section: &PreparedSection) -> Self {
        let FilterReport { genes_after, .. } = section.filter_report;
        Self {
            id: section.id.clone(),
            patient: section.patient.clone(),
            batch: section.batch.clone(),
            slide: section.slide.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            mpp: section.mpp,
            cells: section.cells.len(),
            bags: section.bags.len(),
            cells_in_bags: section.bags.n_cells(),
            spots: section.filtered.counts().rows(),
            genes_kept: genes_after,
        }
    }
}
