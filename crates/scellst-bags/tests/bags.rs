//! Assignment, bags, splits and neighbours against the plain definition.

use proptest::prelude::*;
use scellst_bags::{Bags, BagsError, PointGrid, Split, assign, neighbours};
use scellst_types::{Micron, Point};

type At = Point<Micron>;

fn points(list: &[(f64, f64)]) -> Vec<At> {
    list.iter().map(|&(x, y)| Point::new(x, y)).collect()
}

/// The rule of `assign`, without an index.
fn spot_by_definition(cell: At, spots: &[At], diameter: f64) -> Option<u32> {
    let squared = |spot: &At| (spot.x - cell.x).powi(2) + (spot.y - cell.y).powi(2);
    let inside = spots.iter().enumerate().filter(|(_, spot)| squared(spot) <= diameter * diameter / 4.0);
    inside.min_by(|a, b| squared(a.1).total_cmp(&squared(b.1)).then(a.0.cmp(&b.0))).map(|(spot, _)| spot as u32)
}

#[test]
fn edge_tie_and_overlap() {
    let spots = points(&[(0.0, 0.0), (40.0, 0.0), (1000.0, 0.0)]);
    // On the rim; between two; nearer to the second; just outside.
    let cells = points(&[(-27.5, 0.0), (20.0, 0.0), (21.0, 0.0), (-27.6, 0.0)]);
    let (bags, qc) = assign(&cells, &spots, 55.0).unwrap();
    assert_eq!(bags.iter().collect::<Vec<_>>(), [(0, &[0, 1][..]), (1, &[2][..])]);
    assert_eq!((qc.cells_in_several, qc.cells_outside, qc.empty_spots), (2, 1, 1));
    assert_eq!((qc.min, qc.median, qc.mean, qc.max), (0, 1.0, 1.0, 2));
    assert_eq!(qc.histogram, [1, 1, 1]);
    assert_eq!(
        qc.to_string(),
        "4 cells, 3 spots: 0 to 2 cells a spot (median 1, mean 1.0), 1 spots empty, 0 huge (over 4), 1 cells outside, 2 in several spots"
    );
}

#[test]
fn spots_at_one_place_go_to_the_first() {
    let (bags, _) = assign(&points(&[(1.0, 1.0)]), &points(&[(0.0, 0.0), (0.0, 0.0)]), 10.0).unwrap();
    assert_eq!(bags.spots(), [0]);
}

#[test]
fn no_cell_in_any_spot_names_both_boxes_and_the_causes() {
    let cells = points(&[(0.0, 0.0), (100.0, 50.0)]);
    let error = assign(&cells, &points(&[(4000.0, 9000.0), (5000.0, 9500.0)]), 55.0).unwrap_err().to_string();
    for part in [
        "none of 2 cells",
        "2 spots of 55 um",
        "x 0.0 to 100.0, y 0.0 to 50.0",
        "x 4000.0 to 5000.0, y 9000.0 to 9500.0",
        "mpp",
        "swapped",
        "level",
    ] {
        assert!(error.contains(part), "'{error}' does not say '{part}'");
    }
}

#[test]
fn what_cannot_be_assigned_is_refused() {
    let one = points(&[(0.0, 0.0)]);
    assert_eq!(assign(&[], &one, 55.0).unwrap_err(), BagsError::Empty { what: "cells" });
    assert_eq!(assign(&one, &[], 55.0).unwrap_err(), BagsError::Empty { what: "spots" });
    for diameter in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(assign(&one, &one, diameter), Err(BagsError::Setting { .. })));
    }
    for bad in [f64::NAN, f64::INFINITY, 1e10] {
        let cells = points(&[(0.0, 0.0), (bad, 0.0)]);
        assert!(matches!(assign(&cells, &one, 55.0), Err(BagsError::NotFinite { what: "cell", index: 1, .. })));
        assert!(matches!(assign(&one, &cells, 55.0), Err(BagsError::NotFinite { what: "spot", index: 1, .. })));
        assert!(neighbours(&cells, &one, 5.0).is_err() && neighbours(&one, &cells, 5.0).is_err());
    }
}

#[test]
fn far_points_do_not_make_a_huge_grid() {
    let spots = points(&[(0.0, 0.0), (9e8, 9e8), (-9e8, 0.0)]);
    let cells = points(&[(9e8, 9e8), (3.0, 4.0)]);
    let (bags, _) = assign(&cells, &spots, 10.0).unwrap();
    assert_eq!((bags.spots(), bags.cells()), (&[0, 1][..], &[1, 0][..]));
}

#[test]
fn broken_bags_are_refused() {
    let new = |offsets: &[u32], cells: &[u32], spots: &[u32]| Bags::new(offsets.into(), cells.into(), spots.into());
    assert!(new(&[0, 2, 3], &[4, 7, 1], &[0, 5]).is_ok());
    assert!(new(&[0], &[], &[]).is_ok());
    for (found, text) in [
        (new(&[], &[], &[]), "0 offsets for 0 spots, expected 1"),
        (new(&[0, 1], &[1], &[]), "2 offsets for 0 spots"),
        (new(&[1, 2], &[1, 2], &[0]), "offsets run from 1 to 2"),
        (new(&[0, 3], &[1, 2], &[0]), "expected from 0 to 2"),
        (new(&[0, 1, 1], &[1], &[0, 1]), "bag 1 is empty"),
        (new(&[0, 2, 1, 2], &[1, 2], &[0, 1, 2]), "bag 1 is empty"),
        (new(&[0, 9, 2], &[1, 2], &[0, 1]), "bag 1 is empty"),
        (new(&[0, 1, 2], &[1, 2], &[3, 3]), "spot 3 follows spot 3"),
        (new(&[0, 2], &[2, 1], &[0]), "cell 1 follows cell 2 in bag 0"),
        (new(&[0, 1, 2], &[1, 1], &[0, 1]), "cell 1 is in two bags"),
    ] {
        let message = found.unwrap_err().to_string();
        assert!(message.contains(text), "'{message}' does not say '{text}'");
    }
    assert!(serde_json::from_str::<Bags>(r#"{"offsets":[0,1],"cells":[1],"spots":[]}"#).is_err());
    let bags = new(&[0, 2, 3], &[4, 7, 1], &[0, 5]).unwrap();
    assert_eq!(serde_json::from_str::<Bags>(&serde_json::to_string(&bags).unwrap()).unwrap(), bags);
}

#[test]
fn subset_and_concat() {
    let bags = Bags::new(vec![0, 2, 3, 4], vec![4, 7, 1, 2], vec![0, 5, 6]).unwrap();
    let some = bags.subset(&[2, 0]).unwrap();
    assert_eq!(some.iter().collect::<Vec<_>>(), [(0, &[4, 7][..]), (6, &[2][..])]);
    assert!(bags.subset(&[3]).is_err() && bags.subset(&[1, 1]).is_err());

    let joined = Bags::concat(&[(&bags, 10, 7), (&some, 8, 9)]).unwrap();
    assert_eq!(joined.spots(), [0, 5, 6, 7, 13]);
    assert_eq!(joined.cells(), [4, 7, 1, 2, 14, 17, 12]);
    assert_eq!(joined.offsets(), [0, 2, 3, 4, 6, 7]);
    assert!(Bags::concat(&[(&bags, 7, 7)]).unwrap_err().to_string().contains("cell 7, but there are 7"));
    assert!(Bags::concat(&[(&bags, 8, 6)]).unwrap_err().to_string().contains("spot 6, but there are 6"));
    let most = u32::MAX as usize;
    assert!(matches!(Bags::concat(&[(&bags, most, 9), (&bags, 8, 9)]), Err(BagsError::TooMany { .. })));
    assert!(Bags::concat(&[]).unwrap().is_empty());
}

#[test]
fn splits() {
    let split = Split::random(100, 0.8, 7).unwrap();
    assert_eq!((split.train.len(), split.validation.len()), (80, 20));
    let mut all = [split.train.clone(), split.validation.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert_eq!(split, Split::random(100, 0.8, 7).unwrap());
    assert_ne!(split, Split::random(100, 0.8, 8).unwrap());
    // Written down once: the split of a seed must not change between releases.
    assert_eq!(Split::random(12, 0.75, 0).unwrap().validation, GOLDEN_VALIDATION);
    for (bags, share) in [(0, 0.8), (1, 0.8), (10, 0.0), (10, 1.0), (10, f64::NAN), (10, -1.0), (10, 7.0)] {
        assert!(Split::random(bags, share, 0).is_err(), "{share} of {bags}");
    }
    let apart = Split::by_section(&[0, 0, 1, 2, 1], &[1]).unwrap();
    assert_eq!((apart.train, apart.validation), (vec![0, 1, 3], vec![2, 4]));
    assert!(Split::by_section(&[0, 1], &[0, 1]).is_err() && Split::by_section(&[0, 1], &[2]).is_err());
}

const GOLDEN_VALIDATION: [usize; 3] = [5, 6, 8];

#[test]
fn every_bag_validates_about_as_often() {
    let mut counts = [0_i32; 10];
    for seed in 0..2000 {
        for bag in Split::random(10, 0.8, seed).unwrap().validation {
            counts[bag] += 1;
        }
    }
    // Expected 400 each, standard deviation 18.
    assert!(counts.iter().all(|count| (count - 400).abs() < 90), "{counts:?}");
}

fn place() -> impl Strategy<Value = At> {
    // Whole numbers make ties and rims likely.
    prop_oneof![
        (0..60_i32, 0..60_i32).prop_map(|(x, y)| Point::new(f64::from(x), f64::from(y))),
        (-20.0..80.0f64, -20.0..80.0f64).prop_map(|(x, y)| Point::new(x, y)),
    ]
}

proptest! {
    #[test]
    fn assignment_is_its_definition(
        cells in prop::collection::vec(place(), 1..120),
        spots in prop::collection::vec(place(), 1..30),
        diameter in prop_oneof![Just(10.0), 0.5..70.0f64],
    ) {
        let wanted: Vec<Option<u32>> = cells.iter().map(|&cell| spot_by_definition(cell, &spots, diameter)).collect();
        match assign(&cells, &spots, diameter) {
            Err(error) => {
                let none = matches!(error, BagsError::NoCellInAnySpot { .. });
                prop_assert!(none && wanted.iter().all(Option::is_none));
            }
            Ok((bags, qc)) => {
                let mut found = vec![None; cells.len()];
                for (spot, members) in bags.iter() {
                    for &cell in members {
                        found[cell as usize] = Some(spot);
                    }
                }
                prop_assert_eq!(&found, &wanted);
                prop_assert_eq!(qc.cells_outside, wanted.iter().filter(|spot| spot.is_none()).count());
                prop_assert_eq!(qc.empty_spots + bags.len(), spots.len());
                prop_assert_eq!(qc.histogram.iter().sum::<usize>(), spots.len());
                prop_assert_eq!((qc.mean * spots.len() as f64).round() as usize, bags.n_cells());
                // The checked constructor agrees that these are bags.
                let again = Bags::new(bags.offsets().into(), bags.cells().into(), bags.spots().into());
                prop_assert_eq!(again, Ok(bags));
            }
        }
    }

    #[test]
    fn neighbours_are_their_definition(
        cells in prop::collection::vec(place(), 0..100),
        centres in prop::collection::vec(place(), 0..20),
        radius in prop_oneof![Just(5.0), 0.1..90.0f64],
    ) {
        let found = neighbours(&cells, &centres, radius).unwrap();
        prop_assert_eq!(found.len(), centres.len());
        let near = |centre: &At, cell: &At| {
            (cell.x - centre.x).powi(2) + (cell.y - centre.y).powi(2) <= radius * radius
        };
        for (at, centre) in centres.iter().enumerate() {
            let wanted: Vec<u32> = (0..cells.len()).filter(|&i| near(centre, &cells[i])).map(|i| i as u32).collect();
            prop_assert_eq!(found.of(at), &wanted[..]);
        }
        // A grid made for another radius finds the same.
        let grid = PointGrid::new(&cells, 3.0).unwrap();
        for (at, &centre) in centres.iter().enumerate() {
            let mut indices = Vec::new();
            grid.for_each_within(centre, radius, |index, _| indices.push(index));
            indices.sort_unstable();
            prop_assert_eq!(found.of(at), &indices[..]);
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing(cells in prop::collection::vec(place(), 1..200)) {
        let spots = points(&[(10.0, 10.0), (30.0, 30.0), (50.0, 10.0)]);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let four = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let run = || assign(&cells, &spots, 60.0);
        prop_assert_eq!(one.install(run), four.install(run));
    }
}
