//! A prediction against measurements.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use scellst::pipeline::{EvaluateOptions, Evaluation, Pooling, evaluate};
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
    /// The slide, for --maps
    #[arg(long, value_name = "FILE", requires = "maps")]
    slide: Option<PathBuf>,
    /// A folder for pictures: measured spots beside predicted cells, a gene each
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    /// Genes to draw; else the two best predicted
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "maps")]
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
        let result = evaluate(&args.pred, &args.truth, &EvaluateOptions { pooling, mpp })?;
        common::write_whole(&args.out, common::metrics_table(&result.scores).as_bytes())?;

        let s = &result.scores;
        println!("{} of {} {} compared, {} genes", s.observations, result.truths, what(args.level), s.len());
        if !result.missing_genes.is_empty() {
            println!("{} predicted genes are not in the truth", result.missing_genes.len());
        }
        println!("{}", result.summary);
        if let Some(folder) = &args.maps {
            let genes = if args.map_genes.is_empty() { best(&result, 2) } else { args.map_genes.clone() };
            common::maps::write(folder, &args.pred, &args.truth, args.slide.as_deref(), &genes)?;
        }
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
