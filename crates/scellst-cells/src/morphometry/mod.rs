//! What pathologists and QuPath's users ask of nuclei: size and shape, stain, texture, and who is near.

mod config;
mod hull;
mod mask;
mod neighbours;
mod region;
mod shape;
mod texture;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use scellst_slide::Slide;
use scellst_types::{CellIndex, MicronsPerPixel};

use crate::detect::Progress;
use crate::{Border, Cells, CellsError, CropSpec, CropStream, Measurements};

pub use config::MeasureConfig;
pub use shape::RegionShape;
pub use texture::Texture;

use mask::Mask;
use neighbours::Neighbours;
use region::{PIXEL_MEASURES, Region, SHAPE_MEASURES};

/// Sides of the pictures that cells are cut out in, px: each cell's is the least that its outline fits into.
const SIDES: [u32; 7] = [64, 128, 256, 512, 1024, 2048, 4096];

/// Measures every cell: shape of the outline, stain and texture of the pixels in it, density and nearest neighbours.
///
/// The columns are those that [`measure_outlines`] and [`MeasureConfig`] list, shape, stain, texture and neighbourhood;
/// set them by [`Cells::set_measurements`], and every export writes them. A cell without an outline has its
/// neighbourhood alone, and so has one whose outline reaches over 2,048 px from its centroid or holds no pixel's centre;
/// the rest of its row is NaN.
///
/// Outlines are turned into pixels of [`MeasureConfig::mpp`] um, the slide's pixels are brought to that as crops are
/// (mirrored beyond its edge). The slide is read block by block as [`CropStream`] does, once for each of the sizes of
/// picture (powers of two from 64 px) that any cell needs; blocks are worked on in the caller's rayon pool. The result
/// does not depend on the number of threads.
///
/// # Errors
/// [`CellsError::Misuse`] for a bad configuration or a centroid that is not on the slide, [`CellsError::Slide`] if the
/// slide has no resolution or cannot be read.
pub fn measure(
    slide: &Slide,
    cells: &Cells,
    config: &MeasureConfig,
    progress: Progress<'_>,
) -> Result<Measurements, CellsError> {
    config.validate()?;
    let frame = Frame { cells, mpp: slide.require_mpp()?, config };
    let width = SHAPE_MEASURES.len() + PIXEL_MEASURES.len();
    let rows = Mutex::new(vec![f32::NAN; cells.len() * width]);
    let (done, total) = (AtomicU64::new(0), cells.len() as u64);
    let tell = |n: usize| progress(done.fetch_add(n as u64, Ordering::Relaxed) + n as u64, total);
    progress(0, total);
    let mut by_side: [Vec<CellIndex>; SIDES.len()] = Default::default();
    for i in 0..cells.len() {
        if let Some(side) = frame.side(i) {
            by_side[side].push(CellIndex(i as u32));
        }
    }
    tell(cells.len() - by_side.iter().map(Vec::len).sum::<usize>());
    for (members, side) in by_side.iter().zip(SIDES).filter(|(m, _)| !m.is_empty()) {
        let centroids: Vec<_> = members.iter().map(|c| cells.centroids()[c.get()]).collect();
        let spec = CropSpec { size_px: side, centre_px: side, mpp: config.mpp, border: Border::Mirror };
        CropStream::new(slide, &centroids, &spec)?.par_for_each(|block| {
            let mut region = Region::default();
            let measured: Vec<_> = block
                .cells
                .iter()
                .zip(block.crops.outer_iter())
                .map(|(c, crop)| {
                    let cell = members[c.get()].get();
                    let mask = frame.mask(cell, side)?;
                    Some((cell, region.with_pixels(&mask, crop, config.mpp)))
                })
                .collect();
            let mut rows = rows.lock().unwrap_or_else(|e| e.into_inner());
            for (cell, values) in measured.into_iter().flatten() {
                rows[cell * width..][..width].copy_from_slice(&values);
            }
            drop(rows);
            tell(block.cells.len());
            Ok::<(), CellsError>(())
        })?;
    }
    let rows = rows.into_inner().unwrap_or_else(|e| e.into_inner());
    let names = SHAPE_MEASURES.iter().chain(&PIXEL_MEASURES);
    frame.table(names, &rows, width)
}

/// As [`measure`] without a picture: shape and neighbourhood alone. `mpp`: um of a level-0 pixel.
///
/// # Errors
/// [`CellsError::Misuse`] for a bad configuration.
pub fn measure_outlines(
    cells: &Cells,
    mpp: MicronsPerPixel,
    config: &MeasureConfig,
) -> Result<Measurements, CellsError> {
    config.validate()?;
    let frame = Frame { cells, mpp, config };
    let width = SHAPE_MEASURES.len();
    let mut rows = vec![f32::NAN; cells.len() * width];
    rows.par_chunks_exact_mut(width).enumerate().for_each(|(i, row)| {
        if let Some(mask) = frame.side(i).and_then(|side| frame.mask(i, SIDES[side])) {
            row.copy_from_slice(&region::shape(&mask, config.mpp));
        }
    });
    frame.table(SHAPE_MEASURES.iter(), &rows, width)
}

/// Cells and the grid that they are measured on.
struct Frame<'a> {
    cells: &'a Cells,
    /// Of level 0.
    mpp: MicronsPerPixel,
    config: &'a MeasureConfig,
}

impl Frame<'_> {
    /// Pixels of the grid to one of level 0.
    fn scale(&self) -> [f64; 2] {
        [self.mpp.x() / self.config.mpp, self.mpp.y() / self.config.mpp]
    }

    /// Which of [`SIDES`] the outline of a cell fits into with a pixel to spare, if any.
    fn side(&self, cell: usize) -> Option<usize> {
        let ring = self.ring(cell, 0.0);
        let reach = ring.iter().flatten().fold(0.0f64, |far, v| far.max(v.abs()));
        let fits = |side: &u32| reach + 1.0 <= f64::from(*side) / 2.0;
        SIDES.iter().position(fits).filter(|_| !ring.is_empty())
    }

    /// The outline in pixels of the grid around the centroid, which is at `middle`.
    fn ring(&self, cell: usize, middle: f64) -> Vec<[f64; 2]> {
        let (centre, [sx, sy]) = (self.cells.centroids()[cell], self.scale());
        let place =
            |c: &[f32; 2]| [(f64::from(c[0]) - centre.x) * sx + middle, (f64::from(c[1]) - centre.y) * sy + middle];
        self.cells.outline(cell).iter().map(place).collect()
    }

    /// The pixels of a cell in its picture.
    fn mask(&self, cell: usize, side: u32) -> Option<Mask> {
        Mask::of_ring(&self.ring(cell, f64::from(side) / 2.0))
    }

    /// The rows, `width` values each, and the neighbourhood after them.
    fn table<'n>(
        &self,
        names: impl Iterator<Item = &'n (&'static str, &'static str)>,
        rows: &[f32],
        width: usize,
    ) -> Result<Measurements, CellsError> {
        let (radius, k) = (self.config.radius_um, self.config.nearest as usize);
        let um = |p: &scellst_types::Point<_>| [p.x * self.mpp.x(), p.y * self.mpp.y()];
        let tree = Neighbours::new(self.cells.centroids().iter().map(um).collect());
        let (counts, distances) = tree.all(radius, k);
        let square_mm = std::f64::consts::PI * radius * radius / 1e6;
        let names = names.map(|&(column, label)| (column.into(), label.into())).chain(self.config.neighbour_names());
        let mut table = Measurements::new(names.map(|(column, label)| crate::Measure { column, label }).collect())?;
        let mut row = Vec::new();
        for (i, &count) in counts.iter().enumerate() {
            row.clear();
            row.extend_from_slice(&rows[i * width..][..width]);
            row.extend([count as f32, (f64::from(count) / square_mm) as f32]);
            row.extend_from_slice(&distances[i * k..][..k]);
            table.push(&row)?;
        }
        Ok(table)
    }
}
