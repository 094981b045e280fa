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
        let bytes = file.get(self.range.clone()).ok_or("values behind the end of the file")?;
        let read: fn(&[u8]) -> f32;
        let size = match self.dtype.as_str() {
            "F32" => {
                read = |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                4
            }
            "F16" => {
                read = |b| f16::from_le_bytes([b[0], b[1]]).to_f32();
                2
            }
            "BF16" => {
                read = |b| bf16::from_le_bytes([b[0], b[1]]).to_f32();
                2
            }
            "F64" => {
                read = |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
                8
            }
            other => return Err(format!("values of type {other}")),
        };
        let count = self.shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).ok_or("a size over all bounds")?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let reach = self.shape.iter().zip(&self.stride).try_fold(1usize, |n, (s, d)| n.checked_add((s - 1).checked_mul(*d)?));
        let values = bytes.len() / size;
        // No tensor is larger than its storage: an expanded one (stride 0) would be, without bound.
        if reach.is_none_or(|r| r > values) || count > values {
            return Err(format!("{:?} with strides {:?} in a storage of {values} values", self.shape, self.stride));
        }
        let at = |i: usize| read(&bytes[i * size..][..size]);
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
