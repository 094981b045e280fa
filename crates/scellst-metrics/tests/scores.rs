//! Scores against SciPy (`tests/data/golden.py`), against their properties, and what is refused.

use ndarray::{Array2, ArrayView2, Axis, arr2};
use proptest::prelude::*;
use scellst_metrics::{GeneScores, Metric, MetricsError, top_k};
use serde_json::Value;

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("g{i}")).collect()
}

fn compute(predicted: &Array2<f32>, measured: &Array2<f32>) -> GeneScores {
    GeneScores::compute(predicted.view(), measured.view(), &names(predicted.ncols())).unwrap()
}

fn golden() -> (Vec<Value>, Array2<f32>, Array2<f32>) {
    let cases: Value = serde_json::from_str(include_str!("data/golden.json")).unwrap();
    let cases = cases.as_array().unwrap().clone();
    let side = |key: &str| {
        let rows = cases[0][key].as_array().unwrap().len();
        Array2::from_shape_fn((rows, cases.len()), |(row, case)| cases[case][key][row].as_f64().unwrap() as f32)
    };
    let (predicted, measured) = (side("predicted"), side("measured"));
    (cases, predicted, measured)
}

/// Both sides compute in `f64` from the same `f32`, sums in another order. "far from zero" and "tiny spread" lose
/// digits on both sides: 1e-9 holds for all.
#[test]
fn as_scipy_on_awkward_columns() {
    let (cases, predicted, measured) = golden();
    // Once as it lies, once from a column-major array: the layout must not matter.
    let turned = (predicted.t().as_standard_layout().to_owned(), measured.t().as_standard_layout().to_owned());
    for (predicted, measured) in [(predicted.view(), measured.view()), (turned.0.t(), turned.1.t())] {
        let scores = GeneScores::compute(predicted, measured, &names(cases.len())).unwrap();
        for (gene, case) in cases.iter().enumerate() {
            for (metric, key) in [(Metric::Pearson, "pearson"), (Metric::Spearman, "spearman"), (Metric::Mse, "mse")] {
                match (scores.get(metric, gene), case[key].as_f64()) {
                    (Some(a), Some(b)) => {
                        // A correlation to 1e-9 of its scale of 1, an error to 1e-9 of itself.
                        let scale = if metric == Metric::Mse { b.abs() } else { 1.0 };
                        assert!((a - b).abs() <= 1e-9 * scale, "{} {key}: {a} beside {b}", case["name"]);
                    }
                    (a, b) => assert_eq!(a, b, "{} {key}", case["name"]),
                }
            }
            assert_eq!(scores.constant_predicted.contains(&gene), case["constant"][0].as_bool().unwrap());
            assert_eq!(scores.constant_measured.contains(&gene), case["constant"][1].as_bool().unwrap());
        }
        assert_eq!((scores.constant_predicted.len(), scores.constant_measured.len()), (2, 2));
    }
}

#[test]
fn constants_are_counted_not_dropped() {
    let (_, predicted, measured) = golden();
    let scores = compute(&predicted, &measured);
    let all = scores.mean_over_all(Metric::Pearson).unwrap();
    assert_eq!((all.defined, all.constant), (12, 3));
    let sum: f64 = scores.pearson.iter().flatten().sum();
    assert_eq!(all.mean, Some(sum / 12.0));
    assert_eq!(all.mean_with_constant_as_zero, Some(sum / 15.0));
    let none = scores.mean_over(Metric::Spearman, &[11, 13]).unwrap();
    assert_eq!((none.mean, none.defined, none.constant, none.mean_with_constant_as_zero), (None, 0, 2, Some(0.0)));
    assert_eq!(scores.mean_over(Metric::Mse, &[]).unwrap().mean_with_constant_as_zero, None);
    assert_eq!(scores.mean_over(Metric::Mse, &[11, 13]).unwrap().constant, 0);
    assert_eq!(scores.mean_over(Metric::Mse, &[0, 15]).unwrap_err(), MetricsError::NoSuchGene { found: 15, genes: 15 });
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let ok = Array2::<f32>::zeros((4, 20));
    let refuse = |p: ArrayView2<'_, f32>, m: ArrayView2<'_, f32>, n: usize| {
        GeneScores::compute(p, m, &names(n)).unwrap_err().to_string()
    };
    let shape = refuse(ok.view(), Array2::zeros((4, 19)).view(), 20);
    assert!(shape.contains("expected 4 observations x 20 genes, found 4 observations x 19 genes"), "{shape}");
    assert!(refuse(ok.view(), ok.view(), 19).contains("names of genes: expected 20, found 19"));
    let few = Array2::zeros((2, 20));
    assert!(refuse(few.view(), few.view(), 20).contains("2 observations are too few"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = ok.clone();
        broken[[2, 17]] = bad;
        let text = format!("gene 'g17' (column 17) in row 2 is {bad}");
        let prediction = refuse(broken.view(), ok.view(), 20);
        assert!(prediction.starts_with("prediction of") && prediction.contains(&text), "{prediction}");
        assert!(refuse(ok.view(), broken.view(), 20).starts_with("measurement of"));
    }
    let nothing = Array2::<f32>::zeros((4, 0));
    assert!(compute(&nothing, &nothing).is_empty());
}

#[test]
fn top_genes_by_a_ranking() {
    assert_eq!(top_k(&[0.1, 0.5, 0.5, 0.9], 3).unwrap(), [3, 1, 2]);
    assert_eq!(top_k(&[0.1], 50).unwrap(), [0]);
    assert_eq!(top_k(&[1.0, f64::NAN], 1).unwrap_err(), MetricsError::Ranking { gene: 1 });
}

#[test]
fn many_rows_take_the_radix_sort() {
    // More rows than its threshold, ties and both signs among them; ranks by counting are exact.
    let values = |salt: u32| {
        move |(row, column): (usize, usize)| {
            let mixed = (row as u32 * 17 + column as u32 + salt).wrapping_mul(2_654_435_761) >> 8;
            (mixed % 3001) as f32 / 7.0 - 200.0
        }
    };
    let (predicted, measured) =
        (Array2::from_shape_fn((5000, 2), values(1)), Array2::from_shape_fn((5000, 2), values(9)));
    let scores = compute(&predicted, &measured);
    for gene in 0..2 {
        let ranks = |values: &Array2<f32>| -> Vec<f64> {
            let column = values.column(gene);
            let mut sorted = column.to_vec();
            sorted.sort_unstable_by(f32::total_cmp);
            let below = |v: f32| sorted.partition_point(|&other| other < v);
            let upto = |v: f32| sorted.partition_point(|&other| other <= v);
            column.iter().map(|&v| (below(v) + upto(v) + 1) as f64 / 2.0).collect()
        };
        let (a, b) = (ranks(&predicted), ranks(&measured));
        let mean = 5001.0 / 2.0;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
        let wanted = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
        assert!((scores.spearman[gene].unwrap() - wanted).abs() < 1e-12);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (_, predicted, measured) = golden();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compute(&predicted, &measured))
    };
    assert_eq!(run(1), run(5));
}

fn pair() -> impl Strategy<Value = (Array2<f32>, Array2<f32>)> {
    (3..40_usize).prop_flat_map(|rows| {
        // Multiples of 1/8: sums, scalings by powers of two and shifts are exact.
        let column = || prop::collection::vec((-40..40_i32).prop_map(|v| v as f32 / 8.0), rows);
        (column(), column()).prop_map(move |(a, b)| {
            (Array2::from_shape_vec((rows, 1), a).unwrap(), Array2::from_shape_vec((rows, 1), b).unwrap())
        })
    })
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-12,
        (a, b) => a.is_none() && b.is_none(),
    }
}

proptest! {
    #[test]
    fn correlations_are_bounded_and_symmetric((a, b) in pair()) {
        let (forward, backward) = (compute(&a, &b), compute(&b, &a));
        prop_assert!(close(forward.pearson[0], backward.pearson[0]));
        prop_assert!(close(forward.spearman[0], backward.spearman[0]));
        prop_assert_eq!(&forward.mse, &backward.mse);
        for r in forward.pearson.iter().chain(&forward.spearman).flatten() {
            prop_assert!((-1.0..=1.0).contains(r));
        }
        let own = compute(&a, &a);
        prop_assert!(own.pearson[0].is_none_or(|r| (r - 1.0).abs() < 1e-12) && own.mse[0] == 0.0);
    }

    #[test]
    fn correlations_do_not_see_affine_maps((a, b) in pair(), shift in -8..8_i32, up in any::<bool>()) {
        let scale = if up { 4.0 } else { -4.0 };
        let (plain, mapped) = (compute(&a, &b), compute(&a.mapv(|v| scale * v + shift as f32), &b));
        let sign = |r: Option<f64>| r.map(|r| if up { r } else { -r });
        prop_assert!(close(sign(plain.pearson[0]), mapped.pearson[0]));
        prop_assert!(close(sign(plain.spearman[0]), mapped.spearman[0]));
    }

    #[test]
    fn spearman_does_not_see_monotone_maps((a, b) in pair()) {
        prop_assert!(close(compute(&a, &b).spearman[0], compute(&a.mapv(|v| v * v * v), &b).spearman[0]));
    }

    #[test]
    fn the_order_of_rows_does_not_matter((a, b) in pair(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..a.nrows()).collect();
        order.sort_by_key(|&row| (row as u64 + 1).wrapping_mul(seed | 1));
        let shuffled = compute(&a.select(Axis(0), &order), &b.select(Axis(0), &order));
        let plain = compute(&a, &b);
        prop_assert!(close(plain.pearson[0], shuffled.pearson[0]) && close(plain.spearman[0], shuffled.spearman[0]));
        prop_assert!((plain.mse[0] - shuffled.mse[0]).abs() < 1e-12);
    }
}

#[test]
fn a_small_case_by_hand() {
    let scores = compute(&arr2(&[[1.0], [2.0], [3.0], [4.0]]), &arr2(&[[1.0], [3.0], [2.0], [4.0]]));
    assert!((scores.pearson[0].unwrap() - 0.8).abs() < 1e-15);
    assert!((scores.spearman[0].unwrap() - 0.8).abs() < 1e-15);
    assert_eq!(scores.mse, [0.5]);
}
