use std::path::Path;

use super::file::NewFile;
use crate::{CellsError, CropBlock};

/// The header's length: numpy pads to a multiple of 64.
const HEADER: usize = 128;

/// Writes crops as one numpy array `(cells, rows, columns, 3)`, uint8, in the order of the cells whatever order they
/// come in, with memory that does not grow with their number: `numpy.load(path, mmap_mode="r")` reads it.
///
/// The file appears under its name on [`NpyCropWriter::finish`].
///
/// ```no_run
/// use scellst_cells::{CropSpec, CropStream, NpyCropWriter};
/// # let slide = scellst_slide::Slide::open("slide.tif")?;
/// # let cells = scellst_cells::Cells::new();
/// let spec = CropSpec::default();
/// let mut writer = NpyCropWriter::create("crops.npy", cells.len(), spec.centre_px)?;
/// for block in CropStream::new(&slide, cells.centroids(), &spec)? {
///     writer.write(&block?)?;
/// }
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpyCropWriter {
    file: NewFile,
    side: usize,
    /// Which cells are written.
    seen: Vec<bool>,
    missing: usize,
}

impl NpyCropWriter {
    /// Opens a temporary file beside the target, for so many crops of `side_px`.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for a side that no crop has, [`CellsError::Io`].
    pub fn create(target: impl AsRef<Path>, cells: usize, side_px: u32) -> Result<Self, CellsError> {
        if !(1..=4096).contains(&side_px) {
            return Err(CellsError::misuse("side of the crops", "1 to 4096 px", side_px));
        }
        let mut file = NewFile::create(target)?;
        let side = side_px as usize;
        let dictionary = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({cells}, {side}, {side}, 3), }}");
        // Source: numpy's `numpy.lib.format`, version 1.0: magic, version, length, text, blanks, line feed.
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend_from_slice(&((HEADER - 10) as u16).to_le_bytes());
        header.extend_from_slice(dictionary.as_bytes());
        header.resize(HEADER - 1, b' ');
        header.push(b'\n');
        file.put(&header)?;
        Ok(Self { file, side, seen: vec![false; cells], missing: cells })
    }

    /// Puts every crop of a block in its cell's place.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for crops of another side, or a cell that there is not or that was written before;
    /// [`CellsError::Io`].
    pub fn write(&mut self, block: &CropBlock) -> Result<(), CellsError> {
        let (expected, found) = ((block.cells.len(), self.side, self.side, 3), block.crops.dim());
        if found != expected {
            return Err(CellsError::misuse("shape of a block of crops", format!("{expected:?}"), format!("{found:?}")));
        }
        let crops = block.crops.as_standard_layout();
        let bytes = self.side * self.side * 3;
        for (cell, crop) in block.cells.iter().zip(crops.as_slice().unwrap_or(&[]).chunks_exact(bytes)) {
            let (cell, cells) = (cell.get(), self.seen.len());
            match self.seen.get_mut(cell) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(CellsError::misuse("cell of a crop", "each once", format!("{cell} again"))),
                None => return Err(CellsError::misuse("cell of a crop", format!("under {cells}"), cell)),
            }
            self.file.seek(HEADER as u64 + cell as u64 * bytes as u64)?;
            self.file.put(crop)?;
            self.missing -= 1;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] if crops are missing, [`CellsError::Io`]; the target is then as it was.
    pub fn finish(self) -> Result<(), CellsError> {
        if self.missing > 0 {
            return Err(CellsError::misuse(
                "crops",
                format!("{}", self.seen.len()),
                format!("{} missing", self.missing),
            ));
        }
        self.file.finish()
    }
}
