//! The nuclei of a slide as GeoJSON, and as a picture.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use scellst::cells::{DetectConfig, MeasureConfig, detect, measure, write_csv, write_geojson, write_parquet};
use scellst::pipeline::Observer;
use scellst::report::{OverlayOptions, detection_overlay, save_png};
use scellst::types::{Point, Rect};

/// The nuclei of a slide as GeoJSON that QuPath opens, in level-0 pixels
#[derive(Parser)]
#[command(name = "detect_cells")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// How
    #[arg(long, default_value = "classical", value_parser = ["classical"])]
    method: String,
    /// The cells: GeoJSON, or by its ending .parquet (GeoParquet) or .csv (centroids)
    #[arg(long, value_name = "cells.geojson")]
    out: PathBuf,
    /// Measure each nucleus too (size, shape, stain, texture, neighbours): QuPath's measurements, columns of the tables
    #[arg(long)]
    measure: bool,
    /// A picture of the nuclei on the slide
    #[arg(long, value_name = "F.png")]
    overlay: Option<PathBuf>,
    /// Only this area in the picture: x,y,width,height in level-0 pixels
    #[arg(long, value_name = "X,Y,W,H", value_delimiter = ',')]
    overlay_area: Option<Vec<f64>>,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let rect = match args.overlay_area.as_deref() {
            None => None,
            Some(&[x, y, w, h]) => Some(Rect::new(Point::new(x, y), Point::new(x + w, y + h))?),
            Some(other) => anyhow::bail!("--overlay-area takes four numbers, found {}", other.len()),
        };
        let console = common::Console::default();
        let slide = common::open_slide(&args.slide, args.mpp)?;
        console.stage("detecting cells");
        let begin = Instant::now();
        let mut cells = detect(&slide, &DetectConfig::default(), &|done, total| console.progress(done, total))?;
        console.finish();
        console.note(&format!("{} cells in {:.1} s", cells.len(), begin.elapsed().as_secs_f64()));
        if args.measure {
            console.stage("measuring cells");
            let begin = Instant::now();
            let table =
                measure(&slide, &cells, &MeasureConfig::default(), &|done, total| console.progress(done, total))?;
            console.finish();
            console.note(&format!("{} measures in {:.1} s", table.measures().len(), begin.elapsed().as_secs_f64()));
            cells.set_measurements(table)?;
        }
        match args.out.extension().and_then(|e| e.to_str()) {
            Some("parquet") => write_parquet(&args.out, &cells)?,
            Some("csv") => write_csv(&args.out, &cells)?,
            _ => write_geojson(&args.out, &cells)?,
        }
        if let Some(path) = &args.overlay {
            let picture = detection_overlay(&slide, &cells, &OverlayOptions { rect, ..Default::default() })?;
            save_png(&picture, path)?;
        }
        Ok(())
    })
}
