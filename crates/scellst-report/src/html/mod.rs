//! A run as one HTML file that needs nothing else: no network, pictures inside, a little script to sort tables.

mod chart;
mod figure;
mod genes;
mod page;
mod text;
mod verdict;

use std::path::Path;

use image::RgbImage;

use crate::ReportError;
use crate::save::{save_bytes, save_png};

/// What a report shows; whatever is empty is left out. Results are read here, never computed, but for the first line,
/// which says whether a baseline does better than the model.
///
/// ```
/// use scellst_report::{Method, Report};
///
/// let method = |name: &str, pearson| {
///     Method { name: name.into(), pearson: vec![(50, pearson, None)], ..Method::default() }
/// };
/// let report = Report {
///     title: "C5".into(),
///     methods: vec![method("model", 0.31), method("ridge on spot means", 0.36)],
///     ..Report::default()
/// };
/// assert!(report.first_line().starts_with("A baseline does better than the model: ridge on spot means"));
/// assert!(report.to_html()?.contains("<title>C5</title>"));
/// # Ok::<(), scellst_report::ReportError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// What the user should know before reading on.
    pub warnings: Vec<String>,
    /// Scores of the model (first) and of what ran beside it.
    pub methods: Vec<Method>,
    /// Quality control and sizes.
    pub numbers: Vec<Number>,
    /// Cells over their slide.
    pub overlay: Option<Picture>,
    /// Genes over the tissue.
    pub maps: Vec<MapRow>,
    /// What intervals hold against what they should.
    pub calibration: Option<Calibration>,
    /// Each gene's correlation beside what was possible.
    pub ceiling: Option<Ceilings>,
    /// Every score of every gene.
    pub genes: Option<GeneTable>,
    /// Cells of the highest and lowest values.
    pub galleries: Vec<Gallery>,
    /// Where it comes from: name and value.
    pub provenance: Vec<(String, String)>,
}

/// How many genes, the mean Pearson over them, its 95 % interval.
pub type MeanPearson = (usize, f64, Option<(f64, f64)>);

/// Scores of one method.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// Genes, mean Pearson over them, 95 % interval; the last one decides who is better.
    pub pearson: Vec<MeanPearson>,
    /// Root mean squared error, the mean over genes.
    pub rmse: Option<f64>,
    /// Of the difference to the first method, over the last genes.
    pub p_value: Option<f64>,
    /// Genes without a correlation, counted as 0.
    pub constant: usize,
}

/// A number of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// What it counts.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// A remark; may be empty.
    pub note: String,
}

/// A picture with a text below.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The picture.
    pub image: RgbImage,
    /// The text.
    pub caption: String,
}

/// Maps of one gene, side by side.
#[derive(Debug, Clone)]
pub struct MapRow {
    /// The gene.
    pub gene: String,
    /// A remark, such as its scores.
    pub caption: String,
    /// Such as measured spots, predicted spots, predicted cells: what [`gene_panels`](crate::gene_panels) gives.
    pub panels: Vec<(String, RgbImage)>,
}

/// The coverage curve.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    /// Share of measurements that intervals should hold, and do hold, 0 to 1.
    pub points: Vec<(f64, f64)>,
    /// On what this was measured.
    pub caption: String,
}

/// Points of genes: ceiling, correlation, name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ceilings {
    /// The points.
    pub genes: Vec<(f64, f64, String)>,
    /// How the ceiling was found.
    pub caption: String,
}

/// Scores of genes; sorts at a click.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GeneTable {
    /// Name and meaning of each column.
    pub columns: Vec<(String, String)>,
    /// A gene and its values, one a column; `None` where it has none.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

/// Cells with the highest and the lowest predicted values of a gene.
#[derive(Debug, Clone)]
pub struct Gallery {
    /// The gene.
    pub gene: String,
    /// Crops with their values, highest first.
    pub highest: Vec<(RgbImage, f64)>,
    /// Crops with their values, lowest first.
    pub lowest: Vec<(RgbImage, f64)>,
}

impl Report {
    /// Whether the model is worth its trouble, in one line.
    pub fn first_line(&self) -> String {
        verdict::verdict(&self.methods)
    }

    /// The page. All texts are escaped, and the page forbids every script but its own.
    ///
    /// # Errors
    /// [`ReportError::Misuse`] for a row of the table with another number of values than columns, or a picture that
    /// cannot be packed.
    pub fn to_html(&self) -> Result<String, ReportError> {
        page::page(self)
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html), and [`ReportError::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        save_bytes(path.as_ref(), self.to_html()?.as_bytes())
    }

    /// Writes the figures into a folder that is there: pictures as PNG, charts as SVG.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn save_figures(&self, folder: impl AsRef<Path>) -> Result<(), ReportError> {
        let folder = folder.as_ref();
        if let Some(overlay) = &self.overlay {
            save_png(&overlay.image, folder.join("cells.png"))?;
        }
        for map in &self.maps {
            for (at, (_, panel)) in map.panels.iter().enumerate() {
                save_png(panel, folder.join(format!("map-{}-{}.png", text::file_name(&map.gene), at + 1)))?;
            }
        }
        if let Some(calibration) = &self.calibration {
            save_bytes(&folder.join("calibration.svg"), chart::calibration(calibration).as_bytes())?;
        }
        if let Some(ceilings) = &self.ceiling {
            save_bytes(&folder.join("ceiling.svg"), chart::ceilings(ceilings).as_bytes())?;
        }
        Ok(())
    }
}
