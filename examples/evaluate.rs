//! A prediction against measurements.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use scellst::h5::read_uns_number;
use scellst::pipeline::{EvaluateOptions, Evaluation, EvidenceOptions, MeanPearson, Observer, Pooling, evaluate};
use scellst::types::MicronsPerPixel;

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Spot,
    Cell,
}

/// Holds a prediction per cell against measured spots (or cells): Pearson, Spearman and error of every gene
#[derive(Parser)]
#[command(name = "evaluate")]
struct Args {
    /// What `predict` wrote
    #[arg(long, value_name = "pred.h5ad")]
    pred: PathBuf,
    /// Raw counts of the same slide
    #[arg(long, value_name = "st.h5ad")]
    truth: PathBuf,
    /// Whether the truth's rows are spots or cells
    #[arg(long, value_enum, default_value = "spot")]
    level: Level,
    /// Of a spot, um; else the truth's own
    #[arg(long, value_name = "UM")]
    spot_diameter: Option<f64>,
    /// A predicted and a true cell are the same within so many um
    #[arg(long, value_name = "UM", default_value_t = 3.0)]
    within: f64,
    /// um per level-0 pixel; else what the prediction was made with
    #[arg(long)]
    mpp: Option<f64>,
    /// One row a gene
    #[arg(long, value_name = "metrics.csv")]
    out: PathBuf,
    /// The slide, for the model's baselines, --maps and --report; else that of the prediction, where it still lies there
    #[arg(long, value_name = "FILE")]
    slide: Option<PathBuf>,
    /// Another method's prediction of the same cells, tested against this one; may be repeated
    #[arg(long, value_name = "NAME=FILE.h5ad")]
    baseline: Vec<String>,
    /// All of it as one HTML file
    #[arg(long, value_name = "report.html")]
    report: Option<PathBuf>,
    /// The report's figures, PNG and SVG
    #[arg(long, value_name = "DIR", requires = "report")]
    figures: Option<PathBuf>,
    /// The model's bundle, for its baselines, provenance and intervals; else that of the prediction, where it still lies
    /// there
    #[arg(long, value_name = "MODEL_DIR")]
    model: Option<PathBuf>,
    /// Leave out the model's own baselines, which take the time of embedding the cells in spots
    #[arg(long)]
    no_baselines: bool,
    /// Side of the blocks that intervals and tests draw from, um; else three distances between spots
    #[arg(long, value_name = "UM")]
    block: Option<f64>,
    /// Bootstrap replicates, moved slides and swaps
    #[arg(long, value_name = "N", default_value_t = 1000)]
    replicates: usize,
    /// Of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A folder for pictures: measured spots beside predicted cells, a gene each
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    /// Genes to draw; else the best predicted ones
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    map_genes: Vec<String>,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its result
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let pooling = match args.level {
            Level::Spot => Pooling::Spots { diameter_um: args.spot_diameter },
            Level::Cell => Pooling::Cells { within_um: args.within },
        };
        let mpp = args.mpp.map(MicronsPerPixel::square).transpose()?;
        let options = EvaluateOptions { pooling, mpp };
        let console = common::Console::default();
        console.stage("comparing");
        let result = evaluate(&args.pred, &args.truth, &options)?;
        let weighing = EvidenceOptions {
            block_um: args.block,
            replicates: args.replicates,
            seed: args.seed,
            ..Default::default()
        };
        console.stage("weighing the evidence");
        let weighed = result.compared.weigh(&weighing)?;
        common::write_whole(&args.out, weighed.csv(&result.compared.variance).as_bytes())?;

        let s = &result.scores;
        println!("{} of {} {} compared, {} genes", s.observations, result.truths, what(args.level), s.len());
        if !result.missing_genes.is_empty() {
            println!("{} predicted genes are not in the truth", result.missing_genes.len());
        }
        println!("{}", result.summary);
        let interval = |means: &[MeanPearson]| {
            let text = |m: &MeanPearson| Some(format!("top {}: {:.3} to {:.3}", m.0, m.2?.0, m.2?.1));
            means.iter().filter_map(text).collect::<Vec<_>>().join("  ")
        };
        println!("95 % intervals over {} blocks        {}", weighed.blocks, interval(&weighed.means));
        println!(
            "{} of {} genes are predictable (5 % false discoveries against moved slides)",
            weighed.predictable(),
            s.len()
        );
        if let Some(ceiling) = weighed.mean_ceiling {
            println!("a perfect prediction would reach {ceiling:.3} with these counts (mean ceiling)");
        }
        weighed.notes.iter().for_each(|note| println!("note: {note}"));

        let mut beside = Vec::new();
        for given in &args.baseline {
            let Some((name, path)) = given.split_once('=') else {
                bail!("--baseline {given}: expected NAME=FILE.h5ad");
            };
            let other = evaluate(path.as_ref(), &args.truth, &options).with_context(|| format!("--baseline {name}"))?;
            let found =
                result.compared.beside(&other.compared, &weighing).with_context(|| format!("--baseline {name}"))?;
            beside.push((name.to_owned(), found));
        }
        let bundle = common::baselines::find_bundle(&args.pred, args.model.as_deref())?;
        let slide = common::baselines::find_slide(&args.pred, args.slide.as_deref())?;
        if !args.no_baselines {
            match (&bundle, &slide) {
                (Some((_, bundle)), Some(slide)) => {
                    // A slide that says nothing was predicted with a resolution given.
                    let mpp = match args.mpp {
                        Some(mpp) => Some(mpp),
                        None => read_uns_number(&args.pred, &["scellst", "mpp_x"])?,
                    };
                    beside.extend(common::baselines::beside(bundle, slide, mpp, &result, &weighing, &console)?);
                }
                _ => println!("note: the model's baselines need its bundle and the slide: --model, --slide"),
            }
        }
        if !beside.is_empty() {
            common::baselines::table(&result, &weighed, &beside).iter().for_each(|line| println!("{line}"));
        }

        if let Some(folder) = &args.maps {
            let genes = if args.map_genes.is_empty() { best(&result, 2) } else { args.map_genes.clone() };
            common::maps::write(folder, &args.pred, &args.truth, slide.as_deref(), &genes)?;
        }
        if let Some(path) = &args.report {
            common::check_output(path)?;
            console.stage("drawing the report");
            let report = common::evidence::report(&common::evidence::Sources {
                pred: &args.pred,
                truth: &args.truth,
                slide: slide.as_deref(),
                bundle: bundle.as_ref().map(|(folder, bundle)| (folder.as_path(), bundle)),
                evaluation: &result,
                weighed: &weighed,
                beside: &beside,
                genes: &if args.map_genes.is_empty() { best(&result, 3) } else { args.map_genes.clone() },
                mpp: args.mpp,
                spots: matches!(args.level, Level::Spot),
            })?;
            report.save(path)?;
            println!("{}", report.first_line());
            if let Some(folder) = &args.figures {
                std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                report.save_figures(folder)?;
            }
        }
        console.finish();
        Ok(())
    })
}

fn what(level: Level) -> &'static str {
    match level {
        Level::Spot => "spots",
        Level::Cell => "cells",
    }
}

fn best(result: &Evaluation, n: usize) -> Vec<String> {
    let s = &result.scores;
    let mut order: Vec<usize> = (0..s.len()).collect();
    let key = |i: &usize| s.pearson[*i].unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    order.into_iter().take(n).map(|i| s.genes[i].clone()).collect()
}
