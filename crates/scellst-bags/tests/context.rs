//! Context against the plain definition.

use ndarray::{Array2, Axis, array};
use proptest::prelude::*;
use scellst_bags::{BagsError, Context, ContextBlock};
use scellst_types::{Micron, Point};

type At = Point<Micron>;

/// Two-pass mean and standard deviation in f64 over every cell within the radius.
fn by_definition(cells: &[At], x: &Array2<f32>, centre: At, radius: f64) -> (u32, Vec<f64>, Vec<f64>) {
    let near: Vec<usize> = (0..cells.len())
        .filter(|&i| (cells[i].x - centre.x).powi(2) + (cells[i].y - centre.y).powi(2) <= radius * radius)
        .collect();
    let rows = x.select(Axis(0), &near).mapv(f64::from);
    if near.is_empty() {
        return (0, vec![0.0; x.ncols()], vec![0.0; x.ncols()]);
    }
    let mean = rows.mean_axis(Axis(0)).unwrap();
    let spread = (&rows - &mean).mapv(|v| v * v).mean_axis(Axis(0)).unwrap().mapv(f64::sqrt);
    (near.len() as u32, mean.to_vec(), spread.to_vec())
}

/// Every block against the definition; `size` is the range of the features. Gives how many rows it saw.
fn check(cells: &[At], x: &Array2<f32>, centres: &[At], radii: &[f64], size: f64, rows: usize) -> usize {
    let mut seen = vec![false; centres.len()];
    for block in Context::new(cells, x.view(), centres, radii).unwrap().with_block_rows(rows) {
        for (row, &centre) in block.centres.iter().enumerate() {
            assert!(!std::mem::replace(&mut seen[centre as usize], true), "centre {centre} twice");
            for (j, &radius) in radii.iter().enumerate() {
                let (count, mean, spread) = by_definition(cells, x, centres[centre as usize], radius);
                assert_eq!(block.counts[(row, j)], count, "cells within {radius} of centre {centre}");
                for k in 0..x.ncols() {
                    let (m, s) = (f64::from(block.mean(row, j)[k]), f64::from(block.spread(row, j)[k]));
                    // Half a unit in the last place of f32 for storing the mean itself.
                    let close = 1e-6 * size + 6e-8 * mean[k].abs();
                    assert!((m - mean[k]).abs() <= close, "mean {k} of {centre}: {m}, not {}", mean[k]);
                    assert!(
                        (s - spread[k]).abs() <= 1e-4 * spread[k] + 1e-7 * size,
                        "spread {k} of {centre}: {s}, not {}",
                        spread[k]
                    );
                }
            }
        }
    }
    seen.iter().filter(|&&seen| seen).count()
}

/// Numbers that look like chance.
fn noise(i: usize, k: usize) -> f64 {
    let mut h = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (k as u64 + 7).wrapping_mul(0xd1b5_4a32_d192_ed03);
    h = (h ^ (h >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((h ^ (h >> 29)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn scattered(n: usize, side: f64) -> Vec<At> {
    (0..n).map(|i| Point::new(side * noise(i, 1000), side * noise(i, 1001))).collect()
}

#[test]
fn many_cells_around_cells_and_spots() {
    let cells = scattered(3000, 400.0);
    // More columns than two panels of registers, and not a multiple of them.
    let x = Array2::from_shape_fn((3000, 75), |(i, k)| noise(i, k) as f32);
    assert_eq!(check(&cells, &x, &cells, &[10.0, 27.5, 90.0], 1.0, 512), 3000);
    let spots: Vec<At> =
        (0..30).map(|i| Point::new(100.0 * f64::from(i % 6) - 40.0, 100.0 * f64::from(i / 6))).collect();
    assert_eq!(check(&cells, &x, &spots, &[27.5, 55.0, 110.0], 1.0, 1), 30);
}

#[test]
fn large_offsets_small_spreads_and_empty_places_do_no_harm() {
    let cells = scattered(1500, 300.0);
    let x = Array2::from_shape_fn((1500, 6), |(i, k)| match k {
        // An offset a million times the spread.
        0 => 1e4 + 0.01 * noise(i, 0) as f32,
        // Zero but in a corner, where it is large.
        1 if cells[i].x < 30.0 && cells[i].y < 30.0 => 5000.0,
        // A step: constant on both sides.
        2 if cells[i].x < 150.0 => -300.0,
        2 => 7000.5,
        // A steep slope with hardly any noise.
        3 => cells[i].x as f32 * 30.0,
        4 => 3.25,
        _ => 0.0,
    });
    check(&cells, &x, &cells, &[3.0, 12.0, 48.0], 1e4, 100);
    let block = Context::new(&cells, x.view(), &cells, &[3.0, 48.0]).unwrap().collect_all();
    for (cell, place) in cells.iter().enumerate() {
        for j in 0..2 {
            assert_eq!((block.mean(cell, j)[4], block.spread(cell, j)[4]), (3.25, 0.0));
            assert_eq!((block.mean(cell, j)[5], block.spread(cell, j)[5]), (0.0, 0.0));
            // No spread at all away from the corner, to the last bit.
            if place.x > 100.0 {
                assert_eq!(block.spread(cell, j)[1], 0.0);
            }
        }
    }
    let nowhere = [Point::new(5000.0, 5000.0)];
    let block = Context::new(&cells, x.view(), &nowhere, &[3.0]).unwrap().collect_all();
    assert!(block.counts.iter().all(|&n| n == 0) && block.values.iter().all(|&v| v == 0.0));
}

#[test]
fn few_of_anything() {
    let none: [At; 0] = [];
    let one = [Point::new(1.0, 2.0)];
    let x = Array2::<f32>::ones((1, 3));
    assert_eq!(Context::new(&one, x.view(), &none, &[5.0]).unwrap().count(), 0);
    assert_eq!(
        Context::new(&none, Array2::zeros((0, 3)).view(), &one, &[5.0]).unwrap().collect_all().counts,
        array![[0]]
    );
    let block = Context::new(&one, x.view(), &one, &[5.0]).unwrap().collect_all();
    assert_eq!(block.values, array![[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]);
    // No features: counts alone.
    let block = Context::new(&one, Array2::zeros((1, 0)).view(), &one, &[5.0, 6.0]).unwrap().collect_all();
    assert_eq!((block.counts, block.values.ncols()), (array![[1, 1]], 0));
    // Cells all at one place, and columns laid out the other way.
    let same = vec![Point::new(3.0, 3.0); 700];
    let x = Array2::from_shape_fn((5, 700), |(k, i)| noise(i, k) as f32).reversed_axes();
    assert_eq!(check(&same, &x, &same, &[1.0], 1.0, 64), 700);
}

#[test]
fn what_has_no_context_is_refused() {
    let cells = scattered(4, 10.0);
    let mut x = Array2::<f32>::zeros((4, 2));
    let new = |x: &Array2<f32>, radii: &[f64]| Context::new(&cells, x.view(), &cells, radii).err();
    for radii in [&[][..], &[0.0], &[-1.0], &[f64::NAN], &[f64::INFINITY], &[2.0, 2.0], &[3.0, 2.0], &[1.0; 65]] {
        assert!(matches!(new(&x, radii), Some(BagsError::Setting { .. })), "{radii:?}");
    }
    let error = new(&Array2::zeros((3, 2)), &[1.0]).unwrap();
    assert_eq!(error, BagsError::Lengths { what: "rows of features", expected: 4, found: 3 });
    for bad in [f32::NAN, f32::NEG_INFINITY, 1e30] {
        x[(2, 1)] = bad;
        let text = new(&x, &[1.0]).unwrap().to_string();
        assert!(text.contains("row 2, column 1"), "{text}");
    }
    let lost = [Point::new(f64::NAN, 0.0)];
    let x = Array2::<f32>::zeros((4, 2));
    assert!(matches!(Context::new(&cells, x.view(), &lost, &[1.0]).err(), Some(BagsError::NotFinite { .. })));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let cells = scattered(20_000, 1000.0);
    let x = Array2::from_shape_fn((20_000, 20), |(i, k)| noise(i, k) as f32);
    let run = || -> Vec<ContextBlock> { Context::new(&cells, x.view(), &cells, &[9.0, 30.0]).unwrap().collect() };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let one = pool(1).install(run);
    assert!(one.len() > 1 || one[0].centres.len() == 20_000);
    // Bits: -0 and 0 would differ, and NaN would be equal.
    let bits = |blocks: &[ContextBlock]| -> Vec<u32> {
        blocks.iter().flat_map(|b| b.values.iter().map(|v| v.to_bits())).collect()
    };
    let four = pool(4).install(run);
    assert_eq!(bits(&one), bits(&four));
    assert_eq!(one, four);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn context_is_its_definition(
        // Whole numbers make rims and doubles likely.
        places in prop::collection::vec((0..40_i32, 0..40_i32), 1..150),
        centres in prop::collection::vec((-10..50_i32, -10..50_i32), 1..40),
        features in 1..40_usize,
        radii in prop::collection::btree_set(1..40_u32, 1..4),
        rows in 1..60_usize,
    ) {
        let at = |list: &[(i32, i32)]| -> Vec<At> { list.iter().map(|&(x, y)| Point::new(x.into(), y.into())).collect() };
        let (cells, centres) = (at(&places), at(&centres));
        let x = Array2::from_shape_fn((cells.len(), features), |(i, k)| (noise(i, k) * 20.0 - 3.0) as f32);
        let radii: Vec<f64> = radii.into_iter().map(f64::from).collect();
        prop_assert_eq!(check(&cells, &x, &centres, &radii, 20.0, rows), centres.len());
    }
}
