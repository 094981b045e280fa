//! Features as HEST-Benchmark, TRIDENT and sCellST leave them.

use scellst_h5::read_embeddings;
use scellst_types::Point;

use crate::common::fixtures;

#[test]
fn tables_of_every_program_are_read() {
    let dir = fixtures();
    let centres = |offset: f64| {
        Some(
            (0..4).map(|i| Point::new(f64::from(i) * 100.0 + offset, f64::from(i) * 40.0 + offset)).collect::<Vec<_>>(),
        )
    };
    for (name, places) in [("emb_hest.h5", None), ("emb_trident.h5", centres(32.0)), ("emb_scellst.h5", centres(0.25))]
    {
        let read = read_embeddings(dir.path().join(name)).unwrap();
        assert_eq!(read.features.dim(), (4, 3), "{name}");
        for ((row, column), value) in read.features.indexed_iter() {
            assert_eq!(*value, row as f32 + 0.5 * column as f32, "{name}");
        }
        assert_eq!(read.centres, places, "{name}");
        let names = (name == "emb_hest.h5").then(|| (0..4).map(|i| format!("spot_{i}")).collect::<Vec<_>>());
        assert_eq!(read.names, names, "{name}");
    }
}

#[test]
fn what_is_no_such_table_is_said_so() {
    let dir = fixtures();
    for (name, words) in [
        ("emb_bad_rows.h5", &["centroid", "(4, 2)", "(3, 2)"][..]),
        ("emb_bad_nan.h5", &["centroid", "row 2", "NaN"]),
        ("emb_bad_shape.h5", &["embeddings", "[1, 1, 4, 3]"]),
        ("emb_bad_none.h5", &["embeddings", "not there", "img"]),
    ] {
        let message = read_embeddings(dir.path().join(name)).unwrap_err().to_string();
        assert!(words.iter().all(|w| message.contains(w)), "{name}: {message}");
    }
    // Cut anywhere: an error or the same.
    let whole = std::fs::read(dir.path().join("emb_trident.h5")).unwrap();
    let path = dir.path().join("cut.h5");
    for end in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert!(read_embeddings(&path).is_err(), "{end} of {}", whole.len());
    }
}
