//! Features made elsewhere (`.npy` by numpy's own words, safetensors), matched to cells.

use std::path::{Path, PathBuf};

use scellst_embed::{EmbedError, Precomputed};
use scellst_types::Point;
use tempfile::TempDir;

/// As numpy 2.4 writes: header padded to 64 bytes.
fn npy(folder: &TempDir, descr: &str, fortran: bool, shape: &str, data: &[u8]) -> PathBuf {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    let path = folder.path().join("f.npy");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn fails<T>(result: Result<T, EmbedError>, expected: &str) {
    let message = result.err().expect("an error").to_string();
    assert!(message.contains(expected), "{expected}: {message}");
}

#[test]
fn npy_tables_of_every_kind_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let values = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let rows = ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let wide: Vec<u8> = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    // IEEE 754 binary16 of 1 to 6.
    let half: Vec<u8> =
        [0x3c00u16, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600].iter().flat_map(|v| v.to_le_bytes()).collect();
    let columns = f32s(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    for (descr, fortran, data) in
        [("<f4", false, f32s(&values)), ("<f8", false, wide), ("<f2", false, half), ("<f4", true, columns)]
    {
        let table = Precomputed::read_npy(&npy(&folder, descr, fortran, "(2, 3)", &data)).unwrap();
        assert_eq!((table.len(), table.dim()), (2, 3));
        assert_eq!(table.in_order(2).unwrap(), rows, "{descr} {fortran}");
    }
}

#[test]
fn npy_files_that_are_no_table_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = f32s(&[1.0; 6]);
    let read = |descr: &str, shape: &str, data: &[u8]| Precomputed::read_npy(&npy(&folder, descr, false, shape, data));
    fails(read(">f4", "(2, 3)", &data), ">f4");
    fails(read("|O", "(2, 3)", &data), "|O");
    fails(read("<f4", "(6,)", &data), "expected (cells, features)");
    fails(read("<f4", "(2, 3, 1)", &data), "expected (cells, features)");
    fails(read("<f4", "(2, 4)", &data), "24 bytes");
    fails(read("<f4", "(99999999999999999999, 4)", &data), "a side of");
    fails(read("<f4", "(9223372036854775807, 4)", &data), "24 bytes");
    fails(read("<f4", "(2, 3)", &f32s(&[1.0, 1.0, 1.0, 1.0, f32::NAN, 1.0])), "row 1, feature 1");
    fails(read("<f4", "(0, 0)", &[]), "without features");
    let path = npy(&folder, "<f4", false, "(2, 3)", &data);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(Precomputed::read_npy(&path).is_err(), "{cut}");
    }
    fails(Precomputed::read_npy(Path::new("/nowhere.npy")), "/nowhere.npy");
}

fn table(folder: &TempDir) -> Precomputed {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let features = f32s(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    let ids: Vec<u8> = [7u64, 3, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    let coords = f32s(&[100.0, 200.0, 110.0, 200.0, 100.0, 260.0]);
    let view = |d, shape, data| TensorView::new(d, shape, data).unwrap();
    let tensors = [
        ("features", view(Dtype::F32, vec![3, 2], &features)),
        ("ids", view(Dtype::U64, vec![3], &ids)),
        ("coords", view(Dtype::F32, vec![3, 2], &coords)),
    ];
    let path = folder.path().join("f.safetensors");
    std::fs::write(&path, serialize(tensors, None).unwrap()).unwrap();
    Precomputed::read_safetensors(&path).unwrap()
}

#[test]
fn cells_get_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    assert_eq!(table.by_id(&[5, 7]).unwrap(), ndarray::arr2(&[[3.0, 30.0], [1.0, 10.0]]));
    fails(table.by_id(&[5, 8, 9]), "2 of 3 cells have no row, the first is cell 1, id 8");
    let cells = [Point::new(101.0, 259.0), Point::new(108.0, 200.5), Point::new(99.0, 199.0)];
    let expected = ndarray::arr2(&[[3.0, 30.0], [2.0, 20.0], [1.0, 10.0]]);
    assert_eq!(table.by_place(&cells, 4.0).unwrap(), expected);
    assert_eq!(table.by_place(&cells, 30.0).unwrap(), expected);
    fails(table.by_place(&cells, 1.0), "cells have no row");
    fails(table.by_place(&[Point::new(100.0, 200.0), Point::new(101.0, 200.0)], 4.0), "the nearest to cells 0 and 1");
    fails(table.by_place(&cells, 0.0), "positive");
    fails(table.clone().in_order(4), "3 rows for 4 cells");
    fails(table.clone().with_ids(vec![1, 2]), "3 rows for 2 ids");
    fails(table.clone().with_ids(vec![1, 2, 1]).unwrap().by_id(&[1]), "id 1 twice, in rows 0 and 2");
    let moved = vec![Point::new(0.0, 0.0), Point::new(10.0, 0.0), Point::new(20.0, 0.0)];
    let moved = table.with_places(moved).unwrap().by_place(&[Point::new(20.0, 1.0)], 2.0).unwrap();
    assert_eq!(moved, ndarray::arr2(&[[3.0, 30.0]]));
    let path = npy(&folder, "<f4", false, "(1, 1)", &f32s(&[1.0]));
    let bare = Precomputed::read_npy(&path).unwrap();
    fails(bare.by_id(&[1]), "no ids");
    fails(bare.by_place(&[Point::new(0.0, 0.0)], 1.0), "no coordinates");
}
