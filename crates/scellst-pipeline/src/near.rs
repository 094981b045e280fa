use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};
use scellst_bags::Context;
use scellst_types::{Level0, Micron, MicronsPerPixel, Point};

use crate::context::SlideCells;
use crate::{Observer, PipelineError};

impl SlideCells<'_> {
    /// Blocks of cells with the features of all cells within reach of them, each embedded once.
    pub(crate) fn for_each_near(
        &self,
        cells: &[u32],
        block: usize,
        reach_um: f64,
        observer: &dyn Observer,
        mut take: impl FnMut(Range<usize>, &Near) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let block = block.max(1);
        let ranges = (0..cells.len()).step_by(block).map(|start| start..(start + block).min(cells.len()));
        let mpp = self.slide.require_mpp()?;
        let tiles = Tiles::new(self.places, mpp, reach_um, cells, block);
        let total = tiles.cells_to_embed();
        let mut embedded = 0;
        let mut kept: BTreeMap<Tile, Array2<f32>> = BTreeMap::new();
        for (number, range) in ranges.enumerate() {
            let needed = tiles.around(&cells[range.clone()]);
            let fresh: Vec<Tile> = needed.iter().copied().filter(|tile| !kept.contains_key(tile)).collect();
            let of_fresh: Vec<u32> = fresh.iter().flat_map(|tile| tiles.cells(tile)).copied().collect();
            let part = Part { observer, start: embedded, total };
            let features = self.embed(&of_fresh, &part)?;
            embedded += of_fresh.len() as u64;
            let mut row = 0;
            for tile in fresh {
                let rows = tiles.cells(&tile).len();
                kept.insert(tile, features.slice_axis(Axis(0), (row..row + rows).into()).to_owned());
                row += rows;
            }
            take(range, &self.near(&tiles, &needed, &kept, mpp)?)?;
            kept.retain(|tile, _| tiles.last_block(tile) > number);
        }
        Ok(())
    }

    /// The features that are kept of these squares.
    fn near(
        &self,
        tiles: &Tiles,
        needed: &BTreeSet<Tile>,
        kept: &BTreeMap<Tile, Array2<f32>>,
        mpp: MicronsPerPixel,
    ) -> Result<Near, PipelineError> {
        let around: Vec<u32> = needed.iter().flat_map(|tile| tiles.cells(tile)).copied().collect();
        let parts: Vec<ArrayView2<'_, f32>> =
            needed.iter().filter_map(|tile| kept.get(tile)).map(|p| p.view()).collect();
        let features = match parts.is_empty() {
            true => Array2::zeros((0, self.own())),
            false => ndarray::concatenate(Axis(0), &parts)
                .map_err(|e| PipelineError::Misuse(format!("features of another width: {e}")))?,
        };
        let places = around.iter().map(|&cell| mpp.to_micron(self.places[cell as usize])).collect();
        let row_of = around.iter().enumerate().map(|(row, &cell)| (cell, row)).collect();
        Ok(Near { features, places, row_of })
    }
}

/// The cells within reach of some, with their features.
pub(crate) struct Near {
    /// `(cells, dim)`.
    pub(crate) features: Array2<f32>,
    pub(crate) places: Vec<Point<Micron>>,
    pub(crate) row_of: BTreeMap<u32, usize>,
}

impl Near {
    /// Features of some of them.
    pub(crate) fn own(&self, cells: &[u32]) -> Array2<f32> {
        let rows: Vec<usize> = cells.iter().map(|cell| self.row_of[cell]).collect();
        self.features.select(Axis(0), &rows)
    }

    /// Means over all cells within a radius of each, itself among them, of what is known of them, `(near, columns)`.
    pub(crate) fn means(
        &self,
        cells: &[u32],
        of: ArrayView2<'_, f32>,
        radius_um: f64,
    ) -> Result<Array2<f32>, PipelineError> {
        let mut out = Array2::zeros((cells.len(), of.dim().1));
        for block in Context::new(&self.places, of, &self.centres(cells), &[radius_um])? {
            for (at, &centre) in block.centres.iter().enumerate() {
                out.row_mut(centre as usize).assign(&block.mean(at, 0));
            }
        }
        Ok(out)
    }

    pub(crate) fn centres(&self, cells: &[u32]) -> Vec<Point<Micron>> {
        cells.iter().map(|cell| self.places[self.row_of[cell]]).collect()
    }
}

/// A square of the slide, as far along x and y.
type Tile = (i64, i64);

/// Cells by squares whose side is how far a cell sees, so that all it sees lies in its square and the eight around.
struct Tiles<'a> {
    places: &'a [Point<Level0>],
    mpp: MicronsPerPixel,
    side_um: f64,
    cells: BTreeMap<Tile, Vec<u32>>,
    /// The last block of cells that sees a square; squares that none sees are not there.
    last: BTreeMap<Tile, usize>,
}

impl<'a> Tiles<'a> {
    fn new(places: &'a [Point<Level0>], mpp: MicronsPerPixel, reach_um: f64, asked: &[u32], block: usize) -> Self {
        // Not so small that there are more squares than cells.
        let mut tiles =
            Self { places, mpp, side_um: reach_um.max(64.0), cells: BTreeMap::new(), last: BTreeMap::new() };
        for cell in 0..places.len() as u32 {
            tiles.cells.entry(tiles.tile(cell)).or_default().push(cell);
        }
        for (number, cells) in asked.chunks(block).enumerate() {
            for tile in tiles.around(cells) {
                tiles.last.insert(tile, number);
            }
        }
        tiles
    }

    fn tile(&self, cell: u32) -> Tile {
        let at = self.mpp.to_micron(self.places[cell as usize]);
        ((at.x / self.side_um).floor() as i64, (at.y / self.side_um).floor() as i64)
    }

    fn cells(&self, tile: &Tile) -> &[u32] {
        self.cells.get(tile).map_or(&[], Vec::as_slice)
    }

    fn last_block(&self, tile: &Tile) -> usize {
        self.last.get(tile).copied().unwrap_or(0)
    }

    /// Squares with cells in them that these cells may see.
    fn around(&self, cells: &[u32]) -> BTreeSet<Tile> {
        let own: BTreeSet<Tile> = cells.iter().map(|&cell| self.tile(cell)).collect();
        let nine = |(x, y): Tile| (-1..=1).flat_map(move |dy| (-1..=1).map(move |dx| (x + dx, y + dy)));
        own.into_iter().flat_map(nine).filter(|tile| self.cells.contains_key(tile)).collect()
    }

    fn cells_to_embed(&self) -> u64 {
        self.last.keys().map(|tile| self.cells(tile).len() as u64).sum()
    }
}

/// Progress of one block as part of the whole.
pub(crate) struct Part<'a> {
    pub(crate) observer: &'a dyn Observer,
    pub(crate) start: u64,
    pub(crate) total: u64,
}

impl Observer for Part<'_> {
    fn stage(&self, _name: &str) {}

    fn progress(&self, done: u64, _total: u64) {
        self.observer.progress(self.start + done, self.total);
    }

    fn note(&self, text: &str) {
        self.observer.note(text);
    }
}
