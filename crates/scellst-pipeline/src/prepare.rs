use std::path::{Path, PathBuf};

use ndarray::Array2;
use scellst_bags::{Bags, Qc, SpotAreas, assign_to};
use scellst_cells::{Cells, CropSpec, DetectConfig, ImportOptions, StainTarget, detect, read_cells};
use scellst_embed::{Encoder, Morphology};
use scellst_expr::{Expression, FilterConfig, FilterReport, Spots};
use scellst_slide::Slide;
use scellst_types::{Level0, Micron, MicronsPerPixel, Point, SectionId, SpotShape};

use crate::baselines::embed_patches;
use crate::context::{SlideCells, own_width};
use crate::elsewhere::cells_with_rows;
use crate::features::Pixels;
use crate::{ContextSpec, Observer, PipelineError, SlideScale, cell_colours};

/// A section in memory: its slide is open, its counts are read.
pub struct LoadedSection {
    /// Its name.
    pub id: SectionId,
    /// Whose tissue it is, if known.
    pub patient: Option<String>,
    /// Which run or array it was measured with, if known.
    pub batch: Option<String>,
    /// The slide.
    pub slide: Slide,
    /// Raw counts, one row a spot.
    pub expression: Expression,
    /// Where the spots are, in the order of the rows.
    pub spots: Spots,
    /// A file of cells to use in place of detecting.
    pub cells: Option<PathBuf>,
    /// A file of features to use in place of embedding.
    pub embeddings: Option<PathBuf>,
}

/// How cells are found and seen.
#[derive(Debug, Clone, Default)]
pub struct PrepareOptions {
    /// Which genes and spots are worth keeping.
    pub filter: FilterConfig,
    /// The detector.
    pub detect: DetectConfig,
    /// The crops that are embedded.
    pub crop: CropSpec,
    /// A second crop around each cell, wider and coarser, seen by the same encoder: its features stand behind those of
    /// the first.
    pub coarse: Option<CropSpec>,
    /// Whether pixels are standardised by each slide's own cells, in place of the encoder's statistics.
    pub slide_pixels: bool,
    /// What the stain of every slide is brought to before crops are embedded; `None`: crops are as the slide is.
    pub stain: Option<StainTarget>,
    /// Whether the features of each slide are standardised over its own cells, see [`SlideScale`].
    pub slide_scale: bool,
    /// The neighbourhood that a cell is seen in; `None`: a cell alone.
    pub context: Option<ContextSpec>,
    /// The patches around spots that a baseline sees, see [`patch_crop`](crate::patch_crop); `None`: no such baseline.
    pub patch: Option<CropSpec>,
}

impl PrepareOptions {
    /// Features of a cell without its context, if the encoder gives `dim` of a crop.
    pub fn own_width(&self, dim: usize) -> usize {
        own_width(dim, self.coarse.as_ref())
    }

    /// How far a cell sees beyond its own crop, um: its context's largest radius, to the corner of a wider crop.
    pub fn reach_um(&self) -> f64 {
        let corner = |crop: &CropSpec| crop.mpp * f64::from(crop.centre_px) * std::f64::consts::FRAC_1_SQRT_2;
        let coarse = self.coarse.as_ref().map_or(0.0, corner);
        // A cell in the context sees as far again.
        self.context.as_ref().map_or(0.0, ContextSpec::largest_um) + coarse
    }

    /// All features of a cell.
    pub fn width(&self, dim: usize) -> usize {
        let own = self.own_width(dim);
        self.context.as_ref().map_or(own, |context| context.width(own))
    }
}

/// A section ready for training.
pub struct PreparedSection {
    /// Its name.
    pub id: SectionId,
    /// Whose tissue it is, if known.
    pub patient: Option<String>,
    /// Which run or array it was measured with, if known.
    pub batch: Option<String>,
    /// The slide's file.
    pub slide: PathBuf,
    /// Of the slide.
    pub mpp: MicronsPerPixel,
    /// Counts after the filters.
    pub filtered: Expression,
    /// Counts before them: a gene dropped here may be wanted for another section's sake.
    pub raw: Expression,
    /// Where its spots are, in the order of the rows of `filtered`.
    pub spots: Spots,
    /// What the filters dropped.
    pub filter_report: FilterReport,
    /// Rows of `raw` that are the rows of `filtered`.
    pub kept: Vec<usize>,
    /// All cells of the slide.
    pub cells: Cells,
    /// Cells by spot; spots are rows of `filtered`.
    pub bags: Bags,
    /// How cells and spots met.
    pub qc: Qc,
    /// Features of the cells in bags, bag after bag `(bags.n_cells(), dim)`; with their context, if one was asked for.
    pub features: Array2<f32>,
    /// What they were standardised by, if they were.
    pub scale: Option<SlideScale>,
    /// Colours of the cells in bags, in the order of `features`: [`cell_colours`].
    pub colours: Array2<f32>,
    /// Features of the patch around each bag's spot `(bags, dim)`, if they were asked for.
    pub patches: Option<Array2<f32>>,
}

impl PreparedSection {
    /// Log-normalised expression of each bag's spot, `(bags, genes)`: counts of the genes over the spot's total after
    /// the filters, times 10,000, log1p.
    ///
    /// # Errors
    /// [`PipelineError::Expr`] naming genes that the section does not have.
    pub fn labels(&self, genes: &[String]) -> Result<Array2<f32>, PipelineError> {
        Ok(self.spots_of_bags(genes)?.log_normalised(genes)?)
    }

    /// Raw counts of each bag's spot, `(bags, genes)`.
    ///
    /// # Errors
    /// As [`PreparedSection::labels`].
    pub fn counts(&self, genes: &[String]) -> Result<Array2<f32>, PipelineError> {
        Ok(self.spots_of_bags(genes)?.dense_counts(genes)?)
    }

    /// Total of each bag's spot after the filters, over the section's [median](PreparedSection::median_total).
    ///
    /// # Errors
    /// [`PipelineError::Expr`] if the section has no counts.
    pub fn size_factors(&self) -> Result<Vec<f32>, PipelineError> {
        let of_spots = scellst_expr::size_factors(&self.filtered.counts_per_observation())?;
        Ok(self.bags.spots().iter().map(|&spot| of_spots[spot as usize] as f32).collect())
    }

    /// Median total of the section's spots after the filters.
    pub fn median_total(&self) -> f64 {
        let mut totals = self.filtered.counts_per_observation();
        totals.sort_unstable_by(f64::total_cmp);
        let n = totals.len();
        if n == 0 { 0.0 } else { (totals[(n - 1) / 2] + totals[n / 2]) / 2.0 }
    }

    fn spots_of_bags(&self, genes: &[String]) -> Result<Expression, PipelineError> {
        let known: std::collections::HashSet<&String> = self.filtered.genes().iter().collect();
        let dropped = genes.iter().filter(|g| !known.contains(g)).cloned();
        let columns: Vec<String> = self.filtered.genes().iter().cloned().chain(dropped).collect();
        let spots = self.raw.select_observations(&self.kept)?.select_genes(&columns)?;
        let of_bags: Vec<usize> = self.bags.spots().iter().map(|&s| s as usize).collect();
        Ok(spots.select_observations(&of_bags)?)
    }
}

/// Filters the counts, finds the cells, puts them into bags and embeds those that are in one.
///
/// # Errors
/// [`PipelineError::Slide`] without an mpp, [`PipelineError::Bags`] if no cell lies in any spot, and what reading,
/// detecting and embedding give.
pub fn prepare(
    section: LoadedSection,
    options: &PrepareOptions,
    encoder: &dyn Encoder,
    observer: &dyn Observer,
) -> Result<PreparedSection, PipelineError> {
    if options.coarse.is_some() && encoder.spec().name == Morphology::NAME {
        return Err(PipelineError::Misuse(format!(
            "{} measures the nucleus in the middle of a crop, a coarse crop shows none: leave it out or take an encoder \
             with weights",
            Morphology::NAME
        )));
    }
    let mpp = section.slide.require_mpp()?;
    let filtered = options.filter.apply(&section.expression)?;
    let spots = section.spots.select(&filtered.observations)?;
    let found = |file: Option<&Path>| find_cells(&section.slide, file, &options.detect, observer);
    let (cells, made) = match &section.embeddings {
        None => (found(section.cells.as_deref())?, None),
        Some(_) if options.coarse.is_some() || options.slide_pixels => {
            return Err(PipelineError::Misuse("features made elsewhere have no crops and no pixels to choose".into()));
        }
        Some(path) => {
            let cells = section.cells.as_deref().map(|file| found(Some(file))).transpose()?;
            let (cells, rows) = cells_with_rows(path, cells, encoder.dim(), mpp)?;
            (cells, Some(rows))
        }
    };
    let um = |points: &[Point<Level0>]| points.iter().map(|&p| mpp.to_micron(p)).collect::<Vec<_>>();
    let centres = um(spots.centres());
    let areas = spot_areas(&centres, spots.shape(), spots.diameter_um(), spots.turn())?;
    let (bags, qc) = assign_to(&um(cells.centroids()), &areas)?;
    observer.note(&format!("{}: {qc}", section.id));
    let stain = options.stain.as_ref().map(|target| target.normaliser(&section.slide)).transpose()?;
    let mut seen = SlideCells {
        slide: &section.slide,
        places: cells.centroids(),
        crop: &options.crop,
        coarse: options.coarse.as_ref(),
        pixels: Pixels { stain: stain.as_ref(), norm: None },
        encoder,
        made: made.as_ref(),
        scale: None,
        context: options.context.as_ref(),
    };
    if options.slide_pixels {
        seen.pixels.norm = Some(seen.measure_pixels(observer)?);
    }
    let scale = options.slide_scale.then(|| seen.measure_scale(observer)).transpose()?;
    seen.scale = scale.as_ref();
    let features = seen.features(bags.cells(), observer)?;
    let in_bags: Vec<_> = bags.cells().iter().map(|&cell| cells.centroids()[cell as usize]).collect();
    let colours = cell_colours(&section.slide, &in_bags, &options.crop, stain.as_ref())?;
    let of_bags: Vec<_> = bags.spots().iter().map(|&spot| spots.centres()[spot as usize]).collect();
    let patch = options.patch.as_ref();
    let patches =
        patch.map(|crop| embed_patches(&section.slide, &of_bags, crop, seen.pixels, encoder, observer)).transpose()?;
    Ok(PreparedSection {
        id: section.id,
        patient: section.patient,
        batch: section.batch,
        slide: section.slide.path().to_owned(),
        mpp,
        filtered: filtered.expression,
        raw: section.expression,
        spots,
        filter_report: filtered.report,
        kept: filtered.observations,
        cells,
        bags,
        qc,
        features,
        scale,
        colours,
        patches,
    })
}

/// What spots of one size (diameter or side, um) cover; `turn` is that of squares.
pub(crate) fn spot_areas(
    centres: &[Point<Micron>],
    shape: SpotShape,
    size_um: f64,
    turn: f64,
) -> Result<SpotAreas<'_>, PipelineError> {
    Ok(match shape {
        SpotShape::Disc => SpotAreas::discs(centres, size_um)?,
        SpotShape::Square => SpotAreas::squares(centres, size_um)?.turned(turn)?,
    })
}

/// The cells of a file, else those that the detector finds.
pub(crate) fn find_cells(
    slide: &Slide,
    file: Option<&Path>,
    config: &DetectConfig,
    observer: &dyn Observer,
) -> Result<Cells, PipelineError> {
    let cells = match file {
        Some(path) => {
            observer.stage("reading cells");
            let options = ImportOptions {
                mpp: slide.mpp().map(|m| m.value),
                slide_size: Some(slide.size()),
                ..ImportOptions::default()
            };
            let read = read_cells(path, &options)?;
            if read.dropped() > 0 {
                observer.note(&format!(
                    "{}, {}: {} cells outside of the slide and {} others left out",
                    path.display(),
                    read.format,
                    read.outside,
                    read.dropped() - read.outside
                ));
            }
            read.cells
        }
        None => {
            observer.stage("detecting cells");
            detect(slide, config, &|done, total| observer.progress(done, total))?
        }
    };
    if cells.is_empty() {
        let path = slide.path().display();
        return Err(PipelineError::Misuse(format!("no cell was found on {path}: is it H&E, and is its mpp right?")));
    }
    Ok(cells)
}
