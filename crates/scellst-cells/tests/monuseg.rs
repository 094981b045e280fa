//! The detector's score on annotated nuclei (MoNuSeg, for evaluation only).

#![allow(clippy::print_stdout)] // The figures are for the reader of the log.

mod support;

use scellst_cells::{DetectConfig, detect_in_image};
use scellst_types::MicronsPerPixel;
use support::{Score, label_centroids, shared};

/// F1 over the centroids of all eight images, best one-to-one matching within 3 um, with the default configuration.
#[test]
fn f1_within_3_um() {
    let Some(folder) = shared("nuclei/monuseg") else {
        println!("skipped: no shared data");
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let mut all = Score::default();
    for (name, meta) in index.as_object().unwrap() {
        let mpp = meta["mpp"].as_f64().unwrap_or(0.25);
        let image = image::open(folder.join(format!("{name}.png"))).unwrap().into_rgb8();
        let truth = label_centroids(&folder.join(format!("{name}.labels.png")));
        let cells = detect_in_image(&image, MicronsPerPixel::square(mpp).unwrap(), &DetectConfig::default()).unwrap();
        let mut score = Score::default();
        score.add(cells.centroids(), &truth, 3.0 / mpp);
        println!("{name}: F1 {:.3} precision {:.3} recall {:.3}", score.f1(), score.precision(), score.recall());
        all.hit += score.hit;
        all.wrong += score.wrong;
        all.missed += score.missed;
    }
    println!("all: F1 {:.4} precision {:.4} recall {:.4}", all.f1(), all.precision(), all.recall());
    assert!(all.f1() >= 0.80, "F1 {:.4}", all.f1());
    assert!(all.precision() >= 0.75 && all.recall() >= 0.75);
}
