//! Spots of any shape and size, and how much of a nucleus lies in its own, against the plain definition.

use std::borrow::Cow;

use proptest::prelude::*;
use scellst_bags::{Bags, BagsError, Nucleus, SpotAreas, SpotShape, assign_to, overlap_weights};
use scellst_types::{Micron, Point};

type At = Point<Micron>;

fn at(list: &[(f64, f64)]) -> Vec<At> {
    list.iter().map(|&(x, y)| Point::new(x, y)).collect()
}

fn spot_by_definition(cell: At, spots: &[At], halves: &[f64], shape: SpotShape, turn: f64) -> Option<u32> {
    let mut best: Option<(f64, u32)> = None;
    for (i, (spot, &half)) in (0..).zip(spots.iter().zip(halves)) {
        let (dx, dy) = (cell.x - spot.x, cell.y - spot.y);
        let squared = dx * dx + dy * dy;
        let (u, v) = (turn.cos() * dx + turn.sin() * dy, turn.cos() * dy - turn.sin() * dx);
        let inside = match shape {
            SpotShape::Disc => squared <= half * half,
            SpotShape::Square => u.abs() <= half && v.abs() <= half,
        };
        if inside && best.is_none_or(|(least, _)| squared < least) {
            best = Some((squared, i));
        }
    }
    best.map(|(_, i)| i)
}

fn spot_of(bags: &Bags, cells: usize) -> Vec<Option<u32>> {
    let mut out = vec![None; cells];
    for (spot, members) in bags.iter() {
        members.iter().for_each(|&cell| out[cell as usize] = Some(spot));
    }
    out
}

#[test]
fn bins_tile_the_plane() {
    // 8 um bins of Visium HD, cells on a lattice that meets edges and corners.
    let bins: Vec<At> =
        (0..100).map(|i| Point::new(4.0 + 8.0 * f64::from(i % 10), 4.0 + 8.0 * f64::from(i / 10))).collect();
    let cells: Vec<At> = (0..41 * 41).map(|i| Point::new(2.0 * f64::from(i % 41), 2.0 * f64::from(i / 41))).collect();
    let (bags, qc) = assign_to(&cells, &SpotAreas::squares(&bins, 8.0).unwrap()).unwrap();
    assert_eq!((qc.cells_outside, qc.empty_spots), (0, 0));
    let found = spot_of(&bags, cells.len());
    let index = |x: f64| (((x / 8.0).ceil() - 1.0).max(0.0)) as u32;
    // On an edge the first of the bins that meet there.
    for (cell, spot) in cells.iter().zip(found) {
        assert_eq!(spot, Some(index(cell.y) * 10 + index(cell.x)), "{cell:?}");
    }
    // Turned with the bins the result is the same, but for edges: shift the cells off them.
    let (sin, cos) = 0.03_f64.sin_cos();
    let turn = |p: &At| Point::new(cos * p.x - sin * p.y, sin * p.x + cos * p.y);
    let inner: Vec<At> = cells.iter().map(|p| Point::new(p.x * 0.97 + 0.9, p.y * 0.97 + 0.9)).collect();
    let (askew_bins, askew): (Vec<At>, Vec<At>) = (bins.iter().map(turn).collect(), inner.iter().map(turn).collect());
    let areas = SpotAreas::squares(&askew_bins, 8.0).unwrap().turned(0.03).unwrap();
    let straight = assign_to(&inner, &SpotAreas::squares(&bins, 8.0).unwrap()).unwrap();
    assert_eq!(assign_to(&askew, &areas).unwrap(), straight);
}

#[test]
fn a_large_spot_yields_to_a_nearer_small_one() {
    let spots = at(&[(0.0, 0.0), (50.0, 0.0), (1000.0, 0.0)]);
    let areas = SpotAreas::of_sizes(&spots, SpotShape::Disc, &[100.0, 5.0, 1e5]).unwrap();
    let cells = at(&[(48.0, 0.0), (44.0, 0.0), (20.0, 0.0), (-99.0, 0.0), (-101.0, 0.0), (2e5, 0.0)]);
    let (bags, qc) = assign_to(&cells, &areas).unwrap();
    assert_eq!(spot_of(&bags, 6), [Some(1), Some(0), Some(0), Some(0), Some(2), None]);
    assert_eq!((qc.cells_in_several, bags.cells_per_spot(3).unwrap()), (4, vec![3, 1, 1]));
    assert!(bags.cells_per_spot(2).is_err());
}

#[test]
fn sizes_that_are_none_are_refused() {
    let spots = at(&[(0.0, 0.0), (9.0, 0.0)]);
    for bad in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e-9, 1e30] {
        assert!(matches!(SpotAreas::discs(&spots, bad), Err(BagsError::Setting { .. })));
        assert!(matches!(SpotAreas::squares(&spots, bad), Err(BagsError::Setting { .. })));
        let text = SpotAreas::of_sizes(&spots, SpotShape::Disc, &[1.0, bad]).unwrap_err().to_string();
        assert!(text.contains("at spot 1"), "{text}");
    }
    assert!(matches!(SpotAreas::of_sizes(&spots, SpotShape::Disc, &[1.0]), Err(BagsError::Lengths { .. })));
    assert!(matches!(SpotAreas::squares(&[], 2.0), Err(BagsError::Empty { what: "spots" })));
    assert!(SpotAreas::squares(&spots, 2.0).unwrap().turned(f64::NAN).is_err());
}

#[test]
fn a_million_cells_at_one_place_far_from_a_lost_one() {
    // One lost point must not put all others into one bucket: this would take minutes.
    let mut spots: Vec<At> =
        (0..40_000).map(|i| Point::new(10.0 * f64::from(i % 200), 10.0 * f64::from(i / 200))).collect();
    spots.push(Point::new(9e8, -9e8));
    let cells: Vec<At> = (0..200_000).map(|i| Point::new(f64::from(i % 1999), f64::from(i / 100 % 1999))).collect();
    let (bags, qc) = assign_to(&cells, &SpotAreas::discs(&spots, 4.0).unwrap()).unwrap();
    for (&cell, spot) in cells.iter().zip(spot_of(&bags, cells.len())) {
        let near = ((cell.y / 10.0).round() * 200.0 + (cell.x / 10.0).round().min(199.0)) as u32;
        let distance = cell.distance(spots[near.min(39_999) as usize]);
        assert_eq!(spot, (distance <= 2.0).then_some(near.min(39_999)), "{cell:?}");
    }
    assert_eq!(qc.empty_spots, spots.len() - bags.len());
}

#[test]
fn tissue_is_counted() {
    let spots = at(&[(0.0, 0.0), (100.0, 0.0), (200.0, 0.0), (300.0, 0.0)]);
    let cells = at(&[(0.0, 0.0), (1.0, 0.0), (100.0, 0.0)]);
    let (bags, qc) = assign_to(&cells, &SpotAreas::discs(&spots, 50.0).unwrap()).unwrap();
    let counts = bags.cells_per_spot(4).unwrap();
    let qc = qc.with_tissue(&counts, &[1.0, 0.25, 0.75, 0.0]).unwrap();
    let tissue = qc.tissue.clone().unwrap();
    assert_eq!((tissue.mean_share, tissue.spots_off_tissue), (0.5, 2));
    assert_eq!((tissue.empty_on_tissue, tissue.cells_off_tissue), (1, 1));
    assert_eq!(qc.share_in_spots(), 1.0);
    let text = serde_json::to_string(&qc).unwrap();
    assert_eq!(serde_json::from_str::<scellst_bags::Qc>(&text).unwrap(), qc);
    assert!(
        qc.clone().with_tissue(&counts, &[1.0]).is_err() && qc.clone().with_tissue(&counts[1..], &[1.0; 4]).is_err()
    );
    assert!(qc.with_tissue(&counts, &[1.0, f32::NAN, 0.0, 0.0]).is_err());
}

#[test]
fn shares_of_nuclei() {
    let spots = at(&[(1000.0, 1000.0)]);
    let cells = at(&[(1000.0, 1000.0), (1020.0, 1000.0), (1000.0, 1020.0)]);
    let ring = |x: f64, y: f64, half: f64| {
        Nucleus::Outline(Cow::Owned(at(&[
            (x - half, y - half),
            (x + half, y - half),
            (x + half, y + half),
            (x - half, y + half),
        ])))
    };
    let nucleus = |cell: u32| match cell {
        0 => Nucleus::Disc { area_um2: 30.0 },
        // Half of it beyond the right side.
        1 => ring(1020.0, 1000.0, 4.0),
        _ => Nucleus::Disc { area_um2: f64::NAN },
    };
    for shape in [SpotShape::Disc, SpotShape::Square] {
        let areas = SpotAreas::of_sizes(&spots, shape, &[20.0]).unwrap();
        let (bags, _) = assign_to(&cells, &areas).unwrap();
        let weights = overlap_weights(&bags, &cells, &areas, nucleus).unwrap();
        assert_eq!((weights[0], weights[2]), (1.0, 1.0));
        match shape {
            SpotShape::Square => assert_eq!(weights[1], 0.5),
            // The circle bends away: a little less.
            SpotShape::Disc => assert!((0.45..0.5).contains(&weights[1]), "{}", weights[1]),
        }
        // Fewer than three corners, or none in a line: a place.
        let flat = |_| Nucleus::Outline(Cow::Owned(at(&[(0.0, 0.0), (1.0, 1.0)])));
        assert_eq!(overlap_weights(&bags, &cells, &areas, flat).unwrap(), [1.0; 3]);
        let bad = |_| Nucleus::Disc { area_um2: -1.0 };
        assert!(matches!(overlap_weights(&bags, &cells, &areas, bad), Err(BagsError::Setting { .. })));
        let bad = |_| Nucleus::Outline(Cow::Owned(at(&[(0.0, f64::NAN), (1.0, 1.0), (2.0, 0.0)])));
        assert!(matches!(overlap_weights(&bags, &cells, &areas, bad), Err(BagsError::NotFinite { .. })));
        let other = Bags::new(vec![0, 1], vec![3], vec![0]).unwrap();
        assert!(overlap_weights(&other, &cells, &areas, nucleus).is_err());
        let other = Bags::new(vec![0, 1], vec![0], vec![1]).unwrap();
        assert!(overlap_weights(&other, &cells, &areas, nucleus).is_err());
    }
}

fn place() -> impl Strategy<Value = At> {
    // Whole numbers make ties and rims likely.
    prop_oneof![
        (0..60_i32, 0..60_i32).prop_map(|(x, y)| Point::new(x.into(), y.into())),
        (-20.0..80.0f64, -20.0..80.0f64).prop_map(|(x, y)| Point::new(x, y)),
    ]
}

proptest! {
    #[test]
    fn assignment_is_its_definition(
        cells in prop::collection::vec(place(), 1..120),
        spots in prop::collection::vec((place(), prop_oneof![Just(5.0), Just(10.0), 0.01..60.0f64]), 1..30),
        square in any::<bool>(),
        turn in prop_oneof![Just(0.0), -3.2..3.2f64],
        lost in any::<bool>(),
    ) {
        let (mut spots, mut halves): (Vec<At>, Vec<f64>) = spots.into_iter().unzip();
        if lost {
            // Makes grids sparse.
            spots.push(Point::new(-8e8, 8e8));
            halves.push(2.0);
        }
        let shape = if square { SpotShape::Square } else { SpotShape::Disc };
        let areas = SpotAreas::of_sizes(&spots, shape, &halves).unwrap().turned(turn).unwrap();
        let wanted: Vec<_> = cells.iter().map(|&cell| spot_by_definition(cell, &spots, &halves, shape, turn)).collect();
        match assign_to(&cells, &areas) {
            Ok((bags, _)) => {
                prop_assert_eq!(spot_of(&bags, cells.len()), wanted);
                let again = Bags::new(bags.offsets().into(), bags.cells().into(), bags.spots().into());
                prop_assert_eq!(again, Ok(bags));
            }
            Err(error) => {
                let none = matches!(error, BagsError::NoCellInAnySpot { .. });
                prop_assert!(none && wanted.iter().all(Option::is_none));
            }
        }
    }

    /// A disc's share is that of a polygon of many corners, in discs and in turned squares.
    #[test]
    fn discs_and_outlines_agree(place in place(), radius in 1.0..30.0f64, square in any::<bool>(), turn in -3.2..3.2f64) {
        let spots = at(&[(30.0, 30.0)]);
        let shape = if square { SpotShape::Square } else { SpotShape::Disc };
        let areas = SpotAreas::of_sizes(&spots, shape, &[20.0]).unwrap().turned(turn).unwrap();
        let bags = Bags::new(vec![0, 1], vec![0], vec![0]).unwrap();
        let ring: Vec<At> = (0..3000).map(|i| {
            let turn = f64::from(i) * std::f64::consts::TAU / 3000.0;
            Point::new(place.x + radius * turn.cos(), place.y + radius * turn.sin())
        }).collect();
        let disc = |_| Nucleus::Disc { area_um2: std::f64::consts::PI * radius * radius };
        let outline = |_| Nucleus::Outline(Cow::Borrowed(&ring[..]));
        let one = overlap_weights(&bags, &[place], &areas, disc).unwrap()[0];
        let two = overlap_weights(&bags, &[place], &areas, outline).unwrap()[0];
        prop_assert!((one - two).abs() < 1e-4, "{one} {two}");
    }
}
