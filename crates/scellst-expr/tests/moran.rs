//! Moran's I against scanpy's (`tests/data/moran.py`).

use ndarray::Array2;
use scellst_expr::{CsrMatrix, Expression, GeneSelection, morans_i, spatially_variable};
use scellst_types::{Level0, Point};
use serde_json::Value;

fn load(case: &Value) -> (Expression, Vec<Point<Level0>>) {
    let rows = case["counts"].as_array().unwrap();
    let counts = Array2::from_shape_fn((rows.len(), 5), |(i, j)| rows[i][j].as_f64().unwrap() as f32);
    let genes = ["smooth", "noise", "stripes", "depth", "zero"].map(str::to_owned).to_vec();
    let observations = (0..rows.len()).map(|i| i.to_string()).collect();
    let expression = Expression::new(CsrMatrix::from_dense(counts.view()).unwrap(), genes, observations).unwrap();
    let at = |xy: &Value| Point::new(xy[0].as_f64().unwrap(), xy[1].as_f64().unwrap());
    (expression, case["xy"].as_array().unwrap().iter().map(at).collect())
}

#[test]
fn as_scanpy() {
    let cases: Value = serde_json::from_str(include_str!("data/moran.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let (expression, centres) = load(case);
        let found = morans_i(&expression, &centres, expression.genes()).unwrap();
        assert_eq!(found[4], None);
        for (ours, theirs) in found.iter().zip(case["i"].as_array().unwrap()) {
            let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-10, "{}: {ours} beside {theirs}", case["name"]);
        }
    }
}

#[test]
fn selection_by_place() {
    let cases: Value = serde_json::from_str(include_str!("data/moran.json")).unwrap();
    let loaded: Vec<_> = cases.as_array().unwrap().iter().map(load).collect();
    let sections: Vec<_> = loaded.iter().map(|(expression, centres)| (expression, centres.as_slice())).collect();
    let selection: GeneSelection = "svg:3".parse().unwrap();
    let chosen = selection.select_with_centres(&sections).unwrap();
    assert_eq!(chosen, spatially_variable(&sections, 3).unwrap());
    assert_eq!(chosen[0].gene, "smooth");
    assert_eq!(chosen.iter().map(|score| score.rank).collect::<Vec<_>>(), [1, 2, 3]);
    let refused = selection.select(&[sections[0].0]).unwrap_err().to_string();
    assert!(refused.contains("svg:3") && refused.contains("hvg:K"), "{refused}");
    assert_eq!("var:2".parse::<GeneSelection>().unwrap().select_with_centres(&sections).unwrap().len(), 2);
}

#[test]
fn places_that_do_not_fit_are_refused() {
    let cases: Value = serde_json::from_str(include_str!("data/moran.json")).unwrap();
    let (expression, mut centres) = load(&cases[0]);
    assert!(
        morans_i(&expression, &centres[1..], &["smooth"]).unwrap_err().to_string().contains("expected 72, found 71")
    );
    centres[3] = Point::new(f64::NAN, 0.0);
    assert!(morans_i(&expression, &centres, &["smooth"]).unwrap_err().to_string().contains("spot 3"));
    centres.fill(Point::new(5.0, 5.0));
    assert!(morans_i(&expression, &centres, &["smooth"]).unwrap_err().to_string().contains("neighbour"));
}
