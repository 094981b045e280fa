//! The bytes of a file, read from any position by any thread.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SlideError;

/// Bytes that are read by position, so that threads share them without a lock.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    place: Place,
    len: u64,
}

#[derive(Debug)]
enum Place {
    File(File),
    Memory(Arc<[u8]>),
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, SlideError> {
        let file = File::open(path).map_err(|e| SlideError::io(path, "open", e))?;
        let meta = file.metadata().map_err(|e| SlideError::io(path, "open", e))?;
        if meta.is_dir() {
            return Err(SlideError::unsupported(path, "the path", "a directory", "give the slide's file"));
        }
        Ok(Self { path: path.to_owned(), place: Place::File(file), len: meta.len() })
    }

    /// Bytes that are in memory already; `name` for messages.
    pub(crate) fn memory(name: &Path, bytes: Arc<[u8]>) -> Self {
        Self { path: name.to_owned(), len: bytes.len() as u64, place: Place::Memory(bytes) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is read from a file, and not from memory.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// `len` bytes at `offset`, appended to `prefix`; `place` for messages.
    pub(crate) fn read(&self, prefix: &[u8], offset: u64, len: u64, place: &str) -> Result<Vec<u8>, SlideError> {
        self.check(offset, len, place)?;
        let mut bytes = zeroed(&self.path, place, prefix.len() as u64 + len)?;
        let (head, body) = bytes.split_at_mut(prefix.len());
        head.copy_from_slice(prefix);
        self.read_exact_at(body, offset)
            .map_err(|e| SlideError::io(&self.path, format!("read {len} bytes at {offset}"), e))?;
        Ok(bytes)
    }

    /// Whether the bytes lie inside of the file.
    pub(crate) fn holds(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// That the bytes lie inside of the file.
    pub(crate) fn check(&self, offset: u64, len: u64, place: &str) -> Result<(), SlideError> {
        if self.holds(offset, len) {
            return Ok(());
        }
        Err(SlideError::broken(
            &self.path,
            place,
            format!("its data inside of the file's {} bytes", self.len),
            format!("{len} bytes at offset {offset} (is the file cut off?)"),
        ))
    }

    /// As many bytes as there are, up to the buffer's length; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.place {
            Place::File(file) => read_file_at(file, buffer, offset),
            Place::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            }
        }
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buffer = &mut buffer[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Up to `len` bytes from the start of the file.
    pub(crate) fn head(&self, len: u64) -> Result<Vec<u8>, SlideError> {
        self.read(&[], 0, len.min(self.len), "start of the file")
    }
}

/// A sequential view of a [`Source`].
#[derive(Debug)]
pub(crate) struct Cursor {
    source: Arc<Source>,
    at: u64,
}

impl Cursor {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, at: 0 }
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek out of range"))?;
        Ok(self.at)
    }
}

/// A buffer of zeros whose size comes from a file: refused, not aborted, where there is no memory.
pub(crate) fn zeroed(path: &Path, place: &str, len: u64) -> Result<Vec<u8>, SlideError> {
    // Asked for first, since `vec!` aborts the program where there is no memory; but `vec!` has the
    // system give pages that are zero already, each when it is first touched, by whichever thread.
    let fits = usize::try_from(len).ok().filter(|&n| Vec::<u8>::new().try_reserve_exact(n).is_ok());
    match fits {
        Some(n) => Ok(vec![0; n]),
        None => Err(SlideError::over_limit(
            path,
            place,
            "bytes",
            (len, isize::MAX as u64),
            "there is not that much memory: read smaller regions",
        )),
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
