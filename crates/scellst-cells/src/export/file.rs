use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::CellsError;

/// A file that appears under its name when it is whole; until then there is a temporary one beside it, which a drop
/// removes.
#[derive(Debug)]
pub(super) struct NewFile {
    target: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
    /// Where the next byte goes.
    at: u64,
}

impl NewFile {
    pub(super) fn create(target: impl AsRef<Path>) -> Result<Self, CellsError> {
        let target = target.as_ref().to_owned();
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".tmp{}", std::process::id()));
        let temporary = target.with_file_name(name);
        let file = File::create(&temporary).map_err(|e| CellsError::io(&target, "create", &e))?;
        Ok(Self { target, temporary, file: Some(BufWriter::with_capacity(1 << 16, file)), at: 0 })
    }

    #[cfg(feature = "parquet")]
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    pub(super) fn failed(&self, error: &io::Error) -> CellsError {
        CellsError::io(&self.target, "write", error)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), CellsError> {
        self.write_all(bytes).map_err(|e| self.failed(&e))
    }

    /// Goes to a place, which may be beyond the end; costs nothing if it is there.
    pub(super) fn seek(&mut self, to: u64) -> Result<(), CellsError> {
        if self.at != to {
            let moved = self.file.as_mut().map_or(Ok(to), |f| f.seek(SeekFrom::Start(to)));
            self.at = moved.map_err(|e| self.failed(&e))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), CellsError> {
        self.flush().map_err(|e| self.failed(&e))?;
        fs::rename(&self.temporary, &self.target)
            .map_err(|e| CellsError::io(&self.target, "rename its temporary file to it", &e))?;
        self.file = None;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.as_mut().map_or(Ok(bytes.len()), |f| f.write(bytes))?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // `finish` takes the file once all went well; otherwise the work was given up.
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
