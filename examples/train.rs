//! A model of gene expression per cell, from slides and their spots.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use scellst::cells::{StainMethod, StainTarget};
use scellst::expr::{FilterConfig, GeneSelection, Scaling, write_gene_scores};
use scellst::model::TrainConfig;
use scellst::pipeline::{
    Observer, PrepareOptions, SectionSource, TrainOptions, Validation, load_section, parse_device, prepare, train,
};

/// Trains a model from slides and their spots, and writes it as a bundle
#[derive(Parser)]
#[command(name = "train")]
struct Args {
    /// A folder in HEST layout
    #[arg(long, value_name = "DIR")]
    hest: Option<PathBuf>,
    /// Sections of it to train on
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', requires = "hest")]
    sections: Vec<String>,
    /// A section described by a file (slide, counts, mpp, spot diameter); may be repeated
    #[arg(long, value_name = "FILE.toml")]
    section: Vec<PathBuf>,
    /// Sections of the HEST folder that decide when to stop; else a fifth of the spots at random
    #[arg(long, value_name = "D", value_delimiter = ',', requires = "hest")]
    validate_on: Vec<String>,
    /// hvg:K, var:K, svg:K, or a file of names
    #[arg(long, value_name = "hvg:1000|var:1000|FILE")]
    genes: GeneSelection,
    /// Take all genes and spots, without the filters on counts
    #[arg(long)]
    no_filter: bool,
    /// morphology, mobilenet-v1, resnet18, resnet34, resnet50 or vit (vit:heads=N,px=N,pool=class|mean|class+mean)
    #[arg(long, value_name = "NAME", default_value = "morphology")]
    encoder: String,
    /// The encoder's weights
    #[arg(long, value_name = "F.safetensors|F.pth")]
    weights: Option<PathBuf>,
    /// mse (nb-mean and nb-total are to come)
    #[arg(long, default_value = "mse")]
    loss: String,
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
    /// Give the features to the network as the encoder made them, as the published code does
    #[arg(long)]
    raw_features: bool,
    /// Bring the stain of every slide to that of the first section: macenko, vahadane or reinhard
    #[arg(long, value_name = "METHOD")]
    stain: Option<StainMethod>,
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

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        if args.loss != "mse" {
            anyhow::bail!("--loss {}: only mse is there yet", args.loss);
        }
        let device = parse_device(&args.device)?;
        let encoder = scellst::embed::open(&args.encoder, args.weights.as_deref(), &device)?;
        let mut sources = Vec::new();
        if let Some(folder) = &args.hest {
            if args.sections.is_empty() {
                anyhow::bail!("--hest needs --sections: which of its sections to train on");
            }
            for id in &args.sections {
                sources.push(SectionSource::hest(folder, id)?);
            }
        }
        for file in &args.section {
            sources.push(SectionSource::read(file)?);
        }
        if sources.is_empty() {
            anyhow::bail!("nothing to train on: give --hest DIR --sections A,B or --section FILE.toml");
        }
        if let Some(id) = args.validate_on.iter().find(|id| sources.iter().any(|s| s.id.0 == **id)) {
            anyhow::bail!("section {id} is to train and to validate: it cannot do both");
        }
        for id in &args.validate_on {
            // `requires` has seen to the folder.
            sources.push(SectionSource::hest(args.hest.as_deref().unwrap_or(".".as_ref()), id)?);
        }

        let console = common::Console::default();
        let begin = Instant::now();
        let filter = if args.no_filter { FilterConfig::none() } else { FilterConfig::default() };
        let stain = match (args.stain, sources.first()) {
            (Some(method), Some(first)) => Some(StainTarget::of_slide(&first.open_slide()?, method)?),
            _ => None,
        };
        let prepared_as = PrepareOptions { filter, stain, ..PrepareOptions::default() };
        let mut sections = Vec::new();
        for source in &sources {
            let section = prepare(load_section(source)?, &prepared_as, encoder.as_ref(), &console)
                .map_err(|e| e.in_section(&source.id))?;
            console.finish();
            console.note(&format!("{}: {}", section.id, section.filter_report));
            sections.push(section);
        }
        let validation = match args.validate_on.len() {
            0 => Validation::Random(0.2),
            n => Validation::LastSections(n),
        };
        let options = TrainOptions {
            genes: args.genes.clone(),
            scaling: args.scaling,
            validation,
            standardise: !args.raw_features,
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

        let mut curve = String::from("epoch,train_loss,validation_loss\n");
        for e in &outcome.training.history {
            curve += &format!("{},{},{}\n", e.epoch, e.train_loss, e.validation_loss);
        }
        outcome.bundle.save_with(&args.out, args.weights.as_deref(), &[("loss.csv", curve.into_bytes())])?;
        write_gene_scores(&args.out.join("genes.csv"), &outcome.genes)?;
        let curve = common::curve(&outcome.training);
        scellst::report::save_png(&scellst::report::loss_curve(&curve), args.out.join("loss.png"))?;

        let kind =
            if args.validate_on.is_empty() { "held-out spots of the same sections" } else { "held-out sections" };
        let t = &outcome.training;
        console.note(&format!("best of {} epochs: {}, loss {:.5}", t.history.len(), t.best_epoch, t.best_loss));
        console.note(&format!("mean Pearson on {kind}:"));
        outcome.scores.iter().for_each(|s| console.note(&format!("  {s}")));
        if let [model, ridge] = outcome.scores.as_slice()
            && model.pearson.last().zip(ridge.pearson.last()).is_some_and(|(m, r)| m.1 < r.1)
        {
            console.note("  the ridge does better than the model over all genes");
        }
        console.note(&format!("{} in {:.0} s", args.out.display(), begin.elapsed().as_secs_f64()));
        Ok(())
    })
}
