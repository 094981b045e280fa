use rayon::prelude::*;
use scellst_slide::TissueMask;
use scellst_types::{Level0, Point};

use super::field::{Field, Gaussian};
use super::grid::Grid;
use super::window::Window;
use crate::CellsError;

/// Side of a block of the sample, pixels of the grid.
const BLOCK: usize = 256;
/// So many blocks, spread evenly over the tissue, speak for the slide.
const BLOCKS: usize = 64;
const BINS: usize = 4096;
/// Nothing paler is a nucleus, whatever Otsu says (scikit-image's units).
const PALEST: f32 = 0.015;

/// Otsu's threshold on smoothed haematoxylin over a sample of the tissue; `None` if there is no tissue.
///
/// The blocks lie on a grid of their own and the counts are whole numbers: it depends neither on tiles nor on threads.
pub(crate) fn estimate(
    grid: &Grid<'_>,
    smooth: &Gaussian,
    tissue: Option<&TissueMask>,
    to_level0: &(dyn Fn(f64, f64) -> Point<Level0> + Sync),
) -> Result<Option<f32>, CellsError> {
    let (w, h) = grid.size();
    let on_tissue = |x: usize, y: usize| tissue.is_none_or(|t| t.contains(to_level0(x as f64 + 0.5, y as f64 + 0.5)));
    let mut blocks = Vec::new();
    for y in (0..h).step_by(BLOCK) {
        for x in (0..w).step_by(BLOCK) {
            let window = Window { x: x..(x + BLOCK).min(w), y: y..(y + BLOCK).min(h) };
            // A raster of points stands for the block.
            let inside = |n: &std::ops::Range<usize>| n.clone().step_by(16).collect::<Vec<_>>();
            if inside(&window.y).iter().any(|&j| inside(&window.x).iter().any(|&i| on_tissue(i, j))) {
                blocks.push(window);
            }
        }
    }
    let chosen: Vec<&Window> = if blocks.len() <= BLOCKS {
        blocks.iter().collect()
    } else {
        (0..BLOCKS).map(|i| &blocks[i * blocks.len() / BLOCKS]).collect()
    };
    let histogram = chosen
        .par_iter()
        .map(|core| {
            let (mut raw, mut stain) = (Field::default(), Field::default());
            grid.haematoxylin(&core.grown(smooth.radius(), grid.size()), &mut raw)?;
            smooth.apply(&raw, core, &mut stain);
            let mut counts = vec![0u64; BINS];
            for y in core.y.clone() {
                for x in core.x.clone().filter(|&x| on_tissue(x, y)) {
                    let value = stain.at(x, y);
                    counts[((value * BINS as f32) as usize).min(BINS - 1)] += 1;
                }
            }
            Ok::<_, CellsError>(counts)
        })
        .try_reduce(|| vec![0; BINS], |a, b| Ok(a.iter().zip(&b).map(|(x, y)| x + y).collect()))?;
    if histogram.iter().all(|&n| n == 0) {
        return Ok(None);
    }
    let bin = scellst_slide::otsu(&histogram);
    Ok(Some(((bin as f32 + 1.0) / BINS as f32).max(PALEST)))
}
