//! Genes of the real sections against scanpy's `seurat_v3` and squidpy's Moran's I
//! (`crates/scellst-expr/tests/data/real.py`).
#![cfg(feature = "h5ad")]

mod support;

use std::collections::HashSet;

use scellst::expr::{Expression, FilterConfig, highly_variable, morans_i, normalised_variances, spatially_variable};
use scellst::h5::read_h5ad;
use scellst::types::{Level0, Point};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_str().unwrap().split(' ').collect()
}

/// How many of 1000 genes are theirs.
fn in_common(sections: &[&Expression], wanted: &Value) -> usize {
    let theirs: HashSet<&str> = words(&wanted["genes"]).into_iter().collect();
    assert_eq!(theirs.len(), 1000);
    let ours = highly_variable(sections, 1000).unwrap();
    ours.iter().filter(|score| theirs.contains(score.gene.as_str())).count()
}

#[test]
fn sections_in_h5ad_files() {
    let Some(data) = support::shared_data() else { return };
    let golden: Value = serde_json::from_str(include_str!("../crates/scellst-expr/tests/data/real.json")).unwrap();
    let mut sections: Vec<Expression> = Vec::new();
    for name in ["C2", "C3", "C4", "C5"] {
        let wanted = &golden[name];
        let section = read_h5ad(data.join(format!("hest/st/{name}.h5ad"))).unwrap();
        let filtered = FilterConfig::default().apply(&section.expression).unwrap();
        let genes = filtered.expression;
        let shape = [genes.observations().len(), genes.genes().len()].map(|n| n as u64);
        assert_eq!(shape, [&wanted["observations"], &wanted["genes"]].map(|n| n.as_u64().unwrap()), "{name}");

        let variances = normalised_variances(genes.counts()).unwrap();
        let some = genes.gene_positions(&words(&wanted["hvg"]["some"])).unwrap();
        for (&at, theirs) in some.iter().zip(numbers(&wanted["hvg"]["normalised_variances"])) {
            assert!((variances[at] - theirs).abs() < 1e-8 * theirs, "{name}, {}: {theirs}", genes.genes()[at]);
        }
        assert_eq!(in_common(&[&genes], &wanted["hvg"]), 1000, "{name}");

        let places = section.require_spatial().unwrap();
        let centres: Vec<Point<Level0>> = filtered.observations.iter().map(|&spot| places[spot]).collect();
        let best = spatially_variable(&[(&genes, &centres)], 50).unwrap();
        assert_eq!(best.iter().map(|score| score.gene.as_str()).collect::<Vec<_>>(), words(&wanted["svg"]), "{name}");
        let ours = morans_i(&genes, &centres, &words(&wanted["some_genes"])).unwrap();
        for (ours, theirs) in ours.into_iter().zip(numbers(&wanted["i"])) {
            assert!((ours.unwrap() - theirs).abs() < 1e-6, "{name}: {ours:?} beside {theirs}");
        }
        sections.push(genes);
    }
    let three: Vec<&Expression> = sections[..3].iter().collect();
    assert_eq!(in_common(&three, &golden["C2,C3,C4"]["hvg"]), 1000);
}
