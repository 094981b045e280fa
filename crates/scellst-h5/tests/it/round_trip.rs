//! What is written comes back, and nothing is left behind when it is not.

use ndarray::{Array2, array};
use proptest::prelude::*;
use scellst_expr::{CsrMatrix, Expression};
use scellst_h5::{
    Column, Compression, H5Error, MatrixReader, PredictionHeader, PredictionWriter, SectionParts, read_h5ad,
    read_matrix, write_section,
};
use scellst_types::{Level0, Point};
use serde_json::json;

use crate::common::listing;

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}_{i:07}")).collect()
}

fn places(n: usize) -> Vec<Point<Level0>> {
    (0..n).map(|i| Point::new(i as f64 * 1.25, 1000.0 - i as f64)).collect()
}

#[test]
fn predictions_by_uneven_blocks() {
    let dir = tempfile::tempdir().unwrap();
    // More than two chunks of a MiB.
    let (rows, genes) = (2500, 211);
    let values = Array2::from_shape_fn((rows, genes), |(i, j)| (i * genes + j) as f32 * 0.25);
    let (obs_names, var_names, spatial) = (names("cell", rows), names("GENE", genes), places(rows));
    let variance: Vec<f64> = (0..genes).map(|j| 1.0 / (j + 1) as f64).collect();
    let area: Vec<f32> = (0..rows).map(|i| i as f32 / 8.0).collect();
    let class: Vec<Option<String>> = (0..rows).map(|i| (i % 3 > 0).then(|| format!("class {}", i % 3))).collect();
    for compression in [None, Some(Compression::Gzip(1))] {
        let path = dir.path().join("pred.h5ad");
        let header = PredictionHeader {
            obs_names: &obs_names,
            var_names: &var_names,
            spatial: &spatial,
            obs: vec![
                ("area_um2".into(), Column::F32(area.clone())),
                ("class".into(), Column::Category(class.clone())),
            ],
            var: vec![("train_variance".into(), Column::F64(variance.clone()))],
            library: None,
            uns: json!({ "scellst": { "version": "0.1.0" } }),
        };
        let mut writer = PredictionWriter::create(&path, &header, compression).unwrap();
        let mut start = 0;
        for step in [1, 0, 7, 1300, 1, 999].iter().cycle() {
            let end = (start + step).min(rows);
            writer.write_rows(values.slice(ndarray::s![start..end, ..])).unwrap();
            start = end;
            if start == rows {
                break;
            }
        }
        let refused = writer.add_obs("area_um2", &Column::F32(area.clone())).unwrap_err().to_string();
        assert!(refused.contains("twice"), "{refused}");
        let refused = writer.add_obs("short", &Column::F32(vec![1.0])).unwrap_err().to_string();
        assert!(refused.contains("1 values for 2500 rows"), "{refused}");
        writer.add_obs("distance", &Column::F32(area.iter().map(|a| a + 1.0).collect())).unwrap();
        writer.add_uns("outliers", &json!({ "flagged": 7, "share": 0.5 })).unwrap();
        assert!(writer.add_uns("scellst", &json!({})).is_err());
        writer.finish().unwrap();
        let read = read_matrix(&path, None).unwrap();
        assert_eq!(read.obs.numeric["distance"], area.iter().map(|&a| f64::from(a) + 1.0).collect::<Vec<_>>());
        assert_eq!(scellst_h5::read_uns_number(&path, &["outliers", "flagged"]).unwrap(), Some(7.0));
        assert_eq!(read.values, values);
        assert_eq!(read.obs_names, obs_names);
        assert_eq!(read.var_names, var_names);
        assert_eq!(read.spatial.unwrap(), spatial);
        assert_eq!(read.var.numeric["train_variance"], variance);
        assert_eq!(read.obs.numeric["area_um2"], area.iter().map(|&a| f64::from(a)).collect::<Vec<_>>());
        assert_eq!(read.obs.text["class"], class);
        let reader = MatrixReader::open(&path, None).unwrap();
        assert_eq!(reader.read_rows(1240..1250).unwrap(), values.slice(ndarray::s![1240..1250, ..]));
    }
    assert_eq!(listing(dir.path()), ["pred.h5ad"]);
}

#[test]
fn a_transposed_view_is_written_as_it_looks() {
    let dir = tempfile::tempdir().unwrap();
    let (obs_names, var_names, spatial) = (names("c", 3), names("g", 2), places(3));
    let header =
        PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };
    let values = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let mut writer = PredictionWriter::create(dir.path().join("t.h5ad"), &header, None).unwrap();
    writer.write_rows(values.t()).unwrap();
    writer.finish().unwrap();
    assert_eq!(read_matrix(dir.path().join("t.h5ad"), None).unwrap().values, values.t());
}

#[test]
fn nothing_is_left_behind_unless_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pred.h5ad");
    let (obs_names, var_names, spatial) = (names("c", 3), names("g", 2), places(3));
    let header =
        PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };

    let writer = PredictionWriter::create(&path, &header, None).unwrap();
    assert!(!path.exists());
    assert_eq!(listing(dir.path()).len(), 1);
    drop(writer);
    assert!(listing(dir.path()).is_empty());

    let mut writer = PredictionWriter::create(&path, &header, None).unwrap();
    writer.write_rows(array![[1.0, 2.0]].view()).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("1 of 3 rows"), "{error}");
    assert!(listing(dir.path()).is_empty());

    // An older file stays as it was until the new one is whole.
    std::fs::write(&path, "old").unwrap();
    let writer = PredictionWriter::create(&path, &header, None).unwrap();
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn rows_that_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let (obs_names, var_names, spatial) = (names("c", 3), names("g", 2), places(3));
    let header =
        PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };
    let mut writer = PredictionWriter::create(dir.path().join("p.h5ad"), &header, None).unwrap();
    for (rows, word) in [
        (array![[1.0f32]], "1 values were given for 2 genes"),
        (array![[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], "4 rows were given for 3 names"),
        (array![[1.0, 2.0], [1.0, f32::NAN]], "row 1, gene 1 is NaN"),
    ] {
        let error = writer.write_rows(rows.view()).unwrap_err();
        assert!(matches!(error, H5Error::Misuse { .. }));
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(writer.rows_written(), 0);
    }
}

#[test]
fn headers_that_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let (obs_names, var_names, spatial) = (names("c", 3), names("g", 2), places(3));
    let good =
        PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };
    let with_nul = vec!["a\0b".to_owned(), "c".into(), "d".into()];
    let column = |n: usize| Column::F64(vec![0.0; n]);
    let cases = [
        (PredictionHeader { spatial: &spatial[..2], ..good.clone() }, "2 places were given for 3 names"),
        (PredictionHeader { spatial: &[Point::new(f64::NAN, 0.0); 3], ..good.clone() }, "the place of row 0"),
        (PredictionHeader { obs_names: &with_nul, ..good.clone() }, "NUL"),
        (PredictionHeader { obs: vec![("a".into(), column(2))], ..good.clone() }, "2 values for 3 rows"),
        (PredictionHeader { var: vec![("a/b".into(), column(2))], ..good.clone() }, "no '/'"),
        (PredictionHeader { var: vec![("_index".into(), column(2))], ..good.clone() }, "twice"),
        (PredictionHeader { obs: vec![("a".into(), column(3)), ("a".into(), column(3))], ..good.clone() }, "twice"),
        (PredictionHeader { uns: json!({ "a/b": 1 }), ..good.clone() }, "no '/'"),
        (PredictionHeader { uns: json!({ "a": [1, "b"] }), ..good.clone() }, "a list must have only"),
        (PredictionHeader { uns: json!([1]), ..good.clone() }, "a map was expected"),
    ];
    for (header, word) in cases {
        let error = PredictionWriter::create(dir.path().join("p.h5ad"), &header, None).unwrap_err();
        assert!(matches!(error, H5Error::Misuse { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(listing(dir.path()).is_empty());
    }
    let error = PredictionWriter::create(dir.path().join("p.h5ad"), &good, Some(Compression::Gzip(10))).unwrap_err();
    assert!(error.to_string().contains("gzip level 10"), "{error}");
    let error = PredictionWriter::create(dir.path().join("no/such/p.h5ad"), &good, None).unwrap_err();
    assert!(matches!(error, H5Error::Io { .. }), "{error}");
    assert!(PredictionWriter::create(dir.path(), &good, None).is_err());
}

#[test]
fn no_rows_or_no_genes() {
    let dir = tempfile::tempdir().unwrap();
    for (rows, genes) in [(0, 3), (3, 0), (0, 0)] {
        let path = dir.path().join(format!("{rows}x{genes}.h5ad"));
        let (obs_names, var_names, spatial) = (names("c", rows), names("g", genes), places(rows));
        let header =
            PredictionHeader { obs_names: &obs_names, var_names: &var_names, spatial: &spatial, ..Default::default() };
        let mut writer = PredictionWriter::create(&path, &header, Some(Compression::Gzip(4))).unwrap();
        writer.write_rows(Array2::zeros((rows, genes)).view()).unwrap();
        writer.finish().unwrap();
        let read = read_matrix(&path, None).unwrap();
        assert_eq!(read.values.dim(), (rows, genes));
        assert_eq!(read.spatial.unwrap(), spatial);
    }
}

#[test]
fn a_section_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.h5ad");
    let counts = CsrMatrix::new(3, 4, vec![0, 2, 2, 3], vec![0, 3, 1], vec![5.0, 1.0, 2.0]).unwrap();
    let expression = Expression::new(counts, names("GENE", 4), names("spot", 3)).unwrap();
    let spatial = places(3);
    let parts = SectionParts {
        spatial: Some(&spatial),
        spot_diameter_px: Some(146.25),
        library_id: "sim",
        thumbnail: None,
        obs: vec![("in_tissue".into(), Column::I64(vec![1, 1, 0]))],
        var: vec![("marker".into(), Column::Bool(vec![true, false, false, true]))],
        obsm: vec![("types".into(), array![[0.5f32, 0.5], [1.0, 0.0], [0.0, 1.0]])],
        uns: json!({ "seed": 7 }),
        compression: Some(Compression::Gzip(4)),
    };
    write_section(&path, &expression, &parts).unwrap();
    let back = read_h5ad(&path).unwrap();
    assert_eq!(back.expression.counts(), expression.counts());
    assert_eq!(back.expression.genes(), expression.genes());
    assert_eq!(back.expression.observations(), expression.observations());
    assert_eq!(back.require_spatial().unwrap(), spatial);
    assert_eq!(back.require_spot_diameter_px().unwrap(), 146.25);
    assert_eq!(back.library_id.as_deref(), Some("sim"));
    assert_eq!(back.obsm_keys, ["spatial", "types"]);
    let matrix = read_matrix(&path, None).unwrap();
    assert_eq!(matrix.var.numeric["marker"], [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(matrix.obs.numeric["in_tissue"], [1.0, 1.0, 0.0]);
    assert_eq!(matrix.values[[0, 3]], 1.0);

    let clash = SectionParts { uns: json!({ "spatial": {} }), ..parts.clone() };
    assert!(write_section(dir.path().join("t.h5ad"), &expression, &clash).is_err());
    let short = SectionParts { obsm: vec![("a".into(), Array2::zeros((2, 2)))], ..parts };
    assert!(write_section(dir.path().join("t.h5ad"), &expression, &short).is_err());
    assert_eq!(listing(dir.path()), ["s.h5ad"]);
}

#[test]
fn the_same_input_gives_the_same_values_twice() {
    // anndata-rs's own writer orders maps by chance; ours must not.
    let dir = tempfile::tempdir().unwrap();
    let counts = CsrMatrix::new(1, 1, vec![0, 1], vec![0], vec![5.0]).unwrap();
    let expression = Expression::new(counts, names("GENE", 1), names("spot", 1)).unwrap();
    let uns = json!({ "a": 1, "b": { "x": [1, 2], "y": "z" }, "c": true, "d": 0.5, "e": "f" });
    let write = |name: &str| {
        let parts = SectionParts { uns: uns.clone(), ..Default::default() };
        write_section(dir.path().join(name), &expression, &parts).unwrap();
        std::fs::read(dir.path().join(name)).unwrap()
    };
    let (one, two) = (write("one"), write("two"));
    assert_eq!(one.len(), two.len());
    // Objects carry the second of their making; nothing else may differ.
    let different = one.iter().zip(&two).filter(|(a, b)| a != b).count();
    assert!(different < 1000, "{different} bytes differ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_small_section_comes_back(
        (rows, columns) in (0usize..12, 0usize..9),
        seed in any::<u64>(),
        text in "[^\u{0}]{0,12}",
        gzip in any::<bool>(),
    ) {
        let mut state = seed;
        let dense = Array2::from_shape_fn((rows, columns), |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if state >> 62 == 0 { (state >> 40) as f32 } else { 0.0 }
        });
        let observations: Vec<String> = (0..rows).map(|i| format!("{text}{i}")).collect();
        let expression =
            Expression::new(CsrMatrix::from_dense(dense.view()).unwrap(), names(&text, columns), observations).unwrap();
        let spatial = places(rows);
        let parts = SectionParts {
            spatial: Some(&spatial),
            compression: gzip.then_some(Compression::Gzip(9)),
            ..Default::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.h5ad");
        write_section(&path, &expression, &parts).unwrap();
        let back = read_h5ad(&path).unwrap();
        prop_assert_eq!(back.expression.counts(), expression.counts());
        prop_assert_eq!(back.expression.genes(), expression.genes());
        prop_assert_eq!(back.expression.observations(), expression.observations());
        prop_assert_eq!(back.spatial.unwrap(), spatial);
        prop_assert_eq!(read_matrix(&path, None).unwrap().values, dense);
    }
}
