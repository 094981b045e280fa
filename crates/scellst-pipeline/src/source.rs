use std::path::{Path, PathBuf};

use scellst_expr::{DuplicateGenes, GeneNaming};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::{MicronsPerPixel, SectionId, SpotShape};
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Where a section's files are, and what they do not say themselves.
///
/// As `section.toml`, with paths relative to that file; all but the first three may be left out:
///
/// ```toml
/// id = "C2"
/// slide = "wsis/C2.tif"
/// counts = "st/C2.h5ad"     # or a folder of Space Ranger, a matrix of 10x, a legacy table: see `read_counts`
/// mpp = 0.686               # um per level-0 pixel; else the slide's own
/// spot_diameter_um = 100.0  # or a square's side; else from the counts' files
/// spot_shape = "disc"       # or "square"; else from the counts' files
/// spot_pitch_um = 200.0     # distance of neighbouring spots: to check the mpp and the coordinates by
/// cells = "C2.geojson"      # else they are detected
/// patient = "C"             # for splits that keep patients apart, and to see whether they do
/// batch = "run 1"           # kept in the model's record
/// layer = "counts"          # of an h5ad, in place of X
/// use_raw = false           # or an h5ad's raw/X with its genes
/// genome = "GRCh38"         # of several in a 10x matrix
/// gene_names = "symbol"     # or "id" (Ensembl)
/// duplicate_genes = "unique" # or "sum", "refuse"
/// positions = "spots.tsv"   # the table of the spots' places, where it is not where it usually is
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
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
    /// Diameter of a disc or side of a square, um, where the counts do not know.
    #[serde(default)]
    pub spot_diameter_um: Option<f64>,
    /// What a spot covers, where the counts do not know; else discs.
    #[serde(default)]
    pub spot_shape: Option<SpotShape>,
    /// Distance of neighbouring spots on the array, um (Visium 100, legacy 200): where it is given, coordinates and mpp
    /// that do not agree with it are refused.
    #[serde(default)]
    pub spot_pitch_um: Option<f64>,
    /// Cells that somebody has already, in any format that `scellst_cells::read_cells` knows.
    #[serde(default)]
    pub cells: Option<PathBuf>,
    /// Features that somebody has already, one row a cell: `.npy`, safetensors, or the `.h5` of HEST-Benchmark, TRIDENT or
    /// sCellST. Without `cells` the cells are where the table says that its rows are.
    #[serde(default)]
    pub embeddings: Option<PathBuf>,
    /// Whose tissue it is.
    #[serde(default)]
    pub patient: Option<String>,
    /// Which run or array it was measured with.
    #[serde(default)]
    pub batch: Option<String>,
    /// The layer of an h5ad that has the counts; else `X`.
    #[serde(default)]
    pub layer: Option<String>,
    /// Counts from an h5ad's `raw/X`.
    #[serde(default)]
    pub use_raw: bool,
    /// Which genome, where the counts are of several.
    #[serde(default)]
    pub genome: Option<String>,
    /// What genes are called.
    #[serde(default)]
    pub gene_names: GeneNaming,
    /// What becomes of genes of one name.
    #[serde(default)]
    pub duplicate_genes: DuplicateGenes,
    /// The table of the spots' places.
    #[serde(default)]
    pub positions: Option<PathBuf>,
}

/// What is read of a HEST `metadata/<id>.json`.
#[derive(Deserialize)]
struct HestMetadata {
    pixel_size_um_estimated: Option<f64>,
    pixel_size_um_embedded: Option<f64>,
    spot_diameter: Option<f64>,
    inter_spot_dist: Option<f64>,
    patient: Option<String>,
}

impl SectionSource {
    /// A section of which nothing else is said.
    pub fn new(id: impl Into<String>, slide: impl Into<PathBuf>, counts: impl Into<PathBuf>) -> Self {
        Self {
            id: SectionId(id.into()),
            slide: slide.into(),
            counts: counts.into(),
            mpp: None,
            spot_diameter_um: None,
            spot_shape: None,
            spot_pitch_um: None,
            cells: None,
            embeddings: None,
            patient: None,
            batch: None,
            layer: None,
            use_raw: false,
            genome: None,
            gene_names: GeneNaming::default(),
            duplicate_genes: DuplicateGenes::default(),
            positions: None,
        }
    }

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
        let mut source = Self::new(id, slide, counts);
        let path = folder.join("metadata").join(format!("{id}.json"));
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(PipelineError::io("read", &path))?;
            let metadata: HestMetadata = serde_json::from_str(&text)
                .map_err(|e| PipelineError::Description { path, problem: format!("not HEST metadata: {e}") })?;
            source.mpp = metadata.pixel_size_um_estimated.or(metadata.pixel_size_um_embedded);
            source.spot_diameter_um = metadata.spot_diameter;
            source.spot_pitch_um = metadata.inter_spot_dist;
            source.patient = metadata.patient.filter(|name| !name.trim().is_empty());
        }
        Ok(source)
    }

    /// A `section.toml`.
    ///
    /// # Errors
    /// [`PipelineError::Io`], and [`PipelineError::Description`] for what is missing, unknown or misspelt in it.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let mut source: Self = read_toml(path)?;
        source.resolve(path)?;
        Ok(source)
    }

    /// Paths relative to the folder of the file that names them.
    pub(crate) fn resolve(&mut self, file: &Path) -> Result<(), PipelineError> {
        if self.use_raw && self.layer.is_some() {
            let problem = format!("section {}: give either `layer` or `use_raw`", self.id);
            return Err(PipelineError::Description { path: file.to_owned(), problem });
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let given = [&mut self.slide, &mut self.counts].into_iter().chain(&mut self.cells).chain(&mut self.positions);
        let given = given.chain(&mut self.embeddings);
        given.for_each(|path| *path = folder.join(&*path));
        Ok(())
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

/// What a TOML file says, errors with its name and line.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PipelineError> {
    let text = std::fs::read_to_string(path).map_err(PipelineError::io("read", path))?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map(|s| text[..s.start.min(text.len())].lines().count().max(1));
        let line = at.map(|l| format!("line {l}: ")).unwrap_or_default();
        PipelineError::Description { path: path.to_owned(), problem: format!("{line}{}", e.message()) }
    })
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
        let more = "patient = 'P'\nlayer = 'counts'\nspot_shape = 'square'\ngene_names = 'id'\npositions = 'p.csv'\n";
        std::fs::write(&path, format!("id = 'a'\nslide = 'a.tif'\ncounts = 'outs'\n{more}")).unwrap();
        let source = SectionSource::read(&path).unwrap();
        assert_eq!((source.patient.as_deref(), source.layer.as_deref()), (Some("P"), Some("counts")));
        assert_eq!((source.spot_shape, source.gene_names), (Some(SpotShape::Square), GeneNaming::Id));
        assert_eq!(source.positions, Some(folder.path().join("p.csv")));
        std::fs::write(&path, format!("id = 'a'\nslide = 'a.tif'\ncounts = 'outs'\nuse_raw = true\n{more}")).unwrap();
        let e = SectionSource::read(&path).unwrap_err().to_string();
        assert!(e.contains("either `layer` or `use_raw`"), "{e}");
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
