//! Tissue of a slide and its faults: a picture, and numbers as JSON.

mod common;

use std::io::Cursor;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use scellst::slide::{QcConfig, SlideQc};

/// Tissue of a slide and what is wrong with it: out of focus (orange), ink (cyan), folds (yellow)
#[derive(Parser)]
#[command(name = "slide_qc")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// The picture (PNG)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Longer side of the picture, px
    #[arg(long, default_value_t = 1600, value_name = "PX")]
    side: u32,
    /// The numbers, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its purpose
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        for path in [Some(&args.out), args.json.as_ref()].into_iter().flatten() {
            common::check_output(path)?;
        }
        let slide = common::open_slide(&args.slide, args.mpp)?;
        let qc = SlideQc::of_slide(&slide, &QcConfig::default())?;
        let picture = qc.picture(&slide, args.side)?;
        common::write_whole(&args.out, &png(&picture)?)?;
        let numbers = serde_json::to_string_pretty(&qc.summary())? + "\n";
        match &args.json {
            Some(path) => common::write_whole(path, numbers.as_bytes())?,
            None => print!("{numbers}"),
        }
        Ok(())
    })
}

fn png(picture: &image::RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).context("the picture cannot be packed")?;
    Ok(bytes.into_inner())
}
