use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(feature = "h5ad")]
use ndarray::ArrayView2;
use ndarray::{Array2, Axis};
use scellst_cells::{Cells, Normaliser};
use scellst_embed::{Encoder, PixelNorm};
use scellst_model::MilModel;
#[cfg(feature = "h5ad")]
use scellst_model::{Ensemble, Pooling};
use scellst_slide::Slide;

use crate::context::SlideCells;
use crate::elsewhere::{Elsewhere, cells_with_rows};
use crate::features::Pixels;
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
    /// Features of the cells, for a model that was trained on features made elsewhere: as
    /// [`SectionSource::embeddings`](crate::SectionSource::embeddings).
    pub embeddings: Option<PathBuf>,
}

/// A slide whose cells are found, to be predicted as they are asked for.
pub struct Predicted<'a> {
    bundle: &'a Bundle,
    slide: &'a Slide,
    encoder: Box<dyn Encoder>,
    cells: Cells,
    /// Their features, where the model takes those of another program.
    made: Option<Array2<f32>>,
    /// Where the model was trained on normalised crops.
    stain: Option<Normaliser>,
    /// Where pixels are standardised a slide at a time.
    norm: Option<PixelNorm>,
    /// Where features are.
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
    let found = |file| find_cells(slide, file, &bundle.manifest().detect, observer);
    let elsewhere = encoder.spec().name == Elsewhere::NAME;
    let (cells, made) = match &options.embeddings {
        Some(path) if elsewhere => {
            let cells = cells.map(|file| found(Some(file))).transpose()?;
            let (cells, rows) = cells_with_rows(path, cells, encoder.dim(), slide.require_mpp()?)?;
            (cells, Some(rows))
        }
        Some(path) => {
            return Err(PipelineError::Misuse(format!(
                "{}: the model makes features by itself ({})",
                path.display(),
                encoder.spec().name
            )));
        }
        None if elsewhere => {
            let problem = "the model takes features made elsewhere: give those of this slide (--embeddings FILE)";
            return Err(PipelineError::Misuse(problem.into()));
        }
        None => (found(cells)?, None),
    };
    observer.note(&format!("{} cells", cells.len()));
    let stain = bundle.manifest().stain.as_ref().map(|target| target.normaliser(slide)).transpose()?;
    let mut predicted = Predicted { bundle, slide, encoder, cells, made, stain, norm: None, scale: None };
    if bundle.manifest().slide_pixels {
        predicted.norm = Some(predicted.seen().measure_pixels(observer)?);
    }
    if bundle.manifest().slide_scale {
        predicted.scale = Some(predicted.seen().measure_scale(observer)?);
    }
    Ok(predicted)
}

/// Some cells and what the networks make of them.
struct PredictedBlock {
    #[cfg_attr(not(feature = "h5ad"), allow(dead_code))]
    features: Array2<f32>,
    expression: Array2<f32>,
    /// How far they differ on each cell.
    #[cfg_attr(not(feature = "h5ad"), allow(dead_code))]
    spread: Vec<f32>,
}

/// The members' mean.
#[cfg(feature = "h5ad")]
fn attention_scores(models: &Ensemble, features: ArrayView2<'_, f32>) -> Result<Vec<f32>, PipelineError> {
    let mut sum = vec![0.0; features.dim().0];
    let share = 1.0 / models.members().len() as f32;
    for member in models.members() {
        sum.iter_mut().zip(member.attention_scores(features)?).for_each(|(sum, score)| *sum += share * score);
    }
    Ok(sum)
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
        let mut rows = Array2::zeros((cells.len(), self.bundle.manifest().genes.len()));
        self.for_each_predicted(&cells, observer, |range, block| {
            rows.slice_axis_mut(Axis(0), range.into()).assign(&block.expression);
            Ok(())
        })?;
        Ok(rows)
    }

    fn seen(&self) -> SlideCells<'_> {
        let manifest = self.bundle.manifest();
        SlideCells {
            slide: self.slide,
            places: self.cells.centroids(),
            crop: &manifest.crop,
            coarse: manifest.coarse.as_ref(),
            pixels: Pixels { stain: self.stain.as_ref(), norm: self.norm },
            encoder: self.encoder.as_ref(),
            made: self.made.as_ref(),
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
        let cells: Vec<u32> = (0..self.cells.len() as u32).collect();
        self.for_each_predicted(&cells, observer, |range, block| take(range, block.expression))
    }

    fn for_each_predicted(
        &self,
        cells: &[u32],
        observer: &dyn Observer,
        mut take: impl FnMut(Range<usize>, PredictedBlock) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        observer.stage("predicting");
        let (models, output, seen) = (self.bundle.models(), self.bundle.output(), self.seen());
        let Some(radius) = self.bundle.manifest().set_radius_um else {
            return seen.for_each_block(cells, BLOCK, observer, |range, features| {
                let (expression, spread) = output.expression(models.predict_cells(features.view())?)?;
                take(range, PredictedBlock { features, expression, spread })
            });
        };
        // A deep set: what each member makes of all cells around, its mean over each cell's set, then the cell.
        seen.for_each_near(cells, BLOCK, radius, observer, |range, near| {
            let cells = &cells[range.clone()];
            let of = |m: &MilModel| near.means(cells, m.set_features(near.features.view())?.view(), radius);
            let sets: Vec<Array2<f32>> = models.members().iter().map(of).collect::<Result<_, _>>()?;
            let features = near.own(cells);
            let values = models.predict(|i, m| m.predict_with_sets(features.view(), sets[i].view()))?;
            let (expression, spread) = output.expression(values)?;
            take(range, PredictedBlock { features, expression, spread })
        })
    }

    /// Writes `pred.h5ad`: one row a cell, one column a gene, `obsm['spatial']` in level-0 pixels, areas and scores in
    /// `obs`, `var['train_variance']`, provenance in `uns['scellst']`. Whole or not at all.
    ///
    /// Of an ensemble: `obs['ensemble_spread']`, the members' standard deviation, the mean over genes.
    ///
    /// Of a model with attention: `obs['attention_score']`, whose softmax over the cells of a spot says how much each counts
    /// there; the slide's mean is 0, of an ensemble the members' mean.
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
                "coarse_crop_um": manifest.coarse.as_ref().map(|c| c.mpp * f64::from(c.centre_px)),
                "stain": manifest.stain.as_ref().map(|s| s.method().to_string()),
                "training_sections": training.sections.iter().map(|s| s.id.0.clone()).collect::<Vec<_>>(),
                "loss": training.loss,
                "pooling": manifest.shape.pooling().to_string(),
                "set_radius_um": manifest.set_radius_um,
                "members": manifest.members,
                "genes_chosen_by": manifest.gene_selection.to_string(),
                "best_epoch": training.best_epoch,
                "seed": training.config.seed,
            }}),
        };
        let mut writer = PredictionWriter::create(path, &header, None)?;
        let outliers = self.bundle.outliers();
        let (mut distances, mut spreads, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        let cells: Vec<u32> = (0..self.cells.len() as u32).collect();
        self.for_each_predicted(&cells, observer, |_, PredictedBlock { features, expression, spread }| {
            if let Some(outliers) = outliers {
                let mut own = features.slice_axis(Axis(1), (..outliers.dim()).into()).to_owned();
                // What standardising takes away is what makes a slide unlike others.
                if let Some(scale) = &self.scale {
                    scale.undo(own.view_mut());
                }
                distances.extend(outliers.distances(own.view())?);
            }
            if manifest.shape.pooling() == Pooling::Attention {
                scores.extend(attention_scores(self.bundle.models(), features.view())?);
            }
            spreads.extend(spread);
            Ok(writer.write_rows(expression.view())?)
        })?;
        if !scores.is_empty() {
            let mean = (scores.iter().map(|&s| f64::from(s)).sum::<f64>() / scores.len() as f64) as f32;
            scores.iter_mut().for_each(|score| *score -= mean);
            writer.add_obs("attention_score", &Column::F32(scores))?;
        }
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
