use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};
use scellst_cells::{Cells, Normaliser};
use scellst_embed::Encoder;
use scellst_slide::Slide;

use crate::context::SlideCells;
use crate::prepare::find_cells;
use crate::{Bundle, Observer, PipelineError, SlideScale};
#[cfg(feature = "h5ad")]
use crate::{ColourShift, cell_colours};

/// Cells that are cropped, embedded and predicted at a time: what memory depends on.
const BLOCK: usize = 16_384;

/// How to predict.
#[derive(Debug, Clone, Default)]
pub struct PredictOptions {
    /// The encoder's weights, where they are not in the bundle.
    pub encoder_weights: Option<PathBuf>,
}

/// A slide whose cells are found, to be predicted as they are asked for.
pub struct Predicted<'a> {
    bundle: &'a Bundle,
    slide: &'a Slide,
    encoder: Box<dyn Encoder>,
    cells: Cells,
    /// Where the model was trained on normalised crops.
    stain: Option<Normaliser>,
    /// Where features are standardised a slide at a time.
    scale: Option<SlideScale>,
}

/// Finds the cells of a slide (or takes the given ones) and makes ready to predict them. Needs no transcriptomics.
///
/// # Errors
/// [`PipelineError::Slide`] without an mpp, [`PipelineError::Embed`] if the encoder's weights are missing or others,
/// [`PipelineError::Misuse`] if there is no cell.
pub fn predict<'a>(
    bundle: &'a Bundle,
    slide: &'a Slide,
    cells: Option<&Path>,
    options: &PredictOptions,
    observer: &dyn Observer,
) -> Result<Predicted<'a>, PipelineError> {
    slide.require_mpp()?;
    let encoder = bundle.open_encoder(options.encoder_weights.as_deref(), bundle.models().members()[0].device())?;
    let cells = find_cells(slide, cells, &bundle.manifest().detect, observer)?;
    observer.note(&format!("{} cells", cells.len()));
    let stain = bundle.manifest().stain.as_ref().map(|target| target.normaliser(slide)).transpose()?;
    let mut predicted = Predicted { bundle, slide, encoder, cells, stain, scale: None };
    if bundle.manifest().slide_scale {
        predicted.scale = Some(predicted.seen().measure_scale(observer)?);
    }
    Ok(predicted)
}

impl Predicted<'_> {
    /// The cells, in the order of the rows.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Log-normalised expression of some cells, `(cells, genes)`: positive, the unit of `log1p(counts / total * 10,000)`.
    ///
    /// # Errors
    /// What cropping, embedding and the network give.
    pub fn rows(&self, cells: Range<usize>, observer: &dyn Observer) -> Result<Array2<f32>, PipelineError> {
        let cells: Vec<u32> = cells.map(|cell| cell as u32).collect();
        let features = self.seen().features(&cells, observer)?;
        Ok(self.expression(features.view())?.0)
    }

    /// What the networks make of features, and how far they differ on each cell.
    fn expression(&self, features: ArrayView2<'_, f32>) -> Result<(Array2<f32>, Vec<f32>), PipelineError> {
        self.bundle.output().expression(self.bundle.models(), features)
    }

    fn seen(&self) -> SlideCells<'_> {
        let manifest = self.bundle.manifest();
        SlideCells {
            slide: self.slide,
            places: self.cells.centroids(),
            crop: &manifest.crop,
            stain: self.stain.as_ref(),
            encoder: self.encoder.as_ref(),
            scale: self.scale.as_ref(),
            context: manifest.context.as_ref(),
        }
    }

    /// All rows, block by block in order; memory does not grow with the number of cells times genes.
    ///
    /// A model with context keeps the features of cells that later blocks look at: few where cells come in an order of
    /// place, as the detector gives them, at worst those of all cells.
    ///
    /// # Errors
    /// As [`Predicted::rows`], and those of `take`.
    pub fn for_each_block(
        &self,
        observer: &dyn Observer,
        mut take: impl FnMut(Range<usize>, Array2<f32>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        self.for_each_features(observer, |range, features| take(range, self.expression(features.view())?.0))
    }

    fn for_each_features(
        &self,
        observer: &dyn Observer,
        take: impl FnMut(Range<usize>, Array2<f32>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        observer.stage("predicting");
        let cells: Vec<u32> = (0..self.cells.len() as u32).collect();
        self.seen().for_each_block(&cells, BLOCK, observer, take)
    }

    /// Writes `pred.h5ad`: one row a cell, one column a gene, `obsm['spatial']` in level-0 pixels, areas and scores in
    /// `obs`, `var['train_variance']`, provenance in `uns['scellst']`. Whole or not at all.
    ///
    /// Of an ensemble: `obs['ensemble_spread']`, the members' standard deviation, the mean over genes.
    ///
    /// Where the bundle says how far to trust it: `obs['ood_distance']` (how unlike the training cells a cell looks),
    /// `obs['colour_distance']` (how unlike it is coloured), `obs['abstain']` (too unlike in either),
    /// `uns['scellst_outliers']` and `uns['scellst_colour']` (the slide as a whole), and `var['spot_interval90_lower']` and `_upper`, to be added to a spot's mean
    /// prediction for an interval that held 90 % of the validation spots. None is known for single cells.
    ///
    /// # Errors
    /// As [`Predicted::rows`]; [`PipelineError::H5`].
    #[cfg(feature = "h5ad")]
    pub fn write_h5ad(&self, path: &Path, observer: &dyn Observer) -> Result<(), PipelineError> {
        use ndarray::Axis;
        use scellst_h5::{Column, PredictionHeader, PredictionWriter, SpatialLibrary};

        let manifest = self.bundle.manifest();
        let mpp = self.slide.require_mpp()?;
        let ids: Vec<String> = (0..self.cells.len()).map(|i| self.cells.id(i)).collect();
        let mut obs = vec![
            ("area_um2".to_owned(), Column::F32(self.cells.area_um2().to_vec())),
            ("score".to_owned(), Column::F32(self.cells.scores().to_vec())),
        ];
        if (0..self.cells.len()).any(|i| self.cells.class(i).is_some()) {
            let classes = (0..self.cells.len()).map(|i| self.cells.class(i).map(str::to_owned)).collect();
            obs.push(("class".to_owned(), Column::Category(classes)));
        }
        let file = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let training = &manifest.training;
        let (picture, covers) = self.slide.thumbnail(THUMBNAIL_SIDE)?;
        let shape = (picture.height() as usize, picture.width() as usize, 3);
        let thumbnail = ndarray::ArrayView3::from_shape(shape, picture.as_raw())
            .map_err(|e| PipelineError::Description { path: path.to_owned(), problem: e.to_string() })?;
        let slide_name = self.slide.path().file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let library = SpatialLibrary {
            id: &slide_name,
            thumbnail: Some(thumbnail),
            thumbnail_scale: covers.recip(),
            diameter_px: usual_diameter_um(self.cells.area_um2()) / mpp.mean(),
        };
        let header = PredictionHeader {
            library: Some(library),
            obs_names: &ids,
            var_names: &manifest.genes,
            spatial: self.cells.centroids(),
            obs,
            var: self.var_columns()?,
            uns: serde_json::json!({ "scellst": {
                "created_by": concat!("scellst ", env!("CARGO_PKG_VERSION")),
                "unit": "log1p of counts per 10,000, predicted from H&E, not measured",
                "slide": file(self.slide.path()),
                // Where evaluating finds the baselines, and what they see.
                "slide_path": self.slide.path().display().to_string(),
                "model_path": self.bundle.folder().map(|folder| folder.display().to_string()),
                "mpp_x": mpp.x(),
                "mpp_y": mpp.y(),
                "encoder": manifest.encoder.name,
                "encoder_sha256": manifest.encoder.weights.as_ref().map(|w| w.sha256.clone()),
                "context_radii_um": manifest.context.as_ref().map(|c| c.radii_um().to_vec()),
                "stain": manifest.stain.as_ref().map(|s| s.method().to_string()),
                "training_sections": training.sections.iter().map(|s| s.id.0.clone()).collect::<Vec<_>>(),
                "loss": training.loss,
                "members": manifest.members,
                "genes_chosen_by": manifest.gene_selection.to_string(),
                "best_epoch": training.best_epoch,
                "seed": training.config.seed,
            }}),
        };
        let mut writer = PredictionWriter::create(path, &header, None)?;
        let outliers = self.bundle.outliers();
        let (mut distances, mut spreads) = (Vec::new(), Vec::new());
        self.for_each_features(observer, |_, features| {
            if let Some(outliers) = outliers {
                let mut own = features.slice_axis(Axis(1), (..outliers.dim()).into()).to_owned();
                // What standardising takes away is what makes a slide unlike others.
                if let Some(scale) = &self.scale {
                    scale.undo(own.view_mut());
                }
                distances.extend(outliers.distances(own.view())?);
            }
            let (values, spread) = self.expression(features.view())?;
            spreads.extend(spread);
            Ok(writer.write_rows(values.view())?)
        })?;
        if manifest.members > 1 {
            writer.add_obs("ensemble_spread", &Column::F32(spreads))?;
        }
        let mut abstain: Option<Vec<bool>> = None;
        if let Some(outliers) = outliers {
            let judged = outliers.judge(distances)?;
            writer.add_uns("scellst_outliers", &serde_json::to_value(judged.summary).unwrap_or_default())?;
            writer.add_obs("ood_distance", &Column::F32(judged.distance))?;
            abstain = Some(judged.abstain);
        }
        if let Some(found) = self.colour_shift(observer)? {
            if found.is_unlike() {
                observer.note(&format!(
                    "the slide is coloured otherwise than those trained on: its cells' mean is {:.1} standard deviations \
                     off, at most {:.1} were expected; see --stain",
                    found.shift, found.limit
                ));
            }
            let summary = serde_json::json!({
                "shift": found.shift,
                "limit": found.limit,
                "unlike": found.is_unlike(),
                "unlike_share": found.unlike_share(),
            });
            writer.add_uns("scellst_colour", &summary)?;
            let by_features = abstain.unwrap_or_else(|| vec![false; found.unlike.len()]);
            abstain = Some(by_features.iter().zip(&found.unlike).map(|(a, b)| *a || *b).collect());
            writer.add_obs("colour_distance", &Column::F32(found.distance))?;
        }
        if let Some(abstain) = abstain {
            let flagged = abstain.iter().filter(|&&flag| flag).count() as f64 / abstain.len().max(1) as f64;
            let flagged = 100.0 * flagged;
            observer.note(&format!("{flagged:.1} % of the cells look unlike those trained on (obs['abstain'])"));
            writer.add_obs("abstain", &Column::Bool(abstain))?;
        }
        Ok(writer.finish()?)
    }

    /// How the slide's cells are coloured beside those trained on, where the bundle knows.
    #[cfg(feature = "h5ad")]
    fn colour_shift(&self, observer: &dyn Observer) -> Result<Option<ColourShift>, PipelineError> {
        let Some(colour) = self.bundle.colour() else { return Ok(None) };
        observer.stage("measuring colours");
        let crop = &self.bundle.manifest().crop;
        let colours = cell_colours(self.slide, self.cells.centroids(), crop, self.stain.as_ref())?;
        colour.judge(colours.view()).map(Some)
    }

    /// What the genes' columns say: their variance, and how far to go down and up from a spot's prediction to hold 90 %
    /// of spots.
    #[cfg(feature = "h5ad")]
    fn var_columns(&self) -> Result<Vec<(String, scellst_h5::Column)>, PipelineError> {
        use scellst_h5::Column;

        let manifest = self.bundle.manifest();
        let mut columns = vec![("train_variance".to_owned(), Column::F64(manifest.train_variance.clone()))];
        if let Some(intervals) = self.bundle.intervals() {
            let zero = Array2::zeros((1, manifest.genes.len()));
            let (low, high) = intervals.apply(0.9, zero.view())?;
            for (name, offsets) in [("spot_interval90_lower", low), ("spot_interval90_upper", high)] {
                columns.push((name.to_owned(), Column::F32(offsets.into_iter().collect())));
            }
        }
        Ok(columns)
    }
}

/// Longer side of the picture that travels with predictions, px: as of Space Ranger's hires image.
#[cfg(feature = "h5ad")]
const THUMBNAIL_SIDE: u32 = 1000;

/// Diameter of a disc of the mean nucleus's area, um; 8 where no area is known.
#[cfg(feature = "h5ad")]
fn usual_diameter_um(areas: &[f32]) -> f64 {
    let known = areas.iter().map(|&a| f64::from(a)).filter(|a| a.is_finite() && *a > 0.0);
    let (sum, n) = known.fold((0.0, 0u32), |(sum, n), a| (sum + a, n + 1));
    if n == 0 { 8.0 } else { 2.0 * (sum / f64::from(n) / std::f64::consts::PI).sqrt() }
}
