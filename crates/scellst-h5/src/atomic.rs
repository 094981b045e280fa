//! A new HDF5 file under a temporary name, moved into place only when it is whole.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anndata::backend::{AttributeOp, Backend, GroupOp};
use anndata_hdf5::{H5, H5File};
use tempfile::TempPath;

use crate::H5Error;

/// Dropped without [`NewFile::finish`] it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewFile {
    // Before `temporary`: closed first, removed then.
    file: Handle,
    temporary: TempPath,
    target: PathBuf,
}

struct Handle(H5File);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("H5File")
    }
}

impl NewFile {
    /// An empty anndata file beside `target`.
    pub(crate) fn create(target: &Path) -> Result<Self, H5Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let create = |e| H5Error::io(target, "create", e);
        let name = target.file_name().ok_or_else(|| H5Error::misuse(target, "not the name of a file"))?;
        if target.is_dir() {
            return Err(H5Error::misuse(target, "cannot be written, it is a directory"));
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{}.{}-{count}.part", name.to_string_lossy(), std::process::id());
        let temporary = target.with_file_name(temporary);
        // The file system's own error is clearer than HDF5's; this also takes the name.
        std::fs::File::create_new(&temporary).map_err(create)?;
        let temporary = TempPath::try_from_path(temporary).map_err(create)?;
        let file = H5::new(&temporary).map_err(|e| H5Error::library(target, "/", e))?;
        let new = Self { file: Handle(file), temporary, target: target.into() };
        // The root's attributes; anndata-rs has no handle for them but its own group.
        let mut root = new.file.0.open_group("/").map_err(|e| new.library("/", e))?;
        for (key, value) in [("encoding-type", "anndata"), ("encoding-version", "0.1.0")] {
            root.new_attr(key, value).map_err(|e| new.library("/", e))?;
        }
        Ok(new)
    }

    pub(crate) fn file(&self) -> &H5File {
        &self.file.0
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    pub(crate) fn library(&self, object: &str, error: impl std::fmt::Display) -> H5Error {
        H5Error::library(&self.target, object, error)
    }

    /// Closes the file and gives it its name.
    pub(crate) fn finish(self) -> Result<(), H5Error> {
        let Self { file, temporary, target } = self;
        let fail = |e: hdf5::Error| H5Error::library(&target, "/", e);
        file.0.flush().map_err(fail)?;
        drop(file);
        temporary.persist(&target).map_err(|e| H5Error::io(&target, "move into place", e.error))
    }
}
