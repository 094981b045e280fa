use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ndarray::Array4;

use super::{Header, MAX_START};
use crate::EmbedError;

/// Pictures of cells in a `.npy` of `(cells, height, width, 3)`, uint8, read some at a time: memory does not grow with
/// their number.
///
/// ```no_run
/// use candle_core::Device;
/// use scellst_embed::{EmbedError, NpyCrops, NpyFeatures};
///
/// let encoder = scellst_embed::open("resnet18:untrained=0", None, &Device::Cpu)?;
/// let mut crops = NpyCrops::open("crops.npy".as_ref())?;
/// let mut features = NpyFeatures::create("features.npy".as_ref(), crops.len(), encoder.dim())?;
/// while let Some(block) = crops.next_block(1024)? {
///     features.write(encoder.embed(block.view())?.view())?;
/// }
/// features.finish()?;
/// # Ok::<(), EmbedError>(())
/// ```
#[derive(Debug)]
pub struct NpyCrops {
    path: PathBuf,
    file: BufReader<File>,
    /// Cells, height, width.
    sides: [usize; 3],
    done: usize,
}

impl NpyCrops {
    /// Reads the header and checks the file's length.
    ///
    /// # Errors
    /// [`EmbedError::CropsFile`] for a file that cannot be read, is no such array, or is cut short.
    pub fn open(path: &Path) -> Result<Self, EmbedError> {
        let fail = |problem: String| EmbedError::CropsFile { path: path.to_owned(), problem };
        let io = |e: std::io::Error| fail(e.to_string());
        let mut file = File::open(path).map_err(io)?;
        let mut start = Vec::new();
        file.by_ref().take(MAX_START as u64).read_to_end(&mut start).map_err(io)?;
        let header = Header::parse(&start).map_err(fail)?;
        let expected = "expected (cells, height, width, 3) of |u1, row by row";
        let (&[cells, height, width, 3], "|u1", false) = (header.sides.as_slice(), header.kind, header.by_columns)
        else {
            let order = if header.by_columns { ", column by column" } else { "" };
            return Err(fail(format!("{:?} of {}{order}: {expected}", header.sides, header.kind)));
        };
        let bytes = [height, width, 3].iter().try_fold(cells as u64, |n, &side| n.checked_mul(side as u64));
        let found = file.metadata().map_err(io)?.len().saturating_sub(header.begin as u64);
        if bytes != Some(found) {
            return Err(fail(format!("({cells}, {height}, {width}, 3) with {found} bytes of values")));
        }
        file.seek(SeekFrom::Start(header.begin as u64)).map_err(io)?;
        let (path, file) = (path.to_owned(), BufReader::new(file));
        Ok(Self { path, file, sides: [cells, height, width], done: 0 })
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.sides[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next crops, at most so many; `None` after the last.
    ///
    /// # Errors
    /// [`EmbedError::CropsFile`] if the file cannot be read on.
    pub fn next_block(&mut self, most: usize) -> Result<Option<Array4<u8>>, EmbedError> {
        let [cells, height, width] = self.sides;
        let count = most.min(cells - self.done);
        if count == 0 {
            return Ok(None);
        }
        let fail = |problem: String| EmbedError::CropsFile { path: self.path.clone(), problem };
        let mut pixels = vec![0; count * height * width * 3];
        self.file.read_exact(&mut pixels).map_err(|e| fail(e.to_string()))?;
        self.done += count;
        Array4::from_shape_vec((count, height, width, 3), pixels).map(Some).map_err(|e| fail(e.to_string()))
    }
}
