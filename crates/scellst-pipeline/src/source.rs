use std::path::{Path, PathBuf};

use scellst_slide::OpenOptions;
use scellst_slide::Slide;
use scellst_types::{MicronsPerPixel, SectionId};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Where a section's files are, and what they do not say themselves.
///
/// As `section.toml`, with paths relative to that file:
///
/// ```toml
/// id = "C2"
/// slide = "wsis/C2.tif"
/// counts = "st/C2.h5ad"     # or a folder of Space Ranger, a matrix of 10x, a legacy table: see `read_counts`
/// mpp = 0.686               # um per level-0 pixel; else the slide's own
/// spot_diameter_um = 100.0  # else from the counts' files
/// spot_pitch_um = 200.0     # distance of neighbouring spots: to check the mpp and the coordinates by
/// cells = "C2.geojson"      # else they are detected
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionSource {
    /// Its name.
    pub id: SectionId,
    /// The slide.
    pub slide: PathBuf,
    /// The spots' counts: an h5ad, or anything else that `scellst_h5::read_counts` knows.
    pub counts: PathBuf,
    /// um per level-0 pixel, where the slide does not know or is wrong.
    #[serde(default)]
    pub mpp: Option<f64>,
    /// Diameter of a spot, um, where the h5ad does not know.
    #[serde(default)]
    pub spot_diameter_um: Option<f64>,
    /// Distance of neighbouring spots on the array, um (Visium 100, legacy 200): where it is given, coordinates and mpp
    /// that do not agree with it are refused.
    #[serde(default)]
    pub spot_pitch_um: Option<f64>,
    /// Cells that somebody has already, in any format that `scellst_cells::read_cells` knows.
    #[serde(default)]
    pub cells: Option<PathBuf>,
}

/// What is read of a HEST `metadata/<id>.json`.
#[derive(Deserialize)]
struct HestMetadata {
    pixel_size_um_estimated: Option<f64>,
    pixel_size_um_embedded: Option<f64>,
    spot_diameter: Option<f64>,
    inter_spot_dist: Option<f64>,
}

impl SectionSource {
    /// The section `id` of a folder in HEST layout: `st/<id>.h5ad`, `wsis/<id>.*`, `metadata/<id>.json`.
    ///
    /// # Errors
    /// [`PipelineError::Missing`] naming the files looked for, [`PipelineError::Description`] for metadata that is no
    /// JSON.
    pub fn hest(folder: &Path, id: &str) -> Result<Self, PipelineError> {
        let counts = folder.join("st").join(format!("{id}.h5ad"));
        if !counts.is_file() {
            return Err(missing(&format!("the counts of section {id}"), &[counts]));
        }
        let names = ["tif", "tiff", "svs", "jpg", "jpeg", "png"].map(|e| folder.join("wsis").join(format!("{id}.{e}")));
        let Some(slide) = names.iter().find(|p| p.is_file()).cloned() else {
            return Err(missing(&format!("the slide of section {id}"), &names));
        };
        let path = folder.join("metadata").join(format!("{id}.json"));
        let (mut mpp, mut spot_diameter_um, mut spot_pitch_um) = (None, None, None);
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(PipelineError::io("read", &path))?;
            let metadata: HestMetadata = serde_json::from_str(&text)
                .map_err(|e| PipelineError::Description { path, problem: format!("not HEST metadata: {e}") })?;
            mpp = metadata.pixel_size_um_estimated.or(metadata.pixel_size_um_embedded);
            spot_diameter_um = metadata.spot_diameter;
            spot_pitch_um = metadata.inter_spot_dist;
        }
        Ok(Self { id: SectionId(id.to_owned()), slide, counts, mpp, spot_diameter_um, spot_pitch_um, cells: None })
    }

    /// A `section.toml`.
    ///
    /// # Errors
    /// [`PipelineError::Io`], and [`PipelineError::Description`] for what is missing, unknown or misspelt in it.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let text = std::fs::read_to_string(path).map_err(PipelineError::io("read", path))?;
        let mut source: Self = toml::from_str(&text).map_err(|e| {
            let at = e.span().map(|s| text[..s.start.min(text.len())].lines().count().max(1));
            let line = at.map(|l| format!("line {l}: ")).unwrap_or_default();
            PipelineError::Description { path: path.to_owned(), problem: format!("{line}{}", e.message()) }
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        source.slide = folder.join(&source.slide);
        source.counts = folder.join(&source.counts);
        source.cells = source.cells.map(|c| folder.join(c));
        Ok(source)
    }

    /// Opens the slide, with the mpp given here if there is one.
    ///
    /// # Errors
    /// [`PipelineError::Unit`] for an mpp that is none; what opening gives.
    pub fn open_slide(&self) -> Result<Slide, PipelineError> {
        let mpp = self.mpp.map(MicronsPerPixel::square).transpose()?;
        Ok(Slide::open_with(&self.slide, &OpenOptions { mpp, ..OpenOptions::default() })?)
    }
}

fn missing(what: &str, looked_for: &[PathBuf]) -> PipelineError {
    let names: Vec<String> = looked_for.iter().map(|p| p.display().to_string()).collect();
    PipelineError::Missing { what: what.to_owned(), looked_for: names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_relative_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("section.toml");
        std::fs::write(&path, "id = 'a'\nslide = 'a.tif'\ncounts = 'a.h5ad'\nmpp = 0.5\n").unwrap();
        let source = SectionSource::read(&path).unwrap();
        assert_eq!(source.slide, folder.path().join("a.tif"));
        assert_eq!((source.mpp, source.spot_diameter_um), (Some(0.5), None));
        std::fs::write(&path, "id = 'a'\nslide = 'a.tif'\ncounts = 'a.h5ad'\nmppp = 0.5\n").unwrap();
        let e = SectionSource::read(&path).unwrap_err().to_string();
        assert!(e.contains("mppp") && e.contains("section.toml"), "{e}");
        assert!(SectionSource::read(&folder.path().join("none.toml")).unwrap_err().to_string().contains("none.toml"));
    }

    #[test]
    fn a_hest_folder_says_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let e = SectionSource::hest(folder.path(), "C9").unwrap_err().to_string();
        assert!(e.contains("C9.h5ad"), "{e}");
        std::fs::create_dir(folder.path().join("st")).unwrap();
        std::fs::write(folder.path().join("st/C9.h5ad"), b"").unwrap();
        let e = SectionSource::hest(folder.path(), "C9").unwrap_err().to_string();
        assert!(e.contains("wsis") && e.contains("C9.tif"), "{e}");
    }
}
