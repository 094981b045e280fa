use std::ops::Range;

use half::{bf16, f16};

use crate::WeightsError;

/// Where in a file a tensor lies, which is not to be believed before it is read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// As the file names it.
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// From one index to the next along each axis, values.
    pub(crate) stride: Vec<usize>,
    /// Of the values in the file.
    pub(crate) range: Range<usize>,
}

impl Stored {
    /// Its sizes, the slowest axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Row by row.
    pub(crate) fn whole(dtype: String, shape: Vec<usize>, range: Range<usize>) -> Self {
        let mut stride = vec![1usize; shape.len()];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            stride[i] = stride[i + 1].saturating_mul(shape[i + 1]);
        }
        Self { dtype, shape, stride, range }
    }

    /// Its values row by row, f32; of f16, bf16, f32 or f64 in the file that it was listed from.
    ///
    /// # Errors
    /// [`WeightsError::Values`] for other types, and where there are fewer values than it says.
    pub fn values(&self, file: &[u8]) -> Result<Vec<f32>, WeightsError> {
        self.floats(file).map_err(WeightsError::Values)
    }

    /// The same as f64, of 32- and 64-bit whole numbers too.
    ///
    /// # Errors
    /// As [`Stored::values`].
    pub fn numbers(&self, file: &[u8]) -> Result<Vec<f64>, WeightsError> {
        self.wide(file).map_err(WeightsError::Values)
    }

    fn floats(&self, file: &[u8]) -> Result<Vec<f32>, String> {
        match self.dtype.as_str() {
            "F32" => self.read(file, f32::from_le_bytes),
            "F16" => self.read(file, |b| f16::from_le_bytes(b).to_f32()),
            "BF16" => self.read(file, |b| bf16::from_le_bytes(b).to_f32()),
            "F64" => self.read(file, |b| f64::from_le_bytes(b) as f32),
            other => Err(format!("values of type {other}")),
        }
    }

    fn wide(&self, file: &[u8]) -> Result<Vec<f64>, String> {
        match self.dtype.as_str() {
            "F64" => self.read(file, f64::from_le_bytes),
            "I64" => self.read(file, |b| i64::from_le_bytes(b) as f64),
            "U64" => self.read(file, |b| u64::from_le_bytes(b) as f64),
            "I32" => self.read(file, |b| i32::from_le_bytes(b).into()),
            "U32" => self.read(file, |b| u32::from_le_bytes(b).into()),
            _ => self.floats(file).map(|v| v.into_iter().map(f64::from).collect()),
        }
    }

    fn read<const SIZE: usize, T>(&self, file: &[u8], read: impl Fn([u8; SIZE]) -> T) -> Result<Vec<T>, String> {
        let bytes = file.get(self.range.clone()).ok_or("values behind the end of the file")?.as_chunks::<SIZE>().0;
        let count = self.shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).ok_or("a size over all bounds")?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let reach =
            self.shape.iter().zip(&self.stride).try_fold(1usize, |n, (s, d)| n.checked_add((s - 1).checked_mul(*d)?));
        let values = bytes.len();
        // No tensor is larger than its storage: an expanded one (stride 0) would be, without bound.
        if reach.is_none_or(|r| r > values) || count > values {
            return Err(format!("{:?} with strides {:?} in a storage of {values} values", self.shape, self.stride));
        }
        let at = |i: usize| read(bytes[i]);
        if self.stride == Self::whole(String::new(), self.shape.clone(), 0..0).stride {
            return Ok((0..count).map(at).collect());
        }
        let place = |mut i: usize| {
            self.shape.iter().zip(&self.stride).rev().fold(0, |sum, (s, d)| {
                let here = i % s;
                i /= s;
                sum + here * d
            })
        };
        Ok((0..count).map(|i| at(place(i))).collect())
    }
}
