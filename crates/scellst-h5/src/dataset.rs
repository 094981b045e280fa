//! Reading a dataset block by block, with its declared size checked before anything is allocated.

use std::ops::Range;
use std::sync::Arc;

use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Dataset, H5Type};
use ndarray::Array2;

use crate::{H5Error, source::Source};

/// Values that one read takes, as near as the chunks allow.
const BLOCK: usize = 1 << 20;

/// Deflate packs at most 1032 to 1; whoever declares more than this over what is stored invents it.
const MAX_RATIO: u64 = 2000;
const SLACK_BYTES: u64 = 64 << 20;

/// Longest text that is read from a column of fixed width.
const MAX_FIXED_TEXT: usize = 1024;

/// A dataset of an open file.
#[derive(Debug)]
pub(crate) struct DatasetReader {
    source: Arc<Source>,
    name: String,
    dataset: Dataset,
    shape: Vec<usize>,
}

impl DatasetReader {
    pub(crate) fn new(source: &Arc<Source>, name: &str, dataset: Dataset) -> Result<Self, H5Error> {
        let fail = |e| source.damaged(name, e);
        let space = dataset.space().map_err(fail)?;
        if space.is_null() {
            return Err(source.broken(name, "a dataset without a shape"));
        }
        let shape = dataset.get_shape().map_err(fail)?;
        let plist = dataset.dcpl().map_err(fail)?;
        if plist.layout() == hdf5::dataset::Layout::Virtual || !plist.external().is_empty() {
            return Err(H5Error::unsupported(
                source.path(),
                name,
                "its values lie in other files; copy them into this one",
            ));
        }
        if let Some(filter) = dataset.filters().iter().find(|f| !f.is_available()) {
            let filter = match filter.id() {
                32000 => "LZF".to_owned(),
                32001 => "Blosc".to_owned(),
                32015 => "Zstandard".to_owned(),
                id => format!("the HDF5 filter {id}"),
            };
            return Err(H5Error::unsupported(
                source.path(),
                name,
                format!("packed with {filter}; write the file again with compression='gzip' or none"),
            ));
        }
        let values = shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
        let width = dataset.dtype().map_err(fail)?.size() as u64;
        let bytes = values.and_then(|n| n.checked_mul(width.max(1)));
        let stored = dataset.storage_size();
        match bytes {
            Some(bytes) if bytes <= SLACK_BYTES || bytes / MAX_RATIO <= stored => {}
            _ => {
                return Err(H5Error::limit(
                    source.path(),
                    name,
                    format!("declares {shape:?} values of {width} bytes, but only {stored} bytes are stored for it"),
                ));
            }
        }
        Ok(Self { source: Arc::clone(source), name: name.into(), dataset, shape })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn fail(&self, e: impl std::fmt::Display) -> H5Error {
        self.source.damaged(&self.name, e)
    }

    pub(crate) fn broken(&self, problem: impl Into<String>) -> H5Error {
        self.source.broken(&self.name, problem)
    }

    /// Its length, if it has one dimension.
    pub(crate) fn len(&self) -> Result<usize, H5Error> {
        match self.shape[..] {
            [n] => Ok(n),
            _ => {
                Err(self.source.broken(&self.name, format!("one dimension was expected, found shape {:?}", self.shape)))
            }
        }
    }

    pub(crate) fn expect_len(&self, expected: usize, what: &str) -> Result<(), H5Error> {
        let found = self.len()?;
        if found == expected {
            Ok(())
        } else {
            Err(self.source.broken(&self.name, format!("{expected} values were expected, {what}, found {found}")))
        }
    }

    /// Refuses what would take more memory than is allowed.
    pub(crate) fn check_bytes(&self, values: usize, width: usize) -> Result<(), H5Error> {
        let limit = self.source.limits.max_array_bytes;
        let bytes = (values as u64).saturating_mul(width as u64);
        if bytes <= limit {
            return Ok(());
        }
        Err(H5Error::limit(
            self.source.path(),
            &self.name,
            format!("{bytes} bytes in memory, {limit} are allowed; raise ReadLimits::max_array_bytes if there is room"),
        ))
    }

    /// An empty vector with room for so many values, or an error where there is none.
    pub(crate) fn room<T>(&self, values: usize) -> Result<Vec<T>, H5Error> {
        self.check_bytes(values, size_of::<T>())?;
        let mut out = Vec::new();
        out.try_reserve_exact(values).map_err(|_| {
            let bytes = values as u64 * size_of::<T>() as u64;
            H5Error::limit(self.source.path(), &self.name, format!("{bytes} bytes are more than this machine gives"))
        })?;
        Ok(out)
    }

    /// Whether it holds integers, floating-point numbers or booleans.
    pub(crate) fn is_numeric(&self) -> bool {
        let Ok(dtype) = self.dataset.dtype() else { return false };
        match dtype.to_descriptor() {
            Ok(
                TypeDescriptor::Integer(_)
                | TypeDescriptor::Unsigned(_)
                | TypeDescriptor::Float(_)
                | TypeDescriptor::Boolean,
            ) => true,
            Ok(_) => false,
            // Half precision has no descriptor here, but HDF5 converts it.
            Err(_) => dtype.size() == 2 && dtype.conv_to::<f32>().is_some(),
        }
    }

    pub(crate) fn require_numeric(&self) -> Result<(), H5Error> {
        if self.is_numeric() {
            return Ok(());
        }
        let found =
            self.dataset.dtype().and_then(|t| t.to_descriptor()).map_or("something else".into(), |t| t.to_string());
        Err(H5Error::unsupported(self.source.path(), &self.name, format!("numbers were expected, found {found}")))
    }

    /// Rows (or values) that one read takes: a multiple of the chunk's, so that none is unpacked twice.
    pub(crate) fn block_rows(&self) -> usize {
        let wide: usize = self.shape.iter().skip(1).product::<usize>().max(1);
        let wanted = (BLOCK / wide).max(1);
        let chunk = self.dataset.chunk().and_then(|c| c.first().copied()).unwrap_or(1).max(1);
        let rows = self.shape.first().copied().unwrap_or(1).max(1);
        wanted.div_ceil(chunk).saturating_mul(chunk).min(rows)
    }

    /// Calls `take` with the values of one block after another, converted by HDF5 (which clamps what does not fit).
    pub(crate) fn for_each_block<T: H5Type + Copy>(
        &self,
        range: Range<usize>,
        mut take: impl FnMut(usize, &[T]) -> Result<(), H5Error>,
    ) -> Result<(), H5Error> {
        self.require_numeric()?;
        let step = self.block_rows();
        let mut start = range.start;
        while start < range.end {
            // The first block ends where a chunk does.
            let end = (start - start % step).saturating_add(step).min(range.end);
            let block = self.dataset.read_slice_1d::<T, _>(start..end).map_err(|e| self.fail(e))?;
            let values = block.as_slice().ok_or_else(|| self.fail("values out of order"))?;
            take(start, values)?;
            start = end;
        }
        Ok(())
    }

    /// All values, one dimension.
    pub(crate) fn numbers<T: H5Type + Copy>(&self) -> Result<Vec<T>, H5Error> {
        self.some_numbers(0..self.len()?)
    }

    /// Some values, one dimension.
    pub(crate) fn some_numbers<T: H5Type + Copy>(&self, range: Range<usize>) -> Result<Vec<T>, H5Error> {
        let mut out = self.room(range.len())?;
        self.for_each_block(range, |_, block| {
            out.extend_from_slice(block);
            Ok(())
        })?;
        Ok(out)
    }

    /// One number without dimensions.
    pub(crate) fn scalar(&self) -> Result<f64, H5Error> {
        self.require_numeric()?;
        match self.shape[..] {
            [] => self.dataset.read_scalar::<f64>().map_err(|e| self.fail(e)),
            [1] => Ok(self.numbers::<f64>()?[0]),
            _ => Err(self.source.broken(&self.name, format!("one number was expected, found shape {:?}", self.shape))),
        }
    }

    /// One text without dimensions.
    pub(crate) fn text(&self) -> Result<String, H5Error> {
        let dtype = self.dataset.dtype().and_then(|t| t.to_descriptor()).map_err(|e| self.fail(e))?;
        macro_rules! read {
            ($t:ty) => {
                self.dataset.read_scalar::<$t>().map(|text| text.as_str().to_owned()).map_err(|e| self.fail(e))
            };
        }
        match (&self.shape[..], dtype) {
            ([], TypeDescriptor::VarLenUnicode) => read!(VarLenUnicode),
            ([], TypeDescriptor::VarLenAscii) => read!(VarLenAscii),
            (shape, other) => {
                Err(self.source.broken(&self.name, format!("one text was expected, found {other} of shape {shape:?}")))
            }
        }
    }

    /// Some rows of a matrix.
    pub(crate) fn rows<T: H5Type + Copy>(&self, range: Range<usize>) -> Result<Array2<T>, H5Error> {
        self.require_numeric()?;
        let [_, columns] = self.shape[..] else {
            return Err(self
                .source
                .broken(&self.name, format!("two dimensions were expected, found shape {:?}", self.shape)));
        };
        self.check_bytes(range.len().saturating_mul(columns), size_of::<T>())?;
        self.dataset.read_slice_2d::<T, _>((range, 0..columns)).map_err(|e| self.fail(e))
    }

    /// A whole matrix, with or without a first or middle dimension of one.
    pub(crate) fn table<T: H5Type + Copy>(&self) -> Result<Array2<T>, H5Error> {
        let (rows, columns) = match self.shape[..] {
            [rows, _] => return self.rows(0..rows),
            [1, rows, columns] | [rows, 1, columns] => (rows, columns),
            _ => return Err(self.broken(format!("rows of features were expected, found shape {:?}", self.shape))),
        };
        self.require_numeric()?;
        self.check_bytes(rows.saturating_mul(columns), size_of::<T>())?;
        let values = self.dataset.read_raw::<T>().map_err(|e| self.fail(e))?;
        Array2::from_shape_vec((rows, columns), values).map_err(|e| self.fail(e))
    }

    /// All texts, one dimension.
    pub(crate) fn texts(&self) -> Result<Vec<String>, H5Error> {
        let n = self.len()?;
        let dtype = self.dataset.dtype().and_then(|t| t.to_descriptor()).map_err(|e| self.fail(e))?;
        let mut out = self.room::<String>(n)?;
        let mut bytes = 0usize;
        const STEP: usize = 1 << 14;
        let mut start = 0;
        while start < n {
            let end = (start + STEP).min(n);
            self.text_block(&dtype, start..end, &mut |text| {
                // One long text may be named by every row: count what it becomes.
                bytes = bytes.saturating_add(text.len());
                self.check_bytes(bytes, 1)?;
                let text = std::str::from_utf8(text)
                    .map_err(|_| self.source.broken(&self.name, format!("entry {} is no UTF-8 text", out.len())))?;
                out.push(text.to_owned());
                Ok(())
            })?;
            start = end;
        }
        Ok(out)
    }

    fn text_block(
        &self,
        dtype: &TypeDescriptor,
        range: Range<usize>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), H5Error>,
    ) -> Result<(), H5Error> {
        macro_rules! read {
            ($t:ty) => {
                self.dataset
                    .read_slice_1d::<$t, _>(range)
                    .map_err(|e| self.fail(e))?
                    .iter()
                    .try_for_each(|text| take(text.as_bytes()))
            };
        }
        match *dtype {
            TypeDescriptor::VarLenUnicode => read!(VarLenUnicode),
            TypeDescriptor::VarLenAscii => read!(VarLenAscii),
            TypeDescriptor::FixedAscii(n) if n <= 32 => read!(FixedAscii<32>),
            TypeDescriptor::FixedAscii(n) if n <= MAX_FIXED_TEXT => read!(FixedAscii<MAX_FIXED_TEXT>),
            TypeDescriptor::FixedUnicode(n) if n <= 32 => read!(FixedUnicode<32>),
            TypeDescriptor::FixedUnicode(n) if n <= MAX_FIXED_TEXT => read!(FixedUnicode<MAX_FIXED_TEXT>),
            ref other => {
                Err(H5Error::unsupported(self.source.path(), &self.name, format!("texts were expected, found {other}")))
            }
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(
            self.dataset.dtype().and_then(|t| t.to_descriptor()),
            Ok(TypeDescriptor::VarLenUnicode
                | TypeDescriptor::VarLenAscii
                | TypeDescriptor::FixedAscii(_)
                | TypeDescriptor::FixedUnicode(_))
        )
    }
}
