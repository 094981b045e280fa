//! Files that are broken, empty, truncated or lie: one clear error each.

use std::path::Path;

use scellst_h5::{H5Error, ReadLimits, ReadOptions, read_h5ad, read_h5ad_with, read_matrix};

use crate::common::{fixtures, outside_of_heaps};

fn kind(error: &H5Error) -> &'static str {
    match error {
        H5Error::Io { .. } => "io",
        H5Error::Broken { .. } => "broken",
        H5Error::Missing { .. } => "missing",
        H5Error::Unsupported { .. } => "unsupported",
        H5Error::Limit { .. } => "limit",
        H5Error::Misuse { .. } => "misuse",
        _ => "library",
    }
}

/// Both readers refuse it, in one line that names the file and has these words.
fn refused(path: &Path, expected: &str, words: &[&str]) {
    for error in [read_h5ad(path).map(drop).unwrap_err(), read_matrix(path, None).map(drop).unwrap_err()] {
        let text = error.to_string();
        assert_eq!(kind(&error), expected, "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
        for word in words {
            assert!(text.contains(word), "'{word}' not in: {text}");
        }
    }
}

#[test]
fn broken_fixtures() {
    let dir = fixtures();
    let cases: [(&str, &str, &[&str]); 30] = [
        ("bad_no_x", "missing", &["X"]),
        ("bad_indptr_decreases", "broken", &["X/indptr", "entry 2 is 2", "4 to 8"]),
        ("bad_indptr_negative", "broken", &["X/indptr", "entry 1 is -1"]),
        ("bad_indptr_short", "broken", &["X/indptr", "6 values", "found 3"]),
        ("bad_indptr_beyond", "broken", &["X/indptr", "entry 5 is 80"]),
        ("bad_index_outside", "broken", &["X/indices", "entry 7 is 4", "0 to 3"]),
        ("bad_index_negative", "broken", &["X/indices", "entry 7 is -1"]),
        ("bad_lengths", "broken", &["X/indices", "8 values", "found 7"]),
        ("bad_nan", "broken", &["X", "row 2, column 2", "NaN"]),
        ("bad_overflow", "broken", &["X", "row 3, column 1", "inf"]),
        ("bad_shape", "broken", &["X", "[5, 4]", "[5, 5]"]),
        ("bad_huge_shape", "broken", &["X", "[5, 4]"]),
        ("bad_text_data", "unsupported", &["X/data"]),
        ("bad_spatial_nan", "broken", &["obsm/spatial", "row 2"]),
        ("bad_spatial_shape", "broken", &["obsm/spatial", "[5, 2]", "[4, 2]"]),
        ("bad_spatial_3d", "broken", &["obsm/spatial", "[5, 3]"]),
        ("bad_no_index", "broken", &["obs", "_index"]),
        ("bad_index_nowhere", "broken", &["obs/gone"]),
        ("csr_lzf", "unsupported", &["LZF", "gzip"]),
        ("bad_encoding", "unsupported", &["X", "coo_matrix"]),
        ("bad_old_obs", "unsupported", &["obs", "0.7"]),
        ("bad_huge_names", "limit", &["obs/_index", "1099511627776"]),
        ("bad_huge_data", "limit", &["X/data"]),
        ("bad_external_link", "unsupported", &["X", "another file"]),
        ("bad_external_storage", "unsupported", &["X", "other files"]),
        ("bad_soft_link", "broken", &["X"]),
        ("bad_null_attribute", "broken", &["obs", "_index"]),
        ("bad_null_text_attribute", "broken", &["obs", "_index"]),
        ("bad_null_dataset", "broken", &["X"]),
        ("bad_utf8", "broken", &["obs/_index", "entry 1", "UTF-8"]),
    ];
    for (name, expected, words) in cases {
        refused(&dir.path().join(format!("{name}.h5ad")), expected, words);
    }
}

#[test]
fn what_only_counts_must_be() {
    let dir = fixtures();
    let path = dir.path().join("bad_negative.h5ad");
    let error = read_h5ad(&path).unwrap_err();
    assert_eq!(kind(&error), "broken");
    assert!(error.to_string().contains("row 3, column 1 is -5"), "{error}");
    // Not counts, but numbers.
    assert_eq!(read_matrix(&path, None).unwrap().values[[3, 1]], -5.0);

    let error = read_h5ad(dir.path().join("bad_diameter.h5ad")).unwrap_err();
    assert!(error.to_string().contains("spot_diameter_fullres: broken file: -1 px"), "{error}");
}

#[test]
fn no_spatial_says_what_is_there() {
    let dir = fixtures();
    let section = read_h5ad(dir.path().join("bad_no_spatial.h5ad")).unwrap();
    assert_eq!(section.spatial, None);
    let error = section.require_spatial().unwrap_err();
    assert_eq!(kind(&error), "missing");
    let text = error.to_string();
    for word in ["bad_no_spatial.h5ad", "obsm['spatial']", "'X_pca', 'X_umap'", "level-0 pixels"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn not_hdf5_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        dir.path().join(name)
    };
    refused(&dir.path().join("gone.h5ad"), "io", &["cannot open"]);
    refused(dir.path(), "io", &[]);
    refused(&at("empty.h5ad", b""), "broken", &["empty"]);
    refused(&at("short.h5ad", b"\x89HDF"), "broken", &["not an HDF5 file"]);
    refused(&at("text.h5ad", b"gene,score\nEPCAM,3\n"), "broken", &["not an HDF5 file"]);
    refused(&at("only_signature.h5ad", b"\x89HDF\r\n\x1a\n"), "broken", &["truncated"]);
}

#[test]
fn truncated_anywhere() {
    let dir = fixtures();
    for name in ["csr_f32", "dense_f64_gzip", "csr_i64_gzip"] {
        let whole = std::fs::read(dir.path().join(format!("{name}.h5ad"))).unwrap();
        let path = dir.path().join("cut.h5ad");
        for cut in (0..whole.len()).step_by(997) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            refused(&path, "broken", &[]);
        }
    }
}

#[test]
fn limits_bound_what_is_allocated() {
    let limited = |max_array_bytes| ReadOptions::default().with_limits(ReadLimits { max_array_bytes });
    let dir = fixtures();
    for name in ["dense_f32", "csr_f32", "csc_f64"] {
        let path = dir.path().join(format!("{name}.h5ad"));
        let error = read_h5ad_with(&path, &limited(16)).unwrap_err();
        assert_eq!(kind(&error), "limit", "{error}");
        assert!(read_h5ad_with(&path, &limited(4096)).is_ok());
    }
}

/// Deterministic damage: some bytes of a sound file changed, many times over.
///
/// The heaps of texts are spared, since HDF5 2.2 runs forever on an entry of size 0 in one of them.
#[test]
fn bytes_changed_by_chance() {
    let dir = fixtures();
    let path = dir.path().join("changed.h5ad");
    let mut state = 20_261_124u64;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let (mut refusals, mut successes) = (0, 0);
    for name in ["csr_f32", "dense_f64_gzip", "csr_i64_gzip", "csc_f64"] {
        let whole = std::fs::read(dir.path().join(format!("{name}.h5ad"))).unwrap();
        let meaningful = outside_of_heaps(&whole);
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..1 + next(4) {
                let place = meaningful[next(meaningful.len())];
                bytes[place] = [next(256) as u8, bytes[place] ^ (1 << next(8)), 255, 0][next(4)];
            }
            std::fs::write(&path, &bytes).unwrap();
            for result in [read_h5ad(&path).map(drop), read_matrix(&path, None).map(drop)] {
                match result {
                    Ok(()) => successes += 1,
                    Err(error) => {
                        assert_eq!(error.to_string().lines().count(), 1, "{error}");
                        assert!(!matches!(error, H5Error::Misuse { .. } | H5Error::Library { .. }), "{error}");
                        refusals += 1;
                    }
                }
            }
        }
    }
    assert!(refusals > 100 && successes > 100, "{refusals} refused, {successes} read");
}
