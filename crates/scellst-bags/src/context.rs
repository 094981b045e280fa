use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, CowArray, Ix2};
use rayon::prelude::*;
use scellst_types::{Micron, Point};

use crate::bags::fits_u32;
use crate::grid::{bounds, check_finite, check_radius};
use crate::tiles::{Tiles, tiles};
use crate::{BagsError, PointGrid};

/// Mean and spread of the features of the cells around places, block by block: the neighbourhood that a cell or a
/// spot is seen in.
///
/// For every centre and every radius: the mean and the standard deviation (divided by n, as numpy's `std`) of each
/// feature over the cells at most so far from the centre. A cell that is itself a centre counts. Without a cell
/// around, both are 0 (and the count says so).
///
/// Blocks come in an order of place, not of number; each says which centres it holds. Memory: one block, the
/// features, and what a thread needs for a few hundred neighbours. The bits do not depend on the number of threads;
/// means are within 1e-6 of the features' range around the centre, spreads within 1e-4 of themselves, and both may
/// differ by that much with which *other* centres are asked for.
///
/// Cells near each other have most neighbours in common, which are summed once; sums are taken of differences to a
/// mean near by, so that large offsets do no harm.
///
/// ```
/// use ndarray::array;
/// use scellst_bags::Context;
/// use scellst_types::Point;
///
/// let cells = [Point::new(0.0, 0.0), Point::new(3.0, 0.0), Point::new(100.0, 0.0)];
/// let features = array![[1.0f32, 10.0], [3.0, 20.0], [7.0, 30.0]];
/// for block in Context::new(&cells, features.view(), &cells, &[5.0, 200.0])? {
///     for (row, &cell) in block.centres.iter().enumerate() {
///         println!("cell {cell}: {} cells, mean {}", block.counts[(row, 0)], block.mean(row, 0));
///     }
/// }
/// let all = Context::new(&cells, features.view(), &cells, &[5.0, 200.0])?.collect_all();
/// // Mean and spread within 5 um, then within 200 um.
/// assert_eq!(all.values.row(0).to_vec(), [2.0, 15.0, 1.0, 5.0, 11.0 / 3.0, 20.0, 2.494_438_3, 8.164_966]);
/// assert_eq!(all.counts.row(2).to_vec(), [1, 3]);
/// # Ok::<(), scellst_bags::BagsError>(())
/// ```
pub struct Context<'a> {
    cells: &'a [Point<Micron>],
    features: CowArray<'a, f32, Ix2>,
    centres: &'a [Point<Micron>],
    radii: Vec<f64>,
    grid: PointGrid,
    tiles: Tiles,
    block_rows: usize,
    next_tile: usize,
}

/// The context of some centres.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ContextBlock {
    /// Which centres, one a row.
    pub centres: Vec<u32>,
    /// Cells around, `(centres, radii)`.
    pub counts: Array2<u32>,
    /// `(centres, 2 x radii x features)`: radius by radius, all means, then all spreads.
    pub values: Array2<f32>,
}

impl ContextBlock {
    fn zeros(rows: usize, radii: usize, features: usize) -> Self {
        Self {
            centres: Vec::with_capacity(rows),
            counts: Array2::zeros((rows, radii)),
            values: Array2::zeros((rows, 2 * radii * features)),
        }
    }

    fn part(&self, row: usize, part: usize) -> ArrayView1<'_, f32> {
        let features = self.values.ncols() / (2 * self.counts.ncols());
        let mut values = self.values.row(row);
        values.slice_axis_inplace(Axis(0), (part * features..(part + 1) * features).into());
        values
    }

    /// Mean features within a radius (its position among the radii).
    ///
    /// # Panics
    /// If there is no such row or radius.
    pub fn mean(&self, row: usize, radius: usize) -> ArrayView1<'_, f32> {
        self.part(row, 2 * radius)
    }

    /// Standard deviation of each feature within a radius (its position among the radii).
    ///
    /// # Panics
    /// If there is no such row or radius.
    pub fn spread(&self, row: usize, radius: usize) -> ArrayView1<'_, f32> {
        self.part(row, 2 * radius + 1)
    }
}

/// Features that are summed together: what the vector registers hold twice.
const LANES: usize = 16;
/// Panels that are gathered from a row of features at a time: several cache lines.
const GATHER: usize = 4;
type Panel = Vec<[f32; LANES]>;
type Sums = ([f64; LANES], [f64; LANES]);
/// Values of a block, by default.
const BLOCK_VALUES: usize = 8 << 20;
const MOST_RADII: usize = 64;

impl<'a> Context<'a> {
    /// Around `centres` (um), of `cells` (um) with one row of features each, within each of the radii (um), which rise.
    ///
    /// # Errors
    /// [`BagsError::Lengths`] unless every cell has features, [`BagsError::NotFinite`] for a place,
    /// [`BagsError::Value`] for a feature that is not finite or at least 1e15, [`BagsError::Setting`] for radii that are
    /// not positive and rising, or over 64; [`BagsError::TooMany`].
    pub fn new(
        cells: &'a [Point<Micron>],
        features: ArrayView2<'a, f32>,
        centres: &'a [Point<Micron>],
        radii_um: &[f64],
    ) -> Result<Self, BagsError> {
        if features.nrows() != cells.len() {
            return Err(BagsError::Lengths {
                what: "rows of features",
                expected: cells.len(),
                found: features.nrows(),
            });
        }
        radii_um.iter().try_for_each(|&radius| check_radius(radius))?;
        let rising = radii_um.windows(2).all(|pair| pair[0] < pair[1]);
        let largest = match radii_um.last() {
            Some(&last) if rising && radii_um.len() <= MOST_RADII => last,
            _ => {
                return Err(BagsError::Setting {
                    setting: "radii of the context (um)",
                    expected: "1 to 64, each larger than the one before",
                    found: format!("{radii_um:?}"),
                });
            }
        };
        check_finite("cell", cells)?;
        check_finite("centre", centres)?;
        fits_u32("centres", centres.len())?;
        check_values(features)?;
        let grid = PointGrid::new(cells, largest)?;
        let most = tile_size(&grid, centres, largest);
        let width = (2 * radii_um.len()).saturating_mul(features.ncols()).max(1);
        Ok(Self {
            cells,
            features: standard(features),
            centres,
            radii: radii_um.to_vec(),
            grid,
            tiles: tiles(centres, most, largest),
            block_rows: (BLOCK_VALUES / width).max(64),
            next_tile: 0,
        })
    }

    /// Blocks of about so many centres (else of about 32 MB).
    pub fn with_block_rows(self, rows: usize) -> Self {
        Self { block_rows: rows.max(1), ..self }
    }

    /// All that is left, in the order of the centres: for few centres, such as spots.
    pub fn collect_all(self) -> ContextBlock {
        let (radii, features) = (self.radii.len(), self.features.ncols());
        let mut all = ContextBlock::zeros(self.centres.len(), radii, features);
        all.centres = (0..self.centres.len() as u32).collect();
        for block in self {
            for (row, &centre) in block.centres.iter().enumerate() {
                all.counts.row_mut(centre as usize).assign(&block.counts.row(row));
                all.values.row_mut(centre as usize).assign(&block.values.row(row));
            }
        }
        all
    }

    /// Where a tile's centres lie in the order of tiles.
    fn tile(&self, tile: usize) -> Range<usize> {
        let start = tile.checked_sub(1).map_or(0, |before| self.tiles.ends[before]);
        start as usize..self.tiles.ends[tile] as usize
    }
}

impl Iterator for Context<'_> {
    type Item = ContextBlock;

    fn next(&mut self) -> Option<ContextBlock> {
        let first = self.next_tile;
        if first == self.tiles.ends.len() {
            return None;
        }
        let start = self.tile(first).start;
        while self.next_tile < self.tiles.ends.len()
            && (self.next_tile == first || self.tile(self.next_tile).end - start <= self.block_rows)
        {
            self.next_tile += 1;
        }
        let (radii, features) = (self.radii.len(), self.features.ncols());
        let rows = self.tile(self.next_tile - 1).end - start;
        let mut block = ContextBlock::zeros(rows, radii, features);
        block.centres.extend_from_slice(&self.tiles.order[start..start + rows]);
        // Each tile writes rows of its own.
        let mut jobs = Vec::with_capacity(self.next_tile - first);
        let ContextBlock { counts, values, .. } = &mut block;
        let mut counts = counts.as_slice_mut().unwrap_or_default();
        let mut values = values.as_slice_mut().unwrap_or_default();
        for tile in first..self.next_tile {
            let rows = self.tile(tile).len();
            let (own_counts, other_counts) = counts.split_at_mut(rows * radii);
            let (own_values, other_values) = values.split_at_mut(rows * 2 * radii * features);
            jobs.push((tile, own_counts, own_values));
            (counts, values) = (other_counts, other_values);
        }
        jobs.into_par_iter().for_each_init(Scratch::default, |scratch, (tile, counts, values)| {
            self.around(tile, counts, values, scratch);
        });
        Some(block)
    }
}

/// What a thread uses again.
#[derive(Default)]
struct Scratch {
    panels: [Panel; GATHER],
}

/// A tile's neighbours.
struct Near {
    /// Cells at most the largest radius from any centre of the tile; first those that all centres have within the
    /// first radius, then within the second, and so on, then the rest.
    cells: Vec<u32>,
    /// How many of them all centres have within each radius.
    shared: Vec<usize>,
    /// Those that a centre has within a radius beyond the shared ones, centre by centre, radius by radius.
    own: Vec<u32>,
    own_ends: Vec<usize>,
}

impl Context<'_> {
    fn near(&self, centres: &[u32]) -> Near {
        let places: Vec<Point<Micron>> = centres.iter().map(|&centre| self.centres[centre as usize]).collect();
        let radii = self.radii.len();
        let limits: Vec<f64> = self.radii.iter().map(|radius| radius * radius).collect();
        let (low, high) = bounds(&places).unwrap_or((Point::new(0.0, 0.0), Point::new(0.0, 0.0)));
        let middle = Point::new((low.x + high.x) / 2.0, (low.y + high.y) / 2.0);
        let largest = self.radii[radii - 1];
        let reach = (high.x - low.x).max(high.y - low.y) / 2.0 * (1.0 + 1e-9) + largest + 1e-6;
        // Rounding is monotonous: what is within reach of the far corner is so of every centre, to the last bit.
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); radii + 1];
        self.grid.for_each_near(middle, reach, |cell, at| {
            let least = |p: f64, low: f64, high: f64| (low - p).max(p - high).max(0.0);
            let (dx, dy) = (least(at.x, low.x, high.x), least(at.y, low.y, high.y));
            if dx * dx + dy * dy <= limits[radii - 1] {
                let most = |p: f64, low: f64, high: f64| (p - low).abs().max((p - high).abs());
                let (dx, dy) = (most(at.x, low.x, high.x), most(at.y, low.y, high.y));
                let farthest = dx * dx + dy * dy;
                found[limits.partition_point(|&limit| limit < farthest)].push(cell);
            }
        });
        let mut shared = Vec::with_capacity(radii);
        let mut cells = Vec::with_capacity(found.iter().map(Vec::len).sum());
        for (radius, found) in found.into_iter().enumerate() {
            cells.extend(found);
            if radius < radii {
                shared.push(cells.len());
            }
        }
        let (mut own, mut own_ends) = (Vec::new(), Vec::with_capacity(centres.len() * radii));
        let around: Vec<Point<Micron>> = cells.iter().map(|&cell| self.cells[cell as usize]).collect();
        for centre in places {
            for (&limit, &shared) in limits.iter().zip(&shared) {
                for (at, cell) in (shared as u32..).zip(&around[shared..]) {
                    let (dx, dy) = (cell.x - centre.x, cell.y - centre.y);
                    if dx * dx + dy * dy <= limit {
                        own.push(at);
                    }
                }
                own_ends.push(own.len());
            }
        }
        Near { cells, shared, own, own_ends }
    }

    /// Fills the rows of a tile's centres.
    fn around(&self, tile: usize, counts: &mut [u32], values: &mut [f32], scratch: &mut Scratch) {
        let near = self.near(&self.tiles.order[self.tile(tile)]);
        let (radii, features) = (self.radii.len(), self.features.ncols());
        let own = |at: usize| &near.own[at.checked_sub(1).map_or(0, |before| near.own_ends[before])..near.own_ends[at]];
        for (at, count) in counts.iter_mut().enumerate() {
            *count = (near.shared[at % radii] + own(at).len()) as u32;
        }
        for first in (0..features).step_by(LANES * GATHER) {
            let shifts = self.gather(&near.cells, first, &mut scratch.panels);
            for (p, (panel, shift)) in scratch.panels.iter().zip(shifts).enumerate() {
                let first = first + p * LANES;
                if first >= features {
                    break;
                }
                let columns = LANES.min(features - first);
                let mut shared_sums: Vec<Sums> = Vec::with_capacity(radii);
                let mut sums = ([0.0; LANES], [0.0; LANES]);
                let mut done = 0;
                for &shared in &near.shared {
                    add_run(&mut sums, &panel[done..shared]);
                    done = shared;
                    shared_sums.push(sums);
                }
                for (at, &count) in counts.iter().enumerate() {
                    if count == 0 {
                        continue;
                    }
                    let (own, shared) = (own(at), near.shared[at % radii]);
                    let mut sums = shared_sums[at % radii];
                    add_some(&mut sums, panel, own);
                    let (centre, radius) = (at / radii, at % radii);
                    let start = (2 * (centre * radii + radius)) * features + first;
                    for k in 0..columns {
                        let (mean, mut variance) = moments(&sums, k, count);
                        // Too little is left of the difference: again, exactly.
                        if variance < 1e-3 * mean * mean {
                            let rows = panel[..shared].iter().chain(own.iter().map(|&row| &panel[row as usize]));
                            variance =
                                rows.map(|row| (f64::from(row[k]) - mean).powi(2)).sum::<f64>() / f64::from(count);
                        }
                        values[start + k] = (f64::from(shift[k]) + mean) as f32;
                        values[start + features + k] = variance.sqrt() as f32;
                    }
                }
            }
        }
    }

    /// Copies some features of the cells, less their mean over the cells, which is given back.
    fn gather(&self, cells: &[u32], first: usize, panels: &mut [Panel; GATHER]) -> [[f32; LANES]; GATHER] {
        let features = self.features.ncols();
        let mut shifts = [[0.0; LANES]; GATHER];
        let all = self.features.as_slice().unwrap_or(&[]);
        let width = (features - first).min(LANES * GATHER);
        panels.iter_mut().for_each(Vec::clear);
        for &cell in cells {
            let start = cell as usize * features + first;
            let row = &all[start..start + width];
            for (panel, part) in panels.iter_mut().zip(row.chunks(LANES)) {
                panel.push(match part.try_into() {
                    Ok(full) => full,
                    Err(_) => std::array::from_fn(|k| part.get(k).copied().unwrap_or(0.0)),
                });
            }
        }
        for (panel, shift) in panels.iter_mut().zip(&mut shifts) {
            let mut sum = [0.0_f64; LANES];
            for row in panel.iter() {
                sum.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
            }
            *shift = sum.map(|sum| (sum / cells.len().max(1) as f64) as f32);
            for row in panel.iter_mut() {
                row.iter_mut().zip(&*shift).for_each(|(v, shift)| *v -= shift);
            }
        }
        shifts
    }
}

/// Rows that are summed in single precision.
const CHUNK: usize = 128;

/// Adds rows and their squares.
fn add_run(sums: &mut Sums, rows: &[[f32; LANES]]) {
    for rows in rows.chunks(CHUNK) {
        widen(sums, &chunk_of_run(rows));
    }
}

/// Adds rows, by their numbers, and their squares.
fn add_some(sums: &mut Sums, panel: &[[f32; LANES]], rows: &[u32]) {
    for rows in rows.chunks(CHUNK) {
        widen(sums, &chunk_of_some(panel, rows));
    }
}

/// Sums of rows and of their squares.
type Chunk = ([f32; LANES], [f32; LANES]);

// Not inlined: alone, these two loops keep their sums in vector registers four by four; in the middle of what is done
// with the sums the compiler keeps them two by two, or one by one.
#[inline(never)]
fn chunk_of_run(rows: &[[f32; LANES]]) -> Chunk {
    let mut chunk = Chunk::default();
    rows.iter().for_each(|row| add(&mut chunk, row));
    chunk
}

#[inline(never)]
fn chunk_of_some(panel: &[[f32; LANES]], rows: &[u32]) -> Chunk {
    let mut chunk = Chunk::default();
    rows.iter().for_each(|&row| add(&mut chunk, &panel[row as usize]));
    chunk
}

#[inline(always)]
fn add(chunk: &mut Chunk, row: &[f32; LANES]) {
    for ((sum, squares), value) in chunk.0.iter_mut().zip(&mut chunk.1).zip(row) {
        *sum += value;
        *squares += value * value;
    }
}

fn widen(sums: &mut Sums, chunk: &Chunk) {
    for k in 0..LANES {
        sums.0[k] += f64::from(chunk.0[k]);
        sums.1[k] += f64::from(chunk.1[k]);
    }
}

/// Mean and variance.
fn moments(sums: &Sums, k: usize, count: u32) -> (f64, f64) {
    let mean = sums.0[k] / f64::from(count);
    (mean, sums.1[k] / f64::from(count) - mean * mean)
}

/// The features row by row in memory, copied only if they are not.
fn standard(features: ArrayView2<'_, f32>) -> CowArray<'_, f32, Ix2> {
    if features.is_standard_layout() { features.into() } else { features.as_standard_layout().into_owned().into() }
}

fn check_values(features: ArrayView2<'_, f32>) -> Result<(), BagsError> {
    let wrong = |value: &f32| value.is_nan() || value.abs() >= 1e15;
    let row = (0..features.nrows()).into_par_iter().find_first(|&row| features.row(row).iter().any(wrong));
    let Some(row) = row else { return Ok(()) };
    let column = features.row(row).iter().position(wrong).unwrap_or(0);
    Err(BagsError::Value { what: "a feature", row, column, value: f64::from(features[(row, column)]) })
}

/// How many centres to a tile cost least: each adds its own neighbours at the rim, the others are shared
/// (2 n^1/3 for n neighbours of cells that lie evenly).
fn tile_size(grid: &PointGrid, centres: &[Point<Micron>], radius: f64) -> usize {
    const SAMPLE: usize = 200;
    let step = (centres.len() / SAMPLE).max(1);
    let (mut neighbours, mut asked) = (0_u64, 0_u64);
    for &centre in centres.iter().step_by(step) {
        grid.for_each_within(centre, radius, |_, _| neighbours += 1);
        asked += 1;
    }
    let mean = neighbours as f64 / asked.max(1) as f64;
    (2.0 * mean.cbrt()).round().clamp(4.0, 256.0) as usize
}
