//! Pictures of all cells of a slide, for those who go on in Python.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use scellst::cells::{
    Border, Cells, CropBlock, CropSpec, CropStream, ImportOptions, NpyCropWriter, read_cells, write_csv,
};
use scellst::pipeline::Observer;
use scellst::slide::Slide;

/// A crop around every cell: one numpy array, or the HDF5 file of HEST and sCellST
#[derive(Parser)]
#[command(name = "export_crops")]
struct Args {
    /// The slide
    #[arg(long, value_name = "FILE")]
    slide: PathBuf,
    /// um per level-0 pixel, in place of what the file says
    #[arg(long)]
    mpp: Option<f64>,
    /// The cells, from `detect_cells` or any other source that is read
    #[arg(long, value_name = "cells.geojson")]
    cells: PathBuf,
    /// Side of a crop, px
    #[arg(long, default_value_t = 72, value_name = "PX")]
    size: u32,
    /// Only the middle of the crop, px
    #[arg(long, value_name = "PX")]
    centre: Option<u32>,
    /// Resolution of a crop, um/px
    #[arg(long, default_value_t = 0.25, value_name = "UM")]
    crop_mpp: f64,
    /// Beyond the slide's edge
    #[arg(long, default_value = "mirror", value_parser = ["mirror", "white"])]
    border: String,
    /// Which spot each cell lies in: the section's counts (for .h5 only)
    #[arg(long, value_name = "st.h5ad")]
    h5ad: Option<PathBuf>,
    /// Spot diameter, um, in place of what the h5ad says
    #[arg(long, value_name = "UM")]
    spot_diameter: Option<f64>,
    /// By its ending: .npy, with the cells' names and places beside it in a .cells.csv; or .h5 (img, coords, barcode, spot, label)
    #[arg(long, value_name = "crops.npy")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let ending = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !["npy", "h5"].contains(&ending) {
            bail!("--out {}: expected a name that ends in .npy or .h5", args.out.display());
        }
        if ending == "npy" && args.h5ad.is_some() {
            bail!("--h5ad gives the spots of an .h5 file: a .npy holds none");
        }
        let spec = CropSpec {
            size_px: args.size,
            mpp: args.crop_mpp,
            centre_px: args.centre.unwrap_or(args.size),
            border: if args.border == "white" { Border::White } else { Border::Mirror },
        };
        spec.validate()?;
        let slide = common::open_slide(&args.slide, args.mpp)?;
        let options = ImportOptions {
            mpp: slide.mpp().map(|m| m.value),
            slide_size: Some(slide.size()),
            ..ImportOptions::default()
        };
        let read = read_cells(&args.cells, &options)?;
        let console = common::Console::default();
        if read.dropped() > 0 {
            console.note(&format!("{} cells outside of the slide or broken left out", read.dropped()));
        }
        console.stage("cutting crops");
        let begin = Instant::now();
        let each = |write: &mut dyn FnMut(&CropBlock) -> Result<()>| {
            let stream = CropStream::new(&slide, read.cells.centroids(), &spec)?;
            let (total, mut done) = (read.cells.len() as u64, 0);
            for block in stream {
                let block = block?;
                write(&block)?;
                done += block.cells.len() as u64;
                console.progress(done, total);
            }
            Ok(())
        };
        if ending == "npy" {
            let mut writer = NpyCropWriter::create(&args.out, read.cells.len(), spec.centre_px)?;
            each(&mut |block| Ok(writer.write(block)?))?;
            write_csv(args.out.with_extension("cells.csv"), &read.cells)?;
            writer.finish()?;
        } else {
            write_h5(&args, &slide, &read.cells, &spec, each)?;
        }
        console.finish();
        let memory = common::peak_memory().map(|b| format!(", {} MB of memory at most", b >> 20)).unwrap_or_default();
        let seconds = begin.elapsed().as_secs_f64();
        console.note(&format!("{} crops in {seconds:.1} s{memory}", read.cells.len()));
        Ok(())
    })
}

#[cfg(feature = "h5ad")]
fn write_h5(
    args: &Args,
    slide: &Slide,
    cells: &Cells,
    spec: &CropSpec,
    each: impl Fn(&mut dyn FnMut(&CropBlock) -> Result<()>) -> Result<()>,
) -> Result<()> {
    use scellst::h5::{CropsHeader, CropsWriter, cell_label};

    let slide_mpp = slide.require_mpp()?;
    let spots = match &args.h5ad {
        None => Vec::new(),
        Some(path) => {
            let section = scellst::h5::read_h5ad(path)?;
            let um = |points: &[scellst::types::Point<_>]| {
                points.iter().map(|&p| slide_mpp.to_micron(p)).collect::<Vec<_>>()
            };
            let diameter = match args.spot_diameter {
                Some(um) => um,
                None => section.require_spot_diameter_px()? * slide_mpp.mean(),
            };
            let (bags, _) = scellst::bags::assign(&um(cells.centroids()), &um(section.require_spatial()?), diameter)?;
            let mut spots = vec![None; cells.len()];
            for (spot, members) in bags.iter() {
                for &cell in members {
                    spots[cell as usize] = section.expression.observations().get(spot as usize).cloned();
                }
            }
            spots
        }
    };
    let ids: Vec<String> = (0..cells.len()).map(|i| cells.id(i)).collect();
    let labels: Vec<i64> = (0..cells.len()).map(|i| cell_label(cells.class(i))).collect();
    let header = CropsHeader {
        ids: &ids,
        centroids: cells.centroids(),
        spots: &spots,
        labels: &labels,
        size_px: spec.centre_px as usize,
        crop_mpp: spec.mpp,
        slide_mpp,
    };
    let mut writer = CropsWriter::create(&args.out, &header, None)?;
    each(&mut |block| Ok(writer.write(&block.cells, block.crops.view())?))?;
    Ok(writer.finish()?)
}

#[cfg(not(feature = "h5ad"))]
fn write_h5(
    args: &Args,
    _: &Slide,
    _: &Cells,
    _: &CropSpec,
    _: impl Fn(&mut dyn FnMut(&CropBlock) -> Result<()>) -> Result<()>,
) -> Result<()> {
    bail!("{}: .h5 needs the feature h5ad, which this was built without: write .npy", args.out.display())
}
