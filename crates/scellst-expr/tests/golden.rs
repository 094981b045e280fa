//! Against scanpy, scikit-learn and scikit-misc: `tests/data/golden.py` made `golden.json`.
//! Tolerances: our `f32` values are rounded once, scanpy's several times (normalised, then logarithm), hence 1e-6 relative;
//! LOESS and variances run in `f64` on both sides.

use ndarray::Array2;
use scellst_expr::{
    CsrMatrix, Expression, FilterConfig, Filtered, Scaling, common_genes, highly_variable, most_variable,
    normalise_log1p, normalised_variances, size_factors,
};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("data/golden.json")).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn raw(golden: &Value, section: usize) -> Expression {
    let rows: Vec<Vec<f64>> = golden["sections"][section]["counts"].as_array().unwrap().iter().map(numbers).collect();
    let counts = Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j] as f32);
    let observations = (0..rows.len()).map(|i| format!("s{i}")).collect();
    Expression::new(CsrMatrix::from_dense(counts.view()).unwrap(), names(&golden["genes"]), observations).unwrap()
}

fn filtered(golden: &Value) -> Vec<Filtered> {
    (0..2).map(|section| FilterConfig::default().apply(&raw(golden, section)).unwrap()).collect()
}

fn assert_close(ours: impl IntoIterator<Item = f64>, theirs: &[f64], tolerance: f64) {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len());
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1e-3), "{a} beside {b} at {at}");
    }
}

#[test]
fn filters_keep_what_scanpy_keeps() {
    let golden = golden();
    for (section, filtered) in filtered(&golden).iter().enumerate() {
        let wanted = &golden["sections"][section];
        assert_eq!(filtered.expression.genes(), names(&wanted["kept_genes"]));
        let rows: Vec<f64> = filtered.observations.iter().map(|&row| row as f64).collect();
        assert_eq!(rows, numbers(&wanted["kept_observations"]));
        assert!(filtered.report.genes_prefixed.iter().all(|gene| gene.starts_with("MT-")));
        assert_eq!(filtered.report.observations_few_counts, ["s3"]);
    }
}

#[test]
fn size_factors_normalised_values_and_ranges() {
    let golden = golden();
    for (section, Filtered { expression, .. }) in filtered(&golden).iter().enumerate() {
        let wanted = &golden["sections"][section];
        let factors = size_factors(&expression.counts_per_observation()).unwrap();
        assert_close(factors, &numbers(&wanted["size_factors"]), 1e-9);

        let log = normalise_log1p(expression.counts()).unwrap();
        let first = log.dense_columns(&(0..12).collect::<Vec<_>>()).unwrap();
        for (row, wanted) in first.rows().into_iter().zip(wanted["log_normalised"].as_array().unwrap()) {
            assert_close(row.iter().map(|&v| f64::from(v)), &numbers(wanted), 1e-6);
        }
        assert_eq!(first, expression.log_normalised(&expression.genes()[..12]).unwrap());

        let dense = log.to_dense().unwrap();
        let ranges = Scaling::Slide.fit(&[dense.view()]).unwrap();
        assert_close(ranges[0].as_slice().iter().map(|&v| f64::from(v)), &numbers(&wanted["ranges"]), 1e-6);
    }
}

#[test]
fn highly_variable_genes_of_one_section() {
    let golden = golden();
    for (section, Filtered { expression, .. }) in filtered(&golden).iter().enumerate() {
        let wanted = &golden["sections"][section];
        let chosen = highly_variable(&[expression], 40).unwrap();
        assert_eq!(chosen.iter().map(|score| score.gene.clone()).collect::<Vec<_>>(), names(&wanted["hvg"]));
        assert_close(chosen.iter().map(|score| score.score), &numbers(&wanted["variances_norm"]), 1e-9);
        assert!(chosen.iter().enumerate().all(|(at, score)| score.rank == at + 1));
    }
}

#[test]
fn highly_variable_genes_of_two_sections_as_batches() {
    let golden = golden();
    let filtered = filtered(&golden);
    let sections: Vec<&Expression> = filtered.iter().map(|filtered| &filtered.expression).collect();
    for (key, k) in [("hvg_batches_some", 40), ("hvg_batches_all", usize::MAX)] {
        let chosen = highly_variable(&sections, k).unwrap();
        assert_eq!(chosen.iter().map(|score| score.gene.clone()).collect::<Vec<_>>(), names(&golden[key]), "{key}");
    }
    let common = common_genes(&sections).unwrap().genes;
    assert_eq!(common, names(&golden["common"]));
    let mut mean = vec![0.0; common.len()];
    for section in &sections {
        let of = normalised_variances(section.select_genes(&common).unwrap().counts()).unwrap();
        mean.iter_mut().zip(of).for_each(|(sum, variance)| *sum += variance / 2.0);
    }
    assert_close(mean, &numbers(&golden["variances_norm"]), 1e-9);
}

#[test]
fn most_variable_genes() {
    let golden = golden();
    let filtered = filtered(&golden);
    let sections: Vec<&Expression> = filtered.iter().map(|filtered| &filtered.expression).collect();
    let chosen = most_variable(&sections, 50).unwrap();
    assert_eq!(chosen.iter().map(|score| score.gene.clone()).collect::<Vec<_>>(), names(&golden["var"]));
    assert_close(chosen.iter().map(|score| score.score), &numbers(&golden["var_score"]), 1e-6);
}
