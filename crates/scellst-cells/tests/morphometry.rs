//! Morphometry beside scikit-image (`data/morphometry.py`), and what it must not do.

use image::{Rgb, RgbImage};
use ndarray::Array2;
use proptest::prelude::*;
use scellst_cells::{
    Cell, Cells, CellsError, ImportOptions, MeasureConfig, Measurements, RegionShape, measure, measure_outlines,
    read_cells, write_csv, write_geojson, write_parquet,
};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::{MicronsPerPixel, Point};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    masks: Vec<MaskCase>,
    width: u32,
    height: u32,
    outlines: Vec<Outline>,
    points: Vec<f64>,
    within_10um: Vec<u32>,
    nearest: Vec<f64>,
}

#[derive(Deserialize)]
struct MaskCase {
    name: String,
    width: usize,
    rows: String,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Outline {
    x: f64,
    y: f64,
    ring: Vec<f32>,
    values: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/morphometry.json")).unwrap()
}

/// In the order of the script.
fn values(s: &RegionShape) -> [f64; 11] {
    [
        s.area,
        s.perimeter,
        s.perimeter_crofton,
        s.major_axis,
        s.minor_axis,
        s.eccentricity,
        s.orientation,
        s.equivalent_diameter,
        s.max_diameter,
        s.solidity,
        s.extent,
    ]
}

/// Columns of the table in the order of the script, with what turns px into their unit at 0.25 um/px.
const COLUMNS: [(&str, f64); 21] = [
    ("area_mask_um2", 0.0625),
    ("perimeter_um", 0.25),
    ("perimeter_crofton_um", 0.25),
    ("major_axis_um", 0.25),
    ("minor_axis_um", 0.25),
    ("eccentricity", 1.0),
    ("orientation_rad", 1.0),
    ("equivalent_diameter_um", 0.25),
    ("max_diameter_um", 0.25),
    ("solidity", 1.0),
    ("extent", 1.0),
    ("haematoxylin_mean", 1.0),
    ("haematoxylin_sd", 1.0),
    ("eosin_mean", 1.0),
    ("eosin_sd", 1.0),
    ("texture_contrast", 1.0),
    ("texture_dissimilarity", 1.0),
    ("texture_homogeneity", 1.0),
    ("texture_energy", 1.0),
    ("texture_correlation", 1.0),
    ("texture_entropy", 1.0),
];

/// The definitions are the same; what is left is the order of sums in 64 bits. Near a circle or a line, eccentricity
/// and the short axis are roots of differences of about 1e-15: 1e-7.
#[test]
fn shapes_are_those_of_regionprops() {
    for case in golden().masks {
        let stride = case.width.div_ceil(8) * 2;
        let bit = |y: usize, x: usize| {
            let byte = u8::from_str_radix(&case.rows[y * stride + x / 8 * 2..][..2], 16).unwrap();
            byte >> (7 - x % 8) & 1 == 1
        };
        let mask = Array2::from_shape_fn((case.rows.len() / stride, case.width), |(y, x)| bit(y, x));
        let found = RegionShape::of_mask(mask.view(), 1.0).unwrap();
        for (k, (found, expected)) in values(&found).into_iter().zip(&case.values).enumerate() {
            let tolerance = if matches!(k, 4 | 5) { 1e-7 } else { 1e-12 * expected.abs().max(1.0) };
            assert!((found - expected).abs() <= tolerance, "{}: {}: {found}, {expected}", case.name, COLUMNS[k].0);
        }
    }
}

struct Opened {
    slide: Slide,
    _folder: tempfile::TempDir,
}

fn open(picture: &RgbImage, mpp: MicronsPerPixel) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    picture.save(&path).unwrap();
    let slide = Slide::open_with(&path, &OpenOptions { mpp: Some(mpp), ..Default::default() }).unwrap();
    Opened { slide, _folder: folder }
}

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        Rgb([0, 1, 2].map(|c| (60 + c * 9 + (x * (3 + c) + y * (5 - c) + x * y % 31) % 150) as u8))
    })
}

fn outlined(x: f64, y: f64, outline: Vec<[f32; 2]>) -> Cell {
    Cell { outline, ..Cell::at(Point::new(x, y)) }
}

fn golden_cells(golden: &Golden) -> Cells {
    let mut cells = Cells::new();
    for o in &golden.outlines {
        let ring = o.ring.chunks_exact(2).map(|c| [c[0], c[1]]).collect();
        cells.push(outlined(o.x, o.y, ring)).unwrap();
    }
    cells
}

fn measured(slide: &Slide, cells: &Cells, config: &MeasureConfig) -> Measurements {
    measure(slide, cells, config, &|_, _| {}).unwrap()
}

/// From outline and slide: columns are 32-bit, stains sums of three 32-bit numbers of a table.
#[test]
fn cells_are_measured_as_scikit_image_measures_labels() {
    let golden = golden();
    let mpp = MicronsPerPixel::square(0.25).unwrap();
    let opened = open(&picture(golden.width, golden.height), mpp);
    let cells = golden_cells(&golden);
    let table = measured(&opened.slide, &cells, &MeasureConfig::default());
    for (i, o) in golden.outlines.iter().enumerate() {
        for ((column, unit), expected) in COLUMNS.iter().zip(&o.values) {
            let (found, expected) = (f64::from(table.get(i, column).unwrap()), expected * unit);
            assert!((found - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{i}: {column}: {found}, {expected}");
        }
        let (area, perimeter) = (table.get(i, "area_mask_um2").unwrap(), table.get(i, "perimeter_um").unwrap());
        let circularity = 4.0 * std::f32::consts::PI * area / (perimeter * perimeter);
        assert!((table.get(i, "circularity").unwrap() - circularity).abs() < 1e-5);
    }
    // Without the picture the same shapes.
    let shapes = measure_outlines(&cells, mpp, &MeasureConfig::default()).unwrap();
    for column in shapes.measures().iter().map(|m| &*m.column) {
        assert!(shapes.column(column).unwrap().eq(table.column(column).unwrap()), "{column}");
    }
}

#[test]
fn neighbours_are_those_of_numpy() {
    let golden = golden();
    let mut cells = Cells::new();
    for p in golden.points.chunks_exact(2) {
        cells.push(Cell::at(Point::new(p[0], p[1]))).unwrap();
    }
    let config = MeasureConfig { radius_um: 10.0, nearest: 4, ..MeasureConfig::default() };
    let table = measure_outlines(&cells, MicronsPerPixel::square(0.5).unwrap(), &config).unwrap();
    for (i, &within) in golden.within_10um.iter().enumerate() {
        assert_eq!(table.get(i, "neighbours_10um"), Some(within as f32));
        let density = f64::from(within) / (std::f64::consts::PI * 1e-4);
        assert!(
            (f64::from(table.get(i, "density_10um_per_mm2").unwrap()) / density.max(1e-9) - 1.0).abs() < 1e-6
                || within == 0
        );
        for k in 0..4 {
            let found = f64::from(table.get(i, &format!("nearest_{}_um", k + 1)).unwrap());
            assert!((found - golden.nearest[i * 4 + k]).abs() < 1e-5, "{i}, {k}");
        }
    }
}

/// 1,400 cells of all sizes up to one that is too large, some without an outline; more blocks than one.
fn many() -> Cells {
    let mut cells = Cells::new();
    for i in 0..1400u32 {
        let (x, y) = ((f64::from(i) * 0.618_034).fract() * 1500.0, (f64::from(i) * 0.754_878).fract() * 1300.0);
        let reach = match i {
            7 => 20_000.0,
            8 => 150.0,
            _ => f64::from(4 + i % 30),
        };
        let corner = |k: u32| {
            let turn = f64::from(k) / 12.0 * std::f64::consts::TAU;
            [(x + reach * turn.cos()) as f32, (y + 0.8 * reach * turn.sin()) as f32]
        };
        let outline = if i % 50 == 9 { Vec::new() } else { (0..12).map(corner).collect() };
        cells.push(outlined(x, y, outline)).unwrap();
    }
    cells
}

#[test]
fn the_same_on_any_number_of_threads_and_alone() {
    let opened = open(&picture(1500, 1300), MicronsPerPixel::square(0.5).unwrap());
    let cells = many();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measured(&opened.slide, &cells, &MeasureConfig::default()))
    };
    let (one, three) = (run(1), run(3));
    let bits = |table: &Measurements, i: usize| table.row(i).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!((0..cells.len()).all(|i| bits(&one, i) == bits(&three, i)));
    // What has no outline, or one beyond all pictures, has a neighbourhood alone.
    for i in [7, 9, 59] {
        assert!(one.get(i, "area_mask_um2").unwrap().is_nan() && one.get(i, "eosin_mean").unwrap().is_nan());
        assert!(one.get(i, "nearest_1_um").unwrap() > 0.0 && one.get(i, "neighbours_50um").unwrap() > 0.0);
    }
    assert!((0..cells.len()).filter(|i| one.get(*i, "solidity").unwrap().is_nan()).count() == 1 + 28);
    // Shape and stain do not depend on who else is measured.
    for i in [0usize, 8, 700] {
        let alone = cells.select(&[scellst_types::CellIndex(i as u32)]).unwrap();
        let alone = measured(&opened.slide, &alone, &MeasureConfig { nearest: 0, ..MeasureConfig::default() });
        assert_eq!(alone.row(0)[..22], one.row(i)[..22]);
        assert!(alone.row(0)[..22].iter().all(|v| v.is_finite()));
    }
    let told = std::sync::atomic::AtomicU64::new(0);
    let tell = |done: u64, total: u64| {
        assert_eq!(total, 1400);
        told.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    };
    measure(&opened.slide, &cells, &MeasureConfig::default(), &tell).unwrap();
    assert_eq!(told.into_inner(), 1400);
}

/// A disc at two resolutions and with pixels that are not square is measured alike, to what pixels of 0.25 um allow.
#[test]
fn measures_are_in_um_whatever_the_pixels() {
    let picture = RgbImage::from_pixel(200, 200, Rgb([120, 80, 150]));
    let of = |x: f64, y: f64| {
        let mpp = MicronsPerPixel::new(x, y).unwrap();
        let corner = |k: u32| {
            let turn = f64::from(k) / 90.0 * std::f64::consts::TAU;
            [(80.0 + 6.0 / x * turn.cos()) as f32, (70.0 + 6.0 / y * turn.sin()) as f32]
        };
        let mut cells = Cells::new();
        cells.push(outlined(80.0, 70.0, (0..90).map(corner).collect())).unwrap();
        measured(&open(&picture, mpp).slide, &cells, &MeasureConfig::default())
    };
    for (x, y) in [(0.25, 0.25), (0.7, 0.7), (0.4, 0.5)] {
        let table = of(x, y);
        let get = |name: &str| f64::from(table.get(0, name).unwrap());
        assert!((get("area_mask_um2") / (36.0 * std::f64::consts::PI) - 1.0).abs() < 0.01, "{x}");
        assert!((get("perimeter_crofton_um") / (12.0 * std::f64::consts::PI) - 1.0).abs() < 0.02, "{x}");
        assert!((get("major_axis_um") - 12.0).abs() < 0.1 && (get("minor_axis_um") - 12.0).abs() < 0.1, "{x}");
        assert!(get("haematoxylin_sd") < 1e-4 && get("texture_entropy") == 0.0, "{x}");
    }
}

#[test]
fn measurements_go_where_the_cells_go() {
    let opened = open(&picture(1500, 1300), MicronsPerPixel::square(0.5).unwrap());
    let mut cells = many();
    let table = measured(&opened.slide, &cells, &MeasureConfig::default());
    cells.set_measurements(table.clone()).unwrap();
    assert!(cells.set_measurements(Measurements::default()).is_err());
    let two = cells.select(&[scellst_types::CellIndex(700), scellst_types::CellIndex(3)]).unwrap();
    assert_eq!((two.measurements().row(0), two.measurements().row(1)), (table.row(700), table.row(3)));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_csv(path("c.csv"), &cells).unwrap();
    write_geojson(path("c.geojson"), &cells).unwrap();
    write_parquet(path("c.parquet"), &cells).unwrap();

    let csv = std::fs::read_to_string(path("c.csv")).unwrap();
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(header.len(), 6 + table.measures().len());
    for (i, line) in lines.enumerate() {
        for (name, text) in header.iter().zip(line.split(',')).skip(6) {
            let expected = table.get(i, name).unwrap();
            assert!(text.parse::<f32>().map_or(text.is_empty() && expected.is_nan(), |v| v == expected), "{i}: {name}");
        }
    }

    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path("c.geojson")).unwrap()).unwrap();
    for i in [0usize, 7, 700] {
        let written = &json["features"][i]["properties"]["measurements"];
        for (measure, value) in table.measures().iter().zip(table.row(i)) {
            let found = written[&*measure.label].as_f64();
            assert_eq!(found.map(|v| v as f32), Some(*value).filter(|v| v.is_finite()), "{i}: {}", measure.label);
        }
    }

    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = SerializedFileReader::new(std::fs::File::open(path("c.parquet")).unwrap()).unwrap();
    for (i, row) in file.get_row_iter(None).unwrap().enumerate() {
        for (name, field) in row.unwrap().into_columns().into_iter().skip(7) {
            let expected = Some(table.get(i, &name).unwrap()).filter(|v| v.is_finite());
            let found = match field {
                parquet::record::Field::Float(v) => Some(v),
                _ => None,
            };
            assert_eq!(found, expected, "{i}: {name}");
        }
    }

    // What is measured does not disturb reading the cells.
    for name in ["c.csv", "c.geojson", "c.parquet"] {
        assert_eq!(read_cells(path(name), &ImportOptions::default()).unwrap().cells.len(), cells.len(), "{name}");
    }
    cells.push(Cell::at(Point::new(1.0, 1.0))).unwrap();
    assert!(cells.measurements().row(1400).iter().all(|v| v.is_nan()));
}

#[test]
fn bad_settings_are_refused() {
    let cells = Cells::new();
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    for bad in [
        MeasureConfig { mpp: 0.0, ..MeasureConfig::default() },
        MeasureConfig { mpp: f64::NAN, ..MeasureConfig::default() },
        MeasureConfig { radius_um: 0.0, ..MeasureConfig::default() },
        MeasureConfig { radius_um: f64::INFINITY, ..MeasureConfig::default() },
        MeasureConfig { nearest: 21, ..MeasureConfig::default() },
    ] {
        let error = measure_outlines(&cells, mpp, &bad).unwrap_err();
        assert!(matches!(error, CellsError::Misuse { .. }), "{error}");
    }
    let none = measure_outlines(&cells, mpp, &MeasureConfig { radius_um: 12.5, ..MeasureConfig::default() }).unwrap();
    assert!(none.is_empty() && none.measures().iter().any(|m| m.column == "neighbours_12p5um"));
}

proptest! {
    /// Any ring: numbers in their ranges, or nothing; and the same wherever it lies by whole pixels.
    #[test]
    fn any_ring(
        ring in prop::collection::vec((-40.0..40.0f64, -40.0..40.0f64), 0..12), dx in -9i32..9, dy in -9i32..9,
    ) {
        let at = |x: i32, y: i32| -> Vec<[f64; 2]> {
            // On a grid of 2^-10 px: whole pixels are added without rounding.
            let fine = |v: f64| (v * 1024.0).round() / 1024.0;
            ring.iter().map(|&(a, b)| [fine(a) + f64::from(x), fine(b) + f64::from(y)]).collect()
        };
        let found = RegionShape::of_ring(&at(0, 0), 0.25);
        if let Some(s) = found {
            prop_assert!(s.area > 0.0 && s.perimeter_crofton > 0.0 && s.perimeter >= 0.0);
            prop_assert!((0.0..=1.0).contains(&s.eccentricity) && s.minor_axis <= s.major_axis);
            prop_assert!(s.solidity > 0.0 && s.solidity <= 1.0 && s.extent > 0.0 && s.extent <= 1.0);
            prop_assert!(s.orientation.abs() <= std::f64::consts::FRAC_PI_2);
            prop_assert!(s.max_diameter >= s.equivalent_diameter * 0.8);
        }
        // Circularity may be NaN: compared by their texts.
        prop_assert_eq!(format!("{found:?}"), format!("{:?}", RegionShape::of_ring(&at(dx, dy), 0.25)));
    }
}
