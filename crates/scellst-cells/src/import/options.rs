use std::collections::BTreeMap;
use std::fmt;

use scellst_types::{MicronsPerPixel, Size};

use super::Placement;
use crate::Cells;

/// What a file of cells is. Coordinates are level-0 px unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// GeoJSON: a FeatureCollection, a list of features or one feature, as QuPath, CellViT and HEST write them.
    ///
    /// Polygon, MultiPolygon, Point and MultiPoint. Kept: `id`, `classification` (its `name`, QuPath's `names`, or a
    /// plain string) and the `measurements` that [`write_geojson`](crate::write_geojson) names. Each part of a MultiPolygon is a cell
    /// of its own where `objectType` is `annotation` (CellViT and HEST put all cells of a class into one); elsewhere the
    /// parts are one cell. Each point of a MultiPoint is a cell. A QuPath cell has two outlines: see [`OutlineOf`].
    GeoJson,
    /// CellViT's `cells.json` or `cell_detection.json`: `cells` with `centroid`, `contour`, `type`, `type_prob`; classes by
    /// `type_map`, else by PanNuke's names. `base_mpp` of `wsi_metadata` gives areas where the options have no mpp.
    /// Coordinates are OpenCV's (a pixel's centre at 0) and kept as written, half a pixel up and left of the slide's.
    CellVit,
    /// HoVer-Net's JSON: `nuc`, a map of id to `centroid`, `contour`, `type`, `type_prob`; classes by PanNuke's names unless
    /// the options name them. Its `mag` or `mpp` is that of its pixels: with the slide's mpp known, they are scaled to
    /// level 0 (by a power of two for `mag`). As for CellViT, a pixel's centre is at 0.
    HoverNet,
    /// Parquet with outlines as WKB: HEST's `*_cellvit_seg.parquet` and `*_xenium_*_seg.parquet`, GeoParquet, and what
    /// [`write_parquet`](crate::write_parquet) writes. Columns beside `geometry`: as for [`Format::Table`].
    GeoParquet,
    /// Xenium's `nucleus_boundaries` or `cell_boundaries`, CSV or Parquet: corners `vertex_x`, `vertex_y` in um for each
    /// `cell_id`, rows of a cell together. Needs `placement` ([`Placement::xenium`]) or `mpp`. From Xenium Onboard
    /// Analysis 3.0 a cell may have several nuclei, told apart by `label_id`: each is a cell, and all but the first are
    /// named `cell_id:label_id`.
    XeniumBoundaries,
    /// A table of centroids, CSV, TSV or Parquet, with a header: Xenium's `cells`, QuPath's measurements, anybody's.
    ///
    /// Centroids from `x`, `y`, `centroid_x`, `x_px`, `Centroid X px` and the like in px, or in um from `x_um`,
    /// `x_centroid` (Xenium), `Centroid X µm`. Beside them, if there: `id`, `cell_id` or `Object ID`; `class`,
    /// `classification`, `cell_type` or `type`; `score`, `probability`, `type_prob` or `Detection probability` (0 to 1);
    /// `area_um2`, `Area µm^2`, `nucleus_area` or `cell_area` in um2.
    Table,
    /// A picture whose pixels are the number of their nucleus, 0 for none: 8-, 16- or 32-bit PNG, TIFF or `.npy`
    /// (StarDist, Cellpose, QuPath). Outlines run along the pixels' edges. Ids are the numbers. Where it lies on the slide
    /// is for `placement` to say.
    Labels,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeoJson => "GeoJSON",
            Self::CellVit => "CellViT's JSON",
            Self::HoverNet => "HoVer-Net's JSON",
            Self::GeoParquet => "Parquet with outlines",
            Self::XeniumBoundaries => "Xenium's boundaries",
            Self::Table => "a table of centroids",
            Self::Labels => "a label image",
        })
    }
}

/// Which outline is wanted of a cell that has two, the nucleus's and the cell's (QuPath's cells; areas of Xenium's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutlineOf {
    /// That of the nucleus, where there is one.
    #[default]
    Nucleus,
    /// That of the cell.
    Cell,
}

/// How cells are read. The default reads level-0 px and checks nothing against a slide.
///
/// Give `slide_size` and `mpp` wherever the slide is known.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Size of level 0, px, to check the coordinates against.
    pub slide_size: Option<Size>,
    /// Of level 0: turns areas into um2, and um into px where there is no `placement`.
    pub mpp: Option<MicronsPerPixel>,
    /// Where the file's coordinates lie on the slide; by default they are level-0 px, or um from its corner.
    pub placement: Option<Placement>,
    /// Names of the classes that the file gives as numbers; they go before those that the file or its format has.
    pub class_names: BTreeMap<i64, String>,
    /// Which of two outlines.
    pub outline: OutlineOf,
    /// The only format to accept.
    pub format: Option<Format>,
    /// The cells are those of the slide's upper left corner: do not take that for the sign of another level.
    pub corner: bool,
}

/// Cells from a file, and what was left behind or looks odd.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Imported {
    /// The cells, in the order of the file (of their numbers for a label image).
    pub cells: Cells,
    /// What the file was.
    pub format: Format,
    /// Cells dropped because their centroid lies outside of the slide.
    pub outside: usize,
    /// Cells dropped because their outline has under three corners.
    pub few_corners: usize,
    /// Cells dropped because a coordinate is missing, NaN or infinite.
    pub not_finite: usize,
    /// Features without geometry, or with one that is neither polygon nor point, passed over.
    pub passed_over: usize,
    /// Cells kept though two edges of their outline cross. Outlines of over 4,096 corners are not looked at.
    pub self_crossing: usize,
    /// Cells kept whose id an earlier cell has too.
    pub duplicate_ids: usize,
    /// Smaller parts of cells in several pieces, which the outline leaves out; area and centroid have them.
    pub parts_left: usize,
}

impl Imported {
    /// How many cells or features of the file are not among the cells, for whatever reason.
    pub fn dropped(&self) -> usize {
        self.outside + self.few_corners + self.not_finite + self.passed_over
    }
}
