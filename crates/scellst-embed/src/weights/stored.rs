use std::ops::Range;

use half::{bf16, f16};

/// Where in a file a tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// As the file names it: `F32`, `F16`, `BF16`, `F64` are read.
    pub dtype: String,
    pub shape: Vec<usize>,
    /// From one index to the next along each axis, values.
    pub stride: Vec<usize>,
    /// Of the values in the file.
    pub range: Range<usize>,
}

impl Stored {
    /// Row by row.
    pub(super) fn whole(dtype: String, shape: Vec<usize>, range: Range<usize>) -> Self {
        let mut stride = vec![1usize; shape.len()];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            stride[i] = stride[i + 1].saturating_mul(shape[i + 1]);
        }
        Self { dtype, shape, stride, range }
    }

    /// Row by row as f32, or what stands against it.
    pub(super) fn values(&self, file: &[u8]) -> Result<Vec<f32>, String> {
        match self.dtype.as_str() {
            "F32" => self.read(file, f32::from_le_bytes),
            "F16" => self.read(file, |b| f16::from_le_bytes(b).to_f32()),
            "BF16" => self.read(file, |b| bf16::from_le_bytes(b).to_f32()),
            "F64" => self.read(file, |b| f64::from_le_bytes(b) as f32),
            other => Err(format!("values of type {other}")),
        }
    }

    /// As [`Stored::values`] as f64, whole numbers too.
    pub(super) fn wide(&self, file: &[u8]) -> Result<Vec<f64>, String> {
        match self.dtype.as_str() {
            "F64" => self.read(file, f64::from_le_bytes),
            "I64" => self.read(file, |b| i64::from_le_bytes(b) as f64),
            "U64" => self.read(file, |b| u64::from_le_bytes(b) as f64),
            "I32" => self.read(file, |b| i32::from_le_bytes(b).into()),
            "U32" => self.read(file, |b| u32::from_le_bytes(b).into()),
            _ => self.values(file).map(|v| v.into_iter().map(f64::from).collect()),
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
