//! The expression of every cell of a slide.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use scellst::cells::write_geojson;
use scellst::pipeline::{
    Bundle, Observer, PredictOptions, SectionSource, load_section, parse_device, predict, prepare, write_spots_h5ad,
};

/// Predicts the expression of every cell of a slide from its H&E alone
#[derive(Parser)]
#[command(name = "predict")]
struct Args {
    /// A bundle that `train` wrote
    #[arg(long, value_name = "MODEL_DIR")]
    model: PathBuf,
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// Cells that somebody has found already; else they are detected
    #[arg(long, value_name = "cells.geojson")]
    cells: Option<PathBuf>,
    /// The encoder's weights, where the bundle has none
    #[arg(long, value_name = "F.safetensors")]
    weights: Option<PathBuf>,
    /// Features of the cells, for a model that was trained with --embeddings; without --cells the cells are where the file
    /// says
    #[arg(long, value_name = "F.h5|F.npy|F.safetensors", conflicts_with = "weights")]
    embeddings: Option<PathBuf>,
    /// cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// One row a cell, one column a gene
    #[arg(long, value_name = "pred.h5ad")]
    out: PathBuf,
    /// Predict the spots of these counts in place of cells: each from its cells, pooled as in training
    #[arg(long, value_name = "COUNTS.h5ad", conflicts_with = "geojson")]
    spots: Option<PathBuf>,
    /// The cells as GeoJSON too
    #[arg(long, value_name = "F")]
    geojson: Option<PathBuf>,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        args.geojson.as_deref().map(common::check_output).transpose()?;
        let begin = Instant::now();
        let console = common::Console::default();
        let bundle = Bundle::load(&args.model, &parse_device(&args.device)?)?;
        if let Some(counts) = &args.spots {
            let mut source = SectionSource::new("predicted", &args.slide, counts);
            (source.cells, source.mpp) = (args.cells.clone(), args.mpp);
            let encoder = bundle.open_encoder(args.weights.as_deref(), bundle.models().members()[0].device())?;
            let section = prepare(load_section(&source)?, &bundle.prepare_options(), encoder.as_ref(), &console)?;
            let n = write_spots_h5ad(&bundle, &section, &args.out)?;
            console.finish();
            console.note(&format!("{}: {n} spots in {:.1} s", args.out.display(), begin.elapsed().as_secs_f64()));
            return Ok(());
        }
        let slide = common::open_slide(&args.slide, args.mpp)?;
        let (encoder_weights, embeddings) = (args.weights.clone(), args.embeddings.clone());
        let options = PredictOptions { encoder_weights, embeddings };
        let predicted = predict(&bundle, &slide, args.cells.as_deref(), &options, &console)?;
        predicted.write_h5ad(&args.out, &console)?;
        if let Some(path) = &args.geojson {
            write_geojson(path, predicted.cells())?;
        }
        console.finish();
        console.note(&format!(
            "{}: {} cells x {} genes in {:.1} s",
            args.out.display(),
            predicted.cells().len(),
            bundle.manifest().genes.len(),
            begin.elapsed().as_secs_f64()
        ));
        Ok(())
    })
}
