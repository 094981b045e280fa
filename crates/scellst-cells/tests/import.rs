//! Files as others write them (`import/generate.py`), against shapely's and scikit-image's figures; and broken ones.

#![allow(clippy::print_stdout, reason = "a test says what it skipped")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scellst_cells::{
    Cell, Cells, CellsError, Format, ImportOptions, Imported, OutlineOf, Placement, read_cells, write_csv,
    write_parquet,
};
use scellst_types::{MicronsPerPixel, Point, Size};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import")).join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(file("expected.json")).unwrap()).unwrap()
}

fn read(name: &str, options: &ImportOptions) -> Imported {
    read_cells(file(name), options).unwrap_or_else(|e| panic!("{e}"))
}

fn read_text(text: &str, options: &ImportOptions) -> Result<Imported, CellsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells");
    fs::write(&path, text).unwrap();
    read_cells(&path, options)
}

/// Centroid and area of the cell are those that Python has, within the f32 of files and areas.
fn same(cells: &Cells, i: usize, want: &Value, scale: f64) {
    let number = |key: &str| want[key].as_f64().unwrap();
    let at = cells.centroids()[i];
    assert!((at.x - number("x") * scale).abs() < 1e-4, "cell {i}: {at:?} for {want}");
    assert!((at.y - number("y") * scale).abs() < 1e-4, "cell {i}: {at:?} for {want}");
    let area = f64::from(cells.area_um2()[i]);
    assert!((area / number("area") - 1.0).abs() < 1e-4, "cell {i}: {area} for {want}");
}

fn with_mpp(mpp: f64) -> ImportOptions {
    ImportOptions { mpp: Some(MicronsPerPixel::square(mpp).unwrap()), ..Default::default() }
}

#[test]
fn outlines_in_parquet() {
    let want = expected();
    let got = read("hest_cellvit_seg.parquet", &with_mpp(1.0));
    assert_eq!((got.format, got.cells.len(), got.parts_left, got.dropped()), (Format::GeoParquet, 7, 1, 0));
    for i in 0..7 {
        same(&got.cells, i, &want["polygons"][i], 1.0);
        assert_eq!(got.cells.class(i), want["classes"][i].as_str());
        assert_eq!((got.cells.id(i), got.cells.scores()[i]), (format!("cell_{i:07}"), 1.0));
        assert_eq!(got.cells.outline(i).len(), 12);
    }
    // Another name, index and codec, small row groups, and a geometry that is not there.
    let got = read("geopandas_zstd.parquet", &with_mpp(1.0));
    assert_eq!((got.cells.len(), got.passed_over), (6, 1));
    for i in 0..6 {
        same(&got.cells, i, &want["polygons"][i], 1.0);
        assert_eq!((got.cells.id(i), got.cells.class(i)), (format!("n-{i}"), want["classes"][i].as_str()));
        assert!((got.cells.scores()[i] - (0.5 + i as f32 / 12.0)).abs() < 1e-6);
    }
    let got = read("hest_xenium_nucleus_seg.parquet", &with_mpp(1.0));
    assert_eq!((got.cells.len(), got.cells.id(0), got.cells.class(0)), (7, "7".into(), None));
    same(&got.cells, 2, &want["polygons"][2], 1.0);
    let error = read_cells(file("geoarrow.parquet"), &ImportOptions::default()).unwrap_err();
    assert!(matches!(&error, CellsError::Unsupported { .. }) && error.to_string().contains("WKB"), "{error}");
}

#[test]
fn cellvit() {
    let want = expected();
    let got = read("cellvit_cells.json", &ImportOptions::default());
    assert_eq!((got.format, got.cells.len()), (Format::CellVit, 7));
    for i in 0..7 {
        assert_eq!(got.cells.class(i), want["classes"][i].as_str());
        // The file's own 0.5 um/px.
        let area = want["cellvit_area"][i].as_f64().unwrap() / 4.0;
        assert!((f64::from(got.cells.area_um2()[i]) / area - 1.0).abs() < 1e-6);
        assert!((f64::from(got.cells.scores()[i]) - (0.5 + i as f64 / 20.0)).abs() < 1e-6);
        assert_eq!(got.cells.outline(i).len(), 12);
    }
    assert_eq!(got.cells.centroids()[6].x, want["polygons"][6]["x"].as_f64().unwrap());
    // Centroids alone, packed; a type_map after the cells, with a name missing; the caller's names go first.
    let mut options = with_mpp(0.25);
    options.class_names = BTreeMap::from([(3, "Stroma".to_owned())]);
    let got = read("cellvit_cell_detection.json.gz", &options);
    let classes: Vec<_> = (0..4).map(|i| got.cells.class(i).unwrap()).collect();
    assert_eq!(classes, ["Tumour", "class_2", "Stroma", "class_4"]);
    assert!(got.cells.outline(0).is_empty() && got.cells.area_um2()[0].is_nan());
}

#[test]
fn hovernet_at_another_magnification() {
    let plain = read("hovernet.json", &ImportOptions::default());
    let scaled = read("hovernet.json", &with_mpp(0.2527));
    assert_eq!((plain.format, plain.cells.len()), (Format::HoverNet, 7));
    for i in 0..7 {
        let (a, b) = (plain.cells.centroids()[i], scaled.cells.centroids()[i]);
        assert_eq!((a.x * 2.0, a.y * 2.0), (b.x, b.y));
        assert_eq!(plain.cells.id(i), (i + 1).to_string());
    }
    let area = expected()["cellvit_area"][0].as_f64().unwrap() * 4.0 * 0.2527 * 0.2527;
    assert!((f64::from(scaled.cells.area_um2()[0]) / area - 1.0).abs() < 1e-6);
    let classes: Vec<_> = (0..7).map(|i| plain.cells.class(i)).collect();
    let names = ["neoplastic", "inflammatory", "connective", "dead", "epithelial"].map(Some);
    assert_eq!((classes[0], &classes[1..6], classes[6]), (None, &names[..], None));
    // A slide of 20x has the file's pixels; one of 0.5 um/px when the file states 0.25 has half.
    assert_eq!(read("hovernet.json", &with_mpp(0.4942)).cells.centroids(), plain.cells.centroids());
    let stated = r#"{"mpp": 0.25, "nuc": {"1": {"centroid": [10, 20], "contour": null}}}"#;
    assert_eq!(read_text(stated, &with_mpp(0.5)).unwrap().cells.centroids()[0], Point::new(5.0, 10.0));
    let late = read_text(r#"{"nuc": {"1": {"centroid": [1, 2]}}, "mag": 20}"#, &with_mpp(0.25)).unwrap_err();
    assert!(late.to_string().contains("before `nuc`"), "{late}");
}

#[test]
fn label_images() {
    let want = expected();
    for (name, options) in [
        ("labels32.tif", with_mpp(0.5)),
        ("labels16.png", with_mpp(0.5)),
        ("labels.npy", with_mpp(0.5)),
        ("labels_fortran.npy", with_mpp(0.5)),
    ] {
        let got = read(name, &options);
        assert_eq!(
            (got.format, got.cells.len(), got.parts_left, got.self_crossing),
            (Format::Labels, 4, 1, 0),
            "{name}"
        );
        for i in 0..4 {
            let id = got.cells.id(i);
            let of = &want["labels"][if id == "7" { "70000" } else { &id }];
            assert_eq!(f64::from(got.cells.area_um2()[i]), of["area"].as_f64().unwrap() / 4.0, "{name} {id}");
            assert!((got.cells.centroids()[i].x - of["x"].as_f64().unwrap()).abs() < 1e-9, "{name} {id}");
            assert!((got.cells.centroids()[i].y - of["y"].as_f64().unwrap()).abs() < 1e-9, "{name} {id}");
        }
        assert_eq!(got.cells.outline(0), [[3.0, 2.0], [9.0, 2.0], [9.0, 8.0], [3.0, 8.0]]);
        let edge = got.cells.outline((0..4).find(|&i| got.cells.id(i) == "12").unwrap()).to_vec();
        assert_eq!(edge, [[45.0, 30.0], [50.0, 30.0], [50.0, 40.0], [45.0, 40.0]]);
    }
    let placed = Placement::scaled(2.0, Point::new(100.0, 200.0)).unwrap();
    let got = read("labels16.png", &ImportOptions { placement: Some(placed), ..with_mpp(0.25) });
    assert_eq!(got.cells.outline(0)[0], [106.0, 204.0]);
    assert_eq!(f64::from(got.cells.area_um2()[0]), want["labels"]["5"]["area"].as_f64().unwrap() / 4.0);
}

/// The matrix takes H&E pixels to morphology pixels: (x, y) to (1.25 y + 100, -1.25 x + 900).
#[test]
fn the_alignment_goes_from_the_picture_to_the_morphology() {
    let map = Placement::xenium(file("xenium_imagealignment.csv"), 0.2125).unwrap();
    for (x, y) in [(0.0, 0.0), (80.0, 0.0), (0.0, 160.0), (123.0, 456.0)] {
        let um = [(1.25 * y + 100.0) * 0.2125, (-1.25 * x + 900.0) * 0.2125];
        let [a, b] = map.apply(um);
        assert!((a - x).abs() < 1e-9 && (b - y).abs() < 1e-9, "{um:?} to {a}, {b}");
    }
    assert!((map.area_factor() - 1.0 / (1.25f64 * 0.2125).powi(2)).abs() < 1e-9);
    for (text, needle) in [
        ("1,0,0\n0,1,0\n", "2 rows"),
        ("1,0\n0,1\n0,0\n", "a row of 2"),
        ("a,0,0\n0,1,0\n0,0,1\n", "a,0,0"),
        ("1,0,0\n0,1,0\n0,1,1\n", "last row"),
        ("1,1,0\n1,1,0\n0,0,1\n", "inverse"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("matrix.csv");
        fs::write(&path, text).unwrap();
        let error = Placement::xenium(&path, 0.2125).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn xenium() {
    let want = expected();
    let got = read("xenium_nucleus_boundaries.parquet", &with_mpp(0.2125));
    assert_eq!((got.format, got.cells.len(), got.duplicate_ids), (Format::XeniumBoundaries, 4, 0));
    let ids: Vec<_> = (0..4).map(|i| got.cells.id(i)).collect();
    assert_eq!(ids, ["aaaa-1", "aaab-1", "aaab-1:3", "aaac-1"]);
    for i in [0, 1] {
        // Areas of the file's um2.
        let mut polygon = want["polygons"][i].clone();
        polygon["area"] = (polygon["area"].as_f64().unwrap() * 0.2125 * 0.2125).into();
        same(&got.cells, i, &polygon, 1.0);
        assert_eq!(got.cells.outline(i).len(), 12);
    }
    let numbered = read("xenium_cell_boundaries.csv.gz", &with_mpp(0.2125));
    assert_eq!((numbered.cells.len(), numbered.cells.id(2)), (4, "3".into()));
    assert!(numbered.cells.centroids()[3].distance(got.cells.centroids()[3]) < 1e-3);
    let cells = read("xenium_cells.parquet", &with_mpp(0.2125));
    assert_eq!((cells.format, cells.cells.area_um2()[0]), (Format::Table, 20.0));
    assert!(cells.cells.area_um2()[1].is_nan());
    assert!(cells.cells.centroids()[0].distance(got.cells.centroids()[0]) < 1e-3);
    let whole = ImportOptions { outline: OutlineOf::Cell, ..with_mpp(0.2125) };
    assert_eq!(read("xenium_cells.parquet", &whole).cells.area_um2()[1], 60.0);
    // Turned onto the picture: the first centroid, by hand.
    let map = Placement::xenium(file("xenium_imagealignment.csv"), 0.2125).unwrap();
    let turned = read("xenium_cells.parquet", &ImportOptions { placement: Some(map), ..Default::default() });
    let (x, y) = (want["polygons"][0]["x"].as_f64().unwrap(), want["polygons"][0]["y"].as_f64().unwrap());
    assert!(turned.cells.centroids()[0].distance(Point::new((900.0 - y) / 1.25, (x - 100.0) / 1.25)) < 1e-6);
    let error = read_cells(file("xenium_cells.parquet"), &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, CellsError::Misuse { .. }), "{error}");
}

#[test]
fn tables() {
    let qupath = "Image\tObject ID\tClassification\tCentroid X \u{b5}m\tCentroid Y \u{b5}m\tArea \u{b5}m^2\n\
                  a.svs\tu-1\tTumor\t10.0\t20.0\t33.5\na.svs\tu-2\t\t1.0\t2.0\tNaN\n";
    let got = read_text(qupath, &with_mpp(0.5)).unwrap();
    assert_eq!((got.cells.centroids()[0], got.cells.class(0)), (Point::new(20.0, 40.0), Some("Tumor")));
    assert_eq!((got.cells.id(1), got.cells.class(1), got.cells.area_um2()[0]), ("u-2".into(), None, 33.5));
    let plain = "\u{feff}x;y;type;score\r\n1.5;2.5;2;0.25\r\n\r\n\"3\";4;2;\r\nnan;1;1;1\r\n";
    let got = read_text(plain, &ImportOptions::default()).unwrap();
    assert_eq!((got.cells.len(), got.not_finite, got.cells.class(0), got.cells.scores()[0]), (2, 1, Some("2"), 0.25));
    assert_eq!(got.cells.id(1), "cell_0000001");
    for (text, needle) in [
        ("a,b\n1,2\n", "a header with the columns"),
        ("x,y\n1,two\n", "line 2, column y"),
        ("x,y\n1,2\n3\n", "line 3"),
        ("x,y,score\n1,2,7\n", "score"),
        ("x,y,area_um2\n1,2,-3\n", "area"),
        ("x,y\n", "at least one"),
        ("x,y\n,\n", "1 not finite"),
        ("x,y\n1,\u{0}", "binary"),
        ("\n", "empty"),
    ] {
        let error = read_text(text, &ImportOptions::default()).unwrap_err();
        assert!(matches!(error, CellsError::Broken { .. }) && error.to_string().contains(needle), "{error}");
    }
    let long = format!("x,y\n1,{}\n", "2".repeat(3 << 20));
    assert!(read_text(&long, &ImportOptions::default()).unwrap_err().to_string().contains("1 MiB"));
}

#[test]
fn known_formats_that_are_not_read_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 5] = [
        ("cells.json.snappy", b"\x80\x01\x00{}", "snappy"),
        ("cells.geojson.zip", b"PK\x03\x04aaaa", "zip"),
        ("cells.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("cells.bin", b"\x00\x01\x02", "binary"),
        ("cells.parquet.gz", &[], "gzipped"),
    ];
    for (name, bytes, needle) in cases {
        let path = folder.path().join(name);
        let packed = || {
            use std::io::Write;
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(b"PAR1aaaaaaaa").unwrap();
            gz.finish().unwrap()
        };
        fs::write(&path, if bytes.is_empty() { packed() } else { bytes.to_vec() }).unwrap();
        let error = read_cells(&path, &ImportOptions::default()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
    let only = ImportOptions { format: Some(Format::GeoJson), ..Default::default() };
    for name in ["cellvit_cells.json", "hovernet.json", "labels.npy", "hest_cellvit_seg.parquet"] {
        let error = read_cells(file(name), &only).unwrap_err();
        assert!(matches!(&error, CellsError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn coordinates_of_another_level() {
    let grid = |w: f64, h: f64| {
        let point = |i: u32| format!("{},{}\n", f64::from(i % 20) * w / 20.0 + 0.5, f64::from(i / 20) * h / 20.0 + 0.5);
        format!("x,y\n{}", (0..400).map(point).collect::<String>())
    };
    let options = ImportOptions { slide_size: Some(Size::new(4000, 2000)), ..Default::default() };
    assert_eq!(read_text(&grid(4000.0, 2000.0), &options).unwrap().outside, 0);
    for (w, h, needle) in [
        (1000.0, 500.0, "times 4 they would still fit"),
        (16_000.0, 8000.0, "divided by 4 they would fit"),
        (2000.0, 4000.0, "x and y swapped"),
    ] {
        let error = read_text(&grid(w, h), &options).unwrap_err();
        assert!(matches!(error, CellsError::OtherLevel { .. }) && error.to_string().contains(needle), "{error}");
    }
    let corner = ImportOptions { corner: true, ..options };
    assert_eq!(read_text(&grid(1000.0, 500.0), &corner).unwrap().cells.len(), 400);
}

#[test]
fn masks_and_pictures_are_not_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let dots = image::GrayImage::from_fn(40, 40, |x, y| image::Luma([if x % 4 == 1 && y % 4 == 1 { 255 } else { 0 }]));
    dots.save(&path).unwrap();
    assert!(read_cells(&path, &ImportOptions::default()).unwrap_err().to_string().contains("a mask"));
    image::RgbImage::new(4, 4).save(&path).unwrap();
    assert!(matches!(read_cells(&path, &ImportOptions::default()), Err(CellsError::Unsupported { .. })));
    image::GrayImage::new(4, 4).save(&path).unwrap();
    assert!(read_cells(&path, &ImportOptions::default()).unwrap_err().to_string().contains("at least one"));
    image::GrayImage::from_pixel(2100, 2100, image::Luma([3])).save(&path).unwrap();
    assert!(read_cells(&path, &ImportOptions::default()).unwrap_err().to_string().contains("label 3"));
}

/// Real files that lie beside the project.
#[test]
fn monuseg_and_xenium() {
    let Some(folder) = support::shared("nuclei/monuseg") else {
        println!("skipped: no shared data");
        return;
    };
    let mut nuclei = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".labels.png") {
            let cells = read_cells(&path, &with_mpp(0.25)).unwrap().cells;
            nuclei += cells.len();
            // The centroids of the test's own count of the pixels, in the order of the numbers.
            for (got, want) in cells.centroids().iter().zip(support::label_centroids(&path)) {
                assert!(got.distance(want) < 1e-9);
            }
        }
    }
    assert_eq!(nuclei, 3149);
    let cells = support::shared("tenx/Xenium_small/cells.csv.gz").expect("it lies beside the others");
    let got = read_cells(cells, &with_mpp(0.2125)).unwrap();
    assert_eq!(
        (got.format, got.cells.id(0), got.cells.area_um2()[0]),
        (Format::Table, "1".into(), 70.714_687_5_f64 as f32)
    );
    assert!(
        got.cells.centroids()[0].distance(Point::new(1_898.814_916_992_19 / 0.2125, 2_540.963_146_972_66 / 0.2125))
            < 1e-9
    );
}

fn cell() -> impl Strategy<Value = Cell> {
    let corner = prop::array::uniform2(0.0f32..100_000.0);
    let ring = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(corner, 3..12).prop_filter("closed rings are opened", |r| r.first() != r.last()),
    ];
    let text = || prop::option::of("[a-z,\"\nµ -]{1,8}".prop_filter("blanks at the ends go", |t| t.trim() == t));
    (ring, text(), text(), 0.0f32..=1.0, prop::option::of(0.0f32..1e4), (0.0..1e5f64, 0.0..1e5f64)).prop_map(
        |(outline, id, class, score, area, (x, y))| {
            let mean = |k: usize| outline.iter().map(|p| f64::from(p[k])).sum::<f64>() / outline.len() as f64;
            let centroid = if outline.is_empty() { Point::new(x, y) } else { Point::new(mean(0), mean(1)) };
            Cell { id, centroid, outline, area_um2: area.unwrap_or(f32::NAN), score, class }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_to_the_last_bit(list in prop::collection::vec(cell(), 1..20)) {
        let mut cells = Cells::new();
        for c in list {
            cells.push(c).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let parquet = folder.path().join("cells.parquet");
        write_parquet(&parquet, &cells).unwrap();
        let csv = folder.path().join("cells.csv");
        write_csv(&csv, &cells).unwrap();
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        for (path, outlines) in [(parquet, true), (csv, false)] {
            let back = read_cells(&path, &ImportOptions::default()).unwrap().cells;
            prop_assert_eq!(cells.len(), back.len());
            for i in 0..cells.len() {
                let (mut a, b) = (cells.get(i).unwrap(), back.get(i).unwrap());
                prop_assert_eq!(a.area_um2.to_bits(), b.area_um2.to_bits());
                if !outlines {
                    a.outline.clear();
                }
                prop_assert_eq!(Cell { area_um2: 0.0, ..a }, Cell { area_um2: 0.0, ..b });
            }
        }
    }
}
