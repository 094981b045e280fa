//! What users get wrong: each one clear line, exit status 1, and no output left behind.
#![cfg(feature = "h5ad")]

mod support;

use std::path::{Path, PathBuf};

use scellst::h5::{SectionParts, write_section};
use scellst::sim::{SimConfig, SyntheticSection};
use scellst::types::{Level0, Point};
use support::{entries, fails, succeeds};

/// A small section, made once: `slide.tif`, `spots.h5ad`, `section.toml`.
struct Fixture {
    folder: tempfile::TempDir,
    section: SyntheticSection,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SimConfig { size_um: (700.0, 700.0), ..SimConfig::default() };
        let section = SyntheticSection::generate(&config).unwrap();
        section.write_slide(folder.path().join("slide.tif"), &|_, _| ()).unwrap();
        let fixture = Self { folder, section };
        fixture.spots("spots.h5ad", Some(fixture.section.spots().centres()));
        fixture.describe("section.toml", "slide.tif", "spots.h5ad", "spot_diameter_um = 55.0");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn spots(&self, name: &str, spatial: Option<&[Point<Level0>]>) {
        let parts = SectionParts { spatial, ..SectionParts::default() };
        write_section(self.path(name), self.section.spot_counts(), &parts).unwrap();
    }

    fn describe(&self, name: &str, slide: &str, counts: &str, more: &str) {
        let text = format!("id = 'a'\nslide = '{slide}'\ncounts = '{counts}'\n{more}\n");
        std::fs::write(self.path(name), text).unwrap();
    }

    /// `train` on a description must fail and leave no model.
    fn train_fails(&self, section: &str, genes: &str, words: &[&str]) {
        let before = entries(self.folder.path());
        fails("train", &["--section", &self.text(section), "--genes", genes, "--out", &self.text("model")], words);
        assert_eq!(entries(self.folder.path()), before, "something was left behind");
    }

    fn train(&self) {
        let args = ["--section", &self.text("section.toml"), "--genes", "var:20", "--epochs", "2"];
        succeeds("train", &[&args[..], &["--out", &self.text("model")]].concat());
    }

    /// `predict` with a model must fail and leave no prediction.
    fn predict_fails(&self, model: &str, slide: &str, words: &[&str]) {
        let before = entries(self.folder.path());
        let (model, slide, out) = (self.text(model), self.text(slide), self.text("pred.h5ad"));
        fails("predict", &["--model", &model, "--slide", &slide, "--out", &out], words);
        assert_eq!(entries(self.folder.path()), before, "something was left behind");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in entries(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn slides_that_are_none() {
    let f = Fixture::new();
    let whole = std::fs::read(f.path("slide.tif")).unwrap();
    std::fs::write(f.path("empty.tif"), b"").unwrap();
    std::fs::write(f.path("cut.tif"), &whole[..whole.len() / 3]).unwrap();
    std::fs::write(f.path("text.tif"), b"this is no picture").unwrap();
    let before = entries(f.folder.path());
    for (slide, word) in
        [("none.tif", "none.tif"), ("empty.tif", "empty"), ("cut.tif", "cut.tif"), ("text.tif", "text.tif")]
    {
        let out = f.text("out.png");
        fails("slide_info", &["--slide", &f.text(slide)], &[word]);
        let region = ["--x", "0", "--y", "0", "--width", "9", "--height", "9", "--out", &out];
        fails("read_region", &[&["--slide", &f.text(slide)], &region[..]].concat(), &[word]);
        fails("detect_cells", &["--slide", &f.text(slide), "--out", &f.text("cells.geojson")], &[word]);
    }
    assert_eq!(entries(f.folder.path()), before);
    let level =
        ["--slide", &f.text("slide.tif"), "--level", "99", "--x", "0", "--y", "0", "--width", "9", "--height", "9"];
    fails("read_region", &[&level[..], &["--out", &f.text("out.png")]].concat(), &["99"]);
    // A folder that is not there is said before the work, not after it.
    fails("detect_cells", &["--slide", &f.text("slide.tif"), "--out", &f.text("none/cells.geojson")], &["none"]);
}

#[test]
fn a_tile_beyond_the_end_of_the_file() {
    let f = Fixture::new();
    let mut bytes = std::fs::read(f.path("slide.tif")).unwrap();
    let moved = support::move_tile_offsets(&mut bytes, u32::MAX - 1_000_000);
    assert!(moved > 0, "no tile offsets found");
    std::fs::write(f.path("far.tif"), &bytes).unwrap();
    let before = entries(f.folder.path());
    fails("detect_cells", &["--slide", &f.text("far.tif"), "--out", &f.text("cells.geojson")], &["far.tif", "tile"]);
    assert_eq!(entries(f.folder.path()), before);
}

#[test]
fn sections_that_cannot_be_trained_on() {
    let f = Fixture::new();
    f.spots("nowhere.h5ad", None);
    f.describe("nowhere.toml", "slide.tif", "nowhere.h5ad", "spot_diameter_um = 55.0");
    f.train_fails("nowhere.toml", "var:20", &["nowhere.h5ad", "spatial"]);

    f.describe("diameter.toml", "slide.tif", "spots.h5ad", "");
    f.train_fails("diameter.toml", "var:20", &["spot_diameter_fullres"]);

    let far: Vec<Point<Level0>> = f.section.spots().centres().iter().map(|p| Point::new(p.x + 1e6, p.y)).collect();
    f.spots("far.h5ad", Some(&far));
    f.describe("far.toml", "slide.tif", "far.h5ad", "spot_diameter_um = 55.0");
    f.train_fails("far.toml", "var:20", &["far.h5ad", "spots lie outside of the slide"]);

    // Coordinates of an image half as large, as everybody has them once.
    let half: Vec<Point<Level0>> =
        f.section.spots().centres().iter().map(|p| Point::new(p.x / 2.0, p.y / 2.0)).collect();
    f.spots("half.h5ad", Some(&half));
    let pitch = f.section.spots().pitch_px().unwrap() * f.section.mpp().mean();
    f.describe("half.toml", "slide.tif", "half.h5ad", &format!("spot_diameter_um = 55.0\nspot_pitch_um = {pitch}"));
    f.train_fails("half.toml", "var:20", &["half.h5ad", "another scale", "2.0000 times as large", "apart"]);

    std::fs::write(f.path("genes.csv"), "gene\nNOT_A_GENE\n").unwrap();
    f.train_fails("section.toml", &f.text("genes.csv"), &["NOT_A_GENE"]);

    // A picture without any resolution.
    let picture = image::RgbImage::from_pixel(900, 900, image::Rgb([200, 150, 190]));
    picture.save(f.path("plain.png")).unwrap();
    f.describe("plain.toml", "plain.png", "spots.h5ad", "spot_diameter_um = 55.0");
    f.train_fails("plain.toml", "var:20", &["plain.png", "mpp"]);

    f.train_fails("none.toml", "var:20", &["none.toml"]);
    let encoder = ["--section", &f.text("section.toml"), "--genes", "var:20", "--out", &f.text("model"), "--encoder"];
    fails("train", &[&encoder[..], &["resnet9000"]].concat(), &["resnet9000", "morphology"]);
    fails("train", &[&encoder[..], &["mobilenet-v1"]].concat(), &["--weights"]);
    std::fs::write(f.path("bad.safetensors"), b"nothing").unwrap();
    let weights = ["mobilenet-v1", "--weights", &f.text("bad.safetensors")];
    fails("train", &[&encoder[..], &weights].concat(), &["bad.safetensors"]);
    assert!(!f.path("model").exists());
}

#[test]
fn models_that_do_not_fit() {
    let f = Fixture::new();
    f.train();
    f.predict_fails("none", "slide.tif", &["none"]);

    let manifest = std::fs::read_to_string(f.path("model/model.json")).unwrap();
    let change = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::from_str(&manifest).unwrap();
        change(&mut json);
        copy_folder(&f.path("model"), &f.path(name));
        std::fs::write(f.path(name).join("model.json"), json.to_string()).unwrap();
    };
    change("newer", &|json| json["version"] = 99.into());
    f.predict_fails("newer", "slide.tif", &["newer", "scellst-model 99", "scellst-model 1 to 4"]);
    change("other", &|json| json["shape"]["hidden"][0] = 255.into());
    f.predict_fails("other", "slide.tif", &["layers.0.weight", "255"]);
    change("fewer", &|json| json["genes"] = serde_json::json!(["A"]));
    f.predict_fails("fewer", "slide.tif", &["model.json", "1 genes"]);
    copy_folder(&f.path("model"), &f.path("broken"));
    std::fs::write(f.path("broken/model.json"), &manifest[..manifest.len() / 2]).unwrap();
    f.predict_fails("broken", "slide.tif", &["model.json"]);

    copy_folder(&f.path("model"), &f.path("cut"));
    let weights = std::fs::read(f.path("model/model.safetensors")).unwrap();
    std::fs::write(f.path("cut/model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    f.predict_fails("cut", "slide.tif", &["model.safetensors"]);

    // An output that is there already, and is no bundle, is not replaced.
    std::fs::create_dir(f.path("mine")).unwrap();
    std::fs::write(f.path("mine/notes.txt"), "keep").unwrap();
    let args = ["--section", &f.text("section.toml"), "--genes", "var:20", "--epochs", "1", "--out", &f.text("mine")];
    fails("train", &args, &["mine"]);
    assert_eq!(entries(&f.path("mine")), ["notes.txt"]);
}

#[test]
fn comparisons_that_make_no_sense() {
    let f = Fixture::new();
    f.train();
    let (model, slide, pred) = (f.text("model"), f.text("slide.tif"), f.text("pred.h5ad"));
    succeeds("predict", &["--model", &model, "--slide", &slide, "--out", &pred]);
    let (out, before) = (f.text("metrics.csv"), entries(f.folder.path()));
    fails("evaluate", &["--pred", &pred, "--truth", &f.text("none.h5ad"), "--out", &out], &["none.h5ad"]);
    fails("evaluate", &["--pred", &slide, "--truth", &f.text("spots.h5ad"), "--out", &out], &["HDF5"]);
    fails("evaluate", &["--pred", &pred, "--truth", &f.text("spots.h5ad"), "--out", &out], &["spot_diameter_fullres"]);
    assert_eq!(entries(f.folder.path()), before);
    let diameter = ["--pred", &pred, "--truth", &f.text("spots.h5ad"), "--out", &out, "--spot-diameter", "55"];
    let said = succeeds("evaluate", &diameter);
    assert!(said.contains("20 genes"), "{said}");
}
