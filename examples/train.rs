//! A model of gene expression per cell, from slides and their spots.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use scellst::bags::{Held, Reach, SplitBy, SplitPlan};
use scellst::cells::{CropSpec, StainMethod, StainTarget};
use scellst::embed::Encoder;
use scellst::expr::{FilterConfig, GeneSelection, Scaling, write_gene_scores};
use scellst::model::{Loss, Pooling, TrainConfig};
use scellst::pipeline::{
    ContextSpec, Elsewhere, Observer, PrepareOptions, PreparedSection, Scored, SectionSource, TrainOptions, Validation,
    crop_for, load_section, parse_device, patch_crop, prepare, train,
};

/// Trains a model from slides and their spots, and writes it as a bundle
#[derive(Parser)]
#[command(name = "train")]
struct Args {
    #[command(flatten)]
    given: common::sources::Sections,
    /// Sections (of the cohort, or others of the HEST folder) that decide when to stop, and train nothing
    #[arg(long, value_name = "D", value_delimiter = ',')]
    validate_on: Vec<String>,
    /// What is held out to decide when to stop, where no section is: random spots, blocks with a gap, patients, sections
    #[arg(long, value_name = "random|block|patient|section", default_value = "random", conflicts_with = "validate_on")]
    split: SplitKind,
    /// How much of it
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    held: f64,
    /// Refuse to train if what validates leaks into training
    #[arg(long)]
    strict: bool,
    /// hvg:K, var:K, svg:K, or a file of names
    #[arg(long, value_name = "hvg:1000|var:1000|FILE")]
    genes: GeneSelection,
    /// Take all genes and spots, without the filters on counts
    #[arg(long)]
    no_filter: bool,
    /// morphology, mobilenet-v1, resnet18, resnet34, resnet50 or vit (vit:heads=N,px=N,pool=class|mean|class+mean)
    #[arg(long, value_name = "NAME", default_value = "morphology")]
    encoder: String,
    /// Features that another program made, in place of an encoder: <section>.h5, .npy or .safetensors in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["encoder", "weights", "coarse_crop", "stain"])]
    embeddings: Option<PathBuf>,
    /// The encoder's weights
    #[arg(long, value_name = "F.safetensors|F.pth")]
    weights: Option<PathBuf>,
    /// Squared error of scaled logs (mse), or likelihoods of raw counts
    #[arg(long, value_name = "mse|nb-mean|nb-total|poisson|zero-inflated-nb", default_value = "mse", value_parser = loss)]
    loss: Loss,
    /// How a spot comes from its cells: their mean; their sum, so that counts of more cells are more; weighed by a learnt
    /// attention; or the mean of cells that see what else is in their spot (at prediction: within a spot's radius)
    #[arg(long, value_name = "mean|sum|attention|deep-set", default_value = "mean")]
    pooling: Pooling,
    /// Train so many models from as many seeds and predict their mean
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    members: u16,
    /// Keep the state of training in this folder, with a log.jsonl, and go on from it after an interruption
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// At most so many epochs
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().max_epochs)]
    epochs: usize,
    /// AdamW's step
    #[arg(long, default_value_t = TrainConfig::default().learning_rate)]
    learning_rate: f64,
    /// Stop after so many epochs without a better validation loss
    #[arg(long, default_value_t = TrainConfig::default().patience)]
    patience: usize,
    /// Labels scaled per slide, over all slides (global), or not (none)
    #[arg(long, default_value = "slide")]
    scaling: Scaling,
    /// Features to mean 0 and deviation 1: of each slide over its own cells (slide), over the training cells (training),
    /// or as the encoder made them (none), as the published code does
    #[arg(long, value_name = "slide|training|none", default_value = "training")]
    feature_scaling: FeatureScaling,
    /// The same as --feature-scaling none
    #[arg(long, conflicts_with = "feature_scaling")]
    raw_features: bool,
    /// Bring the stain of every slide to that of the first section: macenko, vahadane or reinhard
    #[arg(long, value_name = "METHOD")]
    stain: Option<StainMethod>,
    /// Width of the crop around each cell that is embedded, um (default: 12, or what `train_encoder` trained on)
    #[arg(long, value_name = "12", conflicts_with = "embeddings")]
    crop: Option<f64>,
    /// A second, coarser crop around each cell of this width, um, seen by the same encoder
    #[arg(long, value_name = "112")]
    coarse_crop: Option<f64>,
    /// Pixels standardised as the encoder's weights want it (encoder), or by each slide's own cells (slide)
    #[arg(long, value_name = "encoder|slide", default_value = "encoder")]
    pixels: PixelScaling,
    /// Let each cell see its neighbourhood too: the mean features of all cells within these radii, um
    #[arg(long, value_name = "50,100,200")]
    context: Option<ContextSpec>,
    /// Leave out the baseline on patches of 112 um around the spots, which takes about 20 times as long a spot as a cell
    #[arg(long)]
    no_patch_baseline: bool,
    /// Of weights, dropout and splits
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The bundle, a folder
    #[arg(long, value_name = "MODEL_DIR")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

/// A loss by its name.
fn loss(name: &str) -> Result<Loss, String> {
    let all = [Loss::Mse, Loss::NbMean, Loss::NbTotal, Loss::Poisson, Loss::ZeroInflatedNb];
    let known = all.into_iter().find(|loss| loss.to_string() == name);
    known.ok_or_else(|| format!("expected one of {}", all.map(|loss| loss.to_string()).join(", ")))
}

/// What features are standardised over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FeatureScaling {
    Slide,
    Training,
    None,
}

/// What pixels are standardised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PixelScaling {
    Encoder,
    Slide,
}

/// What is held out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SplitKind {
    Random,
    Block,
    Patient,
    Section,
}

impl SplitKind {
    fn name(self) -> &'static str {
        match self {
            Self::Random => "held-out spots of the same sections",
            Self::Block => "held-out blocks of the same sections",
            Self::Patient => "held-out patients",
            Self::Section => "held-out sections",
        }
    }

    fn validation(self, share: f64, seed: u64, sections: &[PreparedSection], reach_um: f64) -> Validation {
        let by = match self {
            Self::Random => return Validation::Random(share),
            Self::Patient => SplitBy::Patient,
            Self::Section => SplitBy::Section,
            Self::Block => {
                let spot = sections.iter().map(|s| s.spots.reach_um()).fold(0.0, f64::max);
                let reach = if reach_um > 0.0 { Reach::CellContext(reach_um) } else { Reach::Spot };
                let gap_um = reach.um(spot);
                SplitBy::Block { side_um: 1000.0_f64.max(4.0 * gap_um), gap_um }
            }
        };
        Validation::Plan(SplitPlan { by, held: Held::Share(share), seed })
    }
}

/// The file of a section's features.
fn features_of(folder: &Path, id: &str) -> anyhow::Result<PathBuf> {
    let names = ["h5", "npy", "safetensors"].map(|e| folder.join(format!("{id}.{e}")));
    let found = names.iter().find(|path| path.is_file()).cloned();
    found.with_context(|| {
        format!("no features of section {id}: looked for {}", names.map(|n| n.display().to_string()).join(", "))
    })
}

/// The sections that validate, behind those that train.
fn put_last(sources: &mut Vec<SectionSource>, args: &Args) -> anyhow::Result<()> {
    for id in &args.validate_on {
        if args.given.sections.contains(id) {
            anyhow::bail!("section {id} is to train and to validate: it cannot do both");
        }
        let source = match (sources.iter().position(|s| s.id.0 == *id), &args.given.hest) {
            (Some(at), _) => sources.remove(at),
            (None, Some(folder)) => SectionSource::hest(folder, id)?,
            (None, None) => anyhow::bail!("--validate-on {id}: there is no such section among those given"),
        };
        sources.push(source);
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        let device = parse_device(&args.device)?;
        let mut sources = args.given.read()?;
        put_last(&mut sources, &args)?;
        if let Some(folder) = &args.embeddings {
            for source in &mut sources {
                source.embeddings = Some(features_of(folder, &source.id.0)?);
            }
        }
        let encoder: Box<dyn Encoder> = match sources.iter().filter_map(|s| s.embeddings.as_deref()).next() {
            None => scellst::embed::open(&args.encoder, args.weights.as_deref(), &device)?,
            Some(_) if sources.iter().any(|s| s.embeddings.is_none()) => {
                anyhow::bail!("some sections have features made elsewhere and some have not: give them for all or none")
            }
            Some(first) => Box::new(Elsewhere::of_file(first)?),
        };

        let console = common::Console::default();
        let begin = Instant::now();
        let filter = if args.no_filter { FilterConfig::none() } else { FilterConfig::default() };
        let stain = match (args.stain, sources.first()) {
            (Some(method), Some(first)) => Some(StainTarget::of_slide(&first.open_slide()?, method)?),
            _ => None,
        };
        let slide_scale = args.feature_scaling == FeatureScaling::Slide;
        let mut crop = crop_for(encoder.as_ref());
        if let Some(um) = args.crop {
            crop = CropSpec::spanning(um, crop.centre_px);
        }
        crop.validate()?;
        let coarse = args.coarse_crop.map(|um| CropSpec::spanning(um, crop.centre_px));
        let slide_pixels = args.pixels == PixelScaling::Slide;
        let context = args.context.clone();
        let patch = patch_crop(encoder.as_ref()).filter(|_| !args.no_patch_baseline);
        let prepared_as = PrepareOptions {
            filter,
            crop,
            coarse,
            slide_pixels,
            stain,
            slide_scale,
            context,
            patch,
            ..PrepareOptions::default()
        };
        let mut sections = Vec::new();
        for source in &sources {
            let section = prepare(load_section(source)?, &prepared_as, encoder.as_ref(), &console)
                .map_err(|e| e.in_section(&source.id))?;
            console.finish();
            console.note(&format!("{}: {}", section.id, section.filter_report));
            sections.push(section);
        }
        let validation = match args.validate_on.len() {
            0 => args.split.validation(args.held, args.seed, &sections, prepared_as.reach_um()),
            n => Validation::LastSections(n),
        };
        let options = TrainOptions {
            genes: args.genes.clone(),
            scaling: args.scaling,
            validation,
            standardise: args.feature_scaling == FeatureScaling::Training && !args.raw_features,
            loss: args.loss,
            pooling: args.pooling,
            members: args.members.into(),
            checkpoints: args.checkpoints.clone(),
            strict: args.strict,
            train: TrainConfig {
                learning_rate: args.learning_rate,
                max_epochs: args.epochs,
                patience: args.patience,
                seed: args.seed,
                ..TrainConfig::default()
            },
        };
        let outcome = train(&sections, &prepared_as, encoder.as_ref(), &options, &device, &console)?;
        console.finish();

        let mut curve = String::from("member,epoch,train_loss,validation_loss,learning_rate,gradient_norm\n");
        for (member, training) in outcome.trainings.iter().enumerate() {
            for e in &training.history {
                let (fit, held) = (e.train_loss, e.validation_loss);
                curve += &format!("{member},{},{fit},{held},{},{}\n", e.epoch, e.learning_rate, e.gradient_norm);
            }
        }
        outcome.bundle.save_with(&args.out, args.weights.as_deref(), &[("loss.csv", curve.into_bytes())])?;
        write_gene_scores(&args.out.join("genes.csv"), &outcome.genes)?;
        let curve = common::curve(&outcome.trainings[0]);
        scellst::report::save_png(&scellst::report::loss_curve(&curve, "epoch"), args.out.join("loss.png"))?;

        let kind = if args.validate_on.is_empty() { args.split.name() } else { "held-out sections" };
        for t in &outcome.trainings {
            console.note(&format!("best of {} epochs: {}, loss {:.5}", t.history.len(), t.best_epoch, t.best_loss));
        }
        console.note(&format!("mean Pearson on {kind}:"));
        outcome.scores.iter().for_each(|s| console.note(&format!("  {s}")));
        let over_all = |s: &Scored| s.pearson.last().map(|p| p.1);
        if let Some((model, others)) = outcome.scores.split_first() {
            for other in others.iter().filter(|other| over_all(other) > over_all(model)) {
                console.note(&format!("  {} does better than the model over all genes", other.name));
            }
        }
        console.note(&format!("{} in {:.0} s", args.out.display(), begin.elapsed().as_secs_f64()));
        Ok(())
    })
}
