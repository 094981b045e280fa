//! The drawing is fit for its purpose: the detector finds the nuclei.

use scellst_cells::{DetectConfig, detect_in_image};
use scellst_sim::{SimConfig, SyntheticSection};

#[test]
fn the_detector_finds_the_nuclei() {
    let section = SyntheticSection::generate(&SimConfig { size_um: (700.0, 700.0), ..SimConfig::default() }).unwrap();
    let mpp = section.mpp();
    let picture = section.render(0, 0, section.size()).unwrap();
    let found = detect_in_image(&picture, mpp, &DetectConfig::default()).unwrap();

    // Pairs within 3 um, the nearest first, each cell in one.
    let mut pairs = Vec::new();
    for (i, truth) in section.nuclei().iter().enumerate() {
        for (j, cell) in found.centroids().iter().enumerate() {
            let distance = truth.centre.distance(mpp.to_micron(*cell));
            if distance <= 3.0 {
                pairs.push((distance, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut seen, mut used) = (vec![false; section.nuclei().len()], vec![false; found.len()]);
    let mut hits = 0;
    for (_, i, j) in pairs {
        if !seen[i] && !used[j] {
            (seen[i], used[j]) = (true, true);
            hits += 1;
        }
    }
    let f1 = 2.0 * f64::from(hits) / (seen.len() + used.len()) as f64;
    assert!(f1 >= 0.85, "F1 {f1}: {hits} of {} nuclei, {} found", seen.len(), used.len());
}
