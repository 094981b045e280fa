mod split;
mod weigh;

use std::path::PathBuf;

use candle_core::Device;
use ndarray::{Array2, Axis};
use scellst_bags::{Split, SplitPlan};
use scellst_embed::{Encoder, PixelNorm};
use scellst_expr::{
    Expression, FilterReport, GeneRanges, GeneScore, GeneSelection, Scaling, log_normalised_variance, sorted_names,
};
use scellst_model::{
    Ensemble, Epoch, InputScale, Loss, MilModel, ModelShape, Pooling, TrainConfig, TrainData, Training, TrainingFiles,
};

use crate::baselines::SpotFeatures;
use crate::bundle::{Manifest, SectionRecord, TrainingRecord};
use crate::output::Output;
use crate::spots::bag_predictions;
use crate::{Bundle, Observer, PipelineError, PrepareOptions, PreparedSection, Scored};

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
    /// What bags are compared with their labels by; losses of counts take raw counts and size factors, and no scaling.
    pub loss: Loss,
    /// How a spot comes from its cells.
    pub pooling: Pooling,
    /// Models trained from as many seeds, whose mean is predicted.
    pub members: usize,
    /// A folder that training goes on from when it was interrupted; the same bits come of it. Beside the checkpoints there
    /// is `log.jsonl`: a [`scellst_model::LogLine`] for every epoch, as it ends.
    pub checkpoints: Option<PathBuf>,
    /// Refuse to train if the validation bags are known to leak (see [`scellst_bags::check_leakage`]); else it is told
    /// and kept in the bundle.
    pub strict: bool,
    /// Optimiser, epochs, seed.
    pub train: TrainConfig,
}

/// What came of it.
pub struct TrainOutcome {
    /// To save.
    pub bundle: Bundle,
    /// The loss curve of each member.
    pub trainings: Vec<Training>,
    /// Model and baselines on the validation bags, the model first.
    pub scores: Vec<Scored>,
    /// The genes with what they were chosen by.
    pub genes: Vec<GeneScore>,
}

/// Trains on prepared sections, measures model and baselines on the validation bags, and keeps with the model how far off
/// it was there and what its cells looked like.
///
/// # Errors
/// [`PipelineError::Misuse`] if nothing is left to train on; [`PipelineError::Cancelled`] if the observer wants no more;
/// what choosing genes and training give.
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
    if options.pooling == Pooling::DeepSet && prepared.context.is_some() {
        let why = "a deep set learns what it takes from a cell's neighbourhood: leave the context out";
        return Err(PipelineError::Misuse(why.into()));
    }
    let training_sections = &sections[..sections.len() - held];
    let expressions: Vec<&Expression> = training_sections.iter().map(|s| &s.filtered).collect();
    let with_centres: Vec<_> = training_sections.iter().map(|s| (&s.filtered, s.spots.centres())).collect();
    let gene_scores = options.genes.select_with_centres(&with_centres)?;
    let genes = sorted_names(&gene_scores);
    let variance = log_normalised_variance(&expressions, &genes)?;

    let log_labels: Vec<Array2<f32>> = sections.iter().map(|s| s.labels(&genes)).collect::<Result<_, _>>()?;
    let loss = options.loss;
    let medians = training_sections.iter().map(PreparedSection::median_total);
    let usual_total = medians.sum::<f64>() / training_sections.len() as f64;
    let (ranges, typical_total) = if loss.of_counts() {
        let of_output = usual_total / usual_cells(training_sections, options.pooling);
        (vec![GeneRanges::new(vec![1.0; genes.len()])?; sections.len()], Some(of_output))
    } else {
        // Held-out sections are scaled too, so that their loss compares.
        (options.scaling.fit(&log_labels.iter().map(|l| l.view()).collect::<Vec<_>>())?, None)
    };
    let output = Output { ranges: GeneRanges::mean(&ranges[..training_sections.len()])?, typical_total };
    let parts: Vec<TrainData> = sections
        .iter()
        .zip(log_labels.iter().zip(&ranges))
        .map(|(section, (labels, ranges))| {
            let (features, offsets) = (section.features.clone(), section.bags.offsets().to_vec());
            if loss.of_counts() {
                let data = TrainData::new(features, offsets, section.counts(&genes)?)?;
                let sizes = match options.pooling {
                    // A spot's total is what its cells add up to: only the section's depth is given.
                    Pooling::Sum => vec![(section.median_total() / usual_total) as f32; section.bags.len()],
                    _ => section.size_factors()?,
                };
                return Ok(data.with_size_factors(sizes)?);
            }
            let mut scaled = labels.clone();
            ranges.apply(scaled.view_mut())?;
            Ok(TrainData::new(features, offsets, scaled)?)
        })
        .collect::<Result<_, PipelineError>>()?;
    let section_of: Vec<usize> = parts.iter().enumerate().flat_map(|(i, p)| vec![i; p.bags()]).collect();
    let data = TrainData::concat(parts)?;
    let of_sections = split::section_bags(sections)?;
    let split = match options.validation {
        Validation::Random(share) => Split::random(data.bags(), 1.0 - share, options.train.seed)?,
        Validation::LastSections(_) => {
            Split::by_section(&section_of, &(training_sections.len()..sections.len()).collect::<Vec<_>>())?
        }
        Validation::Plan(plan) => split::one_split(plan, &of_sections)?,
    };

    let leakage = split::leakage(&of_sections, &split, prepared, encoder, options.validation)?;
    observer.note(&leakage.to_string());
    if options.strict {
        leakage.require_clean()?;
    }

    let width = prepared.width(encoder.dim());
    let shape = ModelShape::published(width, genes.len())?.with_loss(loss).with_pooling(options.pooling)?;
    let input = match options.standardise {
        true => InputScale::standardising(data.subset(&split.train).features()),
        false => InputScale::none(width),
    };
    let (models, trainings) = fit(&shape, &input, &data, &split, options, device, observer)?;

    observer.stage("baselines and uncertainty");
    let dim = prepared.own_width(encoder.dim());
    let spots = SpotFeatures { cells: data.bag_means(), own: dim, patches: weigh::patches(sections)? };
    let measured = stacked(&log_labels)?;
    let [seen, held] = [&split.train, &split.validation]
        .map(|bags| weigh::Spots { features: spots.select(bags), measured: measured.select(Axis(0), bags) });
    let held_bags = data.subset(&split.validation);
    let predicted = bag_predictions(&models, &output, held_bags.features(), held_bags.offsets())?;
    let patch = prepared.patch.as_ref();
    let (baselines, scores) = weigh::compare(&seen, &held, predicted.view(), patch, &genes, &variance)?;
    let colour = weigh::colour(training_sections, options.train.seed)?;
    let outliers = weigh::outliers(training_sections, dim, options.train.seed)?;
    let of: Vec<u32> = split.validation.iter().map(|&bag| section_of[bag] as u32).collect();
    let intervals = weigh::intervals(predicted.view(), held.measured.view(), &genes, &of, options.validation)?;
    let newer = prepared.context.is_some() || prepared.slide_scale || loss.of_counts() || options.members > 1;
    let usual = [PixelNorm::IMAGENET, PixelNorm::SYMMETRIC, PixelNorm::UNIT].contains(&encoder.spec().pixels);
    let pixels = prepared.coarse.is_some() || prepared.slide_pixels || !usual;
    let (format, version) = Manifest::header(prepared.stain.is_some(), newer, pixels, options.pooling);
    let reach = training_sections.iter().map(|s| s.spots.reach_um()).fold(0.0, f64::max);
    let training = &trainings[0];
    let manifest = Manifest {
        format,
        version,
        created_by: concat!("scellst ", env!("CARGO_PKG_VERSION")).into(),
        genes,
        encoder: encoder.spec().clone(),
        crop: prepared.crop.clone(),
        coarse: prepared.coarse.clone(),
        slide_pixels: prepared.slide_pixels,
        stain: prepared.stain.clone(),
        slide_scale: prepared.slide_scale,
        context: prepared.context.clone(),
        set_radius_um: (options.pooling == Pooling::DeepSet).then_some(reach),
        detect: prepared.detect.clone(),
        filter: prepared.filter.clone(),
        shape,
        members: options.members,
        gene_selection: options.genes.clone(),
        train_variance: variance,
        ranges: output.ranges,
        typical_total: output.typical_total,
        training: TrainingRecord {
            sections: training_sections.iter().map(SectionRecord::of).collect(),
            validation: sections[training_sections.len()..].iter().map(SectionRecord::of).collect(),
            validation_bags: split.validation.len(),
            loss: loss.to_string(),
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
    let bundle = Bundle::new(manifest, models).with_uncertainty(intervals, outliers, colour).with_baselines(baselines);
    Ok(TrainOutcome { bundle, trainings, scores, genes: gene_scores })
}

/// Trains the members one after the other.
fn fit(
    shape: &ModelShape,
    input: &InputScale,
    data: &TrainData,
    split: &Split,
    options: &TrainOptions,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(Ensemble, Vec<Training>), PipelineError> {
    if options.members == 0 {
        return Err(PipelineError::Misuse("an ensemble of 0 members: at least 1 is needed".into()));
    }
    let epochs = options.train.max_epochs as u64;
    let (mut models, mut trainings) = (Vec::new(), Vec::new());
    for member in 0..options.members as u64 {
        let config = TrainConfig { seed: options.train.seed.wrapping_add(member), ..options.train.clone() };
        let mut model = MilModel::new(shape.clone(), config.seed, device)?.with_input(input.clone())?;
        match options.members {
            1 => observer.stage("training"),
            n => observer.stage(&format!("training member {} of {n}", member + 1)),
        }
        let mut heard = |epoch: &Epoch| {
            observer.progress(epoch.epoch as u64, epochs);
            !observer.is_cancelled()
        };
        let (train, validation) = (&split.train, &split.validation);
        trainings.push(match &options.checkpoints {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(PipelineError::io("write", folder))?;
                let checkpoint = folder.join(format!("member-{member}.checkpoint"));
                let log = Some(folder.join("log.jsonl"));
                let files = TrainingFiles { checkpoint, log, member: member as usize };
                scellst_model::train_resumable(&mut model, data, train, validation, &config, &files, &mut heard)?
            }
            None => scellst_model::train(&mut model, data, train, validation, &config, &mut heard)?,
        });
        if observer.is_cancelled() {
            return Err(PipelineError::Cancelled);
        }
        observer.progress(epochs, epochs);
        models.push(model);
    }
    Ok((Ensemble::new(models)?, trainings))
}

/// The sections' rows one below the other.
fn stacked(parts: &[Array2<f32>]) -> Result<Array2<f32>, PipelineError> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|e| PipelineError::Misuse(format!("labels of other widths: {e}")))
}

/// Cells in a spot of these sections, where they add up to it; else 1.
fn usual_cells(sections: &[PreparedSection], pooling: Pooling) -> f64 {
    let (cells, bags) = sections.iter().fold((0, 0), |(c, b), s| (c + s.bags.n_cells(), b + s.bags.len()));
    if pooling == Pooling::Sum { cells as f64 / bags.max(1) as f64 } else { 1.0 }
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
