//! Conformal intervals hold what they promise, and distances are scikit-learn's.

mod common;

use common::{column, floats, mixed, names, normal, singles};
use ndarray::{Array2, array};
use proptest::prelude::*;
use scellst_metrics::{
    Conformal, ConformalOptions, Mahalanobis, MetricsError, NearestTraining, OutlierThreshold, Residual, Shrinkage,
    auroc, sample_rows,
};
use serde_json::Value;

const LEVELS: [f64; 5] = [0.5, 0.7, 0.8, 0.9, 0.95];

/// Predictions and measurements that err skewly, and more where the spread is high.
fn section(rows: usize, salt: usize) -> (Array2<f32>, Array2<f32>, Array2<f32>) {
    let spread = Array2::from_shape_fn((rows, 8), |(r, c)| 0.2 + 2.0 * mixed(r, c + salt));
    let p = Array2::from_shape_fn((rows, 8), |(r, c)| 5.0 + normal(r, c + salt + 100));
    let m = Array2::from_shape_fn((rows, 8), |(r, c)| {
        let error = normal(r, c + salt + 200);
        (p[[r, c]] + spread[[r, c]] * if error > 0.0 { 2.0 * error } else { error }).max(0.0)
    });
    (p, m, spread)
}

/// 2,000 to calibrate on and 2,000 x 8 to cover: within a point or so of the level, never by much below.
#[test]
fn intervals_cover_what_they_promise() {
    let ((p, m, spread), (p2, m2, spread2)) = (section(2000, 0), section(2000, 1000));
    for (residual, with_spread) in
        [(Residual::Absolute, false), (Residual::Absolute, true), (Residual::Signed, false), (Residual::Signed, true)]
    {
        let options = ConformalOptions {
            residual,
            levels: &LEVELS,
            spread: with_spread.then(|| spread.view()),
            ..ConformalOptions::default()
        };
        let fit = Conformal::fit(p.view(), m.view(), &names(8), &options).unwrap();
        let curve = fit.coverage(p2.view(), m2.view(), with_spread.then(|| spread2.view())).unwrap();
        for point in &curve {
            let covered = point.covered.unwrap();
            assert!((covered - point.level).abs() < 0.015, "{residual:?} {with_spread}: {covered} of {}", point.level);
            assert_eq!((point.unbounded, point.genes.len()), (0, 8));
        }
        assert!(curve.windows(2).all(|pair| pair[0].mean_width < pair[1].mean_width));
        // The bounds that are given are those that were counted.
        let (low, high) = fit.bounds(3, p2.view(), with_spread.then(|| spread2.view())).unwrap();
        let within = m2.indexed_iter().filter(|(at, v)| low[*at] <= **v && **v <= high[*at]).count();
        assert!((within as f64 / 16_000.0 - curve[3].covered.unwrap()).abs() < 1e-3);
        assert!(low.iter().all(|&v| v >= 0.0));
        // Kept and read again it is the same.
        let read: Conformal = serde_json::from_str(&serde_json::to_string(&fit).unwrap()).unwrap();
        // serde_json may be off by the last bit of a double.
        assert_eq!(read.bounds(3, p2.view(), with_spread.then(|| spread2.view())).unwrap(), (low, high));
    }
}

#[test]
fn too_few_to_calibrate_on_are_unbounded_and_counted() {
    let (p, m) = (column(&[1.0; 9]), column(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]));
    let options = ConformalOptions { levels: &[0.5, 0.9, 0.91], ..ConformalOptions::default() };
    let fit = Conformal::fit(p.view(), m.view(), &names(1), &options).unwrap();
    // Of 9 the 5th, the 9th, none.
    assert_eq!([0, 1, 2].map(|level| fit.offsets(level, 0).1), [Some(4.0), Some(8.0), None]);
    let curve = fit.coverage(p.view(), m.view(), None).unwrap();
    assert_eq!((curve[2].covered, curve[2].unbounded, curve[2].mean_width), (Some(1.0), 1, None));
    let (low, high) = fit.bounds(2, array![[3.0_f32]].view(), None).unwrap();
    assert_eq!((low[[0, 0]], high[[0, 0]]), (0.0, f32::INFINITY));
    let again: Conformal = serde_json::from_str(&serde_json::to_string(&fit).unwrap()).unwrap();
    assert_eq!(again, fit);
}

/// A section of 10 spots that errs much beside one of 1,000 that does not: weighed alike, half of the weight is far out.
#[test]
fn sections_weigh_the_same() {
    let groups: Vec<u32> = (0..1010).map(|row| u32::from(row >= 1000)).collect();
    let (p, m) =
        (Array2::zeros((1010, 1)), Array2::from_shape_fn((1010, 1), |(row, _)| if row < 1000 { 0.1 } else { 5.0 }));
    let width = |groups| {
        let options = ConformalOptions { levels: &[0.8], groups, ..ConformalOptions::default() };
        Conformal::fit(p.view(), m.view(), &names(1), &options).unwrap().offsets(0, 0).1.unwrap()
    };
    assert!((width(None) - 0.1).abs() < 1e-6);
    assert_eq!(width(Some(&groups[..])), 5.0);
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let (p, m, spread) = section(20, 0);
    let fit = |options: &ConformalOptions<'_>| Conformal::fit(p.view(), m.view(), &names(8), options);
    for levels in [&[0.0][..], &[1.0], &[f64::NAN], &[0.5, 2.0]] {
        assert!(matches!(
            fit(&ConformalOptions { levels, ..ConformalOptions::default() }),
            Err(MetricsError::Setting { .. })
        ));
    }
    let zeros = Array2::zeros((20, 8));
    let flat = ConformalOptions { spread: Some(zeros.view()), ..ConformalOptions::default() };
    assert!(matches!(fit(&flat), Err(MetricsError::Setting { .. })));
    let fitted = fit(&ConformalOptions { spread: Some(spread.view()), ..ConformalOptions::default() }).unwrap();
    assert!(
        fitted.coverage(p.view(), m.view(), None).unwrap_err().to_string().contains("expected a spread, found none")
    );
    assert!(fitted.bounds(1, p.view(), Some(spread.view())).is_err());
    let none = Array2::<f32>::zeros((0, 8));
    let empty = Conformal::fit(none.view(), none.view(), &names(8), &ConformalOptions::default());
    assert_eq!(empty.unwrap_err(), MetricsError::TooFew { found: 0, least: 1 });
    let unseen = fit(&ConformalOptions::default()).unwrap().coverage(none.view(), none.view(), None).unwrap();
    assert_eq!((unseen[0].covered, unseen[0].mean_width), (None, None));
    let mut broken = m.clone();
    broken[[4, 2]] = f32::NAN;
    let refused = Conformal::fit(p.view(), broken.view(), &names(8), &ConformalOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("measurement of gene 'g2' (column 2) in row 4"), "{refused}");
}

fn embeddings(golden: &Value, key: &str) -> Array2<f32> {
    let values = singles(&golden[key]);
    Array2::from_shape_vec((values.len() / 6, 6), values).unwrap()
}

#[test]
fn distances_as_scikit_learn() {
    let golden: Value = serde_json::from_str(include_str!("data/golden_pairs.json")).unwrap();
    let (train, new) = (embeddings(&golden, "train"), embeddings(&golden, "new"));
    let close = |found: &[f32], key: &str| {
        for (a, b) in found.iter().zip(floats(&golden[key])) {
            // Given out as f32.
            assert!((f64::from(*a) - b).abs() < 1e-6 * b.max(1.0), "{key}: {a} beside {b}");
        }
        assert_eq!(found.len(), floats(&golden[key]).len());
    };
    let plain = Mahalanobis::fit(train.view(), Shrinkage::None).unwrap();
    close(&plain.distances(new.view()).unwrap(), "mahalanobis");
    let shrunk = Mahalanobis::fit(train.view(), Shrinkage::LedoitWolf).unwrap();
    assert!((shrunk.shrinkage() - golden["shrinkage"].as_f64().unwrap()).abs() < 1e-10);
    close(&shrunk.distances(new.view()).unwrap(), "mahalanobis_ledoit_wolf");
    let again = Mahalanobis::from_parts(shrunk.mean().clone(), shrunk.whitening().clone(), shrunk.shrinkage()).unwrap();
    assert_eq!(again, shrunk);
    let near = NearestTraining::fit(train.view(), 3, false).unwrap();
    close(&near.distances(new.view()).unwrap(), "third");
    close(&near.of_training(), "third_of_training");
    close(&NearestTraining::fit(train.view(), 3, true).unwrap().distances(new.view()).unwrap(), "third_unit");
}

#[test]
fn strangers_are_told_from_training_cells() {
    let cells =
        |rows: usize, salt: usize, shift: f32| Array2::from_shape_fn((rows, 40), |(r, c)| normal(r, c + salt) + shift);
    let (train, held_out, strange) = (cells(600, 0, 0.0), cells(300, 100, 0.0), cells(300, 200, 1.0));
    let mahalanobis = Mahalanobis::fit(train.view(), Shrinkage::LedoitWolf).unwrap();
    let near = NearestTraining::fit(train.view(), 10, false).unwrap();
    for distances in
        [&(|rows: &Array2<f32>| mahalanobis.distances(rows.view())) as &dyn Fn(&Array2<f32>) -> _, &|rows| {
            near.distances(rows.view())
        }]
    {
        let (usual, odd) = (distances(&held_out).unwrap(), distances(&strange).unwrap());
        let labels: Vec<bool> = (0..600).map(|row| row >= 300).collect();
        let area = auroc(&[usual.clone(), odd.clone()].concat(), &labels, None).unwrap().unwrap();
        assert!(area > 0.95, "{area}");
        let threshold = OutlierThreshold::from_calibration(&usual, 0.95).unwrap();
        let summary = threshold.summary(&usual).unwrap();
        assert!((summary.flagged_share.unwrap() - 0.05).abs() < 0.01);
        assert!(threshold.summary(&odd).unwrap().flagged_share.unwrap() > 0.7);
    }
}

#[test]
fn embeddings_that_cannot_be_used() {
    let flat = Array2::<f32>::ones((10, 3));
    assert_eq!(Mahalanobis::fit(flat.view(), Shrinkage::None).unwrap_err(), MetricsError::Singular { dimension: 0 });
    assert!(matches!(Mahalanobis::fit(flat.view(), Shrinkage::By(0.1)), Err(MetricsError::Singular { .. })));
    assert!(matches!(Mahalanobis::fit(flat.view(), Shrinkage::By(f64::NAN)), Err(MetricsError::Setting { .. })));
    let one = Array2::<f32>::ones((1, 3));
    assert!(matches!(Mahalanobis::fit(one.view(), Shrinkage::LedoitWolf), Err(MetricsError::TooFew { .. })));
    assert!(matches!(NearestTraining::fit(one.view(), 1, false), Err(MetricsError::TooFew { .. })));
    assert!(matches!(NearestTraining::fit(flat.view(), 0, false), Err(MetricsError::Setting { .. })));
    let near = NearestTraining::fit(flat.view(), 9, true).unwrap();
    assert!(near.of_training().iter().all(|&distance| distance == 0.0));
    assert!(matches!(near.distances(Array2::zeros((2, 4)).view()), Err(MetricsError::Shape { .. })));
    let broken = array![[1.0, f32::NAN, 2.0]];
    let refused = near.distances(broken.view()).unwrap_err().to_string();
    assert!(refused.contains("dimension 1") && refused.contains("row 0"), "{refused}");
    assert!(near.distances(Array2::zeros((0, 3)).view()).unwrap().is_empty());
    assert!(OutlierThreshold::from_calibration(&[], 0.9).is_err());
    let threshold = OutlierThreshold::from_calibration(&[1.0, 2.0], 0.5).unwrap();
    assert_eq!(threshold.flags(&[f32::NAN, 1.0, f32::INFINITY]), [true, false, true]);
    assert_eq!(threshold.summary(&[]).unwrap().flagged_share, None);
}

/// A dimension that is always the same, as a dead unit of an encoder: shrinking mends it.
#[test]
fn a_dead_dimension_is_bearable() {
    let train = Array2::from_shape_fn((80, 5), |(r, c)| if c == 2 { 0.0 } else { normal(r, c) });
    assert!(Mahalanobis::fit(train.view(), Shrinkage::None).is_err());
    let found = Mahalanobis::fit(train.view(), Shrinkage::LedoitWolf).unwrap().distances(train.view()).unwrap();
    assert!(found.iter().all(|distance| distance.is_finite()));
}

proptest! {
    /// The promise itself, for any numbers: of n + 1 exchangeable values the share within is at least the level.
    #[test]
    fn each_left_out_in_turn_is_covered_often_enough(
        residuals in prop::collection::vec(0..20_u8, 2..40), level in 0.05..0.95_f64, signed in any::<bool>()
    ) {
        let n = residuals.len();
        let residual = if signed { Residual::Signed } else { Residual::Absolute };
        let mut within = 0.0;
        for out in 0..n {
            let rest: Vec<f32> = residuals.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, &r)| f32::from(r)).collect();
            let zeros = Array2::zeros((n - 1, 1));
            let options = ConformalOptions { residual, levels: &[level], least: None, ..ConformalOptions::default() };
            let fit = Conformal::fit(zeros.view(), column(&rest).view(), &names(1), &options).unwrap();
            let one = column(&[f32::from(residuals[out])]);
            within += fit.coverage(Array2::zeros((1, 1)).view(), one.view(), None).unwrap()[0].covered.unwrap();
        }
        prop_assert!(within / n as f64 >= level - 1e-9, "{within} of {n} at {level}");
    }

    #[test]
    fn samples_are_rows_in_order(rows in 0..200_usize, most in 0..200_usize, seed in any::<u64>()) {
        let chosen = sample_rows(rows, most, seed);
        prop_assert_eq!(chosen.len(), rows.min(most));
        prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.iter().all(|&row| row < rows));
        prop_assert_eq!(chosen, sample_rows(rows, most, seed));
    }
}
