//! Principal components against scikit-learn: `data/golden_principal.py`.

use ndarray::Array2;
use scellst_metrics::Pca;

#[derive(serde::Deserialize)]
struct Case {
    x: Vec<Vec<f32>>,
    k: usize,
    variance: Vec<f64>,
    components: Vec<Vec<f64>>,
}

#[test]
fn components_are_those_of_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/golden_principal.json")).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let x = Array2::from_shape_vec((case.x.len(), case.x[0].len()), case.x.concat()).unwrap();
        let pca = Pca::fit(x.view(), case.k, 0).unwrap();
        assert_eq!(pca.len(), case.k);
        for (found, expected) in pca.variance().iter().zip(&case.variance) {
            assert!((found - expected).abs() < 1e-9 * expected, "{found} {expected}");
        }
        for (found, expected) in pca.components().rows().into_iter().zip(&case.components) {
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-8), "{found} {expected:?}");
        }
    }
}
