use std::collections::{BTreeMap, VecDeque};

use ndarray::Array4;
use rayon::prelude::*;
use scellst_slide::Slide;
use scellst_types::{CellIndex, Level0, Point, Size};

use super::CropSpec;
use super::sampler::{Area, Sampler, Scratch};
use crate::CellsError;
use crate::plane::{LevelPlane, Plane};

/// Side of the blocks that cells are grouped by, pixels of the level that is read.
const BLOCK_PX: f64 = 1024.0;
/// A delivered block holds at most so many crops, and bytes if that is of more than one.
const MOST_CELLS: usize = 1024;
const MOST_BYTES: usize = 32 << 20;

/// Crops of cells that lie close together.
#[derive(Debug, Clone, PartialEq)]
pub struct CropBlock {
    /// Which cells, in the order of `crops`: indices into the centroids that the stream was made of.
    pub cells: Vec<CellIndex>,
    /// `(cells, rows, columns, RGB)`, u8.
    pub crops: Array4<u8>,
}

/// Crops of all cells of a slide, block by block.
///
/// Cells are grouped by squares of 1024 pixels of the level that is read; each square (with the margin that its cells
/// need) is read once, squares are worked on in parallel in the caller's rayon pool, twice as many as it has threads at
/// a time, and come out in row order with the cells of each in theirs. Every cell comes exactly once. The crops do not
/// depend on the blocks or on the number of threads.
///
/// ```no_run
/// use scellst_cells::{CropSpec, CropStream};
/// # let slide = scellst_slide::Slide::open("slide.tif")?;
/// # let centroids = [];
/// for block in CropStream::new(&slide, &centroids, &CropSpec::default())? {
///     let block = block?;
///     println!("{} crops of {:?}", block.cells.len(), block.crops.dim());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CropStream<'a> {
    worker: Worker<'a>,
    /// Cells of each block that is still to do.
    waiting: VecDeque<Vec<CellIndex>>,
    ready: VecDeque<CropBlock>,
    left: usize,
}

struct Worker<'a> {
    plane: Box<dyn Plane + Send + 'a>,
    centroids: &'a [Point<Level0>],
    sampler: Sampler,
    side: usize,
}

impl<'a> CropStream<'a> {
    /// Prepares the crops around the given centroids, level-0 px.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a bad spec or a centroid that is not on the slide (which must have a resolution:
    /// [`CellsError::Slide`]); [`CellsError::OverLimit`] beyond 2^32 cells.
    pub fn new(slide: &'a Slide, centroids: &'a [Point<Level0>], spec: &CropSpec) -> Result<Self, CellsError> {
        spec.validate()?;
        let mpp = slide.require_mpp()?;
        let level = slide.level_for_downsample(spec.mpp / mpp.mean());
        let down = (level.downsample_x(), level.downsample_y());
        let scale = (spec.mpp / (mpp.x() * down.0), spec.mpp / (mpp.y() * down.1));
        check(slide, centroids)?;
        let sampler = Sampler::new(spec.clone(), level.size(), down, scale);
        let waiting = group(&sampler, level.size(), centroids);
        let plane = Box::new(LevelPlane { slide, level });
        let worker = Worker { plane, centroids, sampler, side: spec.centre_px as usize };
        Ok(Self { worker, waiting, ready: VecDeque::new(), left: centroids.len() })
    }

    /// Cells whose crops are still to come.
    pub fn cells_left(&self) -> usize {
        self.left
    }

    /// Hands every block to `work` on the thread that cut it, in no order: for work that is done in the same pool.
    ///
    /// # Errors
    /// The first error of cutting or of `work`; further blocks are then not begun.
    pub fn par_for_each<E: From<CellsError> + Send>(
        mut self,
        work: impl Fn(CropBlock) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        self.ready.drain(..).try_for_each(&work)?;
        let worker = &self.worker;
        Vec::from(self.waiting).into_par_iter().try_for_each(|cells| worker.run(&cells, &mut |block| work(block)))
    }
}

impl Iterator for CropStream<'_> {
    type Item = Result<CropBlock, CellsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            let some = self.waiting.len().min(2 * rayon::current_num_threads());
            let batch: Vec<_> = self.waiting.drain(..some).collect();
            let all = |cells: &Vec<CellIndex>| {
                let mut blocks = Vec::new();
                self.worker.run(cells, &mut |block| {
                    blocks.push(block);
                    Ok::<(), CellsError>(())
                })?;
                Ok(blocks)
            };
            let done: Result<Vec<_>, CellsError> = batch.par_iter().map(all).collect();
            match done {
                Ok(blocks) => self.ready.extend(blocks.into_iter().flatten()),
                Err(error) => {
                    self.waiting.clear();
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        let block = self.ready.pop_front()?;
        self.left -= block.cells.len();
        Some(Ok(block))
    }
}

impl Worker<'_> {
    /// Hands on all crops of a square, so many at a time.
    fn run<E: From<CellsError>>(
        &self,
        cells: &[CellIndex],
        take: &mut dyn FnMut(CropBlock) -> Result<(), E>,
    ) -> Result<(), E> {
        let hull = |a: &std::ops::Range<i64>, b: &std::ops::Range<i64>| a.start.min(b.start)..a.end.max(b.end);
        let needs = |c: &CellIndex| self.sampler.needs(self.centroids[c.get()]);
        let whole = cells.iter().map(needs).reduce(|a, b| (hull(&a.0, &b.0), hull(&a.1, &b.1)));
        let Some((x, y)) = whole else { return Ok(()) };
        let size = Size::new((x.end - x.start) as u32, (y.end - y.start) as u32);
        let image = self.plane.read(x.start as u32, y.start as u32, size)?;
        let area = Area { x: x.start, y: y.start, image };
        let mut scratch = Scratch::default();
        let bytes = self.side * self.side * 3;
        for cells in cells.chunks((MOST_BYTES / bytes).clamp(1, MOST_CELLS)) {
            let mut crops = Array4::zeros((cells.len(), self.side, self.side, 3));
            if let Some(pixels) = crops.as_slice_mut() {
                for (cell, out) in cells.iter().zip(pixels.chunks_exact_mut(bytes)) {
                    self.sampler.cut(self.centroids[cell.get()], &area, &mut scratch, out);
                }
            }
            take(CropBlock { cells: cells.to_vec(), crops })?;
        }
        Ok(())
    }
}

fn check(slide: &Slide, centroids: &[Point<Level0>]) -> Result<(), CellsError> {
    if u32::try_from(centroids.len()).is_err() {
        return Err(CellsError::OverLimit {
            what: "cells".into(),
            limit: u64::from(u32::MAX),
            found: centroids.len() as u64,
            hint: "split the slide".into(),
        });
    }
    let (w, h) = (f64::from(slide.size().width), f64::from(slide.size().height));
    // A NaN is on no slide.
    match centroids.iter().enumerate().find(|(_, p)| !((0.0..=w).contains(&p.x) && (0.0..=h).contains(&p.y))) {
        None => Ok(()),
        Some((i, p)) => {
            let expected = format!("a level-0 place on the slide of {} px", slide.size());
            Err(CellsError::misuse(format!("centroid of cell {i}"), expected, format!("{p:?}")))
        }
    }
}

/// Cells by squares of the level, squares in row order, cells in theirs.
fn group(sampler: &Sampler, level: Size, centroids: &[Point<Level0>]) -> VecDeque<Vec<CellIndex>> {
    let last = |n: u32| f64::from(n.saturating_sub(1));
    let mut blocks = BTreeMap::<(u32, u32), Vec<CellIndex>>::new();
    for (i, &p) in (0u32..).zip(centroids) {
        let (x, y) = sampler.position(p);
        let block = |v: f64, n: u32| (v.min(last(n)) / BLOCK_PX) as u32;
        let key = (block(y, level.height), block(x, level.width));
        blocks.entry(key).or_default().push(CellIndex(i));
    }
    blocks.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use image::RgbImage;

    use super::*;

    /// A picture that notes what is read of it.
    struct Noted<'a>(RgbImage, &'a Mutex<Vec<[u32; 4]>>);

    impl Plane for Noted<'_> {
        fn size(&self) -> Size {
            self.0.size()
        }

        fn read(&self, x: u32, y: u32, size: Size) -> Result<RgbImage, CellsError> {
            self.1.lock().unwrap().push([x, y, size.width, size.height]);
            self.0.read(x, y, size)
        }
    }

    /// Cells all over a picture of 4 x 3 squares: 12 reads, each of one square and the margin of its cells' crops.
    #[test]
    fn every_square_is_read_once_with_its_margin() {
        let picture = RgbImage::new(3500, 2500);
        let (size, reads) = (picture.size(), Mutex::new(Vec::new()));
        let spec = CropSpec { size_px: 40, centre_px: 40, mpp: 0.25, ..CropSpec::default() };
        let place = |i: usize| ((i as f64 * 0.618_034).fract() * 3500.0, (i as f64 * 0.754_878).fract() * 2500.0);
        let centroids: Vec<_> = (0..5000).map(place).map(|(x, y)| Point::new(x, y)).collect();
        let sampler = Sampler::new(spec, size, (1.0, 1.0), (1.0, 1.0));
        let waiting = group(&sampler, size, &centroids);
        let worker = Worker { plane: Box::new(Noted(picture, &reads)), centroids: &centroids, sampler, side: 40 };
        let stream = CropStream { worker, waiting, ready: VecDeque::new(), left: centroids.len() };
        assert_eq!(stream.map(|block| block.unwrap().cells.len()).sum::<usize>(), 5000);
        let mut reads = reads.into_inner().unwrap();
        reads.sort_unstable_by_key(|&[x, y, ..]| (y.div_ceil(BLOCK_PX as u32), x.div_ceil(BLOCK_PX as u32)));
        assert_eq!(reads.len(), 12);
        for (i, [x, y, w, h]) in reads.into_iter().enumerate() {
            // Half a crop, and two pixels for the filter and rounding.
            let within = |low: u32, len: u32, square: usize, size: u32| {
                let (from, to) = (square as u32 * 1024, ((square as u32 + 1) * 1024).min(size));
                low + 23 >= from && low + len <= (to + 23).min(size) && len >= (to - from) / 2
            };
            assert!(within(x, w, i % 4, 3500) && within(y, h, i / 4, 2500), "square {i}: {x}, {y}, {w} x {h}");
        }
    }
}
