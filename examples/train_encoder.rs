//! An encoder of cells trained without labels.

mod common;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use scellst::cells::CropSpec;
use scellst::embed::{MocoConfig, MocoStep, Optimiser, PixelNorm, ResNetDepth, ViewConfig};
use scellst::pipeline::{Observer, PretrainOptions, parse_device, pretrain};

/// Trains an encoder on the cells of slides without labels (MoCo v3), for `train --encoder`
#[derive(Parser)]
#[command(name = "train_encoder")]
struct Args {
    #[command(flatten)]
    given: common::sources::Sections,
    /// Sections that must not be among them; remembered in the encoder's file
    #[arg(long, value_name = "D,E", value_delimiter = ',')]
    held_out: Vec<String>,
    /// resnet18, resnet34 or resnet50
    #[arg(long, value_name = "NAME", default_value = "resnet18", value_parser = ResNetDepth::named)]
    arch: ResNetDepth,
    /// The last of its four stages: without the later ones training and embedding take less time
    #[arg(long, value_name = "1..4", default_value_t = 4)]
    stage: usize,
    /// At most so many cells of each section
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    most_cells: Option<u64>,
    /// Passes over all cells
    #[arg(long, value_name = "N", default_value_t = 150)]
    epochs: usize,
    /// Cells of a step
    #[arg(long, value_name = "N", default_value_t = 256)]
    batch: usize,
    /// lars (as published: rate 0.6, decay 1e-6) or adamw (rate 1e-3, decay 0.05)
    #[arg(long, value_name = "lars|adamw", default_value = "lars", value_parser = optimiser)]
    optimiser: Optimiser,
    /// Of 256 cells
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Of weights
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Epochs in which the rate rises (default: 10, at most a tenth of all)
    #[arg(long)]
    warm_up: Option<f64>,
    /// What similarities are divided by
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// How much of itself the momentum encoder keeps in a step; rises to 1
    #[arg(long, default_value_t = 0.99)]
    momentum: f64,
    /// Share of cells whose second view is of a cell nearby: what cells of one place have in common then counts for more
    /// than what tells them apart
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    neighbours: f32,
    /// How far away such a cell may be, um
    #[arg(long, value_name = "UM", default_value_t = PretrainOptions::default().reach_um)]
    reach: f64,
    #[command(flatten)]
    views: Views,
    /// Pixels standardised as those of ImageNet, or by the training cells themselves
    #[arg(long, value_name = "dataset|imagenet", default_value = "dataset")]
    pixels: Pixels,
    /// Keep the state of training in this file and go on from it after an interruption
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Steps between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 100)]
    save_every: u64,
    /// Of weights, views and order
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The encoder; beside it the loss, as <out>.csv and <out>.png
    #[arg(long, value_name = "enc.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

/// What a view shows, and how much the two of a cell differ
#[derive(clap::Args)]
struct Views {
    /// Width of a view that is not zoomed, um; `train` then embeds crops of this width
    #[arg(long, value_name = "UM", default_value_t = 12.0)]
    crop: f64,
    /// Side of a view, pixels of the encoder's input
    #[arg(long, value_name = "PX", default_value_t = ViewConfig::default().side_px)]
    side: usize,
    /// Zoomed out by a factor within
    #[arg(long, value_name = "LEAST,MOST", default_value = "0.9,1.05", value_parser = pair)]
    zoom: [f32; 2],
    /// Moved by up to so many pixels of the crop (of the unzoomed view's size), down and across
    #[arg(long, value_name = "PX", default_value_t = ViewConfig::default().shift)]
    shift: f32,
    /// Each stain stronger or weaker by up to this share
    #[arg(long, value_name = "SHARE", default_value_t = ViewConfig::default().stain)]
    stain: f32,
    /// Share of views with another stain
    #[arg(long, value_name = "SHARE", default_value_t = ViewConfig::default().stain_chance)]
    stain_chance: f32,
    /// Blurred by a Gaussian of a deviation within, pixels
    #[arg(long, value_name = "LEAST,MOST", default_value = "0.2,1.2", value_parser = pair)]
    blur: [f32; 2],
    /// Share of views that are blurred
    #[arg(long, value_name = "SHARE", default_value_t = ViewConfig::default().blur_chance)]
    blur_chance: f32,
}

impl Views {
    fn config(&self) -> ViewConfig {
        let &Self { crop: _, side, zoom, shift, stain, stain_chance, blur, blur_chance } = self;
        ViewConfig { side_px: side, zoom, shift, stain, stain_chance, blur, blur_chance }
    }

    /// Crops that hold a view at any angle: half as wide again, as 72 pixels are for 48.
    fn cut(&self) -> CropSpec {
        let side = u32::try_from(self.side).unwrap_or(u32::MAX);
        let size_px = side.saturating_add(2 * side.div_ceil(4));
        CropSpec { size_px, centre_px: side, mpp: self.crop / f64::from(side.max(1)), ..CropSpec::default() }
    }
}

fn pair(text: &str) -> Result<[f32; 2], String> {
    let numbers: Vec<f32> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    numbers.try_into().map_err(|_| "expected two numbers, such as 0.9,1.05".into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pixels {
    Dataset,
    Imagenet,
}

fn optimiser(name: &str) -> Result<Optimiser, String> {
    match name {
        "lars" => Ok(Optimiser::Lars),
        "adamw" => Ok(Optimiser::AdamW),
        _ => Err("expected lars or adamw".into()),
    }
}

fn config(args: &Args) -> MocoConfig {
    let published = MocoConfig::published(args.arch);
    let (rate, decay) = match args.optimiser {
        Optimiser::Lars => (published.learning_rate, published.weight_decay),
        Optimiser::AdamW => (1e-3, 0.05),
    };
    MocoConfig {
        stage: args.stage,
        neighbours: args.neighbours,
        epochs: args.epochs,
        batch: args.batch,
        optimiser: args.optimiser,
        learning_rate: args.learning_rate.unwrap_or(rate),
        weight_decay: args.weight_decay.unwrap_or(decay),
        warm_up_epochs: args.warm_up.unwrap_or((args.epochs as f64 / 10.0).min(published.warm_up_epochs)),
        temperature: args.temperature,
        momentum: args.momentum,
        views: args.views.config(),
        seed: args.seed,
        ..published
    }
}

/// The mean loss of every epoch, or up to every so many steps in a short training; and which of both is counted.
fn curve(history: &[MocoStep]) -> (Vec<(usize, f32, f32)>, &'static str) {
    let epochs = history.last().map_or(0, |s| s.epoch as usize + 1);
    let (piece, axis) = if epochs >= 5 { (epochs, "epoch") } else { (100, "step") };
    let piece = history.len().div_ceil(piece).max(1);
    let point = |(i, steps): (usize, &[MocoStep])| {
        let loss = steps.iter().map(|s| s.loss).sum::<f64>() / steps.len() as f64;
        let at = if axis == "epoch" { i + 1 } else { i * piece + steps.len() };
        (at, loss as f32, f32::NAN)
    };
    (history.chunks(piece).enumerate().map(point).collect(), axis)
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        common::check_output(&args.out)?;
        let device = parse_device(&args.device)?;
        let sources = args.given.read()?;
        let options = PretrainOptions {
            most_cells: args.most_cells.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            crop: args.views.cut(),
            reach_um: args.reach,
            pixels: (args.pixels == Pixels::Imagenet).then_some(PixelNorm::IMAGENET),
            held_out: args.held_out.clone(),
            checkpoint: args.checkpoint.clone(),
            save_every: args.save_every,
            ..PretrainOptions::default()
        };
        let console = common::Console::default();
        let begin = Instant::now();
        let (mut told, mut warned) = (Instant::now(), false);
        let moco = pretrain(&sources, &config(&args), &options, &device, &console, |step| {
            if told.elapsed().as_secs() >= 30 || step.step == 1 {
                told = Instant::now();
                console.note(&format!(
                    "step {} epoch {:.2}: loss {:.4}, matched {:.3}, spread {:.3}, rank {:.1}",
                    step.step, step.epoch, step.loss, step.matched, step.spread, step.rank
                ));
            }
            if step.collapsed() && !warned {
                warned = true;
                console.note(&format!(
                    "warning: at step {} all cells look alike to the encoder (spread {:.4}): it has collapsed; lower \
                     --learning-rate or raise --batch",
                    step.step, step.spread
                ));
            }
            ControlFlow::Continue(())
        })?;
        console.finish();
        moco.write_encoder(&args.out, &moco.origin(&args.held_out))?;
        let mut table = Vec::new();
        writeln!(table, "step,epoch,loss,matched,spread,rank,learning_rate")?;
        for s in moco.history() {
            let (epoch, loss) = (s.epoch, s.loss);
            let (matched, spread, rank) = (s.matched, s.spread, s.rank);
            writeln!(table, "{},{epoch},{loss},{matched},{spread},{rank},{}", s.step, s.learning_rate)?;
        }
        common::write_whole(&args.out.with_extension("csv"), &table)?;
        let (points, axis) = curve(moco.history());
        let picture = scellst::report::loss_curve(&points, axis);
        scellst::report::save_png(&picture, args.out.with_extension("png"))?;
        let names: Vec<&str> = sources.iter().map(|s| s.id.0.as_str()).collect();
        let (steps, seconds) = (moco.history().len(), begin.elapsed().as_secs_f64());
        console.note(&format!("{}: {steps} steps on {} in {seconds:.0} s", args.out.display(), names.join(", ")));
        Ok(())
    })
}
