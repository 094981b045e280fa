//! How fast a training step is on this machine, for comparison with PyTorch: one JSON line.
//!
//! `train_speed [GENES] [LOSS] [THREADS] [FEATURES] [STEPS] [POOLING]`, by default 1000 mse 2 2048 15 mean: 128 bags of
//! 20 cells, the same in every step; the median of the steps.

use std::time::Instant;

use candle_core::Device;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scellst_model::{Loss, MilModel, ModelShape, Pooling, TrainConfig, TrainData, Trainer};

#[allow(clippy::print_stdout)] // its purpose
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |a| a.parse());
    let (genes, threads, features, steps) = (number(0, 1000)?, number(2, 2)?, number(3, 2048)?, number(4, 15)?);
    let loss: Loss = match args.get(1) {
        Some(name) => serde_json::from_value(name.as_str().into())?,
        None => Loss::Mse,
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let (bags, cells) = (128, 20);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let x = Array2::from_shape_fn((bags * cells, features), |_| rng.random_range(-1.7..1.7f32));
    let y = Array2::from_shape_fn((bags, genes), |_| match loss {
        Loss::Mse => rng.random::<f32>(),
        _ => (rng.random::<f32>() * 10.0).powi(2).floor() / 10.0,
    });
    let y = if loss.of_counts() { y.mapv(f32::floor) } else { y };
    let data = TrainData::new(x, (0..=bags).map(|b| (b * cells) as u32).collect(), y)?;
    let data = data.with_size_factors((0..bags).map(|b| 0.5 + b as f32 / bags as f32).collect())?;
    let pooling: Pooling = args.get(5).map_or(Ok(Pooling::Mean), |name| name.parse())?;
    let shape = ModelShape::published(features, genes)?.with_loss(loss).with_pooling(pooling)?;
    let mut model = MilModel::new(shape, 0, &Device::Cpu)?;
    let all: Vec<usize> = (0..bags).collect();
    let config = TrainConfig { max_epochs: steps + 1, patience: steps + 1, ..TrainConfig::default() };
    let mut trainer = Trainer::new(&mut model, &data, &all, &[], &config)?;
    trainer.step()?;
    let mut seconds = Vec::new();
    while !trainer.is_finished() {
        let begin = Instant::now();
        trainer.step()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let (cells, median) = ((bags * cells) as f64, seconds[seconds.len() / 2]);
    let products = |inputs: usize, outputs: usize, of: usize| (of * 2 * inputs * outputs) as f64 * cells;
    let flop = products(features, 256, 2) + 2.0 * products(256, 256, 3) + products(256, genes, 3);
    println!(
        "{}",
        serde_json::json!({
            "stage": "train", "loss": loss, "genes": genes, "features": features, "threads": threads,
            "cells_per_s": (cells / median * 10.0).round() / 10.0, "gflop_per_s": (flop / median / 1e8).round() / 10.0,
            "milliseconds": (median * 1e5).round() / 100.0, "best_milliseconds": (seconds[0] * 1e5).round() / 100.0,
        })
    );
    Ok(())
}
