//! Crops in HEST's layout, read back by HDF5 and by Python.

use std::path::Path;

use ndarray::{Array2, Array4, Axis, s};
use scellst_h5::{Compression, CropsHeader, CropsWriter, H5Error, cell_label};
use scellst_types::{CellIndex, MicronsPerPixel, Point};

use crate::common::python;

const SIDE: usize = 6;

fn pictures(cells: usize) -> Array4<u8> {
    Array4::from_shape_fn((cells, SIDE, SIDE, 3), |(i, y, x, c)| (i * 50 + y * 7 + x * 3 + c) as u8)
}

/// Without a lock: a Python that another test has started meanwhile holds on to what was open then.
fn open(path: &Path) -> hdf5::File {
    hdf5::File::with_options().with_fapl(|p| p.file_locking(false)).open(path).unwrap()
}

struct Cells {
    ids: Vec<String>,
    centroids: Vec<Point<scellst_types::Level0>>,
    spots: Vec<Option<String>>,
    labels: Vec<i64>,
}

fn cells() -> Cells {
    Cells {
        ids: ["cell_0000000", "größe", "細胞", ""].map(String::from).to_vec(),
        centroids: [(10.5, 20.0), (1.0, 0.25), (1e5, 40.5), (7.0, 7.0)].map(|(x, y)| Point::new(x, y)).to_vec(),
        spots: vec![Some("10x14".into()), None, Some("é".into()), None],
        labels: [Some("Neoplastic"), Some("dead"), Some("T cell"), None].map(cell_label).to_vec(),
    }
}

fn header(cells: &Cells) -> CropsHeader<'_> {
    CropsHeader {
        ids: &cells.ids,
        centroids: &cells.centroids,
        spots: &cells.spots,
        labels: &cells.labels,
        size_px: SIDE,
        crop_mpp: 0.25,
        slide_mpp: MicronsPerPixel::new(0.5, 0.75).unwrap(),
    }
}

const CHECK: &str = r#"
import sys
import h5py, numpy as np

for path in sys.argv[1:]:
    with h5py.File(path) as f:
        assert sorted(f) == ["barcode", "centroid", "coords", "img", "label", "spot"] and len(f.attrs) == 0
        i, y, x, c = np.mgrid[:4, :6, :6, :3]
        assert f["img"].dtype == np.uint8 and (f["img"][:] == (i * 50 + y * 7 + x * 3 + c) % 256).all()
        assert f["coords"].dtype == np.int64
        assert f["coords"][:].tolist() == [[9, 19], [-1, -1], [99998, 39], [5, 6]]
        assert f["centroid"].dtype == np.float64 and f["centroid"][2].tolist() == [1e5, 40.5]
        assert f["label"].dtype == np.int64 and f["label"][:].tolist() == [[4], [1], [-1], [-1]]
        # As the published code reads them, which takes ASCII alone.
        assert f["barcode"][:1].astype(str).astype("object").flatten().tolist() == ["cell_0000000"]
        assert f["barcode"].shape == (4, 1) and f["barcode"].asstr()[:, 0].tolist() == ["cell_0000000", "größe", "細胞", ""]
        assert f["spot"].asstr()[:, 0].tolist() == ["10x14", "None", "é", "None"]
        said, mpp = dict(f["img"].attrs), (0.5 * 0.75) ** 0.5
        expected = {"pixel_size": mpp, "downsample": 0.25 / mpp, "patch_size_target": 6, "patch_size_src": 3}
        assert sorted(said) == sorted(expected) and all(np.isclose(said[k], v) for k, v in expected.items()), said
print("ok")
"#;

#[test]
fn written_in_any_order_and_read_by_python() {
    let (cells, all) = (cells(), pictures(4));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, compression| {
        let path = dir.path().join(name);
        let mut writer = CropsWriter::create(&path, &header(&cells), compression).unwrap();
        writer.write(&[3, 1].map(CellIndex), all.select(Axis(0), &[3, 1]).view()).unwrap();
        assert!(!path.exists());
        writer.write(&[0, 2].map(CellIndex), all.select(Axis(0), &[0, 2]).view()).unwrap();
        writer.finish().unwrap();
        path
    };
    let plain = write("crops.h5", None);
    let packed = write("packed.h5", Some(Compression::Gzip(4)));
    for path in [&plain, &packed] {
        let file = open(path);
        assert_eq!(file.dataset("img").unwrap().read::<u8, ndarray::Ix4>().unwrap(), all);
        let corners: Array2<i64> = file.dataset("coords").unwrap().read_2d().unwrap();
        assert_eq!(corners.slice(s![.., 0]).to_vec(), [9, -1, 99_998, 5]);
    }
    python(CHECK, &[&plain, &packed]);
}

#[test]
fn none_and_many() {
    let dir = tempfile::tempdir().unwrap();
    let n = 40_000;
    for n in [0, n] {
        let path = dir.path().join("many.h5");
        let ids: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
        let centroids = vec![Point::new(3.0, 4.0); n];
        let cells = cells();
        let header =
            CropsHeader { ids: &ids, centroids: &centroids, spots: &[], labels: &[], size_px: 1, ..header(&cells) };
        let mut writer = CropsWriter::create(&path, &header, None).unwrap();
        let all: Vec<CellIndex> = (0..n as u32).map(CellIndex).collect();
        writer.write(&all, Array4::from_elem((n, 1, 1, 3), 9).view()).unwrap();
        writer.finish().unwrap();
        let file = open(&path);
        let texts = file.dataset("barcode").unwrap().read_raw::<hdf5::types::VarLenUnicode>().unwrap();
        assert!(texts.len() == n && texts.iter().enumerate().all(|(i, t)| t.as_str() == format!("c{i}")));
        assert_eq!(file.dataset("label").unwrap().read_raw::<i64>().unwrap(), vec![-1; n]);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let (cells, all) = (cells(), pictures(4));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("crops.h5");
    let good = header(&cells);
    let bad = [
        CropsHeader { centroids: &cells.centroids[1..], ..good.clone() },
        CropsHeader { spots: &cells.spots[1..], ..good.clone() },
        CropsHeader { labels: &cells.labels[1..], ..good.clone() },
        CropsHeader { size_px: 0, ..good.clone() },
        CropsHeader { crop_mpp: f64::NAN, ..good.clone() },
    ];
    for bad in bad {
        assert!(matches!(CropsWriter::create(&path, &bad, None), Err(H5Error::Misuse { .. })), "{bad:?}");
    }
    assert!(CropsWriter::create(&path, &good, Some(Compression::Gzip(11))).is_err());
    let mut writer = CropsWriter::create(&path, &good, None).unwrap();
    let mut refused = |cells: &[u32], crops: ndarray::ArrayView4<'_, u8>, what: &str| {
        let cells: Vec<_> = cells.iter().map(|&c| CellIndex(c)).collect();
        let error = writer.write(&cells, crops).unwrap_err();
        assert!(matches!(error, H5Error::Misuse { .. }) && error.to_string().contains(what), "{error}");
    };
    refused(&[0], all.view(), "shape");
    refused(&[4], all.slice(s![..1, .., .., ..]), "cell 4 of 4");
    refused(&[1, 1], all.slice(s![..2, .., .., ..]), "cell 1 was given twice");
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("3 of 4 crops missing"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
