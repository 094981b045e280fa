//! Stain normalisation after Vahadane beside SPAMS (`data/vahadane.py`), and targets that are kept.

use image::RgbImage;
use proptest::prelude::*;
use scellst_cells::{
    MacenkoConfig, Normaliser, StainMethod, StainNormaliser, StainProfile, StainTarget, VahadaneConfig,
};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::MicronsPerPixel;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    a: Fit,
    b: Fit,
    to_b: String,
}

#[derive(Deserialize)]
struct Fit {
    vectors: [[f64; 3]; 2],
    strengths: [f64; 2],
    loss: f64,
}

impl Fit {
    fn profile(&self) -> StainProfile {
        StainProfile { vectors: self.vectors, strengths: self.strengths }
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/vahadane.json")).unwrap()
}

fn pictures() -> [RgbImage; 2] {
    [&include_bytes!("data/stain-a.png")[..], include_bytes!("data/stain-b.png")]
        .map(|png| image::load_from_memory(png).unwrap().to_rgb8())
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// The mean over stained pixels of half the squared error and 0.1 times the amounts, by looking at a grid of them: no
/// more than 1e-4 above the least.
fn loss(image: &RgbImage, vectors: &[[f64; 3]; 2]) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for pixel in image.pixels().step_by(7) {
        let od = pixel.0.map(|v| -((f64::from(v) + 1.0) / 240.0).ln());
        if od.iter().any(|d| *d < 0.15) {
            continue;
        }
        let at = |a: f64, b: f64| {
            let error: f64 = (0..3).map(|c| (od[c] - a * vectors[0][c] - b * vectors[1][c]).powi(2)).sum();
            0.5 * error + 0.1 * (a + b)
        };
        let grid = |(a0, b0): (f64, f64), step: f64| {
            let places = (-20..=20).flat_map(|i| (-20..=20).map(move |j| (i, j)));
            let places =
                places.map(|(i, j)| ((a0 + step * f64::from(i)).max(0.0), (b0 + step * f64::from(j)).max(0.0)));
            places.min_by(|p, q| at(p.0, p.1).total_cmp(&at(q.0, q.1))).unwrap()
        };
        // Convex: the least is near the coarse grid's.
        let best = [0.1, 0.02, 0.004, 0.0008].into_iter().fold((1.0, 1.0), grid);
        sum += at(best.0, best.1);
        n += 1.0;
    }
    sum / n
}

/// SPAMS learns from random batches and stops after so many; both stand in the same valley, ours not higher in it.
#[test]
fn colours_are_those_of_spams_or_better() {
    let golden = golden();
    for (image, expected) in pictures().iter().zip([&golden.a, &golden.b]) {
        let found = StainProfile::vahadane(image, &VahadaneConfig::default()).unwrap();
        for s in 0..2 {
            let cosine: f64 = (0..3).map(|c| found.vectors[s][c] * expected.vectors[s][c]).sum();
            assert!(cosine > 0.9995, "{cosine}: {found:?}, {:?}", expected.vectors);
            assert!((found.strengths[s] / expected.strengths[s] - 1.0).abs() < 0.03, "{found:?}");
        }
        let (ours, theirs) = (loss(image, &found.vectors), loss(image, &expected.vectors));
        assert!(ours <= theirs + 2e-5, "{ours}, {theirs}");
        // The test's loss is SPAMS's, but for the pixels that it leaves out.
        assert!((theirs / expected.loss - 1.0).abs() < 0.1, "{theirs}, {}", expected.loss);
    }
}

/// Numbers of 32 bits: at most 1 apart.
#[test]
fn pixels_are_those_of_spams() {
    let golden = golden();
    let expected: Vec<u8> =
        (0..golden.to_b.len()).step_by(2).map(|i| u8::from_str_radix(&golden.to_b[i..i + 2], 16).unwrap()).collect();
    let (from, to) = (golden.a.profile(), golden.b.profile());
    let mut found = pictures()[0].clone().into_raw();
    StainNormaliser::non_negative(&from, &to, &VahadaneConfig::default()).unwrap().apply(&mut found);
    assert!(largest_difference(&found, &expected) <= 1);
}

/// A slide that has the target's stains already stays as it is, but for what is no mixture of them, which goes at once:
/// more than after Macenko, since the penalty draws the colours together. As much as with SPAMS's colours (3.6 of 255 in
/// the mean for a).
#[test]
fn its_own_target_changes_nothing_twice() {
    let config = VahadaneConfig::default();
    let golden = golden();
    for (image, theirs) in pictures().iter().zip([golden.a.profile(), golden.b.profile()]) {
        let own = StainProfile::vahadane(image, &config).unwrap();
        assert_eq!(own, StainProfile::vahadane(image, &config).unwrap());
        let changed = |profile: &StainProfile, pixels: &[u8]| {
            let mut changed = pixels.to_vec();
            StainNormaliser::non_negative(profile, profile, &config).unwrap().apply(&mut changed);
            changed
        };
        let mean = |pixels: &[u8]| {
            let off = pixels.iter().zip(image.as_raw()).map(|(x, y)| f64::from(x.abs_diff(*y))).sum::<f64>();
            off / pixels.len() as f64
        };
        let once = changed(&own, image.as_raw());
        let (ours, theirs) = (mean(&once), mean(&changed(&theirs, image.as_raw())));
        assert!(ours < 4.0 && ours < theirs + 0.2, "{ours}, {theirs}");
        assert!(largest_difference(&once, &changed(&own, &once)) <= 1);
    }
}

#[test]
fn the_order_of_the_pixels_does_not_matter() {
    let config = VahadaneConfig::default();
    let image = &pictures()[0];
    let backwards: Vec<u8> = image.as_raw().chunks_exact(3).rev().flatten().copied().collect();
    let (a, b) =
        (StainProfile::vahadane(image, &config).unwrap(), StainProfile::vahadane(&backwards, &config).unwrap());
    for (a, b) in a.vectors.iter().flatten().zip(b.vectors.iter().flatten()) {
        assert!((a - b).abs() < 1e-5, "{a}, {b}");
    }
}

#[test]
fn what_has_no_stains_is_refused() {
    let config = VahadaneConfig::default();
    let refused = |rgb: &[u8]| StainProfile::vahadane(rgb, &config).unwrap_err().to_string();
    assert!(refused(&[]).contains("100 stained"));
    assert!(refused(&[1, 2]).contains("three bytes"));
    assert!(refused(&[240; 3000]).contains("100 stained"));
    assert!(refused(&[100; 3000]).contains("one colour"));
    for bad in [
        VahadaneConfig { white: f64::NAN, ..VahadaneConfig::default() },
        VahadaneConfig { sparsity: -0.1, ..VahadaneConfig::default() },
        VahadaneConfig { strength_percentile: 0.0, ..VahadaneConfig::default() },
    ] {
        assert!(StainProfile::vahadane(&pictures()[0], &bad).is_err(), "{bad:?}");
    }
}

/// A target is all that has to be kept: another slide comes out alike from its JSON.
#[test]
fn targets_are_kept_and_reached() {
    let folder = tempfile::tempdir().unwrap();
    let mpp = Some(MicronsPerPixel::square(1.0).unwrap());
    let [from, to] = [0, 1].map(|i| {
        let path = folder.path().join(format!("{i}.png"));
        // Several times over: the places that are looked at are of 128 px.
        let tile = &pictures()[i];
        RgbImage::from_fn(240, 240, |x, y| *tile.get_pixel(x % 48, y % 48)).save(&path).unwrap();
        Slide::open_with(&path, &OpenOptions { mpp, ..Default::default() }).unwrap()
    });
    for method in StainMethod::ALL {
        assert_eq!(method.to_string().parse::<StainMethod>().unwrap(), method);
        let target = StainTarget::of_slide(&to, method).unwrap();
        assert_eq!(target.method(), method);
        let json = serde_json::to_string(&target).unwrap();
        assert!(json.starts_with(&format!(r#"{{"method":"{method}","#)), "{json}");
        let again: StainTarget = serde_json::from_str(&json).unwrap();
        assert_eq!(again, target);
        let mean = |rgb: &[u8], c: usize| {
            rgb.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum::<f64>() * 3.0 / rgb.len() as f64
        };
        let [a, b] = pictures();
        let mut changed = a.clone().into_raw();
        again.normaliser(&from).unwrap().apply(&mut changed);
        let off = |rgb: &[u8]| (0..3).map(|c| (mean(rgb, c) - mean(&b, c)).abs()).fold(0.0, f64::max);
        assert!(off(&changed) < off(&a) * 0.7, "{method}: {} from {}", off(&changed), off(&a));
    }
    assert!("mackenko".parse::<StainMethod>().is_err());
    assert!(matches!(
        StainTarget::Macenko { profile: StainProfile::REFERENCE, config: MacenkoConfig::default() }.normaliser(&from),
        Ok(Normaliser::Stain(_))
    ));
}

proptest! {
    /// Any pixels: a profile or an error, no panic.
    #[test]
    fn any_pixels(rgb in prop::collection::vec(any::<u8>(), 0..1200), sparsity in 0.0..1.0f64) {
        let config = VahadaneConfig { sparsity, ..VahadaneConfig::default() };
        let mut rgb = rgb;
        if let Ok(found) = StainProfile::vahadane(&rgb, &config) {
            prop_assert!(found.vectors.iter().flatten().all(|v| (0.0..=1.0 + 1e-9).contains(v)));
            StainNormaliser::non_negative(&found, &StainProfile::REFERENCE, &config).unwrap().apply(&mut rgb);
        }
    }
}
