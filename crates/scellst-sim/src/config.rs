use serde::{Deserialize, Serialize};

use crate::SimError;
use crate::check::check;

/// What a synthetic section is made of; lengths in um.
///
/// Sections that differ in [`SimConfig::seed`] alone are different pieces of the same tissue: other outlines, other
/// cells, a slightly other stain, but the same genes and the same expression programme.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Decides the section: outline, regions, cells, counts, noise.
    pub seed: u64,
    /// Decides what each gene does in which type of cell.
    pub programme_seed: u64,
    /// Width and height of the slide, um.
    pub size_um: (f64, f64),
    /// Resolution of level 0, um/px.
    pub mpp: f64,
    /// The types of cells.
    pub types: Vec<CellType>,
    /// The kinds of tissue: the first is the ground, the others lie in it as islands.
    pub regions: Vec<Region>,
    /// How many genes of each role.
    pub genes: GeneNumbers,
    /// How counts come from expected expression.
    pub counts: CountModel,
    /// The capture array.
    pub spots: SpotArray,
    /// How it is stained and pictured.
    pub picture: Picture,
}

/// A type of cell: how its nuclei look. All distributions overlap between types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellType {
    /// Its name, which becomes the class of the cells.
    pub name: String,
    /// Mean area of the nuclei, um2; log-normal.
    pub area_um2: f64,
    /// Standard deviation of the logarithm of the area.
    pub area_sd: f64,
    /// Typical ratio of long to short axis, 1 and up.
    pub elongation: f64,
    /// Mean density of haematoxylin in the nucleus, natural logarithm (1 is dark).
    pub haematoxylin: f64,
    /// Standard deviation of that density between nuclei.
    pub haematoxylin_sd: f64,
    /// How strongly the density varies within a nucleus (clumps of chromatin), as a share of it, 0 to 1.
    pub texture: f64,
    /// Size of the clumps, um.
    pub texture_um: f64,
    /// How uneven the outline is: typical departure from the ellipse as a share of the radius, 0 to 0.3.
    pub irregularity: f64,
    /// Share of nuclei with a nucleolus that shows, 0 to 1.
    pub nucleoli: f64,
    /// Density of eosin that the cell's body adds around the nucleus.
    pub cytoplasm: f64,
}

/// A kind of tissue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Share of the tissue that it covers, 0 to 1; ignored for the first, which covers the rest.
    pub share: f64,
    /// Typical extent of its islands, um; of the first: of its fibre bundles.
    pub island_um: f64,
    /// Cells per square millimetre. Where they do not fit, fewer are placed.
    pub cells_per_mm2: f64,
    /// Weight of each type, in the order of [`SimConfig::types`]; need not sum to one.
    pub mixture: Vec<f64>,
    /// Density of eosin between the cells.
    pub eosin: f64,
    /// Density of haematoxylin between the cells.
    pub haze: f64,
    /// How fibrous it is, 0 to 1.
    pub fibres: f64,
}

/// How many genes of each role; see [`GeneRole`](crate::GeneRole).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneNumbers {
    /// Markers of each type.
    pub markers_per_type: usize,
    /// Genes that go with the area of the nucleus.
    pub size: usize,
    /// Genes that go with the density of its chromatin.
    pub chromatin: usize,
    /// Genes that all cells have alike.
    pub housekeeping: usize,
    /// Genes that vary with nothing that shows.
    pub uninformative: usize,
}

impl GeneNumbers {
    /// All genes, given the number of types.
    pub fn total(&self, types: usize) -> usize {
        let markers = self.markers_per_type.saturating_mul(types);
        [self.size, self.chromatin, self.housekeeping, self.uninformative]
            .iter()
            .fold(markers, |sum, &n| sum.saturating_add(n))
    }
}

/// How counts come from expected expression: negative binomial, with a library size for each cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountModel {
    /// Counts of a typical cell over all genes.
    pub library: f64,
    /// Standard deviation of the logarithm of the library size between cells.
    pub library_sd: f64,
    /// Inverse dispersion of the negative binomial: variance = mean + mean^2 / theta. `None` = Poisson.
    pub theta: Option<f64>,
    /// How many times the expression of a marker in its own type is that in the others.
    pub marker_fold: f64,
    /// Change of the logarithm of the expression of a size or chromatin gene for one standard deviation of the trait.
    pub trait_effect: f64,
    /// Standard deviation of the logarithm of a cell's expression that nothing in the picture shows.
    pub hidden_sd: f64,
}

/// A hexagonal capture array, as Visium's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpotArray {
    /// Distance between neighbouring centres, um.
    pub pitch_um: f64,
    /// Diameter of a disc, um; at most the pitch, so that no cell lies in two.
    pub diameter_um: f64,
}

/// How the section is stained and pictured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Picture {
    /// Colour of haematoxylin: optical density of red, green and blue; length is of no account.
    pub haematoxylin: [f32; 3],
    /// Colour of eosin, as above.
    pub eosin: [f32; 3],
    /// Standard deviation of the logarithm of a section's strength of each stain.
    pub stain_jitter: f64,
    /// Colour of bare glass, 0 to 255.
    pub glass: [u8; 3],
    /// Width over which an edge is blurred, um; never under a pixel.
    pub blur_um: f64,
    /// Standard deviation of the camera's noise, grey values of 255.
    pub noise: f64,
    /// JPEG quality of the slide's tiles, 1 to 100; `None` = lossless.
    pub jpeg_quality: Option<u8>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            programme_seed: 1,
            size_um: (1900.0, 1900.0),
            mpp: 0.5,
            types: default_types(),
            regions: default_regions(),
            genes: GeneNumbers::default(),
            counts: CountModel::default(),
            spots: SpotArray::default(),
            picture: Picture::default(),
        }
    }
}

/// Sizes and shapes after what pathology texts and the MoNuSeg images show, rounded.
fn default_types() -> Vec<CellType> {
    let neoplastic = CellType {
        name: "neoplastic".into(),
        area_um2: 68.0,
        area_sd: 0.30,
        elongation: 1.25,
        haematoxylin: 0.95,
        haematoxylin_sd: 0.14,
        texture: 0.42,
        texture_um: 1.7,
        irregularity: 0.06,
        nucleoli: 0.6,
        cytoplasm: 0.22,
    };
    let inflammatory = CellType {
        name: "inflammatory".into(),
        area_um2: 29.0,
        area_sd: 0.20,
        elongation: 1.08,
        haematoxylin: 1.35,
        haematoxylin_sd: 0.14,
        texture: 0.22,
        texture_um: 1.1,
        irregularity: 0.03,
        nucleoli: 0.0,
        cytoplasm: 0.04,
    };
    let connective = CellType {
        name: "connective".into(),
        area_um2: 34.0,
        area_sd: 0.26,
        elongation: 2.5,
        haematoxylin: 1.10,
        haematoxylin_sd: 0.16,
        texture: 0.22,
        texture_um: 1.2,
        irregularity: 0.04,
        nucleoli: 0.0,
        cytoplasm: 0.05,
    };
    let epithelial = CellType {
        name: "epithelial".into(),
        area_um2: 46.0,
        area_sd: 0.22,
        elongation: 1.45,
        haematoxylin: 1.0,
        haematoxylin_sd: 0.13,
        texture: 0.28,
        texture_um: 1.3,
        irregularity: 0.03,
        nucleoli: 0.2,
        cytoplasm: 0.30,
    };
    vec![neoplastic, inflammatory, connective, epithelial]
}

fn default_regions() -> Vec<Region> {
    let region = |name: &str, share, island_um, cells_per_mm2, mixture: [f64; 4]| Region {
        name: name.into(),
        share,
        island_um,
        cells_per_mm2,
        mixture: mixture.to_vec(),
        eosin: 0.30,
        haze: 0.05,
        fibres: 0.15,
    };
    let stroma = region("stroma", 1.0, 160.0, 1150.0, [0.04, 0.20, 0.70, 0.06]);
    let tumour = region("tumour", 0.38, 230.0, 2700.0, [0.80, 0.10, 0.06, 0.04]);
    let epithelium = region("epithelium", 0.15, 170.0, 2500.0, [0.06, 0.10, 0.10, 0.74]);
    let lymphoid = region("lymphoid", 0.11, 150.0, 4300.0, [0.04, 0.84, 0.06, 0.06]);
    vec![
        Region { eosin: 0.40, haze: 0.03, fibres: 1.0, ..stroma },
        Region { eosin: 0.27, haze: 0.12, ..tumour },
        Region { eosin: 0.33, haze: 0.08, fibres: 0.25, ..epithelium },
        Region { eosin: 0.22, haze: 0.10, fibres: 0.35, ..lymphoid },
    ]
}

impl Default for GeneNumbers {
    fn default() -> Self {
        Self { markers_per_type: 12, size: 16, chromatin: 8, housekeeping: 28, uninformative: 20 }
    }
}

impl Default for CountModel {
    fn default() -> Self {
        Self {
            library: 600.0,
            library_sd: 0.25,
            theta: Some(4.0),
            marker_fold: 8.0,
            trait_effect: 0.6,
            hidden_sd: 0.25,
        }
    }
}

impl Default for SpotArray {
    fn default() -> Self {
        Self { pitch_um: 100.0, diameter_um: 55.0 }
    }
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            haematoxylin: [0.65, 0.70, 0.31],
            eosin: [0.16, 0.88, 0.45],
            stain_jitter: 0.05,
            glass: [244, 243, 245],
            blur_um: 0.6,
            noise: 2.5,
            jpeg_quality: Some(90),
        }
    }
}

impl SimConfig {
    /// Checks every setting; [`SyntheticSection::generate`](crate::SyntheticSection::generate) does so too.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting, [`SimError::OverLimit`] for a section that is too large.
    pub fn validate(&self) -> Result<(), SimError> {
        check(self)
    }
}
