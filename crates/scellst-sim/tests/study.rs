//! Data of the simulation study: clusters against scikit-learn (`data/kmeans.py`), cells, spots.

use ndarray::Array2;
use scellst_sim::study::{CellConfig, MadeEmbeddings, MadeReference, Scenario, StudyCells, kmeans, log_normalised};

#[derive(serde::Deserialize)]
struct Golden {
    x: Vec<Vec<f32>>,
    inertia: f64,
    sizes: Vec<usize>,
}

#[test]
fn clusters_are_as_tight_as_scikit_learns() {
    let golden: Golden = serde_json::from_str(include_str!("data/kmeans.json")).unwrap();
    let x = Array2::from_shape_vec((240, 5), golden.x.concat()).unwrap();
    let found = kmeans(x.view(), 6, 50, 1).unwrap();
    assert!((found.inertia() / golden.inertia - 1.0).abs() < 1e-5, "{} {}", found.inertia(), golden.inertia);
    let mut sizes = vec![0; 6];
    found.of_row.iter().for_each(|&cluster| sizes[cluster as usize] += 1);
    sizes.sort_unstable();
    assert_eq!(sizes, golden.sizes);
}

fn cells(scenario: Scenario, seed: u64) -> (StudyCells, Vec<String>) {
    let reference = MadeReference { cells_per_type: 30, genes: 200, ..MadeReference::default() }.generate().unwrap();
    let embeddings = MadeEmbeddings { cells_per_type: 50, dims: 16, ..MadeEmbeddings::default() }.generate().unwrap();
    let config = CellConfig { cells_per_cluster: 40, components: 10, seed, ..CellConfig::default() };
    let genes = reference.expression().genes()[..20].to_vec();
    (StudyCells::new(embeddings.view(), &reference, scenario, &config).unwrap(), genes)
}

#[test]
fn a_clusters_cells_have_one_type_and_scenarios_differ_in_their_expression() {
    let distinct = |scenario| {
        let (cells, genes) = cells(scenario, 1);
        let all: Vec<usize> = (0..cells.len()).filter(|&c| cells.type_of()[c] == 2).collect();
        let (counts, _) = cells.counts(&all, &genes).unwrap();
        let mut rows: Vec<String> = counts.rows().into_iter().map(|r| format!("{r}")).collect();
        rows.sort_unstable();
        rows.dedup();
        (all.len(), rows.len())
    };
    assert_eq!(distinct(Scenario::Centroid), (40, 1));
    let (all, rows) = distinct(Scenario::Cell);
    assert!(all == 40 && rows > 20, "{rows}");
    // Six balanced types of made embeddings are found again.
    let (made, _) = cells(Scenario::Cell, 1);
    assert_eq!(made.one_hot().sum_axis(ndarray::Axis(0)).to_vec(), [40.0; 6]);
}

#[test]
fn halves_are_apart_and_spots_are_sums_of_their_cells() {
    let (cells, genes) = cells(Scenario::Cell, 3);
    let (train, test) = cells.halves();
    assert!(train.iter().all(|cell| !test.contains(cell)));
    assert_eq!((train.len(), test.len()), (120, 120));
    let bags = cells.draw_bags(train, 50, 7, 1).unwrap();
    assert!(bags.iter().all(|spot| spot.len() == 7 && spot.iter().all(|cell| train.contains(cell))));
    let (counts, totals) = bags.counts(&cells, &genes).unwrap();
    for (at, spot) in bags.iter().enumerate() {
        let (own, own_totals) = cells.counts(spot, &genes).unwrap();
        assert_eq!(own.sum_axis(ndarray::Axis(0)), counts.row(at));
        assert_eq!(own_totals.iter().sum::<f64>(), totals[at]);
    }
    let logs = log_normalised(&counts, &totals);
    assert!((f64::from(logs[[3, 5]]) - (f64::from(counts[[3, 5]]) / totals[3] * 1e4).ln_1p()).abs() < 1e-6);
    assert_eq!(bags, cells.draw_bags(train, 50, 7, 1).unwrap());
    assert_ne!(bags, cells.draw_bags(train, 50, 7, 2).unwrap());
    assert!(cells.draw_bags(train, 0, 7, 1).is_err() && cells.draw_bags(&[], 5, 7, 1).is_err());
}

#[test]
fn seeds_pair_clusters_and_types_anew() {
    let types: Vec<Vec<u32>> = (1..6).map(|seed| cells(Scenario::Cell, seed).0.type_of().to_vec()).collect();
    assert!(types.iter().any(|other| *other != types[0]));
}
