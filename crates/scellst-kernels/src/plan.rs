//! What a GPU is asked to do, as data: the same description drives CUDA, Metal and the emulator of the tests.

use candle_core::{Result, bail};

/// Threads of a tile side by side on columns: `TILE_COLUMNS` of `kernels/common.h`.
const TILE_COLUMNS: usize = 32;
/// Threads of a tile that share a column: `TILE_ROWS`.
const TILE_ROWS: usize = 8;
/// Threads of a line: `LINE`.
const LINE: usize = 256;
/// The largest grid that CUDA takes along x, and along y.
const MAX_GRID: [usize; 2] = [i32::MAX as usize, 65_535];

/// An argument that is no array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    U32(u32),
    U64(u64),
    F32(f32),
}

/// One launch of a kernel.
///
/// Its arguments are, in this order: the operation's inputs, the bags' offsets where it has any, what it writes, the
/// scalars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Name without the type's suffix.
    pub kernel: &'static str,
    /// Blocks along x and y.
    pub grid: [u32; 2],
    /// Threads of a block along x and y.
    pub block: [u32; 2],
    /// After the arrays.
    pub scalars: Vec<Scalar>,
}

impl Plan {
    /// Blocks of tiles: `blocks` along x, and as many along y as `columns` fill.
    pub fn tiles(kernel: &'static str, blocks: usize, columns: usize) -> Result<Self> {
        Self::new(kernel, [blocks, columns.div_ceil(TILE_COLUMNS)], [TILE_COLUMNS, TILE_ROWS])
    }

    /// Tiles over a whole matrix.
    pub fn matrix(kernel: &'static str, rows: usize, columns: usize) -> Result<Self> {
        Self::tiles(kernel, rows.div_ceil(TILE_ROWS), columns)
    }

    /// Tiles side by side along x, each over all rows.
    pub fn columns(kernel: &'static str, columns: usize) -> Result<Self> {
        Self::new(kernel, [columns.div_ceil(TILE_COLUMNS), 1], [TILE_COLUMNS, TILE_ROWS])
    }

    /// A block of a line for each of `rows`.
    pub fn lines(kernel: &'static str, rows: usize) -> Result<Self> {
        Self::new(kernel, [rows, 1], [LINE, 1])
    }

    /// A thread for each of `n` elements.
    pub fn elements(kernel: &'static str, n: usize) -> Result<Self> {
        Self::new(kernel, [n.div_ceil(LINE), 1], [LINE, 1])
    }

    fn new(kernel: &'static str, grid: [usize; 2], block: [usize; 2]) -> Result<Self> {
        if grid[0] > MAX_GRID[0] || grid[1] > MAX_GRID[1] {
            bail!("{kernel}: a GPU takes at most {MAX_GRID:?} blocks, this is {grid:?}");
        }
        let both = |n: [usize; 2]| [n[0] as u32, n[1] as u32];
        Ok(Self { kernel, grid: both(grid), block: both(block), scalars: Vec::new() })
    }

    pub fn u32(mut self, what: &'static str, value: usize) -> Result<Self> {
        let Ok(value) = u32::try_from(value) else {
            bail!("{}: a GPU takes at most {} {what}, found {value}", self.kernel, u32::MAX)
        };
        self.scalars.push(Scalar::U32(value));
        Ok(self)
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.scalars.push(Scalar::U64(value));
        self
    }

    pub fn f32(mut self, value: f64) -> Self {
        self.scalars.push(Scalar::F32(value as f32));
        self
    }

    /// Nothing to do: an array without elements.
    #[cfg(any(feature = "cuda", feature = "metal", test))]
    pub fn is_empty(&self) -> bool {
        self.grid.contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_cover_what_they_are_for() {
        let plan = Plan::tiles("k", 7, 33).unwrap();
        assert_eq!((plan.grid, plan.block), ([7, 2], [32, 8]));
        assert_eq!(Plan::matrix("k", 17, 32).unwrap().grid, [3, 1]);
        assert_eq!(Plan::elements("k", 257).unwrap().grid, [2, 1]);
        assert!(Plan::tiles("k", 0, 33).unwrap().is_empty() && Plan::elements("k", 0).unwrap().is_empty());
        assert!(!Plan::lines("k", 1).unwrap().is_empty());
    }

    #[test]
    fn too_large_for_a_gpu_is_an_error() {
        let e = Plan::tiles("k", 1, 65_536 * 32).unwrap_err().to_string();
        assert!(e.contains("65536"), "{e}");
        assert!(Plan::elements("k", usize::MAX / 2).is_err());
        assert!(Plan::lines("k", 1).unwrap().u32("columns", 1 << 32).is_err());
    }

    /// The kernels are compiled with the sizes that the plans count with.
    #[test]
    fn the_kernels_agree_on_sizes() {
        let source = include_str!("../kernels/common.h");
        for (name, value) in [("TILE_COLUMNS", TILE_COLUMNS), ("TILE_ROWS", TILE_ROWS), ("LINE", LINE)] {
            assert!(source.contains(&format!("#define {name} {value}\n")), "{name}");
        }
    }
}
