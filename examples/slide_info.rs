//! What is known of a slide, as JSON on stdout.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

/// What is known of a slide, as JSON on stdout
#[derive(Parser)]
#[command(name = "slide_info")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its purpose
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        let slide = common::open_slide(&args.slide, args.mpp)?;
        let levels: Vec<_> = slide
            .levels()
            .map(|l| {
                json!({
                    "level": l.index().0,
                    "width": l.size().width,
                    "height": l.size().height,
                    "downsample": l.downsample(),
                    "tile_width": l.tile_size().map(|t| t.width),
                    "tile_height": l.tile_size().map(|t| t.height),
                    "compression": l.compression().to_string(),
                })
            })
            .collect();
        let associated: Vec<_> = slide
            .associated()
            .iter()
            .map(|a| json!({ "name": a.name, "width": a.size.width, "height": a.size.height }))
            .collect();
        let statements: Vec<_> = slide
            .mpp_statements()
            .iter()
            .map(|m| json!({ "mpp_x": m.value.x(), "mpp_y": m.value.y(), "source": m.source.to_string() }))
            .collect();
        let info = json!({
            "file": args.slide.display().to_string(),
            "format": slide.format().to_string(),
            "width": slide.size().width,
            "height": slide.size().height,
            "mpp_x": slide.mpp().map(|m| m.value.x()),
            "mpp_y": slide.mpp().map(|m| m.value.y()),
            "mpp_source": slide.mpp().map(|m| m.source.to_string()),
            "mpp_statements": statements,
            "mpp_doubts": slide.mpp_doubts().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "objective_power": slide.objective_power(),
            "levels": levels,
            "associated_images": associated,
        });
        println!("{}", serde_json::to_string_pretty(&info)?);
        Ok(())
    })
}
