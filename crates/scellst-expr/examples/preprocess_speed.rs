//! Filter, highly variable genes, normalise and log1p of a large section in memory; beside it `preprocess_speed.py`.
//!
//! `preprocess_speed FOLDER [SHARE]`: `FOLDER` as the script makes it, `SHARE` = least share of observations per gene.
#![allow(clippy::print_stdout)] // the measurement

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Instant;

use scellst_expr::{CsrMatrix, Expression, FilterConfig, highly_variable, into_normalised_log1p};

fn read<const N: usize, T>(path: &Path, from: fn([u8; N]) -> T) -> Result<Vec<T>, Box<dyn Error>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len() as usize / N;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut items = Vec::with_capacity(length);
    let mut bytes = [0; N];
    for _ in 0..length {
        file.read_exact(&mut bytes)?;
        items.push(from(bytes));
    }
    Ok(items)
}

/// Most memory that this process has held, MiB; Linux only.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("which folder? see preprocess_speed.py")?;
    let share: f64 = args.next().map_or(Ok(0.1), |text| text.parse())?;
    let folder = Path::new(&folder);
    let indptr = read(&folder.join("indptr"), |b| u64::from_le_bytes(b) as usize)?;
    let indices = read(&folder.join("indices"), u32::from_le_bytes)?;
    let values = read(&folder.join("data"), f32::from_le_bytes)?;
    let cols = read(&folder.join("cols"), |b| u64::from_le_bytes(b) as usize)?[0];
    let rows = indptr.len() - 1;
    let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i:05}")).collect();
    let start = Instant::now();
    let raw =
        Expression::new(CsrMatrix::new(rows, cols, indptr, indices, values)?, names("g", cols), names("s", rows))?;
    let checked = start.elapsed();
    let filtered = FilterConfig { min_gene_share: share, ..FilterConfig::default() }.apply_owned(raw)?;
    let after_filter = start.elapsed();
    let chosen = highly_variable(&[&filtered.expression], 1000)?;
    let after_genes = start.elapsed();
    let shape = (filtered.report.observations_after, filtered.report.genes_after);
    let normalised = into_normalised_log1p(filtered.expression.into_parts().0)?;
    let all = start.elapsed();
    let mut names: Vec<String> = chosen.into_iter().map(|score| score.gene).collect();
    names.sort_unstable();
    println!(
        "{shape:?}, sum {:.6}, seconds: check {:.3}, filter {:.3}, genes {:.3}, normalise {:.3}, all {:.3}; peak {:.0} MiB",
        normalised.row_sums().iter().sum::<f64>(),
        checked.as_secs_f64(),
        (after_filter - checked).as_secs_f64(),
        (after_genes - after_filter).as_secs_f64(),
        (all - after_genes).as_secs_f64(),
        all.as_secs_f64(),
        peak_mib().unwrap_or(f64::NAN)
    );
    std::fs::write(folder.join("genes.ours"), names.join("\n"))?;
    Ok(())
}
