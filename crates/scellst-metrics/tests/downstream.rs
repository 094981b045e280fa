//! Signatures, tests, correlation and neighbourhoods against scanpy and squidpy (`tests/data/golden_downstream.py`).

mod common;

use common::{floats, normal, same, singles, with_threads};
use ndarray::{Array2, array};
use proptest::prelude::*;
use scellst_metrics::downstream::{
    PREDICTED_VALUES, RankOptions, Reference, ScoreOptions, Test, Values, gene_correlation, neighbourhood_enrichment,
    rank_genes_groups, score_genes,
};
use scellst_metrics::{Metric, MetricsError, Neighbours, moran_agreement, morans_i};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("data/golden_downstream.json")).unwrap()
}

fn whole(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn values(golden: &Value) -> Array2<f32> {
    let (x, genes) = (singles(&golden["x"]), golden["genes"].as_u64().unwrap() as usize);
    Array2::from_shape_vec((x.len() / genes, genes), x).unwrap()
}

fn kinds(golden: &Value) -> Vec<u32> {
    whole(&golden["kind"]).into_iter().map(|kind| kind as u32).collect()
}

/// scanpy keeps scores and fold changes as float32. A gene that is constant on both sides but at other levels has an
/// infinite score there too. It squares float32 as float32, which shows in the sixth digit of a p-value of 1e-12: SciPy
/// in double ("welch") is met to 1e-9.
#[test]
fn groups_are_ranked_as_by_scanpy() {
    let golden = golden();
    let (x, kind) = (values(&golden), kinds(&golden));
    for case in golden["tests"].as_array().unwrap() {
        let name = format!("{} {} {}", case["method"], case["reference"], case["ties"]);
        let test = match case["method"].as_str().unwrap() {
            "t-test" => Test::TTest,
            "t-test_overestim_var" => Test::TTestOverestimatedVariance,
            _ => Test::Wilcoxon { tie_correct: case["ties"].as_bool().unwrap() },
        };
        let reference = case["reference"].as_str().unwrap().parse().map_or(Reference::Rest, Reference::Group);
        let found =
            rank_genes_groups(x.view(), &kind, &RankOptions { test, reference, values: Values::Measured }).unwrap();
        assert_eq!(found.len(), case["groups"].as_object().unwrap().len());
        for group in &found {
            let wanted = &case["groups"][group.group.to_string()];
            assert!(group.warning.is_none() && group.genes.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for gene in &group.genes {
                let at = |key: &str| wanted[key][gene.gene].as_f64();
                let what = |key: &str| format!("{name}, group {}, gene {}, {key}", group.group, gene.gene);
                same(&what("score"), Some(gene.score).filter(|v| v.is_finite()), at("scores"), 1e-6);
                for (key, found, tolerance) in
                    [("pvals", gene.p_value, 1e-5), ("pvals_adj", gene.q_value, 1e-5), ("welch", gene.p_value, 1e-9)]
                {
                    if let Some(wanted) = at(key) {
                        assert!((found - wanted).abs() <= tolerance * wanted, "{}: {found} beside {wanted}", what(key));
                    }
                }
                same(&what("fold"), Some(gene.log2_fold_change), at("logfoldchanges"), 1e-5);
            }
        }
    }
}

#[test]
fn predicted_values_come_with_a_warning() {
    let golden = golden();
    let options = RankOptions { test: Test::TTest, reference: Reference::Rest, values: Values::Predicted };
    let found = rank_genes_groups(values(&golden).view(), &kinds(&golden), &options).unwrap();
    assert!(found.iter().all(|group| group.warning.as_deref() == Some(PREDICTED_VALUES)));
}

#[test]
fn groups_that_cannot_be_compared() {
    let x = Array2::from_shape_fn((6, 2), |(r, c)| normal(r, c));
    let run = |group_of: &[u32], reference| {
        rank_genes_groups(x.view(), group_of, &RankOptions { test: Test::TTest, reference, values: Values::Measured })
    };
    assert!(matches!(
        run(&[0, 0, 0, 0, 0, 1], Reference::Rest),
        Err(MetricsError::SmallGroup { group: 1, found: 1, .. })
    ));
    assert!(matches!(
        run(&[0, 0, 0, 2, 2, 2], Reference::Rest),
        Err(MetricsError::SmallGroup { group: 1, found: 0, .. })
    ));
    assert!(matches!(run(&[0; 6], Reference::Rest), Err(MetricsError::SmallGroup { .. })));
    assert!(matches!(run(&[0, 0, 0, 1, 1, u32::MAX], Reference::Rest), Err(MetricsError::Shape { .. })));
    assert!(matches!(run(&[0, 0, 0, 1, 1, 1], Reference::Group(2)), Err(MetricsError::NoSuchGroup { .. })));
    assert!(matches!(run(&[0, 0, 0], Reference::Rest), Err(MetricsError::Shape { .. })));
    let none = Array2::<f32>::zeros((0, 2));
    let empty = rank_genes_groups(
        none.view(),
        &[],
        &RankOptions { test: Test::TTest, reference: Reference::Rest, values: Values::Measured },
    );
    assert!(empty.unwrap().is_empty());
}

#[test]
fn signatures_as_by_scanpy() {
    let golden = golden();
    let x = values(&golden);
    for case in golden["signatures"].as_array().unwrap() {
        let pool = case["pool"].as_array().map(|_| whole(&case["pool"]));
        let options = ScoreOptions { control_size: 100, bins: case["bins"].as_u64().unwrap() as usize, seed: 0 };
        let found = score_genes(x.view(), &whole(&case["genes"]), pool.as_deref(), &options).unwrap();
        for (found, wanted) in found.iter().zip(floats(&case["scores"])) {
            assert!((found - wanted).abs() < 1e-6, "{}: {found} beside {wanted}", case["genes"]);
        }
    }
}

#[test]
fn signatures_are_drawn_by_seed_and_refused_where_nothing_is_left() {
    let x = Array2::from_shape_fn((20, 200), |(r, c)| normal(r, c) + 7.0);
    let run = |seed| score_genes(x.view(), &[3, 90], None, &ScoreOptions { control_size: 5, bins: 4, seed }).unwrap();
    assert_eq!(run(1), with_threads(3, || run(1)));
    assert_ne!(run(1), run(2));
    let options = ScoreOptions::default();
    assert!(matches!(score_genes(x.view(), &[], None, &options), Err(MetricsError::TooFew { .. })));
    assert!(matches!(score_genes(x.view(), &[200], None, &options), Err(MetricsError::NoSuchGene { found: 200, .. })));
    assert!(matches!(score_genes(x.view(), &[0, 1], Some(&[0, 1]), &options), Err(MetricsError::TooFew { .. })));
    let one_bin = ScoreOptions { bins: 1, ..options };
    assert!(matches!(score_genes(x.view(), &[0], None, &one_bin), Err(MetricsError::Setting { .. })));
}

#[test]
fn genes_go_together_as_by_numpy_and_scipy() {
    let golden = golden();
    let (x, varies) = (values(&golden), whole(&golden["varies"]));
    for (metric, key) in [(Metric::Pearson, "pearson"), (Metric::Spearman, "spearman")] {
        let found = gene_correlation(x.view(), metric).unwrap();
        assert_eq!(found.constant, [20, 21]);
        for (&gene, wanted) in varies.iter().zip(floats(&golden[key])) {
            same(key, found.get(varies[0], gene), Some(wanted), 1e-10);
            assert_eq!(found.get(gene, 20), None);
            assert!((found.matrix[[gene, gene]] - 1.0).abs() < 1e-12);
        }
        assert!(found.matrix.iter().all(|r| r.is_finite()) && found.get(0, 24).is_none());
    }
    assert!(matches!(gene_correlation(x.view(), Metric::Mse), Err(MetricsError::NotComputed { .. })));
}

fn graph(golden: &Value) -> Neighbours {
    let others = whole(&golden["others"]).into_iter().map(|other| other as u32).collect();
    Neighbours::new(whole(&golden["offsets"]), others).unwrap()
}

/// squidpy's z-scores are of 5,000 shuffles of its own, ours of as many: each errs by about sqrt((1 + z^2 / 2) / 5000).
#[test]
fn neighbourhoods_as_by_squidpy() {
    let golden = golden();
    let (near, kind) = (graph(&golden), kinds(&golden));
    let found = neighbourhood_enrichment(&near, &kind, 3, 5000, 7).unwrap();
    assert_eq!(found.counts.iter().map(|&v| v as usize).collect::<Vec<_>>(), whole(&golden["counts"]));
    for (found, wanted) in found.z_scores.iter().zip(floats(&golden["z"])) {
        let error = ((1.0 + wanted * wanted / 2.0) * 2.0 / 5000.0).sqrt();
        assert!((found.unwrap() - wanted).abs() < 5.0 * error, "{found:?} beside {wanted}");
    }
    assert_eq!(
        with_threads(3, || neighbourhood_enrichment(&near, &kind, 3, 500, 7).unwrap()),
        with_threads(1, || neighbourhood_enrichment(&near, &kind, 3, 500, 7).unwrap())
    );
    let alike = neighbourhood_enrichment(&near, &[0; 64], 1, 10, 0).unwrap();
    assert_eq!(alike.z_scores[[0, 0]], None);
    assert!(matches!(neighbourhood_enrichment(&near, &kind, 2, 10, 0), Err(MetricsError::NoSuchGroup { .. })));
    assert!(matches!(neighbourhood_enrichment(&near, &kind[1..], 3, 10, 0), Err(MetricsError::Shape { .. })));
}

#[test]
fn morans_i_as_by_squidpy() {
    let golden = golden();
    let (x, near) = (values(&golden), graph(&golden));
    let found = morans_i(x.view(), &near).unwrap();
    for (gene, (found, wanted)) in found.iter().zip(golden["moran"].as_array().unwrap()).enumerate() {
        same(&format!("gene {gene}"), *found, wanted.as_f64(), 1e-6);
    }
    let own = moran_agreement(x.view(), x.view(), &near).unwrap();
    assert_eq!((own.pearson, own.mse, own.missing, own.pairs), (Some(1.0), Some(0.0), 2, 22));
    let alone = Neighbours::new(vec![0; 65], Vec::new()).unwrap();
    assert!(matches!(morans_i(x.view(), &alone), Err(MetricsError::TooFew { .. })));
}

#[test]
fn neighbours_that_do_not_exist() {
    assert!(Neighbours::new(vec![0, 1], vec![1]).is_err());
    assert!(Neighbours::new(vec![], vec![]).is_err());
    assert!(Neighbours::new(vec![0, 2, 1], vec![0]).is_err());
    assert!(Neighbours::new(vec![1, 1], vec![0]).is_err());
    assert!(Neighbours::nearest(&[[0.0, f64::NAN]], 1).is_err());
    assert!(Neighbours::within(&[[0.0, 0.0]], 0.0).is_err());
    assert!(Neighbours::nearest(&[], 3).unwrap().is_empty());
}

proptest! {
    #[test]
    fn neighbours_by_looking_at_all(points in prop::collection::vec((0..12_i32, 0..12_i32), 1..50), k in 0..8_usize, reach in 1..5_i32) {
        let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [f64::from(x), f64::from(y)]).collect();
        let (nearest, within) = (Neighbours::nearest(&points, k).unwrap(), Neighbours::within(&points, f64::from(reach)).unwrap());
        for (at, a) in points.iter().enumerate() {
            let mut others: Vec<(f64, u32)> = points.iter().enumerate().filter(|(other, _)| *other != at)
                .map(|(other, b)| ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2), other as u32)).collect();
            let near: Vec<u32> = others.iter().filter(|(d, _)| *d <= f64::from(reach * reach)).map(|(_, other)| *other).collect();
            prop_assert_eq!(within.of(at), &near[..]);
            others.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let mut first: Vec<u32> = others.iter().take(k).map(|(_, other)| *other).collect();
            first.sort_unstable();
            prop_assert_eq!(nearest.of(at), &first[..]);
        }
    }
}

#[test]
fn a_small_case_by_hand() {
    // Welch's t of {1, 2, 3} and {4, 5, 6}: -3 / sqrt(2 / 3), 4 degrees of freedom.
    let x = array![[1.0_f32], [2.0], [3.0], [4.0], [5.0], [6.0]];
    let options = RankOptions { test: Test::TTest, reference: Reference::Rest, values: Values::Measured };
    let found = rank_genes_groups(x.view(), &[0, 0, 0, 1, 1, 1], &options).unwrap();
    assert!((found[0].genes[0].score + 3.0 / (2.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!((found[0].genes[0].p_value - 0.021_311_641_128_756_8).abs() < 1e-12);
}
