//! A region of a slide as a PNG.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scellst::types::{LevelIndex, Point, Size};

/// A region of a slide as a PNG
#[derive(Parser)]
#[command(name = "read_region")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// Which level, 0 the finest
    #[arg(long, value_name = "L", default_value_t = 0)]
    level: u32,
    /// Left edge, level-0 pixels
    #[arg(long, allow_negative_numbers = true)]
    x: f64,
    /// Upper edge, level-0 pixels
    #[arg(long, allow_negative_numbers = true)]
    y: f64,
    /// Width, pixels of the level
    #[arg(long)]
    width: u32,
    /// Height, pixels of the level
    #[arg(long)]
    height: u32,
    /// The PNG
    #[arg(long, value_name = "F.png")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        if args.width == 0 || args.height == 0 {
            anyhow::bail!("--width and --height must be at least 1, found {} x {}", args.width, args.height);
        }
        let slide = common::open_slide(&args.slide, None)?;
        let level = slide.level(LevelIndex(args.level))?;
        let region = level.region_at(Point::new(args.x, args.y), Size::new(args.width, args.height));
        let image = slide.read(&region)?;
        scellst::report::save_png(&image, &args.out)?;
        Ok(())
    })
}
