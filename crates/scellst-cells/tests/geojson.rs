//! GeoJSON: round trips, what others write, and what is broken.

use std::fs;

use proptest::prelude::*;
use scellst_cells::{
    Cell, Cells, CellsError, GeoJsonWriter, ImportOptions, Imported, OutlineOf, read_geojson, write_geojson,
};
use scellst_types::{MicronsPerPixel, Point, Size};

fn read(text: &str, options: &ImportOptions) -> Result<Imported, CellsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.geojson");
    fs::write(&path, text).unwrap();
    read_geojson(&path, options)
}

const QUPATH: &str = r#"{"type": "FeatureCollection", "features": [
  {"type": "Feature", "id": "a1b2", "geometry": {"type": "Polygon",
    "coordinates": [[[10, 10], [14, 10], [14, 12], [10, 12], [10, 10]]]},
   "properties": {"objectType": "cell", "isLocked": false, "classification": {"name": "Tumor", "color": [200, 0, 0]},
     "measurements": [{"name": "Area µm^2", "value": 3.5}, {"name": "Detection probability", "value": 0.75}]}},
  {"type": "Feature", "geometry": {"type": "Point", "coordinates": [50.5, 60.25]},
   "properties": {"classification": {"names": ["Immune", "CD3"]}}},
  {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "properties": {}},
  {"type": "Feature", "geometry": null, "properties": null},
  {"type": "Feature", "id": 7, "geometry": {"type": "MultiPolygon", "coordinates":
    [[[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]], [[[8, 8], [9, 8], [8, 9], [8, 8]]]]},
   "properties": {"classification": "Stroma"}}
], "bbox": [0, 0, 60, 60]}"#;

#[test]
fn what_qupath_writes() {
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    let got =
        read(QUPATH, &ImportOptions { mpp: Some(mpp), slide_size: Some(Size::new(100, 100)), ..Default::default() })
            .unwrap();
    assert_eq!((got.cells.len(), got.passed_over, got.outside), (3, 2, 0));
    let c = &got.cells;
    assert_eq!((c.id(0), c.id(1), c.id(2)), ("a1b2".into(), "cell_0000001".into(), "7".into()));
    assert_eq!((c.class(0), c.class(1), c.class(2)), (Some("Tumor"), Some("Immune: CD3"), Some("Stroma")));
    assert_eq!(c.centroids()[0], Point::new(12.0, 11.0));
    assert_eq!(c.centroids()[1], Point::new(50.5, 60.25));
    assert_eq!((c.area_um2()[0], c.scores()[0]), (3.5, 0.75));
    assert!(c.area_um2()[1].is_nan() && c.outline(1).is_empty());
    assert_eq!(c.area_um2()[2], 4.5 * 0.25);
    assert_eq!(c.outline(0), [[10.0, 10.0], [14.0, 10.0], [14.0, 12.0], [10.0, 12.0]]);
    // CellViT and older QuPath write the bare list; one feature alone is fine too.
    let list = r#"[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}]"#;
    assert_eq!(read(list, &ImportOptions::default()).unwrap().cells.len(), 1);
    assert_eq!(read(&list[1..list.len() - 1], &ImportOptions::default()).unwrap().cells.len(), 1);
}

#[test]
fn broken_files_say_where() {
    let feature = |geometry: &str| format!(r#"[{{"type": "Feature", "geometry": {geometry}}}]"#);
    let two_corners = feature(r#"{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}"#);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "line 1"),
        ("{".into(), "line 1"),
        (QUPATH[..400].into(), "feature 0"),
        ("[1, 2]".into(), "feature 0"),
        (feature(r#"{"type": "Polygon", "coordinates": [[0, 0], [1, 1], [2, 0]]}"#), "3 brackets, found 2"),
        (feature(r#"{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [[2, 0]]]]}"#), "one depth"),
        (feature(r#"{"type": "Polygon", "coordinates": []}"#), "1 with under three corners"),
        (feature(r#"{"type": "Polygon"}"#), "coordinates"),
        (feature(r#"{"coordinates": [1, 2]}"#), "type"),
        (feature(r#"{"type": "Point", "coordinates": [[[[[[1, 2]]]]]]}"#), "four brackets"),
        (r#"{"type": "Topology"}"#.into(), "FeatureCollection"),
        (r#"{"type": "FeatureCollection", "features": []}"#.into(), "at least one polygon"),
        (r#"{"type": "FeatureCollection", "features": 3}"#.into(), "list of features"),
        (format!("{QUPATH} extra"), "trailing"),
        (two_corners, "1 with under three corners"),
        (feature(r#"{"type": "Polygon", "coordinates": [[[0, 0], [1, NaN], [2, 2]]]}"#), "line 1"),
        (feature(r#"{"type": "Point", "coordinates": [1e999, 0]}"#), "out of range"),
        (feature(r#"{"type": "Point", "coordinates": [1e200, 0]}"#), "1 not finite"),
        (feature(r#"{"type": "Point", "coordinates": "x"}"#), "position"),
        (r#"[{"type": "Feature"}]"#.into(), "feature 0"),
        ("[".repeat(5000), "recursion"),
        (
            r#"[{"geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {"measurements": {"Detection probability": 7}}}]"#
                .into(),
            "score",
        ),
    ];
    for (text, needle) in cases {
        let error = read(&text, &ImportOptions::default()).unwrap_err();
        assert!(matches!(error, CellsError::Broken { .. }), "{error}");
        assert!(error.to_string().contains(needle), "{error} for {:.80}", text);
    }
    let missing = read_geojson("/nowhere/cells.geojson", &ImportOptions::default()).unwrap_err();
    assert!(matches!(missing, CellsError::Io { .. }));
}

#[test]
fn cells_outside_are_counted_or_refused() {
    let points = |n: usize| {
        let mut cells = Cells::new();
        for i in 0..n {
            cells.push(Cell::at(Point::new(10.0 + i as f64, 10.0))).unwrap();
        }
        cells
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.geojson");
    write_geojson(&path, &points(100)).unwrap();
    let of = |w: u32| read_geojson(&path, &ImportOptions { slide_size: Some(Size::new(w, 100)), ..Default::default() });
    let some = of(105).unwrap();
    assert_eq!((some.cells.len(), some.outside), (96, 4));
    assert_eq!(some.cells.id(95), "cell_0000095");
    let error = of(50).unwrap_err();
    assert!(matches!(error, CellsError::OtherLevel { outside: 59, total: 100, .. }), "{error}");
}

#[test]
fn nothing_is_left_behind_by_a_writer_that_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.geojson");
    fs::write(&path, "before").unwrap();
    let mut writer = GeoJsonWriter::create(&path).unwrap();
    writer.write(&Cell::at(Point::new(1.0, 1.0))).unwrap();
    assert!(writer.write(&Cell::at(Point::new(f64::NAN, 1.0))).is_err());
    drop(writer);
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(GeoJsonWriter::create(folder.path().join("no/such/folder.geojson")).is_err());
}

/// What CellViT and HEST write: one annotation for each class, its cells the parts of a MultiPolygon.
#[test]
fn annotations_of_many_parts_are_many_cells() {
    let text = r#"[{"type": "Feature", "id": "u-u-i-d", "geometry": {"type": "MultiPolygon", "coordinates":
        [[[[0, 0], [2, 0], [2, 2], [0, 0]]], [[[8, 8], [9, 8]]], [[[4, 4], [6, 4], [6, 6], [4, 6]]]]},
        "properties": {"objectType": "annotation", "classification": {"name": "Neoplastic", "color": [255, 0, 0]}}},
      {"type": "Feature", "id": "v", "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        "properties": {"objectType": "annotation", "classification": {"name": "Dead"}}}]"#;
    let got = read(text, &ImportOptions::default()).unwrap();
    let c = &got.cells;
    assert_eq!((c.len(), got.few_corners, got.duplicate_ids), (4, 1, 0));
    assert_eq!((c.outline(1).len(), c.centroids()[1], c.class(1)), (4, Point::new(5.0, 5.0), Some("Neoplastic")));
    assert_eq!((c.centroids()[3], c.class(3)), (Point::new(3.0, 4.0), Some("Dead")));
}

#[test]
fn cells_of_qupath_have_two_outlines() {
    let text = r#"{"type": "Feature", "id": "c", "geometry": {"type": "Polygon", "coordinates":
        [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}, "nucleusGeometry": {"type": "Polygon", "coordinates":
        [[[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]]}, "properties": {"objectType": "cell", "measurements":
        {"Nucleus: Area µm^2": 1.5, "Cell: Area µm^2": 7.0, "Other": "x"}}}"#;
    let nucleus = read(text, &ImportOptions::default()).unwrap().cells;
    assert_eq!((nucleus.outline(0)[0], nucleus.area_um2()[0]), ([2.0, 2.0], 1.5));
    let cell = ImportOptions { outline: OutlineOf::Cell, ..Default::default() };
    assert_eq!(read(text, &cell).unwrap().cells.outline(0)[0], [0.0, 0.0]);
}

#[test]
fn oddities_are_counted() {
    let of = |id: &str, ring: &str| {
        format!(r#"{{"type": "Feature", "id": "{id}", "geometry": {{"type": "Polygon", "coordinates": [[{ring}]]}}}}"#)
    };
    let list = [
        of("a", "[0, 0], [4, 0], [4, 4], [0, 4]"),
        of("a", "[0, 0], [4, 4], [4, 0], [0, 4]"),
        of("b", "[0, 0], [4, 4]"),
        of("c", "[0, 0], [4, 0], [4, 1e300]"),
    ];
    let got = read(&format!("[{}]", list.join(",")), &ImportOptions::default()).unwrap();
    let counts = (got.duplicate_ids, got.self_crossing, got.few_corners, got.not_finite, got.dropped());
    assert_eq!((got.cells.len(), counts), (2, (1, 1, 1, 1, 2)));
}

fn cell() -> impl Strategy<Value = Cell> {
    let corner = |r: std::ops::Range<f32>| prop::array::uniform2(r);
    let ring = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(corner(0.0..100_000.0), 3..12)
            .prop_filter("closed rings are opened", |r| r.first() != r.last()),
    ];
    let class = prop::option::of("[a-z\"\\\\µ ]{1,8}");
    (
        ring,
        prop::option::of("[A-Za-z0-9-]{1,12}"),
        class,
        0.0f32..=1.0,
        prop::option::of(0.0f32..1e4),
        (0.0..1e5f64, 0.0..1e5f64),
    )
        .prop_map(|(outline, id, class, score, area, (x, y))| {
            // A centroid within the outline's bounds, as every detector gives.
            let mean = |k: usize| outline.iter().map(|p| f64::from(p[k])).sum::<f64>() / outline.len() as f64;
            let centroid = if outline.is_empty() { Point::new(x, y) } else { Point::new(mean(0), mean(1)) };
            Cell { id, centroid, outline, area_um2: area.unwrap_or(f32::NAN), score, class }
        })
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
        let path = folder.path().join("cells.geojson");
        write_geojson(&path, &cells).unwrap();
        let back = read_geojson(&path, &ImportOptions::default()).unwrap().cells;
        prop_assert_eq!(cells.len(), back.len());
        for i in 0..cells.len() {
            let (a, b) = (cells.get(i).unwrap(), back.get(i).unwrap());
            prop_assert_eq!(a.area_um2.to_bits(), b.area_um2.to_bits());
            prop_assert_eq!(Cell { area_um2: 0.0, ..a }, Cell { area_um2: 0.0, ..b });
        }
    }

    #[test]
    fn damaged_files_give_an_error_or_cells_but_no_panic(cut in 0usize..1200, at in 0usize..1200, byte in any::<u8>()) {
        let mut bytes = QUPATH.as_bytes().to_vec();
        let n = bytes.len();
        bytes[at % n] = byte;
        bytes.truncate(n.min(cut + 100));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.geojson");
        fs::write(&path, &bytes).unwrap();
        if let Ok(got) = read_geojson(&path, &ImportOptions::default()) {
            prop_assert!(!got.cells.is_empty() && got.cells.centroids().iter().all(|p| p.is_finite()));
        }
    }
}
