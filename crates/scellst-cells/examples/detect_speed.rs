//! Detection on a whole slide; beside it `detect_speed.py`.
//!
//! `detect_speed SLIDE [MPP] [RUNS]`: um/px where the file does not say it, the median of five runs unless told.
#![allow(clippy::print_stdout)] // the measurement

use std::error::Error;
use std::time::Instant;

use scellst_cells::{DetectConfig, detect};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::MicronsPerPixel;

/// Most memory that this process has held, MiB; Linux only.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("which slide?")?;
    let mpp = args.next().map(|text| text.parse::<f64>()).transpose()?;
    let runs: usize = args.next().map_or(Ok(5), |text| text.parse())?;
    let mut seconds = Vec::new();
    let (mut pixels, mut found) = (0.0, 0);
    for _ in 0..runs.max(1) {
        // Opened anew, so that no run finds the tiles of the one before decoded.
        let start = Instant::now();
        let options = OpenOptions { mpp: mpp.map(MicronsPerPixel::square).transpose()?, ..OpenOptions::default() };
        let slide = Slide::open_with(&path, &options)?;
        found = detect(&slide, &DetectConfig::default(), &|_, _| {})?.len();
        seconds.push(start.elapsed().as_secs_f64());
        pixels = slide.size().pixels() as f64 / 1e6;
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!(
        "{found} nuclei, {pixels:.1} Mpx: median {median:.2} s ({:.2} to {:.2}), {:.1} Mpx/s; peak {:.0} MiB",
        seconds[0],
        seconds[seconds.len() - 1],
        pixels / median,
        peak_mib().unwrap_or(f64::NAN)
    );
    Ok(())
}
