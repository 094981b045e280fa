//! The detector's score on annotated nuclei (MoNuSeg, for evaluation only).

#![allow(clippy::print_stdout)] // The figures are for the reader of the log.

mod support;

use image::imageops::{FilterType, resize};
use scellst_cells::{DetectConfig, detect_in_image};
use scellst_types::{MicronsPerPixel, Point};
use support::{Labels, Overlap, Score, label_centroids, shared};

/// Over all eight images with the default configuration: centroids (best one-to-one matching within 3 um) and outlines,
/// as they are (`None`) or after the picture was shrunk to `mpp` um/px.
fn score(mpp: Option<f64>) -> Option<(Score, Overlap)> {
    let Some(folder) = shared("nuclei/monuseg") else {
        println!("skipped: no shared data");
        return None;
    };
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let (mut all, mut outlines) = (Score::default(), Overlap::default());
    for (name, meta) in index.as_object().unwrap() {
        let own = meta["mpp"].as_f64().unwrap_or(0.25);
        let mut image = image::open(folder.join(format!("{name}.png"))).unwrap().into_rgb8();
        let width = image.width();
        if let Some(mpp) = mpp {
            let side = |n: u32| (f64::from(n) * own / mpp).round() as u32;
            image = resize(&image, side(image.width()), side(image.height()), FilterType::Triangle);
        }
        // Pixels of the annotation to one of the picture.
        let scale = f64::from(width) / f64::from(image.width());
        let path = folder.join(format!("{name}.labels.png"));
        let truth = label_centroids(&path);
        let resolution = MicronsPerPixel::square(own * scale).unwrap();
        let cells = detect_in_image(&image, resolution, &DetectConfig::default()).unwrap();
        let found: Vec<_> = cells.centroids().iter().map(|c| Point::new(c.x * scale, c.y * scale)).collect();
        let mut one = Score::default();
        one.add(&found, &truth, 3.0 / own);
        println!("{name}: F1 {:.3} precision {:.3} recall {:.3}", one.f1(), one.precision(), one.recall());
        all.merge(one);
        let labels = Labels::open(&path);
        outlines.add(&Labels::of_cells(&cells, labels.width, labels.height, scale), &labels);
    }
    println!(
        "at {mpp:?} um/px: F1 {:.4} precision {:.4} recall {:.4}; panoptic quality {:.4}, Dice {:.4}",
        all.f1(),
        all.precision(),
        all.recall(),
        outlines.panoptic(),
        outlines.dice()
    );
    Some((all, outlines))
}

#[test]
fn as_scanned() {
    let Some((score, _)) = score(None) else { return };
    assert!(score.f1() >= 0.80, "F1 {:.4}", score.f1());
    assert!(score.precision() >= 0.75 && score.recall() >= 0.75, "{score:?}");
}

#[test]
fn at_half_a_micron() {
    let Some((score, _)) = score(Some(0.5)) else { return };
    assert!(score.f1() >= 0.80, "F1 {:.4}", score.f1());
}

#[test]
fn at_the_resolution_of_a_20x_array_scan() {
    let Some((score, _)) = score(Some(0.69)) else { return };
    assert!(score.f1() >= 0.72, "F1 {:.4}", score.f1());
}
