//! Baselines against scikit-learn: `data/baselines.py`.

use ndarray::Array2;
use scellst_pipeline::Baseline;

#[derive(serde::Deserialize)]
struct Case {
    components: usize,
    k: usize,
    x: Vec<Vec<f32>>,
    y: Vec<Vec<f32>>,
    test: Vec<Vec<f32>>,
    mean: Vec<Vec<f32>>,
    ridge: Vec<Vec<f32>>,
    pca: Vec<Vec<f32>>,
    near: Vec<Vec<f32>>,
}

fn array(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn predictions_are_those_of_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/baselines.json")).unwrap();
    assert_eq!(cases.len(), 3);
    for (at, case) in cases.iter().enumerate() {
        let (x, y, test) = (array(&case.x), array(&case.y), array(&case.test));
        let expected = [
            (Baseline::Mean, &case.mean),
            (Baseline::Ridge, &case.ridge),
            (Baseline::PcaRidge(case.components), &case.pca),
            (Baseline::NearestSpots(case.k), &case.near),
        ];
        for (baseline, expected) in expected {
            let found = baseline.fit(x.view(), y.view()).unwrap().predict(test.view()).unwrap();
            // Features are standardised in f32 here.
            let off = (&found - &array(expected)).iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!(off < 2e-5, "case {at}, {baseline}: {off}");
        }
    }
}
