//! `normalize_total` against scanpy (`tests/data/normalise.py`), and what must hold of filters and variances.

use ndarray::{Array2, Axis, arr2};
use proptest::prelude::*;
use scellst_expr::{
    CsrMatrix, Expression, FilterConfig, HvgFlavor, NormaliseConfig, TargetSum, highly_variable, highly_variable_by,
    into_normalised_log1p, normalise, normalise_log1p, normalised_variances,
};
use serde_json::Value;

fn rows(value: &Value) -> Array2<f64> {
    let rows = value.as_array().unwrap();
    let width = rows[0].as_array().unwrap().len();
    Array2::from_shape_fn((rows.len(), width), |(i, j)| rows[i][j].as_f64().unwrap())
}

fn expression(counts: &Array2<f32>) -> Expression {
    let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i:03}")).collect();
    let matrix = CsrMatrix::from_dense(counts.view()).unwrap();
    Expression::new(matrix, names("g", counts.ncols()), names("s", counts.nrows())).unwrap()
}

#[test]
fn as_scanpy() {
    let golden: Value = serde_json::from_str(include_str!("data/normalise.json")).unwrap();
    let counts = CsrMatrix::from_dense(rows(&golden["counts"]).mapv(|v| v as f32).view()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let target = case["target"].as_f64().map_or(TargetSum::Median, TargetSum::Of);
        let config = NormaliseConfig { target, exclude_above: case["share"].as_f64() };
        let found = config.apply(counts.clone()).unwrap();
        for (ours, theirs) in found.matrix.to_dense().unwrap().iter().zip(&rows(&case["x"])) {
            assert!((f64::from(*ours) - theirs).abs() <= 1e-6 * theirs.max(1.0), "{ours} beside {theirs}: {config:?}");
        }
        assert_eq!(found.excluded.is_empty(), case["share"].is_null());
        assert_eq!(found.factors[4], 0.0);
    }
}

#[test]
fn settings_and_values_that_make_no_sense() {
    let counts = CsrMatrix::from_dense(arr2(&[[1.0_f32, 2.0]]).view()).unwrap();
    let refused = |config: NormaliseConfig, counts: &CsrMatrix| config.apply(counts.clone()).unwrap_err().to_string();
    for share in [f64::NAN, -0.1, 1.1] {
        let config = NormaliseConfig { exclude_above: Some(share), ..NormaliseConfig::default() };
        assert!(refused(config, &counts).contains("share of genes to exclude"));
    }
    let median = NormaliseConfig { target: TargetSum::Median, exclude_above: None };
    let empty = CsrMatrix::new(2, 2, vec![0, 0, 0], vec![], vec![]).unwrap();
    assert!(refused(median, &empty).contains("none of 2 observations has counts"));
    let negative = CsrMatrix::from_dense(arr2(&[[1.0_f32, -2.0]]).view()).unwrap();
    for message in [
        refused(NormaliseConfig::default(), &negative),
        normalise(&negative, 1.0).unwrap_err().to_string(),
        normalise_log1p(&negative).unwrap_err().to_string(),
        normalised_variances(&CsrMatrix::from_dense(arr2(&[[1.0_f32, -2.0], [0.0, 0.0]]).view()).unwrap())
            .unwrap_err()
            .to_string(),
    ] {
        assert!(message.contains("row 0, column 1 holds -2"), "{message}");
    }
    assert!(refused(NormaliseConfig { target: TargetSum::Of(1e300), exclude_above: None }, &counts).contains("inf"));
}

#[test]
fn small_and_constant_sections() {
    assert!(normalised_variances(&CsrMatrix::from_dense(arr2(&[[1.0_f32]]).view()).unwrap()).is_err());
    assert_eq!(normalised_variances(&CsrMatrix::new(2, 0, vec![0; 3], vec![], vec![]).unwrap()).unwrap(), [0.0; 0]);
    let constant = expression(&Array2::from_elem((5, 3), 1e7));
    assert!(highly_variable(&[&constant], 3).unwrap().iter().all(|gene| gene.score == 0.0));
    let one = expression(&arr2(&[[1.0], [4.0], [9.0]]));
    let found = highly_variable(&[&one], 10).unwrap();
    assert!(found.len() == 1 && found[0].score.is_finite());
    // Counts at the end of f32.
    let huge = expression(&arr2(&[[f32::MAX, 1.0], [0.0, f32::MIN_POSITIVE], [f32::MAX, 0.0]]));
    assert!(highly_variable(&[&huge], 2).unwrap().iter().all(|gene| gene.score.is_finite()));
}

#[test]
fn flavours_of_several_sections() {
    // Of 40 genes, 0 varies in the first section only, and much; 1 in both, less.
    let section = |first: f32| {
        expression(&Array2::from_shape_fn((30, 40), |(i, j)| match j {
            0 => {
                if i % 15 == 0 {
                    first
                } else {
                    5.0
                }
            }
            1 => {
                if i % 5 == 0 {
                    30.0
                } else {
                    3.0
                }
            }
            _ => 4.0 + j as f32 + ((i * (j + 3)) % 5) as f32,
        }))
    };
    let (one, two) = (section(200.0), section(5.0));
    let by = |flavor| {
        let genes = highly_variable_by(&[&one, &two], 1, flavor).unwrap();
        (genes[0].gene.clone(), genes[0].sections, genes[0].median_rank)
    };
    assert_eq!(by(HvgFlavor::SeuratV3Paper).1, by(HvgFlavor::SeuratV3).1);
    let both = highly_variable_by(&[&one, &two], 2, HvgFlavor::SeuratV3Paper).unwrap();
    assert!(both[0].gene == "g001" && both[0].sections == 2, "{both:?}");
    let rank = highly_variable_by(&[&one, &two], 2, HvgFlavor::SeuratV3).unwrap();
    assert!(rank[0].median_rank <= rank[1].median_rank);
}

fn counts() -> impl Strategy<Value = Array2<f32>> {
    (8..20_usize, 3..12_usize).prop_flat_map(|(rows, cols)| {
        let value = prop_oneof![1 => Just(0.0_f32), 2 => (1..200_u32).prop_map(|v| v as f32)];
        prop::collection::vec(value, rows * cols).prop_map(move |v| Array2::from_shape_vec((rows, cols), v).unwrap())
    })
}

proptest! {
    #[test]
    fn in_place_is_the_same(counts in counts(), least in 0.0..2000.0_f64, share in 0.0..1.0_f64) {
        let raw = expression(&counts);
        let config = FilterConfig {
            min_gene_counts: least, min_gene_share: share, drop_prefixes: vec!["g001".to_owned()], ..FilterConfig::default()
        };
        match (config.apply(&raw), config.apply_owned(raw.clone())) {
            (Ok(copied), Ok(owned)) => prop_assert_eq!(copied, owned),
            (a, b) => prop_assert_eq!(a.unwrap_err().to_string(), b.unwrap_err().to_string()),
        }
        let matrix = raw.counts();
        prop_assert_eq!(normalise_log1p(matrix).unwrap(), into_normalised_log1p(matrix.clone()).unwrap());
    }

    /// Order of rows and columns does not matter, many genes of one mean or not: as many genes as a trend needs.
    #[test]
    fn order_does_not_matter(
        few in prop::collection::vec(0..4_u8, 9 * 60),
        depth in prop::collection::vec(1..30_u8, 60),
        rows in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        columns in Just((0..60).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let counts = Array2::from_shape_fn((9, 60), |(i, j)| f32::from(few[i * 60 + j]) * f32::from(depth[j]));
        let other = counts.select(Axis(0), &rows).select(Axis(1), &columns);
        let variances = |counts: &Array2<f32>| normalised_variances(expression(counts).counts()).unwrap();
        let (one, two) = (variances(&counts), variances(&other));
        for (at, &column) in columns.iter().enumerate() {
            prop_assert!((one[column] - two[at]).abs() <= 1e-6 * one[column].max(1.0), "{} {}", one[column], two[at]);
        }
        let log = |counts: &Array2<f32>| normalise_log1p(expression(counts).counts()).unwrap().to_dense().unwrap();
        prop_assert_eq!(log(&counts).select(Axis(0), &rows).select(Axis(1), &columns), log(&other));
    }
}
