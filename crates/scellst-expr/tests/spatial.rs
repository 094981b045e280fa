//! Spatial statistics against squidpy (`tests/data/spatial.py`), and what must hold of any array.

use ndarray::Array2;
use proptest::prelude::*;
use scellst_expr::{CsrMatrix, Expression, SpatialStatistic, SpatialTests, SpotGraph, Tails, morans_i, spatial_tests};
use scellst_types::{Level0, Point};
use serde_json::Value;

fn expression(counts: &Array2<f32>) -> Expression {
    let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect();
    let matrix = CsrMatrix::from_dense(counts.view()).unwrap();
    Expression::new(matrix, names("g", counts.ncols()), names("s", counts.nrows())).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn moran(raw: &Expression, graph: &SpotGraph) -> SpatialTests {
    spatial_tests(raw, raw.genes(), graph, SpatialStatistic::MoransI, Tails::One).unwrap()
}

/// squidpy's weights are `f32`: hence 1e-6, which is what we promise.
#[test]
fn as_squidpy() {
    let arrays: Value = serde_json::from_str(include_str!("data/moran.json")).unwrap();
    let wanted: Value = serde_json::from_str(include_str!("data/spatial.json")).unwrap();
    assert_eq!(wanted.as_array().unwrap().len(), 24);
    for case in wanted.as_array().unwrap() {
        let array = arrays.as_array().unwrap().iter().find(|array| array["name"] == case["case"]).unwrap();
        let rows: Vec<Vec<f64>> = array["counts"].as_array().unwrap().iter().map(numbers).collect();
        let raw = expression(&Array2::from_shape_fn((rows.len(), 5), |(i, j)| rows[i][j] as f32));
        let centres: Vec<Point<Level0>> =
            array["xy"].as_array().unwrap().iter().map(numbers).map(|xy| Point::new(xy[0], xy[1])).collect();
        let graph = SpotGraph::grid(&centres, case["neighbours"].as_u64().unwrap() as usize).unwrap();
        let statistic = if case["mode"] == "moran" { SpatialStatistic::MoransI } else { SpatialStatistic::GearysC };
        let tails = if case["two_tailed"] == true { Tails::Two } else { Tails::One };
        let found = spatial_tests(&raw, &raw.genes()[..4], &graph, statistic, tails).unwrap();
        let variance = case["variance"].as_f64().unwrap();
        assert!((found.variance - variance).abs() < 1e-6 * variance, "{} beside {variance}", found.variance);
        let found: Vec<_> = found.genes.into_iter().map(Option::unwrap).collect();
        for (key, ours) in [
            ("value", found.iter().map(|test| test.value).collect::<Vec<_>>()),
            ("p", found.iter().map(|test| test.p).collect()),
            ("p_adjusted", found.iter().map(|test| test.p_adjusted).collect()),
        ] {
            for (ours, theirs) in ours.iter().zip(numbers(&case[key])) {
                let (name, mode, k) = (&case["case"], &case["mode"], &case["neighbours"]);
                assert!((ours - theirs).abs() < 1e-6, "{name}, {mode}, {k}: {key} {ours} beside {theirs}");
            }
        }
    }
}

/// By hand: 0.01 x 4 / 1, 0.02 x 4 / 2, 0.03 x 4 / 3 are all 0.04.
fn square(width: u32, height: u32) -> Vec<Point<Level0>> {
    (0..width * height).map(|i| Point::new(f64::from(i % width) * 10.0, f64::from(i / width) * 10.0)).collect()
}

#[test]
fn neighbours_of_regular_arrays() {
    let grid = square(30, 20);
    for graph in [SpotGraph::square(&grid).unwrap(), SpotGraph::hexagonal(&grid).unwrap()] {
        let mut inner = graph.neighbours(31).to_vec();
        inner.sort_unstable();
        assert_eq!(inner, [1, 30, 32, 61]);
        let mut corner = graph.neighbours(0).to_vec();
        corner.sort_unstable();
        assert_eq!(corner, [1, 30]);
    }
    let hexagonal: Vec<Point<Level0>> = (0..400)
        .map(|i| (i % 20, i / 20))
        .map(|(x, y)| Point::new(f64::from(x) + f64::from(y % 2) / 2.0, f64::from(y) * 0.75_f64.sqrt()))
        .collect();
    let graph = SpotGraph::hexagonal(&hexagonal).unwrap();
    let mut inner = graph.neighbours(22).to_vec();
    inner.sort_unstable();
    assert_eq!(inner, [2, 3, 21, 23, 42, 43]);
    assert_eq!((graph.len(), graph.connected(), graph.is_empty()), (400, 400, false));
}

#[test]
fn arrays_that_are_none() {
    let refused = |centres: &[Point<Level0>], k| SpotGraph::grid(centres, k).unwrap_err().to_string();
    assert!(refused(&[], 6).contains("none of 0 spots has a neighbour"));
    assert!(refused(&square(1, 1), 6).contains("none of 1 spots"));
    assert!(refused(&vec![Point::new(5.0, 5.0); 50_000], 6).contains("none of 50000 spots"));
    assert!(refused(&square(3, 3), 0).contains("neighbours of a spot is 0"));
    assert!(refused(&square(3, 3), usize::MAX).contains("neighbours of a spot"));
    assert!(refused(&[Point::new(0.0, f64::INFINITY)], 6).contains("spot 0"));
    let raw = expression(&Array2::ones((4, 1)));
    let graph = SpotGraph::square(&square(3, 3)).unwrap();
    let wrong = spatial_tests(&raw, raw.genes(), &graph, SpatialStatistic::GearysC, Tails::One).unwrap_err();
    assert!(wrong.to_string().contains("expected 4, found 9"), "{wrong}");
}

/// After normalising one gene is constant: the same in every spot but for rounding.
#[test]
fn constant_genes_have_no_statistic() {
    let one = expression(&Array2::from_shape_fn((9, 1), |(i, _)| i as f32 * 3.0 + 1.0));
    let graph = SpotGraph::square(&square(3, 3)).unwrap();
    assert_eq!(moran(&one, &graph).genes, [None]);
    let none = expression(&Array2::zeros((9, 2)));
    assert_eq!(moran(&none, &graph).genes, [None, None]);
    let two = expression(&ndarray::arr2(&[[1.0, 3.0], [3.0, 1.0]]));
    let pair = SpotGraph::square(&square(2, 1)).unwrap();
    for test in moran(&two, &pair).genes {
        let test = test.unwrap();
        assert!((test.value + 1.0).abs() < 1e-12 && test.p.is_finite());
    }
}

proptest! {
    /// Against all distances; no two are equal.
    #[test]
    fn the_nearest_are_found(places in prop::collection::hash_set((-400..400_i32, -400..400_i32), 8..150), k in 1..8_usize) {
        let jitter = |at: usize| (at as f64 * 0.618_033_988_75).fract() * 0.3;
        let centres: Vec<Point<Level0>> = places
            .iter()
            .enumerate()
            .map(|(at, &(x, y))| Point::new(f64::from(x) + jitter(at), f64::from(y) + jitter(at * at + 1)))
            .collect();
        let nearest: Vec<Vec<(f64, u32)>> = centres
            .iter()
            .enumerate()
            .map(|(i, &centre)| {
                let mut all: Vec<(f64, u32)> = (0..centres.len())
                    .filter(|&j| j != i)
                    .map(|j| (centre.distance(centres[j]), j as u32))
                    .collect();
                all.sort_by(|a, b| a.partial_cmp(b).unwrap());
                all.truncate(k);
                all
            })
            .collect();
        let mut distances: Vec<f64> = nearest.iter().flatten().map(|near| near.0).collect();
        distances.sort_by(f64::total_cmp);
        let n = distances.len();
        let reach = 1.3 * (distances[(n - 1) / 2] + distances[n / 2]) / 2.0;
        let graph = SpotGraph::grid(&centres, k).unwrap();
        for (spot, near) in nearest.iter().enumerate() {
            let wanted: Vec<u32> = near.iter().filter(|(d, _)| *d < reach).map(|near| near.1).collect();
            prop_assert_eq!(graph.neighbours(spot), wanted.as_slice());
        }
    }

    /// Order of spots and genes, unit of length and depth of a spot change nothing.
    #[test]
    fn order_and_scale_do_not_matter(
        counts in prop::collection::vec(0..40_u16, 36 * 3),
        order in Just((0..36).collect::<Vec<usize>>()).prop_shuffle(),
        scale in 0.01..100.0_f64,
        depth in 1..9_u16,
    ) {
        let counts = Array2::from_shape_fn((36, 3), |(i, j)| f32::from(counts[i * 3 + j]));
        let grid = square(6, 6);
        let one = moran(&expression(&counts), &SpotGraph::square(&grid).unwrap());
        let moved: Vec<Point<Level0>> = order.iter().map(|&i| Point::new(grid[i].x * scale, grid[i].y * scale)).collect();
        let turned = Array2::from_shape_fn((36, 3), |(i, j)| counts[[order[i], 2 - j]] * f32::from(depth));
        let other = moran(&expression(&turned), &SpotGraph::square(&moved).unwrap());
        prop_assert!((one.variance - other.variance).abs() < 1e-12);
        for (a, b) in one.genes.iter().zip(other.genes.iter().rev()) {
            match (a, b) {
                (Some(a), Some(b)) => {
                    prop_assert!((a.value - b.value).abs() < 1e-9, "{} beside {}", a.value, b.value);
                    prop_assert!((a.p_adjusted - b.p_adjusted).abs() < 1e-9);
                    prop_assert!((0.0..=0.5).contains(&a.p) && a.p <= a.p_adjusted);
                }
                _ => prop_assert_eq!(a.is_none(), b.is_none()),
            }
        }
        let plain = morans_i(&expression(&counts), &grid, &["g1"]).unwrap();
        prop_assert_eq!(plain[0], one.genes[1].map(|test| test.value));
    }
}
