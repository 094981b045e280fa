//! How long assigning takes: `cargo run --release -p scellst-bags --example speed`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;
use scellst_bags::{SpotAreas, assign_to};
use scellst_types::{Micron, Point};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("context") {
        return context();
    }
    println!("{} threads", rayon::current_num_threads());
    // Hexagonal: 141 columns by 142 rows of 100 um pitch.
    let hexagons: Vec<Point<Micron>> = (0..20_000)
        .map(|i| {
            let (row, column) = (i / 141, i % 141);
            Point::new(100.0 * f64::from(column) + 50.0 * f64::from(row % 2), 86.6 * f64::from(row))
        })
        .collect();
    let within = |n: usize, side: f64| -> Vec<Point<Micron>> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut unit = || rng.next_u32() as f64 / f64::from(u32::MAX);
        (0..n).map(|_| Point::new(side * unit(), side * unit())).collect()
    };
    let mut cells = within(5_000_000, 14_000.0);
    time("5,000,000 cells in random order, 20,000 discs of 55 um", &cells, || SpotAreas::discs(&hexagons, 55.0))?;
    let mixed: Vec<f64> = (0..hexagons.len()).map(|i| [10.0, 27.5, 60.0, 150.0][i % 4]).collect();
    time("the same, radii 10, 27.5, 60 and 150 um", &cells, || {
        SpotAreas::of_sizes(&hexagons, scellst_bags::SpotShape::Disc, &mixed)
    })?;
    for side in [2.0, 8.0, 16.0] {
        let bins: Vec<Point<Micron>> =
            (0..1_000_000).map(|i| Point::new(side * f64::from(i % 1000), side * f64::from(i / 1000))).collect();
        cells = within(5_000_000, side * 1000.0);
        time(&format!("5,000,000 cells in random order, 1,000,000 bins of {side} um"), &cells, || {
            SpotAreas::squares(&bins, side)
        })?;
    }
    context()?;
    Ok(())
}

/// 300,000 cells with 512 features each; within the largest radius about 400 of them.
fn context() -> Result<(), Box<dyn std::error::Error>> {
    let (cells, side) = (300_000, 15_000.0);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut unit = || rng.next_u32() as f64 / f64::from(u32::MAX);
    let places: Vec<Point<Micron>> = (0..cells).map(|_| Point::new(side * unit(), side * unit())).collect();
    let features = ndarray::Array2::from_shape_fn((cells, 512), |_| unit() as f32);
    let radius = side * (400.0 / cells as f64 / std::f64::consts::PI).sqrt();
    // The plain way, for one cell in a hundred: a pass over the neighbours' rows.
    let grid = scellst_bags::PointGrid::new(&places, radius)?;
    let start = Instant::now();
    let plain: f64 = (0..cells / 100)
        .into_par_iter()
        .map(|i| {
            let (mut n, mut one, mut two) = (0.0, vec![0.0_f32; 512], vec![0.0_f32; 512]);
            grid.for_each_within(places[100 * i], radius, |cell, _| {
                n += 1.0;
                for ((one, two), v) in one.iter_mut().zip(&mut two).zip(features.row(cell as usize)) {
                    *one += v;
                    *two += v * v;
                }
            });
            f64::from(one[0] / n + (two[0] / n).sqrt())
        })
        .sum();
    println!("the plain way, largest radius alone: {:.1} s ({plain:.3})", 100.0 * start.elapsed().as_secs_f64());
    for radii in [vec![radius], vec![radius / 4.0, radius / 2.0, radius]] {
        let start = Instant::now();
        let (mut blocks, mut pairs, mut check) = (0, 0_u64, 0.0);
        for block in scellst_bags::Context::new(&places, features.view(), &places, &radii)? {
            blocks += 1;
            pairs += block.counts.iter().map(|&n| u64::from(n)).sum::<u64>();
            check += f64::from(block.values[(0, 0)]);
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "context of 300,000 cells x 512 features within {radii:.0?} um: {seconds:.1} s\n  {:.0} neighbours a cell in all radii, {blocks} blocks ({check:.3})",
            pairs as f64 / cells as f64
        );
    }
    Ok(())
}

fn time<'a>(
    what: &str,
    cells: &[Point<Micron>],
    spots: impl Fn() -> Result<SpotAreas<'a>, scellst_bags::BagsError>,
) -> Result<(), scellst_bags::BagsError> {
    let mut best = f64::INFINITY;
    let mut said = String::new();
    for _ in 0..3 {
        let start = Instant::now();
        let (_, qc) = assign_to(cells, &spots()?)?;
        best = best.min(start.elapsed().as_secs_f64());
        said = qc.to_string();
    }
    println!("{what}: {best:.2} s\n  {said}");
    Ok(())
}
