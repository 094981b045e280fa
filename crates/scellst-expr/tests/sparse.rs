//! Sparse matrices: what is refused, and that every operation equals the dense one.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use scellst_expr::{CsrMatrix, ExprError, Expression, normalise, normalise_log1p};

fn matrix() -> CsrMatrix {
    CsrMatrix::new(2, 3, vec![0, 2, 3], vec![0, 2, 1], vec![1.0, 2.0, 3.0]).unwrap()
}

fn problem(rows: usize, cols: usize, indptr: &[usize], indices: &[u32], values: &[f32]) -> String {
    CsrMatrix::new(rows, cols, indptr.to_vec(), indices.to_vec(), values.to_vec()).unwrap_err().to_string()
}

#[test]
fn arrays_that_contradict_each_other_are_refused() {
    for (text, found) in [
        ("indptr has 2 entries, expected 3", problem(2, 3, &[0, 1], &[0], &[1.0])),
        ("indptr has 0 entries", problem(0, 3, &[], &[], &[])),
        ("indptr starts at 1", problem(1, 3, &[1, 1], &[0], &[1.0])),
        ("indptr falls from 2 to 1 at row 1", problem(2, 3, &[0, 2, 1], &[0], &[1.0])),
        ("indptr ends at 9", problem(1, 3, &[0, 9], &[0], &[1.0])),
        ("2 indices, but 1 values", problem(1, 3, &[0, 2], &[0, 1], &[1.0])),
        ("row 1 names column 3, but there are 3", problem(2, 3, &[0, 0, 1], &[3], &[1.0])),
        ("row 0 names column 1 after column 1", problem(1, 3, &[0, 2], &[1, 1], &[1.0, 1.0])),
        ("row 0 names column 0 after column 2", problem(1, 3, &[0, 2], &[2, 0], &[1.0, 1.0])),
        ("row 0, column 2 holds NaN", problem(1, 3, &[0, 1], &[2], &[f32::NAN])),
        ("row 0, column 2 holds inf", problem(1, 3, &[0, 1], &[2], &[f32::INFINITY])),
        ("more than 4294967295 rows or columns", problem(1, usize::MAX, &[0, 0], &[], &[])),
        ("indptr has 1 entries", problem(usize::from(u16::MAX), 1, &[0], &[], &[])),
    ] {
        assert!(found.contains(text), "'{found}' does not say '{text}'");
    }
}

#[test]
fn a_huge_declared_shape_allocates_nothing() {
    let wide = CsrMatrix::new(1, u32::MAX as usize, vec![0, 0], vec![], vec![]).unwrap();
    assert!(wide.select_rows(&[0, 0]).is_ok());
    let tall = vec![0; 1 << 20];
    let large = CsrMatrix::new((1 << 20) - 1, u32::MAX as usize, tall, vec![], vec![]).unwrap();
    assert!(matches!(large.to_dense(), Err(ExprError::TooLarge { .. })));
}

#[test]
fn unsorted_rows_are_sorted_and_doubles_added() {
    let sorted =
        CsrMatrix::from_unsorted(2, 3, vec![0, 3, 5], vec![2, 0, 2, 1, 0], vec![1.0, 5.0, 2.0, 7.0, 8.0]).unwrap();
    let wanted = ndarray::arr2(&[[5.0, 0.0, 3.0], [8.0, 7.0, 0.0]]);
    assert_eq!(sorted.to_dense().unwrap(), wanted);
    let csc = CsrMatrix::from_csc(2, 3, vec![0, 2, 3, 4], vec![1, 0, 1, 0], vec![8.0, 5.0, 7.0, 3.0]).unwrap();
    assert_eq!(csc, sorted);
    assert!(CsrMatrix::from_unsorted(1, 3, vec![0, 2], vec![9, 0], vec![1.0, 1.0]).is_err());
    assert!(CsrMatrix::from_csc(2, 3, vec![0, 1, 1, 1], vec![2], vec![1.0]).is_err());
}

#[test]
fn selections_refuse_what_is_not_there() {
    assert!(matrix().select_rows(&[2]).is_err());
    assert!(matrix().select_columns(&[3]).is_err());
    assert!(matrix().select_columns(&[1, 1]).unwrap_err().to_string().contains("column 1 is selected twice"));
    assert!(matrix().dense_columns(&[0, 0]).is_err());
}

#[test]
fn an_expression_needs_matching_unique_names_and_counts() {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let new = |genes: &[&str], observations: &[&str]| Expression::new(matrix(), names(genes), names(observations));
    assert!(new(&["a", "b", "c"], &["x", "y"]).is_ok());
    assert!(new(&["a", "b"], &["x", "y"]).unwrap_err().to_string().contains("expected 3, found 2"));
    assert!(new(&["a", "b", "c"], &["x"]).unwrap_err().to_string().contains("expected 2, found 1"));
    let twice = new(&["a", "b", "a"], &["x", "y"]).unwrap_err().to_string();
    assert!(twice.contains("'a' is named twice, at columns 0 and 2"), "{twice}");
    let negative = CsrMatrix::new(2, 3, vec![0, 0, 1], vec![2], vec![-1.0]).unwrap();
    let refused = Expression::new(negative, names(&["a", "b", "c"]), names(&["x", "y"])).unwrap_err().to_string();
    assert!(refused.contains("row 1, column 2 holds -1"), "{refused}");
}

#[test]
fn rows_without_counts_stay_zero() {
    let empty = CsrMatrix::new(2, 2, vec![0, 1, 1], vec![1], vec![4.0]).unwrap();
    assert_eq!(normalise(&empty, 10.0).unwrap().to_dense().unwrap(), ndarray::arr2(&[[0.0, 10.0], [0.0, 0.0]]));
    assert!(normalise(&empty, 0.0).is_err());
    assert!(normalise(&empty, f64::NAN).is_err());
}

fn dense() -> impl Strategy<Value = Array2<f32>> {
    (1..12_usize, 1..9_usize).prop_flat_map(|(rows, cols)| {
        let value = prop_oneof![3 => Just(0.0_f32), 2 => (1..500_u32).prop_map(|v| v as f32)];
        prop::collection::vec(value, rows * cols)
            .prop_map(move |values| Array2::from_shape_vec((rows, cols), values).unwrap())
    })
}

proptest! {
    #[test]
    fn sparse_is_dense_without_zeros(dense in dense(), seed in any::<u64>()) {
        let sparse = CsrMatrix::from_dense(dense.view()).unwrap();
        prop_assert_eq!(&sparse.to_dense().unwrap(), &dense);
        prop_assert_eq!(sparse.transposed().to_dense().unwrap(), dense.t());
        prop_assert_eq!(&sparse.transposed().transposed(), &sparse);
        let wide = dense.mapv(f64::from);
        prop_assert_eq!(sparse.row_sums(), wide.sum_axis(Axis(1)).to_vec());
        prop_assert_eq!(sparse.column_sums(), wide.sum_axis(Axis(0)).to_vec());
        let found: Vec<usize> = dense.columns().into_iter().map(|c| c.iter().filter(|v| **v > 0.0).count()).collect();
        prop_assert_eq!(sparse.column_nonzeros(), found);

        // Any order of some columns and rows.
        let pick = |n: usize| -> Vec<usize> {
            let mut all: Vec<usize> = (0..n).collect();
            all.sort_by_key(|&at| (at as u64 + 1).wrapping_mul(seed | 1));
            all.truncate(n.div_ceil(2));
            all
        };
        let (rows, columns) = (pick(dense.nrows()), pick(dense.ncols()));
        let wanted = dense.select(Axis(1), &columns);
        prop_assert_eq!(&sparse.dense_columns(&columns).unwrap(), &wanted);
        prop_assert_eq!(&sparse.select_columns(&columns).unwrap().to_dense().unwrap(), &wanted);
        let wanted = dense.select(Axis(0), &rows);
        prop_assert_eq!(sparse.select_rows(&rows).unwrap().to_dense().unwrap(), wanted);
    }

    #[test]
    fn normalised_rows_sum_up_to_the_target(dense in dense()) {
        let sparse = CsrMatrix::from_dense(dense.view()).unwrap();
        for (before, after) in sparse.row_sums().iter().zip(normalise(&sparse, 100.0).unwrap().row_sums()) {
            let wanted = if *before > 0.0 { 100.0 } else { 0.0 };
            prop_assert!((after - wanted).abs() < 1e-4);
        }
        // Depth does not matter.
        let deeper = CsrMatrix::from_dense((&dense * 4.0).view()).unwrap();
        prop_assert_eq!(normalise_log1p(&sparse).unwrap(), normalise_log1p(&deeper).unwrap());
    }

    #[test]
    fn no_arrays_make_it_panic(
        rows in 0..4_usize, cols in 0..4_usize,
        indptr in prop::collection::vec(0..6_usize, 0..6),
        indices in prop::collection::vec(0..5_u32, 0..6),
        values in prop::collection::vec(prop_oneof![Just(f32::NAN), Just(-1.0), Just(2.0)], 0..6),
    ) {
        for make in [CsrMatrix::new, CsrMatrix::from_unsorted, CsrMatrix::from_csc] {
            if let Ok(matrix) = make(rows, cols, indptr.clone(), indices.clone(), values.clone()) {
                prop_assert_eq!(matrix.to_dense().unwrap().dim(), (rows, cols));
            }
        }
    }
}
