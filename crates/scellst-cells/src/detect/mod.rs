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

use std::ops::Range;

use image::RgbImage;
use rayon::prelude::*;
use scellst_slide::{Slide, TissueMask};
use scellst_types::{Level0, MicronsPerPixel, Point};

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
/// neither on the tile size nor on the number of threads. Memory is that of the tiles in flight (about 25 bytes a pixel
/// of a tile and its margin) and of the cells.
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

        let tiles = self.tiles(&grid, near.as_ref(), step);
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
        drop_faint(&mut found, config.min_rise);
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

    /// Tiles that hold all the cells there can be, in row order: those of a raster over the tissue, each cut to the tissue
    /// in it.
    fn tiles(&self, grid: &Grid<'_>, near: Option<&TissueMask>, step: (f64, f64)) -> Vec<Window> {
        let (w, h) = grid.size();
        let whole = Window { x: 0..w, y: 0..h };
        let cut = |window: &Window| match near {
            Some(near) => tissue_in(near, window, step),
            None => Some(window.clone()),
        };
        let Some(all) = cut(&whole) else { return Vec::new() };
        // As equal as they can be.
        let most = self.config.tile_px as usize;
        let parts = |r: &Range<usize>| {
            let n = r.len().div_ceil(most).max(1);
            let (start, length) = (r.start, r.len());
            (0..n).map(move |i| start + i * length / n..start + (i + 1) * length / n)
        };
        parts(&all.y)
            .flat_map(|y| parts(&all.x).map(move |x| Window { x, y: y.clone() }))
            .filter_map(|window| cut(&window))
            .collect()
    }
}

/// The smallest window that holds all of the mask's tissue within a window; `step`: level-0 pixels to one of the grid.
fn tissue_in(mask: &TissueMask, window: &Window, step: (f64, f64)) -> Option<Window> {
    let size = mask.size();
    // Pixels of the mask to one of the grid.
    let scale = (step.0 / mask.step().0, step.1 / mask.step().1);
    let under = |r: &Range<usize>, scale: f64, n: u32| {
        let end = ((r.end as f64 * scale).ceil() as usize).min(n as usize);
        ((r.start as f64 * scale) as usize).min(end)..end
    };
    let (columns, rows) = (under(&window.x, scale.0, size.width), under(&window.y, scale.1, size.height));
    let mut found: Option<Window> = None;
    for y in rows {
        let row = &mask.as_slice()[y * size.width as usize..][columns.clone()];
        let on = |found: Option<usize>| found.map(|i| columns.start + i);
        let Some(first) = on(row.iter().position(|on| *on)) else { continue };
        let last = on(row.iter().rposition(|on| *on)).unwrap_or(first);
        let so_far = found.get_or_insert(Window { x: first..last + 1, y: y..y + 1 });
        so_far.x = so_far.x.start.min(first)..so_far.x.end.max(last + 1);
        so_far.y.end = y + 1;
    }
    // A pixel more on each side, against rounding.
    let back = |r: &Range<usize>, scale: f64| {
        ((r.start as f64 / scale) as usize).saturating_sub(1)..(r.end as f64 / scale).ceil() as usize + 1
    };
    found.map(|f| Window { x: back(&f.x, scale.0), y: back(&f.y, scale.1) }.within(window))
}

/// Nuclei from which a median colour is taken; of fewer nothing is dropped.
const ENOUGH: usize = 20;

/// Drops what leans much further to another colour than the median nucleus. A threshold for all slides does not exist:
/// the median of blue over red is 0.6 on frozen sections and 1.0 on paraffin ones.
fn drop_coloured(found: &mut Vec<Found>, ratio: impl Fn(&Found) -> f32, most: f32, what: &str) {
    if found.len() < ENOUGH {
        return;
    }
    let limit = median(found, &ratio) * most;
    let before = found.len();
    found.retain(|f| ratio(f) <= limit);
    log::debug!("{} of {before} dropped as {what}: ratio above {limit}", before - found.len());
}

/// Drops what is hardly darker than its surroundings, for the stain of the slide's nuclei.
fn drop_faint(found: &mut Vec<Found>, least: f32) {
    if found.len() < ENOUGH || least <= 0.0 {
        return;
    }
    let limit = median(found, |f| f.stain) * least;
    let before = found.len();
    found.retain(|f| f.score * f.stain >= limit);
    log::debug!("{} of {before} dropped as faint: rise under {limit}", before - found.len());
}

/// Of at least one.
fn median(found: &[Found], value: impl Fn(&Found) -> f32) -> f32 {
    let mut values: Vec<f32> = found.iter().map(value).collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
