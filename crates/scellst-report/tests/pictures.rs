//! Pictures of a made-up slide: the right colours in the right places, and no trouble with what is missing.

use scellst_cells::{Cell, Cells};
use scellst_report::{
    GeneMap, MapOptions, OverlayOptions, ReportError, RgbImage, class_colour, colour_of, detection_overlay,
    gene_map_with,
};
use scellst_slide::{OpenOptions, PyramidOptions, PyramidWriter, Slide};
use scellst_types::{Level0, MicronsPerPixel, Point, Rect};

const WHITE: [u8; 3] = [255; 3];
const GREY: [u8; 3] = [165; 3];

fn at(x: f64, y: f64) -> Point<Level0> {
    Point::new(x, y)
}

fn slide(folder: &std::path::Path, mpp: Option<f64>) -> Slide {
    let path = folder.join("s.tif");
    let image = RgbImage::from_pixel(1200, 800, image::Rgb(WHITE));
    let options = PyramidOptions { mpp: mpp.map(|m| MicronsPerPixel::square(m).unwrap()), ..PyramidOptions::default() };
    PyramidWriter::write_image(&path, &image, &options).unwrap();
    Slide::open_with(&path, &OpenOptions::default()).unwrap()
}

fn square(x: f32, y: f32, half: f32, class: Option<&str>) -> Cell {
    let outline = vec![[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]];
    Cell { outline, class: class.map(str::to_owned), ..Cell::at(at(f64::from(x), f64::from(y))) }
}

/// How many pixels of a rectangle are of a colour.
fn count(image: &RgbImage, colour: [u8; 3], x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> usize {
    y.flat_map(|j| x.clone().map(move |i| (i, j))).filter(|&(i, j)| image.get_pixel(i, j).0 == colour).count()
}

fn cells() -> Cells {
    let mut cells = Cells::new();
    cells.push(square(300.5, 200.5, 20.0, Some("neoplastic"))).unwrap();
    cells.push(square(700.5, 500.5, 20.0, Some("connective"))).unwrap();
    cells.push(square(900.5, 600.5, 20.0, None)).unwrap();
    cells
}

#[test]
fn outlines_lie_where_the_cells_are_in_their_class_colour() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide(folder.path(), None);
    let image = detection_overlay(&slide, &cells(), &OverlayOptions::default()).unwrap();
    assert_eq!(image.dimensions(), (1200, 800));
    // On the edge, not inside.
    let edge = |x: u32, y: u32, colour| count(&image, colour, x - 2..x + 2, y..y + 1) > 0;
    assert!(edge(280, 200, class_colour(0)) && edge(320, 200, class_colour(0)));
    assert!(edge(680, 500, class_colour(1)));
    assert_eq!(image.get_pixel(300, 200).0, WHITE);
    assert!(count(&image, [40, 225, 90], 875..925, 575..625) > 50);
    assert_eq!(count(&image, class_colour(0), 400..800, 100..400), 0);
}

#[test]
fn a_part_is_shown_in_its_own_coordinates_and_cut_off_at_the_edge() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide(folder.path(), Some(0.5));
    let part = |x0, y0, x1, y1| OverlayOptions {
        rect: Some(Rect::new(at(x0, y0), at(x1, y1)).unwrap()),
        max_side_px: 200,
        max_zoom: 1.0,
        scale_bar: false,
    };
    let image = detection_overlay(&slide, &cells(), &part(200.0, 100.0, 400.0, 300.0)).unwrap();
    assert_eq!(image.dimensions(), (200, 200));
    assert!(count(&image, class_colour(0), 78..82, 90..110) > 5);
    // Half of it lies beyond the slide; shrunk four times.
    let image = detection_overlay(&slide, &cells(), &part(800.0, 400.0, 2400.0, 1200.0)).unwrap();
    assert_eq!(image.dimensions(), (200, 200));
    for beyond in [part(1300.0, 0.0, 1400.0, 50.0), part(-500.0, -500.0, -1.0, -1.0), part(5.0, 5.0, 5.0, 5.0)] {
        let error = detection_overlay(&slide, &cells(), &beyond).unwrap_err();
        assert!(matches!(error, ReportError::Misuse { what: "rect", .. }), "{error}");
    }
    let tiny = OverlayOptions { max_side_px: 0, ..OverlayOptions::default() };
    assert!(matches!(detection_overlay(&slide, &cells(), &tiny), Err(ReportError::Misuse { .. })));
    let zoom = OverlayOptions { max_zoom: f64::NAN, ..OverlayOptions::default() };
    assert!(matches!(detection_overlay(&slide, &cells(), &zoom), Err(ReportError::Misuse { .. })));
    // A small part is enlarged, but no more than allowed.
    let enlarged = OverlayOptions { max_side_px: 2000, max_zoom: 3.0, ..part(200.0, 100.0, 400.0, 300.0) };
    assert_eq!(detection_overlay(&slide, &cells(), &enlarged).unwrap().dimensions(), (600, 600));
}

#[test]
fn far_away_cells_are_dots_and_no_cells_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide(folder.path(), None);
    let options = OverlayOptions { max_side_px: 60, ..OverlayOptions::default() };
    let image = detection_overlay(&slide, &cells(), &options).unwrap();
    assert_eq!(image.dimensions(), (60, 40));
    // A dot at (300, 200) / 20.
    assert!(image.get_pixel(14, 9).0 != WHITE || image.get_pixel(15, 10).0 != WHITE);
    let image = detection_overlay(&slide, &Cells::new(), &OverlayOptions::default()).unwrap();
    assert!(image.pixels().all(|p| p.0 == WHITE));
}

#[test]
fn the_scale_bar_has_the_length_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide(folder.path(), Some(0.5));
    let image = detection_overlay(&slide, &Cells::new(), &OverlayOptions::default()).unwrap();
    // A quarter of 1200 px at 0.5 um/px is 150 um, the round length 100 um: 200 px.
    let longest = (700..800).map(|y| count(&image, [20; 3], 0..600, y..y + 1)).max().unwrap();
    assert_eq!(longest, 200);
}

fn map<'a>(spots: &'a [Point<Level0>], s: &'a [f32], cells: &'a [Point<Level0>], c: &'a [f32]) -> GeneMap<'a> {
    GeneMap {
        title: "GENE1".into(),
        background: None,
        spots,
        spot_radius_px: 30.0,
        spot_values: s,
        cells,
        cell_values: c,
    }
}

const SMALL: MapOptions = MapOptions { mpp: Some(0.5), panel_px: 400 };

fn gene_map(map: &GeneMap<'_>) -> Result<RgbImage, ReportError> {
    gene_map_with(map, &SMALL)
}

#[test]
fn discs_have_their_values_colour_at_their_centre() {
    let background = RgbImage::from_pixel(100, 50, image::Rgb([200, 100, 150]));
    let spots = [at(200.0, 200.0), at(500.0, 200.0), at(800.0, 200.0), at(500.0, 400.0), at(f64::NAN, 0.0)];
    let values = [0.0, 1.0, 2.0, f32::NAN, 1.0];
    // Cells in two corners, so that the panels show the whole background.
    let cells = [at(20.0, 20.0), at(980.0, 480.0)];
    let image =
        gene_map(&GeneMap { background: Some((background, 10.0)), ..map(&spots, &values, &cells, &[5.0, 6.0]) })
            .unwrap();
    // Panels of 400 x 200 px: find the left one by its pale ground, in the row above all discs.
    let pale = [236, 201, 218];
    let (left, top) = (0..image.width() * image.height())
        .map(|i| (i % image.width(), i / image.width()))
        .find(|&(x, y)| image.get_pixel(x, y).0 == pale)
        .unwrap();
    let pixel = |x: f64, y: f64| image.get_pixel(left + (x * 0.4) as u32, top + (y * 0.4) as u32).0;
    // Finite values 0, 1, 1, 2: the 2nd and 98th percentile lie 0.06 within.
    assert_eq!(pixel(200.0, 200.0), colour_of(0.0));
    assert_eq!(pixel(500.0, 200.0), colour_of(0.5));
    assert_eq!(pixel(800.0, 200.0), colour_of(1.0));
    assert_eq!(pixel(500.0, 400.0), GREY);
    assert_eq!(pixel(350.0, 100.0), pale);
    // The right panel begins one gap after the left one ends.
    let right = left + 400 + left;
    let cell = |x: f64, y: f64| image.get_pixel(right + (x * 0.4) as u32, top + (y * 0.4) as u32).0;
    assert_eq!(cell(20.0, 20.0), colour_of(0.0));
    assert_eq!(cell(980.0, 480.0), colour_of(1.0));
    assert_eq!(cell(500.0, 200.0), pale);
}

#[test]
fn panels_show_the_part_of_the_background_where_the_values_lie() {
    // Dark on its left half.
    let background = RgbImage::from_fn(100, 100, |x, _| image::Rgb(if x < 50 { [0; 3] } else { WHITE }));
    let shown = |spots: &[Point<Level0>]| {
        let values = vec![1.0; spots.len()];
        gene_map(&GeneMap { background: Some((background.clone(), 10.0)), ..map(spots, &values, &[], &[]) }).unwrap()
    };
    let dark = |image: &RgbImage| image.pixels().filter(|p| p.0 == [166; 3]).count() as f64 / 400.0 / 400.0;
    let right = shown(&[at(700.0, 300.0), at(900.0, 500.0)]);
    assert_eq!(dark(&right), 0.0);
    let left = shown(&[at(100.0, 300.0), at(300.0, 500.0)]);
    assert!(dark(&left) > 1.5);
    // Nothing there, or nothing on the slide: all of it.
    for image in [shown(&[]), shown(&[at(5000.0, 5000.0)])] {
        assert!((dark(&image) - 1.0).abs() < 0.05, "{}", dark(&image));
    }
}

#[test]
fn nothing_constants_and_missing_values_are_no_trouble() {
    let empty = gene_map(&map(&[], &[], &[], &[])).unwrap();
    assert!(empty.pixels().any(|p| p.0 != WHITE)); // it says so
    let one = [at(10.0, 10.0)];
    let constant = gene_map(&map(&one, &[4.0], &one, &[f32::NAN])).unwrap();
    let middle = colour_of(0.5);
    assert!(constant.pixels().filter(|p| p.0 == middle).count() > 400);
    assert!(constant.pixels().filter(|p| p.0 == GREY).count() > 5);
    let infinite = [at(10.0, 10.0), at(50.0, 90.0)];
    gene_map(&map(&infinite, &[f32::INFINITY, f32::NEG_INFINITY], &one, &[1.0])).unwrap();
    let long = "A-VERY-LONG-NAME-".repeat(40);
    gene_map(&GeneMap { title: long, ..map(&one, &[1.0], &one, &[1.0]) }).unwrap();
}

#[test]
fn misuse_is_named() {
    let one = [at(10.0, 10.0)];
    let far = [at(-1e308, 0.0), at(1e308, 0.0)];
    let good = || map(&one, &[1.0], &one, &[1.0]);
    let background = Some((RgbImage::new(4, 4), -1.0));
    let cases = [
        ("values of spots", map(&one, &[], &one, &[1.0])),
        ("values of cells", map(&one, &[1.0], &one, &[1.0, 2.0])),
        ("spot_radius_px", GeneMap { spot_radius_px: f64::NAN, ..good() }),
        ("downsample of the background", GeneMap { background, ..good() }),
        ("places", map(&far, &[1.0, 2.0], &one, &[1.0])),
    ];
    for (name, bad) in cases {
        let error = gene_map(&bad).unwrap_err().to_string();
        assert!(error.starts_with(name), "{name}: {error}");
    }
    for (name, bad) in
        [("panel_px", MapOptions { panel_px: 0, ..SMALL }), ("mpp", MapOptions { mpp: Some(0.0), ..SMALL })]
    {
        let error = gene_map_with(&good(), &bad).unwrap_err().to_string();
        assert!(error.starts_with(name), "{name}: {error}");
    }
    // The defaults do.
    assert!(scellst_report::gene_map(&good()).unwrap().width() > 1600);
}
