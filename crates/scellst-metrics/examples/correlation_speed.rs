//! Pearson and Spearman correlation of many genes, timed: `benches/peer.py` makes the same arrays and times SciPy
//! and NumPy on them.
//!
//! ```text
//! cargo run --release -p scellst-metrics --example correlation_speed -- [SPOTS GENES ROUNDS]
//! ```
//!
//! Prints one JSON line: the median of the rounds in seconds, the mean correlations (to compare with the peer's) and
//! the peak of the process' memory, the two arrays included.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ndarray::Array2;
use scellst_metrics::{GeneScores, Metric};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let (spots, genes, rounds) = match numbers[..] {
        [] => (20_000, 5_000, 5),
        [spots, genes, rounds] if rounds > 0 => (spots, genes, rounds),
        _ => return Err("give nothing, or SPOTS GENES ROUNDS".into()),
    };
    let (predicted, measured) = section(spots, genes);
    let names: Vec<String> = (0..genes).map(|gene| format!("g{gene}")).collect();
    let mut seconds = Vec::new();
    let mut last = None;
    for _ in 0..rounds {
        let start = Instant::now();
        last = Some(GeneScores::compute(predicted.view(), measured.view(), &names)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let scores = last.ok_or("no round")?;
    let mean = |metric| scores.mean_over_all(metric).map(|summary| summary.mean.unwrap_or(0.0));
    println!(
        "{{\"spots\": {spots}, \"genes\": {genes}, \"threads\": {}, \"median_s\": {:.3}, \"pearson\": {:.9}, \
         \"spearman\": {:.9}, \"peak_mib\": {}}}",
        rayon::current_num_threads(),
        seconds[rounds / 2],
        mean(Metric::Pearson)?,
        mean(Metric::Spearman)?,
        peak_mib()
    );
    Ok(())
}

/// Predictions that are smooth numbers, and measurements that are log counts, most of them small: many ties. From
/// integers by a rule that `peer.py` follows to the bit.
fn section(spots: usize, genes: usize) -> (Array2<f32>, Array2<f32>) {
    let mixed = |row: usize, column: usize, salt: u32| {
        let mut x = (row as u32).wrapping_mul(0x9E37_79B1) ^ (column as u32).wrapping_mul(0x85EB_CA77) ^ salt;
        x ^= x >> 16;
        x = x.wrapping_mul(0x7FEB_352D);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846C_A68B);
        x ^ (x >> 16)
    };
    let predicted = Array2::from_shape_fn((spots, genes), |(row, column)| {
        (mixed(row, column, 1) >> 8) as f32 / 16_777_216.0 + (mixed(row, column, 2) >> 8) as f32 / 16_777_216.0
    });
    let measured = Array2::from_shape_fn((spots, genes), |(row, column)| {
        // A count of 0 to 15, high ones rare, of which the first part goes with the prediction.
        ((mixed(row, column, 1) >> 8) * 3 / 4 + (mixed(row, column, 3) >> 10)).leading_zeros() as f32 / 4.0
    });
    (predicted, measured)
}

/// Of this process, from the kernel; 0 where it does not tell.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}
