use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView2;

use crate::EmbedError;

/// Writes features as a `.npy` of `(cells, features)`, float32, some rows at a time: memory does not grow with their
/// number. The file appears under its name on [`NpyFeatures::finish`]; dropped before that, nothing is left behind.
#[derive(Debug)]
pub struct NpyFeatures {
    target: PathBuf,
    part: PathBuf,
    /// Gone once finished.
    file: Option<BufWriter<File>>,
    dim: usize,
    missing: usize,
}

impl NpyFeatures {
    /// Begins a file beside the target.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if it cannot be written.
    pub fn create(target: &Path, rows: usize, dim: usize) -> Result<Self, EmbedError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = target.with_file_name(name);
        let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
        // Version 1.0: magic, version, length, text, blanks to a multiple of 64, line feed.
        let length = (10 + dictionary.len() + 1).next_multiple_of(64) - 10;
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((length as u16).to_le_bytes());
        header.extend(dictionary.as_bytes());
        header.resize(10 + length - 1, b' ');
        header.push(b'\n');
        let begin = || {
            let mut file = BufWriter::new(File::create(&part)?);
            file.write_all(&header)?;
            Ok(file)
        };
        let file = begin().map_err(|e: std::io::Error| failed(target, e.to_string()))?;
        Ok(Self { target: target.to_owned(), part, file: Some(file), dim, missing: rows })
    }

    /// The next rows, `(some, features)`.
    ///
    /// # Errors
    /// [`EmbedError::Features`] for more rows than there are to be, or of another width, and if the disk is full.
    pub fn write(&mut self, rows: ArrayView2<'_, f32>) -> Result<(), EmbedError> {
        let (count, width) = rows.dim();
        if width != self.dim || count > self.missing {
            let problem = format!("rows {:?}: at most ({}, {}) were expected", rows.dim(), self.missing, self.dim);
            return Err(failed(&self.target, problem));
        }
        let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
        if let Some(file) = &mut self.file {
            file.write_all(&bytes).map_err(|e| failed(&self.target, e.to_string()))?;
        }
        self.missing -= count;
        Ok(())
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`EmbedError::Features`] if rows are missing or it cannot be written.
    pub fn finish(mut self) -> Result<(), EmbedError> {
        if self.missing > 0 {
            return Err(failed(&self.target, format!("{} rows were not written", self.missing)));
        }
        let mut end = || {
            if let Some(mut file) = self.file.take() {
                file.flush()?;
                file.get_ref().sync_all()?;
            }
            std::fs::rename(&self.part, &self.target)
        };
        end().map_err(|e: std::io::Error| failed(&self.target, e.to_string()))
    }
}

impl Drop for NpyFeatures {
    fn drop(&mut self) {
        // After `finish` there is none; what cannot be removed stays.
        let _ = std::fs::remove_file(&self.part);
    }
}

fn failed(path: &Path, problem: String) -> EmbedError {
    EmbedError::Features { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::NpyCrops;

    fn crops(header: &str, bytes: usize) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend((0..bytes).map(|i| i as u8));
        file
    }

    #[test]
    fn crops_are_read_in_blocks_and_features_written_in_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crops.npy");
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3, 3), }\n";
        std::fs::write(&path, crops(header, 90)).unwrap();
        let mut read = NpyCrops::open(&path).unwrap();
        assert_eq!(read.len(), 5);
        let mut all: Vec<u8> = Vec::new();
        while let Some(block) = read.next_block(2).unwrap() {
            assert!(block.dim().0 <= 2 && block.dim().1 == 2 && block.dim().2 == 3);
            all.extend(block.iter());
        }
        assert_eq!(all, (0..90).collect::<Vec<u8>>());

        let target = folder.path().join("f.npy");
        let values = Array2::from_shape_fn((5, 7), |(r, c)| r as f32 - 0.25 * c as f32);
        let mut write = NpyFeatures::create(&target, 5, 7).unwrap();
        for rows in values.axis_chunks_iter(ndarray::Axis(0), 2) {
            write.write(rows).unwrap();
        }
        assert!(write.write(values.view()).unwrap_err().to_string().contains("at most (0, 7)"));
        write.finish().unwrap();
        assert_eq!(super::super::table(&std::fs::read(&target).unwrap()).unwrap(), values);
        // Left unfinished: nothing is there.
        let other = folder.path().join("other.npy");
        let unfinished = NpyFeatures::create(&other, 5, 7).unwrap();
        assert!(unfinished.finish().unwrap_err().to_string().contains("5 rows"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn files_that_are_no_crops_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crops.npy");
        for (header, bytes, words) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2, 3, 3), }", 360, "<f4"),
            ("{'descr': '|u1', 'fortran_order': True, 'shape': (5, 2, 3, 3), }", 90, "column by column"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3, 4), }", 120, "[5, 2, 3, 4]"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3), }", 30, "[5, 2, 3]"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3, 3), }", 89, "89 bytes"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 9, 9, 3), }", 9, "9 bytes"),
        ] {
            std::fs::write(&path, crops(header, bytes)).unwrap();
            let message = NpyCrops::open(&path).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("crops.npy"), "{message}");
        }
        std::fs::write(&path, b"\x93NUMPY").unwrap();
        assert!(NpyCrops::open(&path).is_err());
        assert!(NpyCrops::open(&folder.path().join("none.npy")).is_err());
    }
}
