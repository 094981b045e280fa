//! Export and import of many cells: identical, in the memory of the cells alone. A process of its own, since it looks at
//! the highest memory so far. `SCELLST_MEMORY_CELLS=1000000` takes more than the default.

#![allow(clippy::print_stdout, reason = "a test says what it measured or skipped")]

use std::path::Path;
use std::time::Instant;

use scellst_cells::{Cell, Cells, ImportOptions, read_cells, write_csv, write_geojson, write_parquet};
use scellst_types::{Point, Size};

const CORNERS: u32 = 20;
/// Outlines 8 bytes a corner, the other columns and a name of 36 letters; for the whole run with both files and back.
const BYTES_A_CELL: u64 = 500;

/// Highest resident memory so far, bytes; Linux only.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

/// A whole number that looks random. Source: splitmix64.
fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `i`-th cell: a star of 20 corners anywhere on a slide of 100,000 px, numbers with all their bits.
fn cell(i: u32) -> Cell {
    let unit = |k: u64| noise(u64::from(i) * 64 + k) as f64 / u64::MAX as f64;
    let (x, y) = (unit(0) * 99_900.0 + 50.0, unit(1) * 99_900.0 + 50.0);
    let corner = |k: u32| {
        let turn = f64::from(k) / f64::from(CORNERS) * std::f64::consts::TAU;
        let reach = 10.0 + 5.0 * unit(u64::from(k) + 8);
        [(x + reach * turn.cos()) as f32, (y + reach * turn.sin()) as f32]
    };
    let (a, b) = (noise(u64::from(i)), noise(u64::from(i) << 32));
    Cell {
        // Every other one has an id such as QuPath gives.
        id: i.is_multiple_of(2).then(|| {
            format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                a >> 32,
                a >> 16 & 0xffff,
                a & 0xffff,
                b >> 48,
                b & 0xffff_ffff_ffff
            )
        }),
        centroid: Point::new(x, y),
        outline: (0..CORNERS).map(corner).collect(),
        area_um2: (unit(2) * 200.0) as f32,
        score: unit(3) as f32,
        class: (!i.is_multiple_of(7))
            .then(|| ["neoplastic", "inflammatory", "connective", "dead", "epithelial"][i as usize % 5].into()),
    }
}

#[test]
fn a_million_cells_go_out_and_come_back() {
    let n: u32 = std::env::var("SCELLST_MEMORY_CELLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let Some(before) = peak() else {
        println!("skipped: no /proc/self/status");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mb = |bytes: u64| bytes >> 20;
    let options = ImportOptions { slide_size: Some(Size::new(100_000, 100_000)), ..Default::default() };
    type Write = fn(&Path, &Cells) -> Result<(), scellst_cells::CellsError>;
    let formats: [(&str, Write); 3] = [
        ("cells.parquet", |p, c| write_parquet(p, c)),
        ("cells.geojson", |p, c| write_geojson(p, c)),
        ("cells.csv", |p, c| write_csv(p, c)),
    ];
    for (name, write) in formats {
        let path = folder.path().join(name);
        let mut cells = Cells::new();
        (0..n).for_each(|i| assert!(cells.push(cell(i)).is_ok()));
        let held = peak().unwrap();
        let started = Instant::now();
        write(&path, &cells).unwrap();
        let out = started.elapsed().as_secs_f64();
        drop(cells);
        let written = peak().unwrap();
        let started = Instant::now();
        let read = read_cells(&path, &options).unwrap();
        let back = started.elapsed().as_secs_f64();
        let size = std::fs::metadata(&path).unwrap().len();
        println!(
            "{name}: {n} cells, {} MB; out {out:.1} s, back {back:.1} s; peak {} MB with the cells, {} written, {} read",
            mb(size),
            mb(held),
            mb(written),
            mb(peak().unwrap())
        );
        assert_eq!((read.cells.len(), read.dropped(), read.duplicate_ids), (n as usize, 0, 0));
        for i in 0..n {
            let mut want = cell(i);
            want.id.get_or_insert_with(|| format!("cell_{i:07}"));
            if name.ends_with("csv") {
                want.outline.clear();
            }
            // Equal numbers that are not NaN or 0 have equal bits.
            assert_eq!(read.cells.get(i as usize).unwrap(), want);
        }
    }
    let grown = peak().unwrap() - before;
    assert!(grown < (32 << 20) + u64::from(n) * BYTES_A_CELL, "{} MB", mb(grown));
}
