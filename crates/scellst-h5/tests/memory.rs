//! Predictions are streamed: memory does not grow with the number of cells. A process of its own, since it
//! looks at the highest memory so far. `SCELLST_MEMORY_CELLS=200000` writes more than the default.

#![allow(clippy::print_stdout, reason = "a test says what it measured or skipped")]

use ndarray::Array2;
use scellst_h5::{MatrixReader, PredictionHeader, PredictionWriter};
use scellst_types::Point;

const GENES: usize = 1000;
/// Rows that the caller holds at once.
const BLOCK: usize = 1000;

/// Highest resident memory so far, MB; Linux only.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb / 1024)
}

#[test]
fn memory_is_flat_in_the_number_of_cells() {
    let cells = std::env::var("SCELLST_MEMORY_CELLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pred.h5ad");
    let obs_names: Vec<String> = (0..cells).map(|i| format!("cell_{i:07}")).collect();
    let var_names: Vec<String> = (0..GENES).map(|i| format!("GENE{i}")).collect();
    let spatial: Vec<_> = (0..cells).map(|i| Point::new(i as f64, 0.5)).collect();
    let header =
        PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };
    let Some(before) = peak_mb() else {
        println!("skipped: no /proc/self/status");
        return;
    };
    let started = std::time::Instant::now();
    let mut writer = PredictionWriter::create(&path, &header, None).unwrap();
    let with_names = peak_mb().unwrap();
    let mut block = Array2::<f32>::zeros((BLOCK, GENES));
    for start in (0..cells).step_by(BLOCK) {
        let rows = BLOCK.min(cells - start);
        block.indexed_iter_mut().for_each(|((i, j), v)| *v = ((start + i) % 1000 + j) as f32);
        writer.write_rows(block.slice(ndarray::s![..rows, ..])).unwrap();
    }
    writer.finish().unwrap();
    let after = peak_mb().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let matrix_mb = (cells * GENES * 4) >> 20;
    println!(
        "{cells} cells: X {matrix_mb} MB; peak {before} MB before, {with_names} with names, {after} MB at the end; {seconds:.1} s"
    );
    // The names and places are a few dozen bytes a cell; X must not be held.
    assert!(after - before < 24 + ((cells as u64 * 100) >> 20), "{before} -> {after} MB");

    let reader = MatrixReader::open(&path, None).unwrap();
    let last = reader.read_rows(cells - 1..cells).unwrap();
    assert_eq!(last[[0, 999]], ((cells - 1) % 1000 + 999) as f32);
    let mut sum = 0.0f64;
    for start in (0..cells).step_by(reader.block_rows()) {
        let end = (start + reader.block_rows()).min(cells);
        sum += f64::from(reader.read_rows(start..end).unwrap().column(0).sum());
    }
    assert_eq!(sum, (0..cells).map(|i| (i % 1000) as f64).sum::<f64>());
    let read = peak_mb().unwrap();
    println!("read by blocks: peak {read} MB");
    assert!(read - before < 64 + ((cells as u64 * 200) >> 20), "{before} -> {read} MB");
}
