//! How many crops a second: `embed_speed [NAME] [BATCH] [SECONDS] [PIXELS] [WEIGHTS]`; the default is `resnet50`, 64
//! crops of 48 x 48 a call, five seconds. Without a file the weights are random (not for `mobilenet-v1`). One JSON
//! line, as `peers/torch_speed.py` prints.

#[path = "../tests/formula/mod.rs"]
mod formula;

use std::time::Instant;

use ndarray::Array4;
use scellst_embed::open;

/// The most memory that this program had, MiB; on Linux only.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib >> 10)
}

/// Processor time of this program, seconds; on Linux only. On a machine with other work it says more than the clock.
fn processor_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

#[allow(clippy::print_stdout)] // its purpose
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("resnet50", String::as_str);
    let batch: usize = args.get(1).map_or(Ok(64), |v| v.parse())?;
    let seconds: f64 = args.get(2).map_or(Ok(5.0), |v| v.parse())?;
    let folder = tempfile::tempdir()?;
    let px: usize = args.get(3).map_or(Ok(48), |v| v.parse())?;
    let path = match args.get(4) {
        Some(path) => path.into(),
        None => {
            let path = folder.path().join("w.safetensors");
            let tensors = if name.starts_with("vit") { formula::vit_small() } else { formula::resnet(name) };
            formula::save(&tensors, &path);
            path
        }
    };
    let encoder = open(name, Some(&path), &candle_core::Device::Cpu)?;
    let crops = Array4::from_shape_fn((batch, px, px, 3), |(n, y, x, c)| (n * 31 + y * 7 + x * 3 + c * 50) as u8);
    encoder.embed(crops.view())?;
    let (begin, before) = (Instant::now(), processor_time());
    let mut rates = Vec::new();
    while rates.len() < 7 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        encoder.embed(crops.view())?;
        rates.push(batch as f64 / start.elapsed().as_secs_f64());
    }
    let spent = before.zip(processor_time()).map_or(f64::NAN, |(a, b)| b - a);
    let per_core = (batch * rates.len()) as f64 / spent;
    rates.sort_by(f64::total_cmp);
    let threads = rayon::current_num_threads();
    println!(
        "{{\"stage\": \"embed\", \"encoder\": \"{name}\", \"px\": {px}, \"batch\": {batch}, \"threads\": {threads}, \
         \"cells_per_s\": {:.1}, \"best\": {:.1}, \"cells_per_processor_s\": {per_core:.1}, \"peak_memory_mib\": {}}}",
        rates[rates.len() / 2],
        rates[rates.len() - 1],
        peak_memory().unwrap_or(0)
    );
    Ok(())
}
