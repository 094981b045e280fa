//! The simulation study: what spots can teach about single cells, and what spoils it.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ndarray::Array2;
use scellst::model::TrainConfig;
use scellst::pipeline::study::{
    Learner, Level, SeedMean, StudyCase, StudyGenes, StudyLoss, StudyOptions, StudyScore, over_seeds, run_case,
    study_csv,
};
use scellst::pipeline::{Observer, parse_device};
use scellst::sim::study::{CellConfig, Degradation, MadeEmbeddings, MadeReference, Reference, Scenario, StudyCells};

/// Trains on made spots of cells with known expression and scores single cells (sCellST, figure 2), for every
/// combination of what is given
#[derive(Parser)]
#[command(name = "simulate")]
struct Args {
    /// Embeddings of real cells (cells x features, float32); else made ones
    #[arg(long, value_name = "F.npy")]
    embeddings: Option<PathBuf>,
    /// Single cells with raw counts; else made ones
    #[arg(long, value_name = "REF.h5ad")]
    reference: Option<PathBuf>,
    /// Column of the reference's obs with the type of each cell
    #[arg(long, value_name = "COLUMN", default_value = "cell_type")]
    class: String,
    /// Types: as many clusters of embeddings, and the commonest classes of the reference
    #[arg(long, value_name = "N", default_value_t = 6)]
    types: usize,
    /// centroid, cell, random or all
    #[arg(long, value_delimiter = ',', default_value = "all")]
    scenario: Vec<String>,
    /// hvg:K, markers or markers:K
    #[arg(long, value_delimiter = ',', default_value = "hvg:1000,markers")]
    genes: Vec<StudyGenes>,
    /// mil, supervised (trained on true cells), onehot (types as input), ridge (on spot means)
    #[arg(long, value_delimiter = ',', default_value = "mil,supervised,onehot,ridge")]
    learner: Vec<Learner>,
    /// mse, nb-mean, nb-total
    #[arg(long, value_delimiter = ',', default_value = "mse")]
    loss: Vec<StudyLoss>,
    /// AdamW's step
    #[arg(long, value_delimiter = ',', default_value = "0.0001")]
    learning_rate: Vec<f64>,
    /// What goes wrong: none, missed:SHARE, merged:SHARE, split:SHARE, shift:UM, depth:SHARE, stain:SD
    #[arg(long, value_delimiter = ',', default_value = "none")]
    degrade: Vec<Degradation>,
    /// Training spots
    #[arg(long, value_delimiter = ',', default_value = "5000")]
    spots: Vec<usize>,
    /// Cells of a spot
    #[arg(long, value_delimiter = ',', default_value = "20")]
    cells_per_spot: Vec<usize>,
    /// Cells of a cluster that are kept
    #[arg(long, value_name = "N", default_value_t = 2000)]
    cells_per_cluster: usize,
    /// Features of made embeddings
    #[arg(long, value_name = "N", default_value_t = 512)]
    dims: usize,
    /// Test spots
    #[arg(long, value_name = "N", default_value_t = 2000)]
    test_spots: usize,
    /// At most so many epochs
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().max_epochs)]
    epochs: usize,
    /// Stop after so many epochs without a better validation loss
    #[arg(long, default_value_t = TrainConfig::default().patience)]
    patience: usize,
    /// So many studies, each with other cells, pairs, spots and weights
    #[arg(long, value_name = "K", default_value_t = 1)]
    seeds: u64,
    /// The first study's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// One row a training and level; the same as .json beside it
    #[arg(long, value_name = "study.csv")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its result
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let device = parse_device(&args.device)?;
        let scenarios: Vec<Scenario> = match args.scenario.iter().any(|s| s == "all") {
            true => Scenario::ALL.to_vec(),
            false => args.scenario.iter().map(|s| s.parse()).collect::<Result<_, _>>()?,
        };
        if args.seeds == 0 {
            bail!("--seeds must be at least 1");
        }
        let reference = reference(&args)?;
        let embeddings = embeddings(&args)?;
        let chosen: Vec<Vec<String>> = args.genes.iter().map(|g| g.choose(&reference)).collect::<Result<_, _>>()?;
        let options = StudyOptions {
            train: TrainConfig { max_epochs: args.epochs, patience: args.patience, ..TrainConfig::default() },
            test_spots: args.test_spots,
            ..StudyOptions::default()
        };

        let console = common::Console::default();
        let begin = Instant::now();
        let mut scores: Vec<StudyScore> = Vec::new();
        println!("scenario genes        learner    loss     degradation   spots x cells seed   bag    cell   epochs");
        for seed in args.seed..args.seed + args.seeds {
            for &scenario in &scenarios {
                console.stage("clustering");
                let config = CellConfig { cells_per_cluster: args.cells_per_cluster, seed, ..CellConfig::default() };
                let cells = StudyCells::new(embeddings.view(), &reference, scenario, &config)?;
                for (genes, names) in args.genes.iter().zip(&chosen) {
                    for case in cases(&args, scenario, *genes, seed) {
                        console.stage(&format!("{scenario} {genes} {}", case.learner));
                        scores.extend(run_case(&cells, names, &case, &options, &device, &console)?);
                        console.finish();
                        tell(&scores);
                        // What is there is kept if a later case fails.
                        write(&args.out, &scores)?;
                    }
                }
            }
        }
        if args.seeds > 1 {
            println!("\nmean over seeds with Student's 95 % interval, at cells:");
            over_seeds(&scores)?.iter().filter(|row| row.level == Level::Cell).for_each(tell_mean);
        }
        console.note(&format!("{} in {:.0} s", args.out.display(), begin.elapsed().as_secs_f64()));
        Ok(())
    })
}

#[allow(clippy::print_stdout)]
fn tell_mean(row: &SeedMean) {
    let c = &row.case;
    let interval = row.interval.map(|(low, high)| format!("({low:.3} to {high:.3})")).unwrap_or_default();
    println!(
        "{:<8} {:<12} {:<10} {:<8} {:<7} {:<13} {} x {:<5} {:.3} {interval}  {} seeds",
        c.scenario.to_string(),
        c.genes.to_string(),
        c.learner.to_string(),
        c.loss.to_string(),
        c.learning_rate,
        c.degradation.to_string(),
        c.spots,
        c.cells_per_spot,
        row.pearson,
        row.seeds
    );
}

/// Every combination; what does not bear on a learner is varied for none.
fn cases(args: &Args, scenario: Scenario, genes: StudyGenes, seed: u64) -> Vec<StudyCase> {
    let mut cases: Vec<StudyCase> = Vec::new();
    for &learner in &args.learner {
        for &loss in &args.loss {
            for &learning_rate in &args.learning_rate {
                for &degradation in &args.degrade {
                    for &spots in &args.spots {
                        for &cells_per_spot in &args.cells_per_spot {
                            let loss = if learner == Learner::Ridge { StudyLoss::Mse } else { loss };
                            let learning_rate = if learner == Learner::Ridge { 0.0 } else { learning_rate };
                            let case = StudyCase {
                                scenario,
                                genes,
                                learner,
                                loss,
                                learning_rate,
                                degradation,
                                spots,
                                cells_per_spot,
                                seed,
                            };
                            if !cases.contains(&case) {
                                cases.push(case);
                            }
                        }
                    }
                }
            }
        }
    }
    cases
}

/// The last case on a line.
#[allow(clippy::print_stdout)]
fn tell(scores: &[StudyScore]) {
    let [.., bag, cell] = scores else { return };
    debug_assert!(bag.level == Level::Bag && cell.level == Level::Cell);
    let c = &bag.case;
    let bags = format!("{} x {}", c.spots, c.cells_per_spot);
    println!(
        "{:<8} {:<12} {:<10} {:<8} {:<13} {bags:<13} {:<4} {:>6.3} {:>6.3} {:>6}",
        c.scenario.to_string(),
        c.genes.to_string(),
        c.learner.to_string(),
        c.loss.to_string(),
        c.degradation.to_string(),
        c.seed,
        bag.pearson,
        cell.pearson,
        bag.epochs
    );
}

fn write(out: &Path, scores: &[StudyScore]) -> Result<()> {
    common::write_whole(out, study_csv(scores).as_bytes())?;
    common::write_whole(&out.with_extension("json"), &serde_json::to_vec_pretty(scores)?)
}

fn embeddings(args: &Args) -> Result<Array2<f32>> {
    let Some(path) = &args.embeddings else {
        let cells_per_type = args.cells_per_cluster.saturating_add(args.cells_per_cluster / 2);
        let made = MadeEmbeddings { types: args.types, dims: args.dims, cells_per_type, ..MadeEmbeddings::default() };
        return Ok(made.generate()?);
    };
    ndarray_npy::read_npy(path).with_context(|| format!("cannot read {} as float32 (cells x features)", path.display()))
}

fn reference(args: &Args) -> Result<Reference> {
    let Some(path) = &args.reference else {
        return Ok(MadeReference { types: args.types, ..MadeReference::default() }.generate()?);
    };
    read_reference(path, &args.class, args.types)
}

#[cfg(feature = "h5ad")]
fn read_reference(path: &Path, class: &str, types: usize) -> Result<Reference> {
    let measured = scellst::h5::read_h5ad(path)?;
    let columns = scellst::h5::MatrixReader::open(path, None)?.read_obs()?;
    let Some(values) = columns.text.get(class) else {
        let there: Vec<&str> = columns.text.keys().map(String::as_str).collect();
        bail!("{} has no column of texts '{class}' in obs: it has {}", path.display(), there.join(", "));
    };
    let classes: Vec<String> = values.iter().map(|v| v.clone().unwrap_or_else(|| "unknown".into())).collect();
    Ok(Reference::new(&measured.expression, &classes, types)?)
}

#[cfg(not(feature = "h5ad"))]
fn read_reference(path: &Path, _: &str, _: usize) -> Result<Reference> {
    bail!("cannot read {}: this program was built without the feature h5ad", path.display())
}
