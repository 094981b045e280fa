//! Features of crops.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scellst::embed::{NpyCrops, NpyFeatures};
use scellst::pipeline::{Observer, parse_device};

/// Crops `(N, H, W, 3)` uint8 to features `(N, D)` float32, both `.npy`
#[derive(Parser)]
#[command(name = "embed_images")]
struct Args {
    /// The crops
    #[arg(long, value_name = "crops.npy")]
    images: PathBuf,
    /// morphology, mobilenet-v1, resnet18, resnet34, resnet50 or vit (vit:heads=N,px=N,pool=class|mean|class+mean)
    #[arg(long, value_name = "NAME")]
    encoder: String,
    /// The encoder's weights
    #[arg(long, value_name = "F.safetensors|F.pth")]
    weights: Option<PathBuf>,
    /// cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The features
    #[arg(long, value_name = "emb.npy")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let encoder = scellst::embed::open(&args.encoder, args.weights.as_deref(), &parse_device(&args.device)?)?;
        let console = common::Console::default();
        console.stage("embedding");
        let mut crops = NpyCrops::open(&args.images)?;
        let total = crops.len();
        let mut features = NpyFeatures::create(&args.out, total, encoder.dim())?;
        let mut done = 0;
        while let Some(block) = crops.next_block(1024)? {
            features.write(encoder.embed(block.view())?.view())?;
            done += block.dim().0 as u64;
            console.progress(done, total as u64);
        }
        console.finish();
        Ok(features.finish()?)
    })
}
