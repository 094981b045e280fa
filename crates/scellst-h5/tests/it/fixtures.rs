//! One matrix in every encoding that we read (see tests/data/make_fixtures.py).

use ndarray::{Array2, array};
use scellst_h5::{MatrixChoice, MatrixReader, ReadOptions, read_h5ad, read_h5ad_with, read_matrix};
use scellst_types::Point;

use crate::common::fixtures;

const SAME: [&str; 15] = [
    "dense_f32",
    "dense_f64_gzip",
    "dense_i64",
    "dense_u8_big_chunks",
    "csr_f32",
    "csr_i64_gzip",
    "csr_u16",
    "csr_unsorted_i64_pointers",
    "csr_big_endian",
    "csr_half",
    "csc_f64",
    "csc_i32",
    "categorical_index",
    "named_index_fixed_width",
    "integer_index",
];

fn matrix() -> Array2<f32> {
    array![[0., 3., 0., 7.], [0., 0., 0., 0.], [1., 0., 2., 0.], [0., 5., 0., 9.], [4., 0., 0., 6.]]
}

#[test]
fn every_encoding_gives_the_same_section() {
    let dir = fixtures();
    for name in SAME {
        let section = read_h5ad(dir.path().join(format!("{name}.h5ad"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let counts = section.expression.counts();
        assert_eq!(counts.to_dense().unwrap(), matrix(), "{name}");
        // Canonical whatever the file held: sorted, no zeros, no place twice.
        assert_eq!(counts.indices(), [1, 3, 0, 2, 1, 3, 0, 3], "{name}");
        assert_eq!(counts.indptr(), [0, 2, 2, 4, 6, 8], "{name}");
        assert_eq!(section.expression.genes(), ["EPCAM", "VIM", "MT-ND1", "KRT8"], "{name}");
        let observations = match name {
            "integer_index" => ["0", "1", "2", "3", "4"],
            _ => ["spot_a", "spot_b", "größe", "細胞", "spot_e"],
        };
        assert_eq!(section.expression.observations(), observations, "{name}");
        let places = section.require_spatial().unwrap();
        assert_eq!(places[0], Point::new(10.5, 20.0), "{name}");
        assert_eq!(places[3], Point::new(70.25, 80.0), "{name}");
        assert_eq!(section.require_spot_diameter_px().unwrap(), 145.5, "{name}");
        assert_eq!(section.library_id.as_deref(), Some("lib1"), "{name}");
        assert_eq!(section.obsm_keys, ["spatial"], "{name}");
    }
}

#[test]
fn booleans_are_ones() {
    let section = read_h5ad(fixtures().path().join("csr_bool.h5ad")).unwrap();
    let ones = matrix().mapv(|v| if v > 0.0 { 1.0 } else { 0.0 });
    assert_eq!(section.expression.counts().to_dense().unwrap(), ones);
}

#[test]
fn nothing_and_one_gene() {
    let dir = fixtures();
    for name in ["empty_csr", "empty_dense"] {
        let section = read_h5ad(dir.path().join(format!("{name}.h5ad"))).unwrap();
        assert_eq!(section.expression.counts().rows(), 0);
        assert_eq!(section.expression.genes().len(), 4);
        assert!(section.require_spatial().is_err());
        let matrix = read_matrix(dir.path().join(format!("{name}.h5ad")), None).unwrap();
        assert_eq!(matrix.values.dim(), (0, 4));
    }
    let one = read_h5ad(dir.path().join("one_gene.h5ad")).unwrap();
    assert_eq!(one.expression.counts().to_dense().unwrap(), array![[2.0], [0.0]]);
    assert_eq!(one.expression.genes(), ["0"]);
}

#[test]
fn dense_rows_and_picked_genes_from_every_encoding() {
    let dir = fixtures();
    let genes = ["KRT8", "EPCAM"].map(String::from);
    for name in SAME {
        let path = dir.path().join(format!("{name}.h5ad"));
        let all = read_matrix(&path, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(all.values, matrix(), "{name}");
        let two = read_matrix(&path, Some(&genes)).unwrap();
        assert_eq!(two.values.column(0), matrix().column(3), "{name}");
        assert_eq!(two.values.column(1), matrix().column(0), "{name}");
        assert_eq!(two.var_names, genes);
        assert_eq!(two.var.numeric["train_variance"], [1.0, 0.5]);

        let reader = MatrixReader::open(&path, None).unwrap();
        for start in 0..5 {
            for end in start..=5 {
                let rows = reader.read_rows(start..end).unwrap();
                assert_eq!(rows, matrix().slice(ndarray::s![start..end, ..]), "{name} {start}..{end}");
            }
        }
        assert!(reader.read_rows(4..6).is_err());
    }
}

#[test]
fn columns_of_every_kind() {
    let read = read_matrix(fixtures().path().join("csr_f32.h5ad"), None).unwrap();
    assert_eq!(read.obs.numeric["in_tissue"], [1.0, 1.0, 0.0, 1.0, 1.0]);
    assert_eq!(read.obs.numeric["flag"], [1.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(read.obs.numeric["area"][..2], [1.5, 2.5]);
    assert!(read.obs.numeric["area"][2].is_nan());
    assert!(read.obs.numeric["count"][1].is_nan());
    assert_eq!(read.obs.numeric["count"][2..], [3.0, 4.0, 5.0]);
    let class: Vec<Option<&str>> = read.obs.text["class"].iter().map(Option::as_deref).collect();
    assert_eq!(class, [Some("stroma"), None, Some("tumour"), Some("stroma"), Some("tumour")]);
    assert_eq!(read.obs.text["note"][4].as_deref(), Some("é"));
}

#[test]
fn a_missing_gene_is_named() {
    let genes = ["VIM", "CD3E"].map(String::from);
    let error = read_matrix(fixtures().path().join("csr_f32.h5ad"), Some(&genes)).unwrap_err();
    assert!(matches!(error, scellst_h5::H5Error::Missing { .. }), "{error}");
    assert!(error.to_string().contains("CD3E"), "{error}");
}

#[test]
fn layers_and_raw() {
    let dir = fixtures();
    let path = dir.path().join("layers.h5ad");
    // X has been scaled: not counts.
    assert!(read_h5ad(&path).unwrap_err().to_string().contains("has the matrix been scaled already"));
    for layer in ["counts", "dense"] {
        let options = ReadOptions::default().with_matrix(MatrixChoice::Layer(layer.into()));
        let section = read_h5ad_with(&path, &options).unwrap();
        assert_eq!(section.expression.genes(), ["KRT8", "EPCAM"]);
        let expected = array![[7., 0.], [0., 0.], [0., 1.], [9., 0.], [6., 4.]];
        assert_eq!(section.expression.counts().to_dense().unwrap(), expected, "{layer}");
    }
    let raw = ReadOptions::default().with_matrix(MatrixChoice::Raw);
    let section = read_h5ad_with(&path, &raw).unwrap();
    assert_eq!(section.expression.counts().to_dense().unwrap(), matrix());
    assert_eq!(section.expression.genes(), ["EPCAM", "VIM", "MT-ND1", "KRT8"]);
    // Names from a column, where one is there twice.
    let named = read_h5ad_with(&path, &raw.clone().with_gene_column("symbol")).unwrap();
    assert_eq!(named.expression.genes(), ["a", "b", "a-1", "c"]);
    let error = read_h5ad_with(&path, &raw.with_gene_column("name")).unwrap_err();
    assert!(error.to_string().contains("raw/var/name is not there: raw/var has the columns 'symbol'"), "{error}");
    let gone = ReadOptions::default().with_matrix(MatrixChoice::Layer("spliced".into()));
    let error = read_h5ad_with(&path, &gone).unwrap_err();
    assert!(error.to_string().contains("layers/spliced is not there: layers has 'counts', 'dense'"), "{error}");
    let no_raw = ReadOptions::default().with_matrix(MatrixChoice::Raw);
    let error = read_h5ad_with(dir.path().join("csr_f32.h5ad"), &no_raw).unwrap_err();
    assert!(error.to_string().contains("raw is not there"), "{error}");

    let obs = read_matrix(&path, None).unwrap().obs;
    assert_eq!(obs.numeric["int"][2..], [3.0, 4.0, 5.0]);
    assert!(obs.numeric["int"][1].is_nan() && obs.numeric["flag"][1].is_nan());
    assert_eq!(obs.numeric["flag"][2..], [0.0, 1.0, 0.0]);
    let text: Vec<Option<&str>> = obs.text["text"].iter().map(Option::as_deref).collect();
    assert_eq!(text, [Some("a"), None, Some(""), Some("d"), Some("é")]);
}

#[test]
fn some_rows_and_genes_from_every_encoding() {
    let dir = fixtures();
    for name in SAME {
        let path = dir.path().join(format!("{name}.h5ad"));
        for start in 0..5 {
            for end in start..=5 {
                let rows = ReadOptions::default().with_observations(start..end);
                let part = read_h5ad_with(&path, &rows).unwrap();
                let expected = matrix().slice(ndarray::s![start..end, ..]).to_owned();
                assert_eq!(part.expression.counts().to_dense().unwrap(), expected, "{name} {start}..{end}");
                assert_eq!(part.require_spatial().unwrap().len(), end - start);
                let part = read_h5ad_with(&path, &rows.with_genes(["KRT8", "EPCAM"])).unwrap();
                let dense = part.expression.counts().to_dense().unwrap();
                assert_eq!(dense.column(0), expected.column(3), "{name} {start}..{end}");
                assert_eq!(dense.column(1), expected.column(0), "{name} {start}..{end}");
                assert_eq!(part.expression.observations().len(), end - start);
            }
        }
        for (options, words) in [
            (ReadOptions::default().with_observations(3..6), "rows 3..6 were asked for"),
            (ReadOptions::default().with_genes(["VIM", "VIM"]), "'VIM' was asked for twice"),
            (ReadOptions::default().with_genes(["CD3E"]), "CD3E"),
        ] {
            let error = read_h5ad_with(&path, &options).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn old_encodings() {
    let dir = fixtures();
    let old = read_matrix(dir.path().join("old_0_7.h5ad"), None).unwrap();
    assert_eq!(old.values, matrix());
    assert_eq!(old.obs_names, ["spot_a", "spot_b", "größe", "細胞", "spot_e"]);
    let class: Vec<Option<&str>> = old.obs.text["class"].iter().map(Option::as_deref).collect();
    assert_eq!(class, [Some("tumour"), None, Some("stroma"), Some("tumour"), Some("stroma")]);
    assert_eq!(old.obs.numeric["n"], [0.0, 1.0, 2.0, 3.0, 4.0]);
    let error = read_h5ad(dir.path().join("old_h5sparse.h5ad")).unwrap_err();
    assert!(error.to_string().contains("a table of anndata before 0.7"), "{error}");
    let new = read_h5ad(dir.path().join("nullable_index.h5ad")).unwrap();
    assert_eq!(new.expression.observations(), ["spot_a", "spot_b", "größe", "細胞", "spot_e"]);
}
