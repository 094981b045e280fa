use std::io::Read;
use std::path::{Path, PathBuf};

use scellst_expr::{DuplicateGenes, Expression, FeatureConfig, GeneNaming};
use scellst_types::{Level0, Micron, Point, SpotShape};

use crate::lines::Lines;
use crate::source::Source;
use crate::tenx::{self, Genes, LeftOut, ScaleFactors, TranscriptCounts};
use crate::{H5Error, MatrixChoice, ReadLimits, ReadOptions, legacy, read_h5ad_with};

/// How [`read_counts_with`] reads.
///
/// ```
/// use scellst_expr::DuplicateGenes;
/// use scellst_h5::CountsOptions;
///
/// let mut options = CountsOptions::default();
/// options.duplicates = DuplicateGenes::Sum;
/// options.genome = Some("GRCh38".into());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CountsOptions {
    /// Which matrix of an h5ad.
    pub matrix: MatrixChoice,
    /// Which genome, where a file has several.
    pub genome: Option<String>,
    /// What genes are called; formats without ids have one name only and refuse the other.
    pub names: GeneNaming,
    /// What becomes of several features of one name.
    pub duplicates: DuplicateGenes,
    /// Space Ranger's unfiltered matrix, with the spots outside of the tissue.
    pub raw: bool,
    /// Leave out spots that Space Ranger found outside of the tissue.
    pub in_tissue_only: bool,
    /// Least quality (phred) of a Xenium transcript; nothing takes all.
    pub min_qv: Option<f64>,
    /// The table of the spots' places, where it is not where it usually is.
    pub positions: Option<PathBuf>,
    /// How much may be allocated.
    pub limits: ReadLimits,
}

impl Default for CountsOptions {
    /// Symbols, made unique; filtered; quality 20 and above.
    fn default() -> Self {
        Self {
            matrix: MatrixChoice::X,
            genome: None,
            names: GeneNaming::Symbol,
            duplicates: DuplicateGenes::Unique,
            raw: false,
            in_tissue_only: false,
            min_qv: Some(20.0),
            positions: None,
            limits: ReadLimits::default(),
        }
    }
}

/// Where counts came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CountsFormat {
    /// anndata's h5ad, in HEST's layout or another.
    H5ad,
    /// Space Ranger's spots, or Cell Ranger's cells if there is no folder `spatial`.
    SpaceRanger,
    /// Space Ranger's square bins.
    VisiumHd,
    /// Xenium's matrix of cells.
    Xenium,
    /// Xenium's transcripts, counted.
    XeniumTranscripts,
    /// Text tables of the first spatial transcriptomics.
    LegacySt,
}

/// How large spots are.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpotSize {
    /// Disc or square.
    pub shape: SpotShape,
    /// Diameter or side, um, where the format fixes it.
    pub um: Option<f64>,
    /// Diameter or side, level-0 pixels, where the file says it of the capture area itself.
    pub px: Option<f64>,
    /// Distance of neighbouring centres, um, where the format fixes it.
    pub pitch_um: Option<f64>,
}

/// Counts of spots or cells from any of the formats, and all that the files say about where they are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpatialCounts {
    /// What was found.
    pub format: CountsFormat,
    /// Genes only: features of other kinds are in `left_out`.
    pub expression: Expression,
    /// The reference's id of each gene (of the first, where several were added up); empty where the file has none.
    pub gene_ids: Vec<String>,
    /// Centres, level-0 pixels.
    pub spatial: Option<Vec<Point<Level0>>>,
    /// Centres, um: what Xenium has instead. They are the morphology image's, not the H&E's.
    pub spatial_um: Option<Vec<Point<Micron>>>,
    /// (row, column) on the array of spots.
    pub array: Option<Vec<(i32, i32)>>,
    /// What Space Ranger took for tissue.
    pub in_tissue: Option<Vec<bool>>,
    /// Shape and size of the spots; nothing for cells.
    pub spots: Option<SpotSize>,
    /// um per level-0 pixel where the files say it (Visium HD).
    pub mpp: Option<f64>,
    /// Space Ranger's scale factors, as they are in the file.
    pub scale_factors: Option<ScaleFactors>,
    /// Features that are no genes.
    pub left_out: LeftOut,
    /// What became of Xenium's transcripts.
    pub transcripts: Option<TranscriptCounts>,
    path: PathBuf,
}

impl SpatialCounts {
    /// The file or folder that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The centres, level-0 pixels.
    ///
    /// # Errors
    /// [`H5Error::Missing`] where there are none, with what would help.
    pub fn require_spatial(&self) -> Result<&[Point<Level0>], H5Error> {
        self.spatial.as_deref().ok_or_else(|| {
            let help = match self.format {
                CountsFormat::H5ad => "store the spots' centres in obsm['spatial'] as level-0 pixels (x, y)",
                CountsFormat::Xenium | CountsFormat::XeniumTranscripts => {
                    "cells are in um of the morphology image; bring them onto the H&E by its alignment first"
                }
                CountsFormat::LegacySt => {
                    "give the table with x, y, pixel_x and pixel_y of the spots (option positions)"
                }
                _ => "there is no folder 'spatial' with tissue_positions beside the matrix (option positions)",
            };
            H5Error::missing(&self.path, "the places of the spots", help)
        })
    }

    /// The spots' diameter or side, um: what the format fixes, else the file's pixels times `mpp` (um per level-0 pixel).
    ///
    /// # Errors
    /// [`H5Error::Missing`] for cells, and where a file says nothing.
    pub fn require_spot_size_um(&self, mpp: f64) -> Result<f64, H5Error> {
        self.spots.and_then(|size| size.um.or(size.px.map(|px| px * mpp))).ok_or_else(|| {
            H5Error::missing(
                &self.path,
                "uns['spatial'][library]['scalefactors']['spot_diameter_fullres'], or another statement of the spots' size",
                "store the diameter there in level-0 pixels, or give it in um by hand",
            )
        })
    }
}

/// Reads counts of any format: an `.h5ad`; a folder of Space Ranger 1 to 3 (`outs`, or a bin size of Visium HD), its
/// `.h5` or its folder of `matrix.mtx`; Cell Ranger 2's; a Xenium folder, its `cell_feature_matrix` or transcripts as
/// Parquet; legacy tables of spots x genes. What it is is seen by the content.
///
/// # Errors
/// As [`read_counts_with`].
///
/// ```no_run
/// let counts = scellst_h5::read_counts("spaceranger/outs")?;
/// println!("{:?}: {} spots", counts.format, counts.expression.observations().len());
/// println!("{}", counts.left_out);
/// # Ok::<(), scellst_h5::H5Error>(())
/// ```
pub fn read_counts(path: impl AsRef<Path>) -> Result<SpatialCounts, H5Error> {
    read_counts_with(path, &CountsOptions::default())
}

/// As [`read_counts`], otherwise.
///
/// # Errors
/// [`H5Error`]: nothing there that is known, broken or contradictory files, barcodes without places,
/// [`H5Error::Ambiguous`] where several genomes or bin sizes are there and none was chosen.
pub fn read_counts_with(path: impl AsRef<Path>, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let path = path.as_ref();
    let mut counts = match kind(path, options)? {
        Found::H5ad => from_h5ad(path, options)?,
        Found::SpaceRanger(matrix) => from_space_ranger(path, &matrix, options)?,
        Found::Xenium(matrix) => from_xenium(path, &matrix, options)?,
        Found::Transcripts => from_transcripts(path, options)?,
        Found::Table => from_table(path, options)?,
    };
    if options.in_tissue_only {
        keep_tissue(&mut counts)?;
    }
    Ok(counts)
}

enum Found {
    H5ad,
    SpaceRanger(PathBuf),
    Xenium(PathBuf),
    Transcripts,
    Table,
}

fn kind(path: &Path, options: &CountsOptions) -> Result<Found, H5Error> {
    if path.is_dir() {
        if let Some(matrix) = tenx::xenium_matrix(path) {
            return Ok(Found::Xenium(matrix));
        }
        let in_xenium = path.file_name().is_some_and(|n| n == "cell_feature_matrix");
        return match tenx::space_ranger_matrix(path, options.raw)? {
            Some(matrix) if in_xenium => Ok(Found::Xenium(matrix)),
            Some(matrix) => Ok(Found::SpaceRanger(matrix)),
            None => Err(H5Error::missing(
                path,
                "filtered_feature_bc_matrix.h5",
                "no matrix of Space Ranger, Cell Ranger or Xenium is in this folder or its 'outs'",
            )),
        };
    }
    let mut start = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(8).read_to_end(&mut start))
        .map_err(|e| H5Error::io(path, "open", e))?;
    if start.starts_with(b"PAR1") {
        return Ok(Found::Transcripts);
    }
    if start.starts_with(b"\x89HDF") {
        let source = Source::open(path, options.limits)?;
        if source.kind("obs")?.is_some() || !tenx::is_tenx(&source)? {
            return Ok(Found::H5ad);
        }
        let xenium = path.file_name().is_some_and(|n| n.to_string_lossy().ends_with("cell_feature_matrix.h5"));
        return Ok(if xenium { Found::Xenium(path.to_owned()) } else { Found::SpaceRanger(path.to_owned()) });
    }
    if start.is_empty() {
        return Err(H5Error::broken(path, "/", "the file is empty; was its writing or copying interrupted?"));
    }
    let mut lines = Lines::open(path)?;
    let first = lines.next()?.unwrap_or_default();
    if first.starts_with("%%MatrixMarket") {
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        return Ok(Found::SpaceRanger(folder));
    }
    if first.contains(['\t', ',']) {
        return Ok(Found::Table);
    }
    Err(H5Error::unsupported(
        path,
        "/",
        "neither .h5ad, .h5 of 10x, matrix.mtx, transcripts as Parquet nor a table of spots x genes",
    ))
}

fn from_h5ad(path: &Path, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let read = ReadOptions::default().with_matrix(options.matrix.clone()).with_limits(options.limits);
    let section = read_h5ad_with(path, &read)?;
    let px = section.spot_diameter_px;
    let spots = px.map(|px| SpotSize { shape: SpotShape::Disc, um: None, px: Some(px), pitch_um: None });
    Ok(SpatialCounts { spatial: section.spatial, spots, ..bare(CountsFormat::H5ad, path, section.expression) })
}

/// Nothing but the counts.
fn bare(format: CountsFormat, path: &Path, expression: Expression) -> SpatialCounts {
    SpatialCounts {
        format,
        expression,
        gene_ids: Vec::new(),
        spatial: None,
        spatial_um: None,
        array: None,
        in_tissue: None,
        spots: None,
        mpp: None,
        scale_factors: None,
        left_out: LeftOut::default(),
        transcripts: None,
        path: path.to_owned(),
    }
}

fn with_genes(format: CountsFormat, path: &Path, genes: Genes) -> SpatialCounts {
    SpatialCounts { gene_ids: genes.ids, left_out: genes.left_out, ..bare(format, path, genes.expression) }
}

fn features(options: &CountsOptions) -> FeatureConfig {
    FeatureConfig { naming: options.names, duplicates: options.duplicates, ..FeatureConfig::default() }
}

fn from_space_ranger(path: &Path, matrix: &Path, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let section = tenx::read_section(matrix, options)?;
    let bin = section.scale_factors.and_then(|f| f.bin_size_um);
    let format = if bin.is_some() { CountsFormat::VisiumHd } else { CountsFormat::SpaceRanger };
    let mut counts = with_genes(format, path, section.table.into_genes(matrix, &features(options))?);
    if let Some(positions) = section.positions {
        counts.spatial = Some(positions.centres);
        counts.array = Some(positions.array);
        counts.in_tissue = Some(positions.in_tissue);
        counts.spots = Some(match bin {
            Some(um) => SpotSize {
                shape: SpotShape::Square,
                um: Some(um),
                px: section.scale_factors.and_then(|f| f.spot_diameter_fullres),
                pitch_um: Some(um),
            },
            None => SpotSize { shape: SpotShape::Disc, um: Some(55.0), px: None, pitch_um: Some(100.0) },
        });
    }
    counts.mpp = section.scale_factors.and_then(|f| f.microns_per_pixel);
    counts.scale_factors = section.scale_factors;
    Ok(counts)
}

fn from_xenium(path: &Path, matrix: &Path, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let (table, places) = tenx::read_xenium(matrix, options)?;
    let counts = with_genes(CountsFormat::Xenium, path, table.into_genes(matrix, &features(options))?);
    Ok(SpatialCounts { spatial_um: places, ..counts })
}

fn from_transcripts(path: &Path, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let counted = tenx::read_transcripts(path, options.min_qv, options.limits)?;
    Ok(SpatialCounts {
        spatial_um: (!counted.centres.is_empty()).then_some(counted.centres),
        left_out: counted.left_out,
        transcripts: Some(counted.transcripts),
        ..bare(CountsFormat::XeniumTranscripts, path, counted.expression)
    })
}

fn from_table(path: &Path, options: &CountsOptions) -> Result<SpatialCounts, H5Error> {
    let read = legacy::read(path, options.positions.as_deref(), options.limits)?;
    let genes = read.table.into_genes(path, &features(options))?;
    Ok(SpatialCounts {
        spatial: read.centres,
        array: Some(read.array),
        spots: Some(SpotSize { shape: SpotShape::Disc, um: Some(100.0), px: None, pitch_um: Some(200.0) }),
        ..bare(CountsFormat::LegacySt, path, genes.expression)
    })
}

fn keep_tissue(counts: &mut SpatialCounts) -> Result<(), H5Error> {
    let Some(in_tissue) = &counts.in_tissue else { return Ok(()) };
    let kept: Vec<usize> = (0..in_tissue.len()).filter(|&i| in_tissue[i]).collect();
    if kept.len() == in_tissue.len() {
        return Ok(());
    }
    let broken = |e: scellst_expr::ExprError| H5Error::broken(&counts.path, "/", e.to_string());
    let expression = counts.expression.select_observations(&kept).map_err(broken)?;
    counts.expression = expression;
    counts.spatial = counts.spatial.take().map(|s| kept.iter().map(|&i| s[i]).collect());
    counts.array = counts.array.take().map(|a| kept.iter().map(|&i| a[i]).collect());
    counts.in_tissue = Some(vec![true; kept.len()]);
    Ok(())
}
