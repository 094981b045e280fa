//! The page of a run: whole, alone, and deaf to hostile names.

use scellst_report::{
    Calibration, Ceilings, Gallery, GeneTable, MapRow, Method, Number, Picture, Report, ReportError, RgbImage,
};

const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x &amp; </style></title>";

fn picture() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 6) as u8, (y * 8) as u8, 90]))
}

fn full(name: &str) -> Report {
    let method = |pearson| Method {
        name: name.into(),
        pearson: vec![(50, pearson + 0.1, Some((0.2, 0.5))), (100, pearson, None)],
        rmse: Some(0.75),
        p_value: Some(0.01),
        constant: 2,
    };
    Report {
        title: name.into(),
        warnings: vec![name.into()],
        methods: vec![method(0.2), method(0.3)],
        numbers: vec![Number { label: name.into(), value: name.into(), note: name.into() }],
        overlay: Some(Picture { image: picture(), caption: name.into() }),
        maps: vec![MapRow { gene: name.into(), caption: name.into(), panels: vec![(name.into(), picture())] }],
        calibration: Some(Calibration { points: vec![(0.5, 0.48), (0.9, f64::NAN)], caption: name.into() }),
        ceiling: Some(Ceilings { genes: vec![(0.5, 0.2, name.into())], caption: name.into() }),
        genes: Some(GeneTable {
            columns: vec![(name.into(), name.into())],
            rows: vec![(name.into(), vec![Some(0.25)]), ("B".into(), vec![None]), ("C".into(), vec![Some(f64::NAN)])],
        }),
        galleries: vec![Gallery { gene: name.into(), highest: vec![(picture(), 2.0)], lowest: vec![] }],
        provenance: vec![(name.into(), name.into())],
    }
}

/// Names of all tags, and of all attributes that could run something.
fn tags(html: &str) -> Vec<String> {
    html.split('<')
        .skip(1)
        .map(|t| t.split(|c: char| !c.is_alphanumeric() && c != '/').next().unwrap_or("").to_owned())
        .collect()
}

#[test]
fn hostile_names_are_inert() {
    let (good, bad) = (full("name").to_html().unwrap(), full(HOSTILE).to_html().unwrap());
    // The same tags whatever the names say: nothing got out of its place.
    assert_eq!(tags(&good), tags(&bad));
    assert_eq!(bad.matches("<script").count(), 1);
    assert!(bad.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!bad.contains("\"' onload"));
    assert!(bad.contains("script-src 'sha256-"));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let html = full("name").to_html().unwrap();
    let rest = html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "");
    assert!(!rest.contains("http") && !rest.contains("url(") && !rest.contains("@import"));
    assert_eq!(html.matches("data:image/jpeg;base64,").count(), 3);
    // What is no number is neither drawn nor sorted.
    assert!(!html.contains("NaN"));
    assert_eq!(html.matches("data-v=\"").count(), 1);
}

#[test]
fn a_beaten_model_is_said_first() {
    let html = full("name").to_html().unwrap();
    let body = &html[html.find("<main>").unwrap()..];
    let (verdict, table) =
        (body.find("A baseline does better than the model").unwrap(), body.find("<section").unwrap());
    assert!(verdict < table);
    assert!(Report::default().to_html().unwrap().contains("Nothing was compared"));
}

#[test]
fn an_uneven_table_is_refused_and_files_are_whole() {
    let mut report = full("a/b");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report.save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report.to_html().unwrap());
    let figures = folder.path().join("figures");
    std::fs::create_dir(&figures).unwrap();
    report.save_figures(&figures).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(&figures).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["calibration.svg", "ceiling.svg", "cells.png", "map-a_b-1.png"]);
    report.genes.as_mut().unwrap().rows[0].1.push(None);
    assert!(matches!(report.to_html(), Err(ReportError::Misuse { .. })));
    report = full("x");
    report.overlay = Some(Picture { image: RgbImage::new(0, 0), caption: String::new() });
    assert!(report.to_html().is_err());
}
