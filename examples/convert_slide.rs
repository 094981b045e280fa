//! Any readable slide as a pyramidal tiled TIFF.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use scellst::pipeline::Observer;
use scellst::slide::{
    Chroma, ConvertOptions, OpenOptions, PyramidCompression, PyramidOptions, Slide, SlideError, convert,
};
use scellst::types::{LevelIndex, MicronsPerPixel};

/// Any readable slide as a pyramidal tiled TIFF (BigTIFF from 4 GB)
///
/// OpenSlide (and so QuPath), tifffile and Pillow read the result. It is written beside its place under a hidden
/// name and takes its place when it is whole. Label, macro picture and descriptions, which may carry a patient's
/// name, are not even read unless --keep-associated is given.
#[derive(Parser)]
#[command(name = "convert_slide")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The TIFF
    #[arg(long, value_name = "F.tif")]
    out: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// JPEG quality, 1 to 100
    #[arg(long, value_name = "Q", default_value_t = 85, conflicts_with = "lossless",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// How finely JPEG stores colour: half is a fifth to a third smaller and further from the original
    #[arg(long, value_enum, default_value_t = Colour::Full, conflicts_with = "lossless")]
    chroma: Colour,
    /// Deflate in place of JPEG: every pixel as it was read, files 4 to 6 times the size
    #[arg(long)]
    lossless: bool,
    /// Side of a tile, px: a multiple of 16 up to 4096
    #[arg(long, value_name = "N", default_value_t = 256)]
    tile: u32,
    /// The level of the slide that becomes level 0
    #[arg(long, value_name = "L", default_value_t = 0)]
    level: u32,
    /// Copy label, macro picture and thumbnail too: look at what is written on the label first
    #[arg(long)]
    keep_associated: bool,
    #[command(flatten)]
    common: common::Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Colour {
    /// At every pixel (4:4:4)
    Full,
    /// At every other pixel (4:2:0)
    Half,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| run(&args))
}

fn run(args: &Args) -> Result<()> {
    args.common.apply()?;
    common::check_output(&args.out)?;
    let mpp = args.mpp.map(MicronsPerPixel::square).transpose().context("--mpp")?;
    let open = OpenOptions { mpp, without_label: !args.keep_associated, ..OpenOptions::default() };
    let slide = Slide::open_with(&args.input, &open)?;
    let compression = match args.lossless {
        true => PyramidCompression::Deflate,
        false => PyramidCompression::Jpeg { quality: args.quality },
    };
    let chroma = match args.chroma {
        Colour::Full => Chroma::Full,
        Colour::Half => Chroma::Halved,
    };
    let options = ConvertOptions {
        level: LevelIndex(args.level),
        pyramid: PyramidOptions { tile: args.tile, compression, chroma, mpp: None },
        associated: args.keep_associated,
    };
    let console = common::Console::default();
    match slide.require_mpp() {
        Err(SlideError::NoMpp { .. }) => {
            console.note("note: the slide does not say how large its pixels are, and neither will the TIFF: give --mpp")
        }
        other => drop(other?),
    }
    console.stage("rows converted");
    convert(&slide, &args.out, &options, &|done, total| console.progress(done, total))?;
    console.finish();
    Ok(())
}
