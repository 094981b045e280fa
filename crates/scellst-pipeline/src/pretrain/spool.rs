use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array4, ArrayView4};
use scellst_types::CellIndex;

use crate::PipelineError;

/// Crops of several sections in a file without a name: it is gone when the program ends, however it ends. A million
/// crops of 72 pixels have 16 GB, of which the system keeps in memory what fits.
pub(super) struct CropSpool {
    file: File,
    /// Where it lies, for messages.
    folder: PathBuf,
    side: usize,
    /// First crop of each section, and behind the last.
    starts: Vec<u64>,
}

impl CropSpool {
    /// For square crops of that side, in a folder.
    pub(super) fn new(folder: &Path, side: usize) -> Result<Self, PipelineError> {
        let file = tempfile::tempfile_in(folder).map_err(PipelineError::io("write crops into", folder))?;
        Ok(Self { file, folder: folder.to_owned(), side, starts: vec![0] })
    }

    fn bytes(&self) -> u64 {
        (self.side * self.side * 3) as u64
    }

    /// Begins a section of so many crops.
    pub(super) fn begin(&mut self, crops: usize) {
        let start = self.starts.last().copied().unwrap_or(0);
        self.starts.push(start + crops as u64);
    }

    /// Some crops `(n, side, side, 3)` of the last section, by their places in it.
    pub(super) fn put(&mut self, places: &[CellIndex], crops: ArrayView4<'_, u8>) -> Result<(), PipelineError> {
        let crops = crops.as_standard_layout();
        let (bytes, first) = (self.bytes(), self.starts.iter().rev().nth(1).copied().unwrap_or(0));
        let Some(pixels) = crops.as_slice() else { return Ok(()) };
        let write = |file: &mut BufWriter<&File>| {
            for (place, crop) in places.iter().zip(pixels.chunks_exact(bytes as usize)) {
                file.seek(SeekFrom::Start((first + place.get() as u64) * bytes))?;
                file.write_all(crop)?;
            }
            file.flush()
        };
        write(&mut BufWriter::new(&self.file)).map_err(PipelineError::io("write crops into", &self.folder))
    }

    /// Crops of a section in this order, `(n, side, side, 3)`.
    pub(super) fn get(&self, section: usize, crops: &[usize]) -> Result<Array4<u8>, PipelineError> {
        let failed = PipelineError::io("read crops from", &self.folder);
        let mut pixels = vec![0; crops.len() * self.bytes() as usize];
        let mut file = &self.file;
        let mut read = || {
            for (crop, to) in crops.iter().zip(pixels.chunks_exact_mut(self.bytes() as usize)) {
                file.seek(SeekFrom::Start((self.starts[section] + *crop as u64) * self.bytes()))?;
                file.read_exact(to)?;
            }
            Ok(())
        };
        read().map_err(failed)?;
        Array4::from_shape_vec((crops.len(), self.side, self.side, 3), pixels)
            .map_err(|e| PipelineError::Misuse(format!("crops of {} pixels: {e}", self.side)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_come_back_from_any_section_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = CropSpool::new(folder.path(), 5).unwrap();
        let crop = |section: usize, n: usize| ((section * 100 + n) % 251) as u8;
        for (section, count) in [7usize, 4].into_iter().enumerate() {
            spool.begin(count);
            // Out of order, in two pieces.
            for places in [&[3u32, 0][..], &[2, 1]] {
                let cells: Vec<CellIndex> = places.iter().map(|&i| CellIndex(i)).collect();
                let values = Array4::from_shape_fn((2, 5, 5, 3), |(n, ..)| crop(section, cells[n].get()));
                spool.put(&cells, values.view()).unwrap();
            }
        }
        for section in [1, 0] {
            let read = spool.get(section, &[2, 0, 3]).unwrap();
            assert_eq!(read.dim(), (3, 5, 5, 3));
            for (n, of) in [2, 0, 3].into_iter().enumerate() {
                assert!(read.index_axis(ndarray::Axis(0), n).iter().all(|&v| v == crop(section, of)));
            }
        }
    }
}
