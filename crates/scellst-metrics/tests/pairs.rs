//! Every score against SciPy, scikit-learn and scikit-image (`tests/data/golden_pairs.py`), and against what weights,
//! groups and missing values mean.

mod common;

use common::{column, floats, mixed, names, same, singles, with_threads};
use ndarray::{Array2, array};
use proptest::prelude::*;
use scellst_metrics::{
    Agreement, Along, Metric, MetricsError, Missing, PairOptions, Scores, SsimOptions, Window, auroc,
    average_precision, bin_means, ssim,
};
use serde_json::Value;

const ALL: [(Metric, &str); 11] = [
    (Metric::Pearson, "pearson"),
    (Metric::Spearman, "spearman"),
    (Metric::Kendall, "kendall"),
    (Metric::Mse, "mse"),
    (Metric::Rmse, "rmse"),
    (Metric::Mae, "mae"),
    (Metric::R2, "r2"),
    (Metric::Concordance, "concordance"),
    (Metric::Cosine, "cosine"),
    (Metric::Auroc, "auroc"),
    (Metric::AveragePrecision, "average_precision"),
];

fn golden() -> Value {
    serde_json::from_str(include_str!("data/golden_pairs.json")).unwrap()
}

/// All scores, NaN skipped.
fn everything(weights: Option<&[f64]>) -> PairOptions<'_> {
    PairOptions { weights, missing: Missing::Skip, kendall: true, positive_above: Some(0.5) }
}

/// Differences in definition: no correlation of two pairs (SciPy: 1 or -1), no R2 of constant measurements
/// (scikit-learn: 1 or 0), no average precision without a positive (scikit-learn: 0).
#[test]
fn every_score_as_its_peer() {
    for case in golden()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (p, m) = (singles(&case["predicted"]), singles(&case["measured"]));
        let weights = case["weights"].as_array().map(|_| floats(&case["weights"]));
        let found = Agreement::of(&p, &m, &everything(weights.as_deref())).unwrap();
        assert_eq!(found.missing as u64, case["missing"].as_u64().unwrap(), "{name}");
        for (metric, key) in ALL {
            // Far from zero both sides lose digits: 1e-10 of 1e5 squared and so on.
            same(&format!("{name}, {key}"), found.get(metric), case[key].as_f64(), 1e-9);
        }
    }
}

#[test]
fn constant_and_missing_genes_are_counted_and_named() {
    let nan = f32::NAN;
    let predicted = array![[1.0, 0.5, nan, 1.0], [2.0, 0.5, nan, nan], [3.0, 0.5, nan, 2.0], [5.0, 0.5, nan, 4.0]];
    let measured = array![[1.0, 1.0, 1.0, 2.0], [2.0, 0.0, 2.0, 1.0], [3.0, 1.0, 3.0, 4.0], [4.0, 0.0, 4.0, 8.0]];
    let skip = PairOptions { missing: Missing::Skip, ..PairOptions::default() };
    let scores = Scores::compute(predicted.view(), measured.view(), &names(4), Along::Genes, &skip).unwrap();
    assert_eq!(scores.constant(), ["g1"]);
    assert_eq!(scores.with_missing(), ["g2", "g3"]);
    assert_eq!(scores.undefined(Metric::Pearson), ["g1", "g2"]);
    assert_eq!(scores.undefined(Metric::Mse), ["g2"]);
    let mean = scores.mean_over_all(Metric::Pearson).unwrap();
    assert_eq!((mean.defined, mean.constant), (2, 2));
    assert!((mean.mean.unwrap() - 2.0 * mean.mean_with_constant_as_zero.unwrap()).abs() < 1e-15);
    assert_eq!(scores.get(Metric::Pearson, 3), Some(1.0));
    assert!(matches!(scores.mean_over_all(Metric::Kendall), Err(MetricsError::NotComputed { .. })));
    let refused = Scores::compute(predicted.view(), measured.view(), &names(4), Along::Genes, &PairOptions::default());
    assert!(refused.unwrap_err().to_string().contains("gene 'g2' (column 2) in row 0 is NaN"));
}

#[test]
fn infinite_values_are_refused_even_where_nan_is_skipped() {
    let found = Agreement::of(&[1.0, f32::INFINITY, 2.0], &[1.0, 2.0, 3.0], &everything(None));
    assert_eq!(found.unwrap_err(), MetricsError::Value { what: "prediction", at: 1, value: f64::INFINITY });
}

#[test]
fn nothing_and_wrong_weights() {
    let nothing = Agreement::of(&[], &[], &everything(None)).unwrap();
    assert_eq!(nothing, Agreement::default());
    let weighted = |weights: &[f64]| Agreement::of(&[1.0, 2.0], &[1.0, 2.0], &everything(Some(weights)));
    assert!(matches!(weighted(&[1.0]), Err(MetricsError::Shape { .. })));
    assert!(matches!(weighted(&[1.0, -1.0]), Err(MetricsError::Weight { row: 1, .. })));
    assert!(matches!(weighted(&[f64::NAN, 1.0]), Err(MetricsError::Weight { row: 0, .. })));
    assert_eq!(weighted(&[0.0, 0.0]).unwrap().pairs, 0);
}

#[test]
fn of_observations_it_is_the_transpose() {
    let (p, m) =
        (Array2::from_shape_fn((7, 40), |(r, c)| mixed(r, c)), Array2::from_shape_fn((7, 40), |(r, c)| mixed(c, r)));
    let rows = Scores::compute(p.view(), m.view(), &names(7), Along::Observations, &everything(None)).unwrap();
    let (pt, mt) = (p.t().as_standard_layout().to_owned(), m.t().as_standard_layout().to_owned());
    let columns = Scores::compute(pt.view(), mt.view(), &names(7), Along::Genes, &everything(None)).unwrap();
    assert_eq!(rows.agreements, columns.agreements);
    let few = Scores::compute(p.view(), m.view(), &names(6), Along::Observations, &everything(None)).unwrap_err();
    assert!(few.to_string().contains("expected 7, found 6"), "{few}");
}

#[test]
fn a_group_is_scored_as_if_alone() {
    let (p, m) =
        (Array2::from_shape_fn((30, 20), |(r, c)| mixed(r, c)), Array2::from_shape_fn((30, 20), |(r, c)| mixed(c, r)));
    let group_of: Vec<Option<u32>> = (0..30).map(|row| [Some(0), Some(2), None][row % 3]).collect();
    let weights: Vec<f64> = (0..30).map(|row| (row % 4) as f64).collect();
    let (groups, options) = (["a", "b", "c"].map(String::from), everything(Some(&weights)));
    let found = Scores::by_group(p.view(), m.view(), &names(20), &groups, &group_of, &options).unwrap();
    assert_eq!(found.iter().map(|group| group.observations).collect::<Vec<_>>(), [10, 0, 10]);
    assert!(found[1].scores.agreements.iter().all(|agreement| agreement.pairs == 0 && agreement.pearson.is_none()));
    let rows: Vec<usize> = (0..30).filter(|row| row % 3 == 1).collect();
    let picked: Vec<f64> = rows.iter().map(|&row| weights[row]).collect();
    let axis = ndarray::Axis(0);
    let (p2, m2) = (p.select(axis, &rows), m.select(axis, &rows));
    let alone = Scores::compute(p2.view(), m2.view(), &names(20), Along::Genes, &everything(Some(&picked))).unwrap();
    assert_eq!(found[2].scores, alone);
    let wrong = Scores::by_group(p.view(), m.view(), &names(20), &groups[..2], &group_of, &options).unwrap_err();
    assert_eq!(wrong, MetricsError::NoSuchGroup { row: 1, group: 2, groups: 2 });
}

#[test]
fn threads_and_layout_change_nothing() {
    let (p, m) =
        (Array2::from_shape_fn((70, 90), |(r, c)| mixed(r, c)), Array2::from_shape_fn((70, 90), |(r, c)| mixed(c, r)));
    let run =
        |p: &Array2<f32>| Scores::compute(p.view(), m.view(), &names(90), Along::Genes, &everything(None)).unwrap();
    let column_major = {
        let turned = p.t().as_standard_layout().to_owned();
        turned.reversed_axes()
    };
    let one = with_threads(1, || run(&p));
    assert_eq!(one, with_threads(5, || run(&p)));
    assert_eq!(one, run(&column_major));
}

#[test]
fn maps_as_scikit_image() {
    for map in golden()["maps"].as_array().unwrap() {
        let shape = |key: &str| {
            let values = floats(&map[key]);
            let rows = map["rows"].as_u64().unwrap() as usize;
            Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
        };
        let (p, m) = (shape("predicted"), shape("measured"));
        let run = |window, range| ssim(p.view(), m.view(), &SsimOptions { window, range }).unwrap().mean;
        same("square", run(Window::Square(7), None), map["square7"].as_f64(), 1e-12);
        same("small", run(Window::Square(3), Some(2.0)), map["square3_range2"].as_f64(), 1e-12);
        same("gaussian", run(Window::Gaussian(1.0), None), map["gaussian"].as_f64(), 1e-12);
        // Without the last column: the windows that hold it are left out, the others are as before.
        let mut holed = p.clone();
        holed.column_mut(p.ncols() - 1).fill(f64::NAN);
        let range = Some(2.0);
        let options = SsimOptions { window: Window::Square(3), range };
        let with_hole = ssim(holed.view(), m.view(), &options).unwrap();
        let cut = ndarray::Slice::from(..p.ncols() - 1);
        let axis = ndarray::Axis(1);
        let without = ssim(p.slice_axis(axis, cut), m.slice_axis(axis, cut), &options).unwrap();
        assert_eq!((with_hole.mean, with_hole.windows), (without.mean, without.windows));
        assert_eq!(with_hole.left_out, p.nrows() - 2);
    }
}

#[test]
fn maps_that_cannot_be_compared() {
    let flat = Array2::<f64>::zeros((9, 9));
    let none = ssim(flat.view(), flat.view(), &SsimOptions::default()).unwrap();
    assert_eq!((none.mean, none.windows), (None, 9));
    let small = ssim(
        flat.slice_axis(ndarray::Axis(0), (0..4).into()),
        flat.slice_axis(ndarray::Axis(0), (0..4).into()),
        &SsimOptions::default(),
    );
    assert_eq!(small.unwrap().windows, 0);
    for window in [
        Window::Square(4),
        Window::Square(1),
        Window::Square(usize::MAX),
        Window::Gaussian(f64::NAN),
        Window::Gaussian(1e9),
    ] {
        let refused = ssim(flat.view(), flat.view(), &SsimOptions { window, range: None });
        assert!(matches!(refused, Err(MetricsError::Setting { .. })), "{window:?}");
    }
}

#[test]
fn bins_hold_means_and_nan_elsewhere() {
    let map = bin_means(&[[10.0, 5.0], [10.9, 5.0], [12.0, 6.5]], &[1.0, 3.0, 7.0], 1.0).unwrap();
    assert_eq!(map.dim(), (2, 3));
    assert_eq!((map[[0, 0]], map[[1, 2]]), (2.0, 7.0));
    assert_eq!(map.iter().filter(|v| v.is_nan()).count(), 4);
    assert_eq!(bin_means(&[], &[], 1.0).unwrap().len(), 0);
    assert!(matches!(bin_means(&[[0.0, 0.0], [1e9, 1e9]], &[1.0, 1.0], 1e-3), Err(MetricsError::Setting { .. })));
    assert!(matches!(
        bin_means(&[[0.0, 0.0], [f64::MAX, -f64::MAX]], &[1.0, 1.0], 1.0),
        Err(MetricsError::Setting { .. })
    ));
    assert!(matches!(bin_means(&[[0.0, f64::NAN]], &[1.0], 1.0), Err(MetricsError::Value { .. })));
}

#[test]
fn areas_without_a_class_do_not_exist() {
    assert_eq!(auroc(&[1.0, 2.0], &[true, true], None).unwrap(), None);
    assert_eq!(average_precision(&[1.0, 2.0], &[false, false], None).unwrap(), None);
    assert_eq!(auroc(&[1.0, 1.0], &[true, false], None).unwrap(), Some(0.5));
    assert!(auroc(&[f32::NAN], &[true], None).is_err() && auroc(&[1.0], &[], None).is_err());
}

proptest! {
    /// The meaning of weights: whole numbers repeat rows.
    #[test]
    fn weights_repeat_rows(rows in prop::collection::vec((-9..9_i32, -9..9_i32, 0..4_usize), 0..60)) {
        let (p, m): (Vec<f32>, Vec<f32>) = rows.iter().map(|&(p, m, _)| (p as f32 / 4.0, m as f32 / 4.0)).unzip();
        let weights: Vec<f64> = rows.iter().map(|row| row.2 as f64).collect();
        let repeat = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(&rows).flat_map(|(&v, row)| std::iter::repeat_n(v, row.2)).collect()
        };
        let weighted = Agreement::of(&p, &m, &everything(Some(&weights))).unwrap();
        let repeated = Agreement::of(&repeat(&p), &repeat(&m), &everything(None)).unwrap();
        // Three pairs are needed: rows on the one side, repeated ones on the other.
        prop_assume!(weighted.pairs >= 3);
        for (metric, _) in ALL {
            match (weighted.get(metric), repeated.get(metric)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9, "{metric:?}: {a} beside {b}"),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn tau_by_counting_pairs(rows in prop::collection::vec((-5..5_i32, -5..5_i32), 3..40)) {
        let (p, m): (Vec<f32>, Vec<f32>) = rows.iter().map(|&(p, m)| (p as f32, m as f32)).unzip();
        let found = Agreement::of(&p, &m, &everything(None)).unwrap().kendall;
        let (mut sum, mut in_p, mut in_m) = (0_i64, 0_i64, 0_i64);
        for i in 0..rows.len() {
            for j in 0..i {
                let (a, b) = ((rows[i].0 - rows[j].0).signum(), (rows[i].1 - rows[j].1).signum());
                sum += i64::from(a * b);
                in_p += i64::from(a * a);
                in_m += i64::from(b * b);
            }
        }
        let wanted = sum as f64 / (in_p as f64 * in_m as f64).sqrt();
        match found {
            Some(found) => prop_assert!((found - wanted).abs() < 1e-12),
            None => prop_assert!(wanted.is_nan()),
        }
    }

    /// Nothing that is given, however odd, makes a score that is NaN or out of its range.
    #[test]
    fn no_score_is_nan(bits in prop::collection::vec((any::<u32>(), any::<u32>()), 0..30)) {
        let value = |bits: u32| Some(f32::from_bits(bits)).filter(|v| !v.is_infinite()).unwrap_or(0.0);
        let (p, m): (Vec<f32>, Vec<f32>) = bits.iter().map(|&(p, m)| (value(p), value(m))).unzip();
        let found = Agreement::of(&p, &m, &everything(None)).unwrap();
        for (metric, _) in ALL {
            let bounds = match metric {
                Metric::Mse | Metric::Rmse | Metric::Mae => 0.0..=f64::MAX,
                Metric::R2 => f64::MIN..=1.0,
                Metric::Auroc | Metric::AveragePrecision => 0.0..=1.0 + 1e-12,
                _ => -1.0..=1.0,
            };
            prop_assert!(found.get(metric).is_none_or(|score| bounds.contains(&score)), "{metric:?} {:?}", found.get(metric));
        }
    }
}

#[test]
fn one_column_is_as_many() {
    let (p, m): (Vec<f32>, Vec<f32>) = (0..2000).map(|row| (mixed(row, 0), (8.0 * mixed(row, 1)).floor())).unzip();
    let alone = Agreement::of(&p, &m, &everything(None)).unwrap();
    let scores =
        Scores::compute(column(&p).view(), column(&m).view(), &names(1), Along::Genes, &everything(None)).unwrap();
    assert_eq!(scores.agreements, [alone]);
}
