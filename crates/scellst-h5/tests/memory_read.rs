//! Reading a sparse matrix takes the memory of the matrix, by rows and by columns. A process of its own, since it looks
//! at the highest memory so far. `SCELLST_MEMORY_SPOTS=100000` reads 100,000 x 20,000 with a tenth stored.

#![allow(clippy::print_stdout, reason = "a test says what it measured or skipped")]

use std::path::Path;

use hdf5::types::VarLenUnicode;
use scellst_h5::{ReadOptions, read_h5ad, read_h5ad_with};

const GENES: usize = 20_000;
/// Every so many-th place of a row or column is stored.
const STEP: usize = 10;

fn peak_mb() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kb| kb / 1024)
}

fn text(location: &hdf5::Location, name: &str, value: &str) {
    let value: VarLenUnicode = value.parse().unwrap();
    location.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&value).unwrap();
}

/// Written piece by piece, so that the peak is the reader's.
fn write(path: &Path, spots: usize, by_rows: bool) {
    let file = hdf5::File::create(path).unwrap();
    for (frame, count) in [("obs", spots), ("var", GENES)] {
        let group = file.create_group(frame).unwrap();
        text(&group, "_index", "_index");
        group.new_dataset::<i64>().shape(count).create("_index").unwrap();
        let index: Vec<i64> = (0..count as i64).collect();
        group.dataset("_index").unwrap().write(&index).unwrap();
    }
    let (major, minor) = if by_rows { (spots, GENES) } else { (GENES, spots) };
    let each = minor / STEP;
    let x = file.create_group("X").unwrap();
    text(&x, "encoding-type", if by_rows { "csr_matrix" } else { "csc_matrix" });
    x.new_attr::<i64>().shape(2).create("shape").unwrap().write(&[spots as i64, GENES as i64]).unwrap();
    let indptr: Vec<i64> = (0..=major).map(|i| (i * each) as i64).collect();
    x.new_dataset::<i64>().shape(major + 1).create("indptr").unwrap().write(&indptr).unwrap();
    let indices = x.new_dataset::<i32>().shape(major * each).create("indices").unwrap();
    let data = x.new_dataset::<f32>().shape(major * each).create("data").unwrap();
    for i in 0..major {
        let places: Vec<i32> = (0..each).map(|k| (k * STEP + i % STEP) as i32).collect();
        let values: Vec<f32> = (0..each).map(|k| (k % 50 + 1) as f32).collect();
        indices.write_slice(&places, i * each..(i + 1) * each).unwrap();
        data.write_slice(&values, i * each..(i + 1) * each).unwrap();
    }
}

#[test]
fn a_sparse_matrix_is_held_once() {
    let spots: usize = std::env::var("SCELLST_MEMORY_SPOTS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let dir = tempfile::tempdir().unwrap();
    let (rows, columns) = (dir.path().join("csr.h5ad"), dir.path().join("csc.h5ad"));
    write(&rows, spots, true);
    write(&columns, spots, false);
    let Some(before) = peak_mb() else {
        println!("skipped: no /proc/self/status");
        return;
    };
    let matrix_mb = (spots * GENES / STEP * 8) >> 20;
    // A few rows and genes first: little is held.
    for path in [&rows, &columns] {
        let some = ReadOptions::default().with_observations(0..100).with_genes(["3", "5"]);
        let part = read_h5ad_with(path, &some).unwrap();
        assert_eq!(part.expression.counts().nnz(), 20);
    }
    let part = peak_mb().unwrap();
    assert!(part - before < 48 + spots / 5000, "{before} -> {part} MB for a part");
    for path in [&rows, &columns] {
        let started = std::time::Instant::now();
        let counts = read_h5ad(path).unwrap().expression;
        let peak = peak_mb().unwrap();
        let name = path.file_name().unwrap().display();
        println!(
            "{name}: {spots} x {GENES}, matrix {matrix_mb} MB; peak {before} MB before, {part} for a part, {peak} for all; {:.1} s",
            started.elapsed().as_secs_f64()
        );
        assert_eq!(counts.counts().nnz(), spots * GENES / STEP);
        // What one block takes beside the matrix, and the names.
        assert!(peak - before < matrix_mb + matrix_mb / 20 + 64 + spots / 5000, "{before} -> {peak} MB");
    }
}
