//! Opening a file and looking around in it, with every answer checked.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5::types::{TypeDescriptor, VarLenAscii, VarLenUnicode};

use crate::error::one_line;
use crate::{H5Error, ReadLimits, dataset::DatasetReader};

const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// No list in an attribute or group that we read has more entries.
const MAX_ENTRIES: usize = 1 << 16;

/// An open file; names of objects are paths from its root without a slash in front.
#[derive(Debug)]
pub(crate) struct Source {
    file: hdf5::File,
    path: PathBuf,
    pub(crate) limits: ReadLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    Dataset,
}

impl Source {
    pub(crate) fn open(path: &Path, limits: ReadLimits) -> Result<Arc<Self>, H5Error> {
        // HDF5's own messages do not tell a missing file from a broken one.
        let mut start = Vec::new();
        std::fs::File::open(path)
            .and_then(|f| f.take(8).read_to_end(&mut start))
            .map_err(|e| H5Error::io(path, "open", e))?;
        if start.is_empty() {
            return Err(H5Error::broken(path, "/", "the file is empty; was its writing or copying interrupted?"));
        }
        // Without HDF5's lock: a child that the program starts in between inherits a writer's descriptor and with it the
        // lock, network file systems refuse it, and files that we write appear only when they are whole.
        let file = hdf5::File::with_options().with_fapl(|p| p.file_locking(false)).open(path).map_err(|e| {
            if start == SIGNATURE {
                let words = one_line(e);
                H5Error::broken(
                    path,
                    "/",
                    format!("begins like HDF5 but cannot be opened, perhaps truncated ({words})"),
                )
            } else {
                H5Error::broken(path, "/", "not an HDF5 file; an .h5ad file was expected")
            }
        })?;
        Ok(Arc::new(Self { file, path: path.into(), limits }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn broken(&self, object: &str, problem: impl Into<String>) -> H5Error {
        H5Error::broken(&self.path, object, problem)
    }

    /// Where HDF5 itself cannot read what the checks let through.
    pub(crate) fn damaged(&self, object: &str, error: impl std::fmt::Display) -> H5Error {
        self.broken(object, format!("cannot be read, perhaps truncated or damaged ({})", one_line(error)))
    }

    /// What is at a place, if anything is; parents that do not exist are nothing.
    pub(crate) fn kind(&self, object: &str) -> Result<Option<Kind>, H5Error> {
        let mut end = 0;
        for part in object.split('/') {
            end += part.len();
            if !self.file.link_exists(&object[..end]) {
                return Ok(None);
            }
            end += 1;
        }
        match self.file.loc_type_by_name(object) {
            Ok(hdf5::LocationType::Group) => Ok(Some(Kind::Group)),
            Ok(hdf5::LocationType::Dataset) => Ok(Some(Kind::Dataset)),
            Ok(other) => {
                Err(H5Error::unsupported(&self.path, object, format!("neither a group nor a dataset but {other:?}")))
            }
            Err(e) => Err(self.broken(object, format!("its link leads nowhere ({})", one_line(e)))),
        }
    }

    pub(crate) fn dataset(self: &Arc<Self>, object: &str) -> Result<DatasetReader, H5Error> {
        match self.kind(object)? {
            Some(Kind::Dataset) => {}
            Some(Kind::Group) => return Err(self.broken(object, "a dataset was expected, found a group")),
            None => return Err(self.broken(object, "a dataset was expected, found nothing")),
        }
        let dataset = self.file.dataset(object).map_err(|e| self.damaged(object, e))?;
        // A link may lead into another file, of which nobody has spoken.
        if dataset.filename() != self.file.filename() {
            return Err(H5Error::unsupported(
                &self.path,
                object,
                "a link into another file; copy the data into this one",
            ));
        }
        DatasetReader::new(self, object, dataset)
    }

    /// Sorted names of what a group (the root without a name) contains; nothing if there is no such group.
    pub(crate) fn members(&self, object: &str) -> Result<Vec<String>, H5Error> {
        if !object.is_empty() && self.kind(object)? != Some(Kind::Group) {
            return Ok(Vec::new());
        }
        let group =
            self.file.group(if object.is_empty() { "/" } else { object }).map_err(|e| self.damaged(object, e))?;
        if group.len() > MAX_ENTRIES as u64 {
            return Err(H5Error::limit(
                &self.path,
                object,
                format!("{} entries, at most {MAX_ENTRIES} are looked at", group.len()),
            ));
        }
        let mut names = group.member_names().map_err(|e| self.damaged(object, e))?;
        // hdf5-metno takes names for UTF-8 without looking.
        names.retain(|n| std::str::from_utf8(n.as_bytes()).is_ok());
        names.sort();
        Ok(names)
    }

    fn attribute(&self, object: &str, name: &str) -> Result<Option<hdf5::Attribute>, H5Error> {
        let location: hdf5::Location = match self.kind(object)? {
            Some(Kind::Group) => (*self.file.group(object).map_err(|e| self.damaged(object, e))?).clone(),
            Some(Kind::Dataset) => (**self.file.dataset(object).map_err(|e| self.damaged(object, e))?).clone(),
            None => return Ok(None),
        };
        let Ok(attribute) = location.attr(name) else { return Ok(None) };
        // Reading a null dataspace would leave the value as it was: uninitialised.
        let null = attribute.space().map_err(|e| self.damaged(object, e))?.is_null();
        Ok((!null).then_some(attribute))
    }

    /// A text attribute, if there is one.
    pub(crate) fn text_attr(&self, object: &str, name: &str) -> Result<Option<String>, H5Error> {
        let Some(attribute) = self.attribute(object, name)? else { return Ok(None) };
        if !attribute.shape().is_empty() {
            return Err(self.broken(object, format!("its attribute '{name}' is an array, one text was expected")));
        }
        let fail = |e| self.damaged(object, format!("attribute '{name}': {e}"));
        let bytes = match attribute.dtype().and_then(|t| t.to_descriptor()).map_err(fail)? {
            TypeDescriptor::VarLenUnicode => {
                attribute.read_scalar::<VarLenUnicode>().map_err(fail)?.as_bytes().to_vec()
            }
            TypeDescriptor::VarLenAscii => attribute.read_scalar::<VarLenAscii>().map_err(fail)?.as_bytes().to_vec(),
            TypeDescriptor::FixedAscii(n) if n <= 64 => {
                attribute.read_scalar::<hdf5::types::FixedAscii<64>>().map_err(fail)?.as_bytes().to_vec()
            }
            TypeDescriptor::FixedUnicode(n) if n <= 64 => {
                attribute.read_scalar::<hdf5::types::FixedUnicode<64>>().map_err(fail)?.as_bytes().to_vec()
            }
            other => {
                return Err(self.broken(object, format!("its attribute '{name}' is {other}, text was expected")));
            }
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| self.broken(object, format!("its attribute '{name}' is no UTF-8 text")))
    }

    /// A list of texts in an attribute; an empty list of any type counts.
    pub(crate) fn text_list_attr(&self, object: &str, name: &str) -> Result<Vec<String>, H5Error> {
        let Some(attribute) = self.attribute(object, name)? else { return Ok(Vec::new()) };
        let shape = attribute.shape();
        let [n] = shape[..] else {
            return Err(self.broken(object, format!("its attribute '{name}' has shape {shape:?}, a list was expected")));
        };
        if n == 0 {
            return Ok(Vec::new());
        }
        if n > MAX_ENTRIES {
            return Err(H5Error::limit(&self.path, object, format!("attribute '{name}' has {n} entries")));
        }
        let fail = |e| self.damaged(object, format!("attribute '{name}': {e}"));
        let texts: Vec<Vec<u8>> = match attribute.dtype().and_then(|t| t.to_descriptor()).map_err(fail)? {
            TypeDescriptor::VarLenUnicode => {
                let list = attribute.read_1d::<VarLenUnicode>().map_err(fail)?;
                list.iter().map(|s| s.as_bytes().to_vec()).collect()
            }
            TypeDescriptor::VarLenAscii => {
                let list = attribute.read_1d::<VarLenAscii>().map_err(fail)?;
                list.iter().map(|s| s.as_bytes().to_vec()).collect()
            }
            other => {
                return Err(self.broken(object, format!("its attribute '{name}' is {other}, texts were expected")));
            }
        };
        texts
            .into_iter()
            .map(|t| {
                String::from_utf8(t)
                    .map_err(|_| self.broken(object, format!("its attribute '{name}' is no UTF-8 text")))
            })
            .collect()
    }

    /// A short list of whole numbers in an attribute, such as `shape`.
    pub(crate) fn int_list_attr(&self, object: &str, name: &str) -> Result<Option<Vec<i64>>, H5Error> {
        let Some(attribute) = self.attribute(object, name)? else { return Ok(None) };
        if attribute.size() > 32 {
            return Err(self.broken(object, format!("its attribute '{name}' has {} numbers", attribute.size())));
        }
        attribute.read_raw::<i64>().map(Some).map_err(|e| self.damaged(object, format!("attribute '{name}': {e}")))
    }
}
