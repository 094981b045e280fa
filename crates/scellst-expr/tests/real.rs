//! Genes of a real Visium section against scanpy and squidpy (`tests/data/real.py`); the sections in h5ad files are
//! compared by `tests/gene_selection.rs` of the workspace, with the same numbers.
#![allow(clippy::print_stderr)] // a skipped test says so

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use scellst_expr::{
    CsrMatrix, Expression, FeatureConfig, Features, FilterConfig, SpatialStatistic, SpotGraph, Tails, highly_variable,
    normalised_variances, spatial_tests, spatially_variable,
};
use scellst_types::{Level0, Point};
use serde_json::Value;

fn text(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// A Space Ranger folder, read just well enough for this one.
fn section(folder: &Path) -> (Expression, Vec<Point<Level0>>) {
    let matrix = folder.join("filtered_feature_bc_matrix");
    let observations: Vec<String> = text(&matrix.join("barcodes.tsv.gz")).lines().map(str::to_owned).collect();
    let mut features = Features::default();
    for line in text(&matrix.join("features.tsv.gz")).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        features.ids.push(fields[0].to_owned());
        features.symbols.push(fields[1].to_owned());
        features.kinds.push(fields[2].to_owned());
    }
    // Entries are ordered by observation: rows of ours.
    let counts = text(&matrix.join("matrix.mtx.gz"));
    let (mut indptr, mut indices, mut values) = (vec![0; observations.len() + 1], Vec::new(), Vec::new());
    for line in counts.lines().filter(|line| !line.starts_with('%')).skip(1) {
        let entry: Vec<usize> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        indptr[entry[1]] += 1;
        indices.push(entry[0] as u32 - 1);
        values.push(entry[2] as f32);
    }
    for row in 0..observations.len() {
        indptr[row + 1] += indptr[row];
    }
    let counts = CsrMatrix::from_unsorted(observations.len(), features.symbols.len(), indptr, indices, values).unwrap();
    let positions = std::fs::read_to_string(folder.join("spatial/tissue_positions.csv")).unwrap();
    let places: HashMap<&str, Point<Level0>> = positions
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[0], Point::new(fields[5].parse().unwrap(), fields[4].parse().unwrap()))
        })
        .collect();
    let centres = observations.iter().map(|name| places[name.as_str()]).collect();
    (FeatureConfig::default().apply(counts, &features, observations).unwrap().0, centres)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_str().unwrap().split(' ').collect()
}

#[test]
fn genes_of_a_visium_section() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tenx/spaceranger3-full-mtx"));
    if !folder.is_dir() {
        eprintln!("skipped: no shared data");
        return;
    }
    let golden: Value = serde_json::from_str(include_str!("data/real.json")).unwrap();
    let wanted = &golden["tenx"];
    let (raw, centres) = section(folder);
    assert_eq!((raw.observations().len(), raw.genes().len()), (2898, 19465));
    let filtered = FilterConfig::default().apply(&raw).unwrap();
    let genes = &filtered.expression;
    let shape = [genes.observations().len(), genes.genes().len()].map(|n| n as u64);
    assert_eq!(shape, [&wanted["observations"], &wanted["genes"]].map(|n| n.as_u64().unwrap()));

    let variances = normalised_variances(genes.counts()).unwrap();
    let some = genes.gene_positions(&words(&wanted["hvg"]["some"])).unwrap();
    for (&at, theirs) in some.iter().zip(numbers(&wanted["hvg"]["normalised_variances"])) {
        assert!((variances[at] - theirs).abs() < 1e-8 * theirs, "{}: {theirs}", genes.genes()[at]);
    }
    let theirs: HashSet<&str> = words(&wanted["hvg"]["genes"]).into_iter().collect();
    let ours = highly_variable(&[genes], 1000).unwrap();
    assert_eq!(ours.iter().filter(|score| theirs.contains(score.gene.as_str())).count(), 1000);

    let centres: Vec<Point<Level0>> = filtered.observations.iter().map(|&spot| centres[spot]).collect();
    let best = spatially_variable(&[(genes, &centres)], 50).unwrap();
    assert_eq!(best.iter().map(|score| score.gene.as_str()).collect::<Vec<_>>(), words(&wanted["svg"]));
    // Adjusted over all genes, as theirs.
    let graph = SpotGraph::hexagonal(&centres).unwrap();
    let tests = spatial_tests(genes, genes.genes(), &graph, SpatialStatistic::MoransI, Tails::One).unwrap().genes;
    let some = genes.gene_positions(&words(&wanted["some_genes"])).unwrap();
    for ((&at, i), p) in some.iter().zip(numbers(&wanted["i"])).zip(numbers(&wanted["p_adjusted"])) {
        let test = tests[at].unwrap();
        assert!((test.value - i).abs() < 1e-6 && (test.p_adjusted - p).abs() < 1e-6, "{test:?} beside {i}, {p}");
    }
}
