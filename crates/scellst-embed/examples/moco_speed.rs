//! Crops a second of a step of MoCo v3 beside `moco_speed.py`: `moco_speed [STEPS [BATCH [THREADS]]]`.
#![allow(clippy::print_stdout)] // a program

use std::time::Instant;

use candle_core::Device;
use ndarray::Array4;
use scellst_embed::{EmbedError, Moco, MocoConfig, MocoSection, Optimiser, PixelNorm, ResNetDepth};

fn main() -> Result<(), EmbedError> {
    let number = |at: usize, usual: usize| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(usual);
    let (steps, batch, threads) = (number(1, 5), number(2, 128), number(3, 0));
    if threads > 0 && rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err() {
        println!("{threads} threads cannot be started");
    }
    let published = MocoConfig::published(ResNetDepth::R18);
    let config = MocoConfig { batch, optimiser: Optimiser::AdamW, learning_rate: 1e-3, ..published };
    let section = MocoSection { name: "made".into(), crops: batch * (steps + 1) };
    let mut moco = Moco::new(config, PixelNorm::IMAGENET, vec![section], &Device::Cpu)?;
    let crops = Array4::from_shape_fn((batch, 72, 72, 3), |(n, y, x, c)| (n * 7 + y * 3 + x * 5 + c * 60) as u8);
    moco.step([crops.view(), crops.view()])?;
    let mut times = Vec::new();
    for _ in 0..steps {
        let begin = Instant::now();
        moco.step([crops.view(), crops.view()])?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_unstable_by(f64::total_cmp);
    println!("{:.1} crops/s, median of {steps} steps of {batch}", batch as f64 / times[times.len() / 2]);
    Ok(())
}
