//! How fast one stage is on this machine: one JSON line.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ndarray::{Array2, Array4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scellst::cells::{CropSpec, CropStream, DetectConfig, detect};
use scellst::embed::Encoder;
use scellst::h5::{Column, PredictionHeader, PredictionWriter};
use scellst::model::{Loss, MilModel, ModelShape, TrainConfig, TrainData, Trainer};
use scellst::pipeline::{Quiet, embed_cells, parse_device};
use scellst::slide::{OpenOptions, Slide};
use scellst::types::{Level0, LevelIndex, MicronsPerPixel, Point, Size};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stage {
    /// Every tile of level 0, Mpx/s
    Decode,
    /// 1,000 random regions of 512 px of level 0 by all threads at once, regions/s
    Regions,
    /// Crops of 72 px at 0.25 um/px of random cells, cells/s
    Crops,
    /// Nuclei of the whole slide, Mpx/s
    Detect,
    /// Features of random crops in memory, cells/s
    Embed,
    /// Steps of 128 bags x 20 cells, cells/s
    Train,
    /// Detected cells to expression, cells/s
    Predict,
    /// Features of made-up cells to an h5ad of their expression, cells/s: the network and the file alone
    Write,
}

/// How fast one stage is on this machine: one JSON line with the rate and the peak memory
#[derive(Parser)]
#[command(name = "throughput")]
struct Args {
    stage: Stage,
    /// For decode, crops, detect and predict
    #[arg(long, value_name = "F")]
    slide: Option<PathBuf>,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// Decoded tiles that are kept, for regions
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    cache_mib: usize,
    /// For embed and predict
    #[arg(long, value_name = "E", default_value = "morphology")]
    encoder: String,
    /// The encoder's weights
    #[arg(long, value_name = "F")]
    weights: Option<PathBuf>,
    /// Crops that are embedded in a call
    #[arg(long, value_name = "N", default_value_t = 256)]
    batch: usize,
    /// Features of a cell, for train and write
    #[arg(long, default_value_t = 2048)]
    features: usize,
    /// Genes, for train, predict and write
    #[arg(long, default_value_t = 1000)]
    genes: usize,
    /// Cells, for write
    #[arg(long, default_value_t = 1_000_000)]
    cells: usize,
    /// Where write leaves its file; without it the file is deleted at the end
    #[arg(long, value_name = "pred.h5ad")]
    out: Option<PathBuf>,
    /// For train: mse, nb-mean, nb-total, poisson or zero-inflated-nb
    #[arg(long, value_name = "L", default_value = "mse")]
    loss: String,
    /// Go on for at least so long
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// cpu, cuda:N or metal
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its purpose
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        let mut line = match args.stage {
            Stage::Decode => decode(&args)?,
            Stage::Regions => regions(&args)?,
            Stage::Crops => crops(&args)?,
            Stage::Detect => detection(&args)?,
            Stage::Embed => embedding(&args)?,
            Stage::Train => training(&args)?,
            Stage::Predict => predicting(&args)?,
            Stage::Write => writing(&args)?,
        };
        line["threads"] = json!(rayon::current_num_threads());
        line["device"] = json!(args.device);
        line["peak_memory_mib"] = json!(common::peak_memory().map(|b| b >> 20));
        println!("{line}");
        Ok(())
    })
}

/// The median over runs of how many items a second; a first run warms up and is not counted.
fn rate(seconds: f64, mut run: impl FnMut() -> Result<f64>) -> Result<(f64, usize)> {
    run()?;
    let begin = Instant::now();
    let mut rates = Vec::new();
    while rates.len() < 3 || (begin.elapsed().as_secs_f64() < seconds && rates.len() < 10_000) {
        let start = Instant::now();
        let items = run()?;
        rates.push(items / start.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok((rates[rates.len() / 2], rates.len()))
}

fn slide(args: &Args) -> Result<Slide> {
    let path = args.slide.as_ref().context("this stage needs --slide")?;
    let mpp = args.mpp.map(MicronsPerPixel::square).transpose().context("--mpp")?;
    let options = OpenOptions { mpp, cache_bytes: args.cache_mib << 20, ..OpenOptions::default() };
    Ok(Slide::open_with(path, &options)?)
}

fn random_places(slide: &Slide, n: usize) -> Vec<Point<Level0>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (w, h) = (f64::from(slide.size().width), f64::from(slide.size().height));
    (0..n).map(|_| Point::new(rng.random_range(0.0..w), rng.random_range(0.0..h))).collect()
}

fn decode(args: &Args) -> Result<Value> {
    let slide = slide(args)?;
    let level = slide.level(LevelIndex(0))?;
    let tiles = level.tiles();
    let (rate, runs) = rate(args.seconds, || {
        // Every pixel is looked at, so that nothing can be left out.
        let sum = AtomicU64::new(0);
        tiles.par_iter().try_for_each(|tile| -> Result<()> {
            let image = slide.read_uncached(tile)?;
            sum.fetch_add(image.as_raw().iter().map(|&v| u64::from(v)).sum(), Ordering::Relaxed);
            Ok(())
        })?;
        anyhow::ensure!(sum.into_inner() > 0, "the slide is black");
        Ok(slide.size().pixels() as f64 / 1e6)
    })?;
    Ok(
        json!({ "stage": "decode", "mpx_per_s": rate, "runs": runs, "tiles": tiles.len(), "format": slide.format().to_string() }),
    )
}

fn regions(args: &Args) -> Result<Value> {
    const SIDE: u32 = 512;
    let slide = slide(args)?;
    let level = slide.level(LevelIndex(0))?;
    let places = random_places(&slide, 1000);
    let size = Size::new(SIDE.min(slide.size().width), SIDE.min(slide.size().height));
    let (rate, runs) = rate(args.seconds, || {
        places.par_iter().try_for_each(|&corner| -> Result<()> {
            let image = slide.read(&level.region_at(corner, size))?;
            anyhow::ensure!(image.dimensions() == (size.width, size.height), "a region of another size");
            Ok(())
        })?;
        Ok(places.len() as f64)
    })?;
    Ok(json!({ "stage": "regions", "regions_per_s": rate, "runs": runs, "cache_mib": args.cache_mib }))
}

fn crops(args: &Args) -> Result<Value> {
    let slide = slide(args)?;
    let places = random_places(&slide, 20_000);
    // All of the crop, as the peer's script has it; an encoder takes the middle.
    let spec = CropSpec::default().full();
    let (rate, runs) = rate(args.seconds, || {
        let mut n = 0;
        for block in CropStream::new(&slide, &places, &spec)? {
            n += block?.cells.len();
        }
        Ok(n as f64)
    })?;
    Ok(
        json!({ "stage": "crops", "cells_per_s": rate, "runs": runs, "cells": places.len(), "size_px": spec.size_px, "crop_mpp": spec.mpp }),
    )
}

fn detection(args: &Args) -> Result<Value> {
    let slide = slide(args)?;
    let mut cells = 0;
    let (rate, runs) = rate(args.seconds, || {
        cells = detect(&slide, &DetectConfig::default(), &|_, _| ())?.len();
        Ok(slide.size().pixels() as f64 / 1e6)
    })?;
    Ok(json!({ "stage": "detect", "mpx_per_s": rate, "runs": runs, "cells": cells }))
}

fn encoder(args: &Args) -> Result<Box<dyn Encoder>> {
    Ok(scellst::embed::open(&args.encoder, args.weights.as_deref(), &parse_device(&args.device)?)?)
}

fn embedding(args: &Args) -> Result<Value> {
    let encoder = encoder(args)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let crops = Array4::from_shape_fn((args.batch, 48, 48, 3), |_| rng.random::<u8>());
    let (rate, runs) = rate(args.seconds, || {
        let features = encoder.embed(crops.view())?;
        anyhow::ensure!(features.iter().all(|v| v.is_finite()), "features that are no numbers");
        Ok(args.batch as f64)
    })?;
    Ok(json!({ "stage": "embed", "cells_per_s": rate, "runs": runs, "encoder": args.encoder, "batch": args.batch }))
}

/// 512 bags of 20 cells; one epoch of four steps is a run.
fn training(args: &Args) -> Result<Value> {
    const BAGS: usize = 512;
    const CELLS: usize = 20;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let features = Array2::from_shape_fn((BAGS * CELLS, args.features), |_| rng.random_range(-1.0..1.0f32));
    let loss: Loss = serde_json::from_value(json!(args.loss)).context("--loss")?;
    let most = if loss.of_counts() { 8.0 } else { 1.0 };
    let labels = Array2::from_shape_fn((BAGS, args.genes), |_| rng.random::<f32>() * most);
    let labels = if loss.of_counts() { labels.mapv(f32::floor) } else { labels };
    let data = TrainData::new(features, (0..=BAGS).map(|b| (b * CELLS) as u32).collect(), labels)?;
    let data = data.with_size_factors(vec![1.0; BAGS])?;
    let device = parse_device(&args.device)?;
    let mut model = MilModel::new(ModelShape::published(args.features, args.genes)?.with_loss(loss), 0, &device)?;
    let bags: Vec<usize> = (0..BAGS).collect();
    let config = TrainConfig { max_epochs: usize::MAX, patience: usize::MAX, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&mut model, &data, &bags, &[], &config)?;
    let (rate, runs) = rate(args.seconds, || {
        while trainer.step()?.is_none() {}
        Ok((BAGS * CELLS) as f64)
    })?;
    Ok(
        json!({ "stage": "train", "cells_per_s": rate, "runs": runs, "loss": loss, "features": args.features, "genes": args.genes }),
    )
}

fn predicting(args: &Args) -> Result<Value> {
    let (slide, encoder) = (slide(args)?, encoder(args)?);
    let shape = ModelShape::published(encoder.dim(), args.genes)?;
    let model = MilModel::new(shape, 0, &parse_device(&args.device)?)?;
    let cells = detect(&slide, &DetectConfig::default(), &|_, _| ())?;
    let (rate, runs) = rate(args.seconds, || {
        let mut n = 0;
        for places in cells.centroids().chunks(16_384) {
            let features = embed_cells(&slide, places, &CropSpec::default(), encoder.as_ref(), &Quiet)?;
            n += model.predict_cells(features.view())?.nrows();
        }
        Ok(n as f64)
    })?;
    Ok(
        json!({ "stage": "predict", "cells_per_s": rate, "runs": runs, "encoder": args.encoder, "genes": args.genes, "cells": cells.len() }),
    )
}

/// Once, since the file is large. What `predict` holds of each cell is held here too: name, place, area, score, distance.
fn writing(args: &Args) -> Result<Value> {
    /// As the pipeline's.
    const BLOCK: usize = 16_384;
    let shape = ModelShape::published(args.features, args.genes)?;
    let model = MilModel::new(shape, 0, &parse_device(&args.device)?)?;
    let folder = tempfile::tempdir()?;
    let path = args.out.clone().unwrap_or_else(|| folder.path().join("pred.h5ad"));
    let names: Vec<String> = (0..args.cells).map(|i| i.to_string()).collect();
    let genes: Vec<String> = (0..args.genes).map(|i| format!("gene{i}")).collect();
    let places: Vec<Point<Level0>> =
        (0..args.cells).map(|i| Point::new((i % 1000) as f64 * 10.0, (i / 1000) as f64 * 10.0)).collect();
    let column = |name: &str| (name.to_owned(), Column::F32(vec![1.0; args.cells]));
    let begin = Instant::now();
    let header = PredictionHeader {
        obs_names: &names,
        var_names: &genes,
        spatial: &places,
        obs: vec![column("area_um2"), column("score")],
        ..PredictionHeader::default()
    };
    let mut writer = PredictionWriter::create(&path, &header, None)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut distances = Vec::new();
    for first in (0..args.cells).step_by(BLOCK) {
        let rows = BLOCK.min(args.cells - first);
        let features = Array2::from_shape_simple_fn((rows, args.features), || rng.random_range(-1.0..1.0f32));
        distances.extend(features.column(0));
        writer.write_rows(model.predict_cells(features.view())?.view())?;
    }
    writer.add_obs("ood_distance", &Column::F32(distances))?;
    writer.finish()?;
    let (seconds, bytes) = (begin.elapsed().as_secs_f64(), std::fs::metadata(&path)?.len());
    Ok(json!({
        "stage": "write", "cells_per_s": args.cells as f64 / seconds, "seconds": seconds, "cells": args.cells,
        "features": args.features, "genes": args.genes, "file_mib": bytes >> 20,
    }))
}
