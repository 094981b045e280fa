//! How many crops of 48 x 48 a second: `embed_speed [NAME] [BATCH] [SECONDS]`, with weights made by a formula
//! (`mobilenet-v1` wants `--weights` as a fourth argument). One JSON line, as `peers/torch_speed.py` prints.

#[path = "../tests/formula/mod.rs"]
mod formula;

use std::time::Instant;

use ndarray::Array4;
use scellst_embed::open;

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
    let path = match args.get(3) {
        Some(path) => path.into(),
        None => {
            let path = folder.path().join("w.safetensors");
            let tensors = if name.starts_with("vit") { formula::vit_small() } else { formula::resnet(name) };
            formula::save(&tensors, &path);
            path
        }
    };
    let encoder = open(name, Some(&path), &candle_core::Device::Cpu)?;
    let crops = Array4::from_shape_fn((batch, 48, 48, 3), |(n, y, x, c)| (n * 31 + y * 7 + x * 3 + c * 50) as u8);
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
        "{{\"stage\": \"embed\", \"encoder\": \"{name}\", \"batch\": {batch}, \"threads\": {threads}, \
         \"cells_per_s\": {:.1}, \"best\": {:.1}, \"cells_per_processor_s\": {per_core:.1}}}",
        rates[rates.len() / 2],
        rates[rates.len() - 1]
    );
    Ok(())
}
