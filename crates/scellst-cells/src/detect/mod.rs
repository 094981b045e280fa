mod bits;
mod config;
mod distance;
mod field;
mod flood;
mod grid;
mod local;
mod object;
mod outline;
mod parts;
mod stain;
mod threshold;
mod tile;
mod wide;
mod window;

use image::RgbImage;
use rayon::prelude::*;
use scellst_slide::{Slide, TissueMask};
use scellst_types::{Level0, MicronsPerPixel, Point, Rect};

use crate::plane::{LevelPlane, Plane};
use crate::{Cell, Cells, CellsError};

pub use config::DetectConfig;
pub(crate) use outline::trace;
pub use stain::hed;

use field::Gaussian;
use grid::Grid;
use object::Found;
use tile::Recipe;
use window::Window;

/// Cells this far from the tissue's mask still count, um: the mask's pixels are coarse.
const TISSUE_MARGIN_UM: f64 = 20.0;
/// Cells are listed by squares of this side, um, in row order, and within a square by rows.
const ORDER_UM: f64 = 250.0;

/// Told how many tiles are done, and of how many; from any thread.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Finds the nuclei of a slide.
///
/// Haematoxylin by colour deconvolution, a threshold between the slide's (Otsu) and the neighbourhood's mean, opening,
/// hole filling, a distance map weighed by the stain, seeds, and a flood from the seeds; then filters on area, stain
/// and colour. Tiles are worked on in parallel in the caller's rayon pool; the result, ids and order included, depends
/// neither on the tile size nor on the number of threads. Memory is that of the tiles in flight (about 40 bytes a pixel
/// of a tile) and of the cells.
///
/// A nucleus wider than twice [`DetectConfig::max_radius_um`] is cut off there. Glass outside of the tissue's mask is
/// left out. Not for slides stained otherwise than with haematoxylin.
///
/// # Errors
/// [`CellsError::Misuse`] for a bad configuration, [`CellsError::Slide`] if the slide has no resolution or cannot be
/// read.
pub fn detect(slide: &Slide, config: &DetectConfig, progress: Progress<'_>) -> Result<Cells, CellsError> {
    config.validate()?;
    let mpp = slide.require_mpp()?;
    let tissue = config.tissue.as_ref().map(|t| TissueMask::of_slide(slide, t)).transpose()?;
    let level = slide.level_for_downsample(config.working_mpp / mpp.mean());
    let down = (level.downsample_x(), level.downsample_y());
    let plane = LevelPlane { slide, level };
    Detector { plane: &plane, down, mpp, tissue, config }.run(progress)
}

/// As [`detect`] on a picture in memory, of `mpp` um/px.
///
/// # Errors
/// [`CellsError::Misuse`] for a bad configuration or an empty picture.
pub fn detect_in_image(image: &RgbImage, mpp: MicronsPerPixel, config: &DetectConfig) -> Result<Cells, CellsError> {
    config.validate()?;
    if image.width() == 0 || image.height() == 0 {
        return Err(CellsError::misuse("image", "at least one pixel", format!("{:?}", image.dimensions())));
    }
    let tissue = config.tissue.as_ref().map(|t| TissueMask::from_thumbnail(image, 1.0, mpp, t));
    Detector { plane: image, down: (1.0, 1.0), mpp, tissue, config }.run(&|_, _| {})
}

struct Detector<'a> {
    plane: &'a dyn Plane,
    /// Level-0 pixels to one of the plane.
    down: (f64, f64),
    /// Of level 0.
    mpp: MicronsPerPixel,
    tissue: Option<TissueMask>,
    config: &'a DetectConfig,
}

impl Detector<'_> {
    fn run(&self, progress: Progress<'_>) -> Result<Cells, CellsError> {
        let config = self.config;
        let working = config.working_mpp;
        // Level-0 pixels to one of the working grid.
        let step = (working / self.mpp.x(), working / self.mpp.y());
        let grid = Grid::new(self.plane, (step.0 / self.down.0, step.1 / self.down.1));
        let to_level0 = |x: f64, y: f64| Point::<Level0>::new(x * step.0, y * step.1);

        let smooth = Gaussian::new(config.smooth_um / working);
        let slide_threshold = match config.threshold {
            Some(t) => Some(t),
            None => threshold::estimate(&grid, &smooth, self.tissue.as_ref(), &to_level0)?,
        };
        let Some(slide_threshold) = slide_threshold else {
            log::warn!("no tissue found, so no cells");
            return Ok(Cells::new());
        };
        log::debug!("haematoxylin above {slide_threshold} is nuclear");
        let recipe = Recipe::new(config, slide_threshold);
        let near = self.tissue.as_ref().map(|t| t.dilated(TISSUE_MARGIN_UM / self.mpp.mean()));

        let tiles = self.tiles(&grid, near.as_ref(), &to_level0)?;
        let total = tiles.len() as u64;
        let done = std::sync::atomic::AtomicU64::new(0);
        progress(0, total);
        let found: Vec<Vec<Found>> = tiles
            .par_iter()
            .map(|core| {
                let mut found = recipe.run(&grid, core)?;
                if let Some(near) = &near {
                    found.retain(|f| near.contains(to_level0(f.x, f.y)));
                }
                progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, total);
                Ok(found)
            })
            .collect::<Result<_, CellsError>>()?;
        let mut found: Vec<Found> = found.into_iter().flatten().collect();
        drop_coloured(&mut found, |f| f.brownness, config.max_brown, "brown");
        drop_coloured(&mut found, |f| f.inkiness, config.max_ink, "ink");
        let square = |v: f64| (v * working / ORDER_UM) as u32;
        found.sort_by(|a, b| {
            let key = |f: &Found| (square(f.y), square(f.x));
            key(a).cmp(&key(b)).then(a.y.total_cmp(&b.y)).then(a.x.total_cmp(&b.x))
        });
        let mut cells = Cells::new();
        for f in found {
            let outline = f.outline.iter().map(|&[x, y]| {
                let p = to_level0(x, y);
                [p.x as f32, p.y as f32]
            });
            cells.push(Cell {
                centroid: to_level0(f.x, f.y),
                outline: outline.collect(),
                area_um2: f.area_um2,
                score: f.score,
                id: None,
                class: None,
            })?;
        }
        Ok(cells)
    }

    /// The tiles of the grid that can hold a cell, in row order.
    fn tiles(
        &self,
        grid: &Grid<'_>,
        near: Option<&TissueMask>,
        to_level0: &dyn Fn(f64, f64) -> Point<Level0>,
    ) -> Result<Vec<Window>, CellsError> {
        let (w, h) = grid.size();
        let side = self.config.tile_px as usize;
        let mut tiles = Vec::new();
        for y in (0..h).step_by(side) {
            for x in (0..w).step_by(side) {
                let core = Window { x: x..(x + side).min(w), y: y..(y + side).min(h) };
                let corner = |x: usize, y: usize| to_level0(x as f64, y as f64);
                let rect = Rect::new(corner(core.x.start, core.y.start), corner(core.x.end, core.y.end))
                    .map_err(|e| CellsError::misuse("slide size", "finite coordinates", e))?;
                if near.is_none_or(|n| n.touches(&rect)) {
                    tiles.push(core);
                }
            }
        }
        Ok(tiles)
    }
}

/// Nuclei from which a median colour is taken; of fewer nothing is dropped.
const ENOUGH: usize = 20;

/// Drops what leans much further to another colour than the median nucleus. A threshold for all slides does not exist:
/// the median of blue over red is 0.6 on frozen sections and 1.0 on paraffin ones.
fn drop_coloured(found: &mut Vec<Found>, ratio: impl Fn(&Found) -> f32, most: f32, what: &str) {
    if found.len() < ENOUGH {
        return;
    }
    let mut ratios: Vec<f32> = found.iter().map(&ratio).collect();
    let middle = ratios.len() / 2;
    let (_, median, _) = ratios.select_nth_unstable_by(middle, f32::total_cmp);
    let limit = *median * most;
    let before = found.len();
    found.retain(|f| ratio(f) <= limit);
    log::debug!("{} of {before} dropped as {what}: ratio above {limit}", before - found.len());
}
