//! Features of crops.

mod common;

use std::fs::File;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ndarray::{Array2, Array4, Axis};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
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
        let failed = || format!("cannot read {}", args.images.display());
        let file = File::open(&args.images).with_context(failed)?;
        let crops = Array4::<u8>::read_npy(file)
            .with_context(|| format!("{} is no .npy of uint8 (N, H, W, 3)", args.images.display()))?;
        let console = common::Console::default();
        console.stage("embedding");
        let total = crops.dim().0;
        let mut features = Array2::zeros((total, encoder.dim()));
        let mut done = 0;
        for (crops, mut rows) in crops.axis_chunks_iter(Axis(0), 1024).zip(features.axis_chunks_iter_mut(Axis(0), 1024))
        {
            rows.assign(&encoder.embed(crops)?);
            done += crops.dim().0 as u64;
            console.progress(done, total as u64);
        }
        console.finish();
        let mut bytes = Cursor::new(Vec::new());
        features.write_npy(&mut bytes)?;
        common::write_whole(&args.out, bytes.get_ref())
    })
}
