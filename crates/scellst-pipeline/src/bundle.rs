use std::path::{Path, PathBuf};

use candle_core::Device;
use scellst_bags::LeakageReport;
use scellst_cells::{CropSpec, DetectConfig, StainTarget};
use scellst_embed::{EmbedError, Encoder, EncoderSpec};
use scellst_expr::{FilterConfig, GeneRanges, GeneSelection, Scaling};
use scellst_model::{Ensemble, MilModel, ModelShape, Pooling, TrainConfig};
use scellst_types::{MicronsPerPixel, SectionId};
use serde::{Deserialize, Serialize};

use crate::baselines::SpotWidths;
use crate::context::own_width;
use crate::elsewhere::Elsewhere;
use crate::output::Output;
use crate::{
    BaselineSet, CellOutliers, ContextSpec, PipelineError, PrepareOptions, Scored, SlideColour, SpotIntervals,
};

const FORMAT: &str = "scellst-model";
/// Raised whenever an older program would read a bundle wrongly.
const VERSION: u32 = 1;
/// Of bundles that say `stain`, which programs of version 1 would pass over.
const WITH_STAIN: u32 = 2;
/// Of bundles with context, slides scaled, losses of counts or several members.
const WITH_CONTEXT: u32 = 3;
/// Of bundles with a second crop, pixels standardised otherwise than the encoder's name says, or spots that are not the
/// mean of their cells.
const WITH_PIXELS: u32 = 4;
const MANIFEST: &str = "model.json";
const WEIGHTS: &str = "model.safetensors";
const ENCODER_WEIGHTS: &str = "encoder.safetensors";
const MOST_MEMBERS: usize = 1000;
/// A manifest of 100,000 genes has about 10 MB.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// A trained model with all that predicting needs, as one folder:
///
/// | file | what |
/// |---|---|
/// | `model.json` | the [`Manifest`] |
/// | `model.safetensors` | the network: [`MilModel::tensors`]; of an ensemble the first, then `member-1.safetensors`, ... |
/// | `encoder.safetensors` | the encoder's weights, if it has any |
/// | `conformal.json` | the [`SpotIntervals`], if enough bags validated |
/// | `outlier.safetensors` | the [`CellOutliers`], if enough cells trained |
/// | `colour.json` | the [`SlideColour`], likewise |
/// | `baselines.safetensors` | the [`BaselineSet`], if enough bags trained |
pub struct Bundle {
    manifest: Manifest,
    models: Ensemble,
    intervals: Option<SpotIntervals>,
    outliers: Option<CellOutliers>,
    colour: Option<SlideColour>,
    baselines: Option<BaselineSet>,
    /// Where it was read from.
    folder: Option<PathBuf>,
}

/// What is known of a model beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub(crate) format: String,
    pub(crate) version: u32,
    /// The program that made it.
    pub created_by: String,
    /// Names, in the order of the outputs.
    pub genes: Vec<String>,
    /// Variance of each gene's log-normalised expression over the training spots.
    pub train_variance: Vec<f64>,
    /// What outputs are multiplied with to be log-normalised expression again: the training sections' mean ranges.
    pub ranges: GeneRanges,
    /// For losses of counts, whose outputs are counts of a spot: its total over all genes, the training sections' mean
    /// of medians; for sums, whose outputs are counts of a cell, that over the mean number of cells in a training spot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typical_total: Option<f64>,
    /// How the genes were chosen.
    pub gene_selection: GeneSelection,
    /// What cells are seen by.
    pub encoder: EncoderSpec,
    /// What they are seen in.
    pub crop: CropSpec,
    /// A second, wider crop that they are seen in too; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<CropSpec>,
    /// Whether pixels are standardised by each slide's own cells, in place of the encoder's statistics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slide_pixels: bool,
    /// What the stain of every slide is brought to before that; absent if crops are as the slide is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain: Option<StainTarget>,
    /// Whether the features of each slide are standardised over its own cells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slide_scale: bool,
    /// The neighbourhood that they are seen in; absent if a cell is seen alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextSpec>,
    /// For deep sets: the cells within this radius of a cell are its set, um; the reach of the training spots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_radius_um: Option<f64>,
    /// What finds them.
    pub detect: DetectConfig,
    /// Which genes and spots took part in training.
    pub filter: FilterConfig,
    /// The network.
    pub shape: ModelShape,
    /// How many of them, from as many seeds.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// Where it comes from.
    pub training: TrainingRecord,
}

/// How a model came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// What trained.
    pub sections: Vec<SectionRecord>,
    /// Whole sections that only validated.
    pub validation: Vec<SectionRecord>,
    /// Number of bags that validated.
    pub validation_bags: usize,
    /// Name of the loss.
    pub loss: String,
    /// Of the labels.
    pub scaling: Scaling,
    /// Whether features were standardised over the training cells.
    pub standardised: bool,
    /// Optimiser, epochs, seed.
    pub config: TrainConfig,
    /// Epochs run.
    pub epochs: usize,
    /// The epoch whose weights these are.
    pub best_epoch: usize,
    /// Its validation loss.
    pub best_loss: f32,
    /// Model and baselines on the validation bags.
    pub scores: Vec<Scored>,
    /// Whether training has seen what validated; `None` in bundles from before that was looked for.
    #[serde(default)]
    pub leakage: Option<LeakageReport>,
}

/// A section as a model remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectionRecord {
    /// Its name.
    pub id: SectionId,
    /// Whose tissue it is, if known.
    #[serde(default)]
    pub patient: Option<String>,
    /// Which run or array it was measured with, if known.
    #[serde(default)]
    pub batch: Option<String>,
    /// The slide's file name.
    pub slide: String,
    /// Of the slide.
    pub mpp: MicronsPerPixel,
    /// Cells found.
    pub cells: usize,
    /// Spots after the filters.
    pub spots: usize,
    /// Spots with a cell.
    pub bags: usize,
    /// Cells in a spot.
    pub cells_in_bags: usize,
    /// Genes after the filters.
    pub genes_kept: usize,
}

fn one() -> usize {
    1
}

fn is_one(n: &usize) -> bool {
    *n == 1
}

/// File of a member's weights.
fn weights_file(member: usize) -> String {
    if member == 0 { WEIGHTS.to_owned() } else { format!("member-{member}.safetensors") }
}

impl Manifest {
    /// The two fields that say what a file is.
    pub(crate) fn header(stain: bool, context: bool, pixels: bool, pooling: Pooling) -> (String, u32) {
        let version = match (stain, context) {
            _ if pixels || pooling != Pooling::Mean => WITH_PIXELS,
            (_, true) => WITH_CONTEXT,
            (true, false) => WITH_STAIN,
            (false, false) => VERSION,
        };
        (FORMAT.to_owned(), version)
    }

    /// Features of a cell without its context.
    pub fn own_width(&self) -> usize {
        own_width(self.encoder.dim, self.coarse.as_ref())
    }

    fn check(&self, path: &Path) -> Result<(), PipelineError> {
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let genes = self.genes.len();
        for (what, found) in [
            ("outputs of the network", self.shape.genes()),
            ("training variances", self.train_variance.len()),
            ("gene ranges", self.ranges.as_slice().len()),
        ] {
            if found != genes {
                return Err(wrong(format!("{genes} genes but {found} {what}")));
            }
        }
        if !(1..=MOST_MEMBERS).contains(&self.members) {
            return Err(wrong(format!("{} members, expected 1 to {MOST_MEMBERS}", self.members)));
        }
        if self.typical_total.is_some_and(|total| !(total.is_finite() && total > 0.0)) {
            return Err(wrong("a typical total that is not above 0".into()));
        }
        if self.shape.loss().of_counts() != self.typical_total.is_some() {
            return Err(wrong("losses of counts go with a typical total, others without".into()));
        }
        let radius = self.set_radius_um.unwrap_or(1.0);
        if (self.shape.pooling() == Pooling::DeepSet) != self.set_radius_um.is_some() || !(0.1..=1e4).contains(&radius)
        {
            return Err(wrong("deep sets go with a radius of the set, 0.1 to 10,000 um, others without".into()));
        }
        let net = self.shape.input();
        let own = self.own_width();
        let given = self.context.as_ref().map_or(own, |context| context.width(own));
        if net != given {
            let with = if self.context.is_some() { " with its context" } else { "" };
            let name = &self.encoder.name;
            return Err(wrong(format!("the network takes {net} features, the encoder {name}{with} gives {given}")));
        }
        Ok(())
    }
}

impl Bundle {
    /// From its parts.
    pub(crate) fn new(manifest: Manifest, models: Ensemble) -> Self {
        Self { manifest, models, intervals: None, outliers: None, colour: None, baselines: None, folder: None }
    }

    /// With what says how far to trust it.
    pub(crate) fn with_uncertainty(
        self,
        intervals: Option<SpotIntervals>,
        outliers: Option<CellOutliers>,
        colour: Option<SlideColour>,
    ) -> Self {
        Self { intervals, outliers, colour, ..self }
    }

    /// With what it is to be held against.
    pub(crate) fn with_baselines(self, baselines: Option<BaselineSet>) -> Self {
        Self { baselines, ..self }
    }

    /// What it is to be held against: fitted on the same bags.
    pub fn baselines(&self) -> Option<&BaselineSet> {
        self.baselines.as_ref()
    }

    /// The folder that it was read from.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// How far predictions of spots were off on bags that trained nothing.
    pub fn intervals(&self) -> Option<&SpotIntervals> {
        self.intervals.as_ref()
    }

    /// What tells cells that are unlike those trained on.
    pub fn outliers(&self) -> Option<&CellOutliers> {
        self.outliers.as_ref()
    }

    /// What tells slides that are coloured otherwise than those trained on.
    pub fn colour(&self) -> Option<&SlideColour> {
        self.colour.as_ref()
    }

    /// What is known of the model.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The networks, whose mean is the prediction: one unless an ensemble was asked for.
    pub fn models(&self) -> &Ensemble {
        &self.models
    }

    /// How sections are prepared for it: as those that it was trained on.
    pub fn prepare_options(&self) -> PrepareOptions {
        let Manifest { filter, detect, crop, coarse, slide_pixels, stain, slide_scale, context, .. } =
            self.manifest.clone();
        PrepareOptions { filter, detect, crop, coarse, slide_pixels, stain, slide_scale, context, patch: None }
    }

    /// What turns their values into log-normalised expression.
    pub(crate) fn output(&self) -> Output {
        let Manifest { ranges, typical_total, .. } = &self.manifest;
        Output { ranges: ranges.clone(), typical_total: *typical_total }
    }

    /// The encoder, with the weights in the bundle or the given ones, which must be those of the training.
    ///
    /// # Errors
    /// [`PipelineError::Embed`] if there are none, or others.
    pub fn open_encoder(&self, weights: Option<&Path>, device: &Device) -> Result<Box<dyn Encoder>, PipelineError> {
        let kept = self.folder.as_ref().map(|f| f.join(ENCODER_WEIGHTS)).filter(|p| p.is_file());
        let path = weights.map(Path::to_owned).or(kept);
        let wanted = &self.manifest.encoder;
        if wanted.name == Elsewhere::NAME {
            return Ok(Box::new(Elsewhere::new(wanted.dim)));
        }
        let mut encoder = scellst_embed::open(&wanted.name, path.as_deref(), device)?;
        if encoder.spec().pixels != wanted.pixels {
            encoder = scellst_embed::open_normalised(&wanted.name, path.as_deref(), wanted.pixels, device)?;
        }
        if let (Some(expected), Some(found)) = (&wanted.weights, &encoder.spec().weights)
            && expected.sha256 != found.sha256
        {
            return Err(EmbedError::WeightsHash {
                path: path.unwrap_or_default(),
                expected: expected.sha256.clone(),
                found: found.sha256.clone(),
            }
            .into());
        }
        if (wanted.version, wanted.dim) != (encoder.spec().version, encoder.spec().dim) {
            let found = encoder.spec();
            return Err(PipelineError::Misuse(format!(
                "the model wants version {} of the encoder {} ({} features), this program has version {} ({} features)",
                wanted.version, wanted.name, wanted.dim, found.version, found.dim
            )));
        }
        Ok(encoder)
    }

    /// Writes the folder: under a temporary name beside it first, so that it is whole or not there. A bundle that is
    /// there already is replaced, any other folder is not touched.
    ///
    /// # Errors
    /// [`PipelineError::Io`], [`PipelineError::Misuse`] if something else has that name.
    pub fn save(&self, folder: &Path, encoder_weights: Option<&Path>) -> Result<(), PipelineError> {
        self.save_with(folder, encoder_weights, &[])
    }

    /// As [`Bundle::save`] with further files in it, `(name, content)`.
    ///
    /// # Errors
    /// As [`Bundle::save`].
    pub fn save_with(
        &self,
        folder: &Path,
        encoder_weights: Option<&Path>,
        extra: &[(&str, Vec<u8>)],
    ) -> Result<(), PipelineError> {
        let exists = folder.exists();
        if exists && !folder.join(MANIFEST).is_file() && !is_empty_folder(folder) {
            let path = folder.display();
            return Err(PipelineError::Misuse(format!("{path} exists and is no model bundle: choose another --out")));
        }
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(PipelineError::io("write", parent))?;
        let fresh = tempfile::Builder::new()
            .prefix(".model-")
            .tempdir_in(parent)
            .map_err(PipelineError::io("write", parent))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = fresh.path().join(name);
            std::fs::write(&path, bytes).map_err(PipelineError::io("write", &path))
        };
        let json = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|e| PipelineError::Description { path: folder.join(MANIFEST), problem: e.to_string() })?;
        write(MANIFEST, &json)?;
        for (member, model) in self.models.members().iter().enumerate() {
            let path = fresh.path().join(weights_file(member));
            candle_core::safetensors::save(&model.tensors()?, &path)
                .map_err(|e| PipelineError::Description { path, problem: e.to_string() })?;
        }
        if let Some(weights) = encoder_weights {
            std::fs::copy(weights, fresh.path().join(ENCODER_WEIGHTS)).map_err(PipelineError::io("copy", weights))?;
        }
        if let Some(intervals) = &self.intervals {
            write(SpotIntervals::FILE, &intervals.to_json()?)?;
        }
        if let Some(outliers) = &self.outliers {
            write(CellOutliers::FILE, &outliers.to_bytes()?)?;
        }
        if let Some(colour) = &self.colour {
            write(SlideColour::FILE, &colour.to_json()?)?;
        }
        if let Some(baselines) = &self.baselines {
            write(BaselineSet::FILE, &baselines.to_bytes()?)?;
        }
        extra.iter().try_for_each(|(name, bytes)| write(name, bytes))?;
        if exists {
            std::fs::remove_dir_all(folder).map_err(PipelineError::io("replace", folder))?;
        }
        let fresh = fresh.keep();
        std::fs::rename(&fresh, folder).map_err(|e| {
            // Best effort: the error that is told is the rename's.
            let _ = std::fs::remove_dir_all(&fresh);
            PipelineError::io("write", folder)(e)
        })
    }

    /// Reads a folder that [`Bundle::save`] wrote.
    ///
    /// # Errors
    /// [`PipelineError::Io`], [`PipelineError::BundleVersion`], [`PipelineError::Description`] for a manifest that
    /// contradicts itself, [`PipelineError::Model`] for weights that do not fit it.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, PipelineError> {
        let path = folder.join(MANIFEST);
        let length = std::fs::metadata(&path).map_err(PipelineError::io("read", &path))?.len();
        let wrong = |problem: String| PipelineError::Description { path: path.clone(), problem };
        if length > MAX_MANIFEST_BYTES {
            return Err(wrong(format!("{length} bytes are over the limit of {MAX_MANIFEST_BYTES}")));
        }
        let bytes = std::fs::read(&path).map_err(PipelineError::io("read", &path))?;
        // The version first: what else is in there depends on it.
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let head: Head =
            serde_json::from_slice(&bytes).map_err(|e| wrong(format!("no manifest of a model bundle: {e}")))?;
        if head.format != FORMAT || !(VERSION..=WITH_PIXELS).contains(&head.version) {
            return Err(PipelineError::BundleVersion {
                path: folder.to_owned(),
                expected: format!("{FORMAT} {VERSION} to {WITH_PIXELS}"),
                found: format!("{} {}", head.format, head.version),
            });
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        manifest.check(&path)?;
        let mut members = Vec::new();
        for member in 0..manifest.members {
            let weights = folder.join(weights_file(member));
            let bytes = std::fs::read(&weights).map_err(PipelineError::io("read", &weights))?;
            let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| {
                PipelineError::Description { path: weights, problem: format!("not a safetensors file: {e}") }
            })?;
            members.push(MilModel::from_tensors(manifest.shape.clone(), &tensors, device)?);
        }
        let models = Ensemble::new(members)?;
        let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let intervals = there(SpotIntervals::FILE).map(|path| SpotIntervals::read(&path)).transpose()?;
        let outliers = match there(CellOutliers::FILE) {
            Some(path) => {
                let outliers = CellOutliers::read(&path)?;
                if outliers.dim() != manifest.own_width() {
                    let (found, expected) = (outliers.dim(), manifest.own_width());
                    let problem = format!("made for {found} features, the encoder gives {expected}");
                    return Err(PipelineError::Description { path, problem });
                }
                Some(outliers)
            }
            None => None,
        };
        let colour = there(SlideColour::FILE).map(|path| SlideColour::read(&path)).transpose()?;
        let baselines = match there(BaselineSet::FILE) {
            Some(path) => {
                let baselines = BaselineSet::read(&path)?;
                let widths = SpotWidths {
                    patch: manifest.encoder.dim,
                    own: manifest.own_width(),
                    with_context: manifest.shape.input(),
                };
                baselines
                    .check(manifest.genes.len(), widths)
                    .map_err(|problem| PipelineError::Description { path, problem })?;
                Some(baselines)
            }
            None => None,
        };
        Ok(Self { manifest, models, intervals, outliers, colour, baselines, folder: Some(folder.to_owned()) })
    }
}

fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
