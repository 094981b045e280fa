use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

/// What was wrong with the arguments of an operation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Offsets must begin with 0 and not decrease.
    #[error("bag offsets must begin with 0 and never decrease: offset {index} is {found} after {before}")]
    Offsets {
        /// Which offset.
        index: usize,
        /// Its value.
        found: u32,
        /// The value before it (0 for the first).
        before: u32,
    },
    /// A probability lies in `[0, 1)`.
    #[error("dropout must be in [0, 1), found {0}")]
    Dropout(f32),
}

/// Where each bag begins in the rows of a matrix: bag `i` is rows `offsets[i]..offsets[i + 1]`.
///
/// Begins with 0 and never decreases; the last is the number of rows. A bag may be empty: its mean is 0.
/// Cheap to clone.
#[derive(Clone)]
pub struct Offsets {
    offsets: Arc<[u32]>,
    /// The same on the GPU that last asked: one upload for the operations of a step, forward and backward.
    on_device: Arc<Mutex<Option<Tensor>>>,
}

impl Offsets {
    /// From the offsets, one more than there are bags.
    ///
    /// # Errors
    /// [`KernelError::Offsets`] if they do not begin with 0 or decrease.
    pub fn new(offsets: Vec<u32>) -> Result<Self, KernelError> {
        match offsets.first() {
            Some(0) => {}
            other => {
                return Err(KernelError::Offsets { index: 0, found: other.copied().unwrap_or(u32::MAX), before: 0 });
            }
        }
        if let Some(i) = offsets.windows(2).position(|w| w[1] < w[0]) {
            return Err(KernelError::Offsets { index: i + 1, found: offsets[i + 1], before: offsets[i] });
        }
        Ok(Self { offsets: offsets.into(), on_device: Arc::default() })
    }

    /// Number of bags.
    pub fn bags(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of rows that the bags cover.
    pub fn rows(&self) -> usize {
        self.offsets[self.offsets.len() - 1] as usize
    }

    /// The rows of one bag.
    pub(crate) fn bag(&self, i: usize) -> std::ops::Range<usize> {
        self.offsets[i] as usize..self.offsets[i + 1] as usize
    }

    /// All of them, one more than there are bags.
    pub fn as_slice(&self) -> &[u32] {
        &self.offsets
    }

    /// As a tensor on a device; kept for the next call.
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), allow(dead_code))]
    pub(crate) fn on(&self, device: &Device) -> candle_core::Result<Tensor> {
        let mut kept = self.on_device.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(tensor) if tensor.device().same_device(device) => Ok(tensor.clone()),
            _ => Ok(kept.insert(Tensor::new(self.as_slice(), device)?).clone()),
        }
    }

    /// For each row the bag that it is in.
    pub fn bag_of_rows(&self) -> Vec<u32> {
        (0..self.bags()).flat_map(|b| self.bag(b).map(move |_| b as u32)).collect()
    }
}

impl PartialEq for Offsets {
    fn eq(&self, other: &Self) -> bool {
        self.offsets == other.offsets
    }
}

impl Eq for Offsets {}

impl std::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Offsets").field(&self.offsets).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_disorder() {
        assert!(Offsets::new(vec![]).is_err());
        assert!(Offsets::new(vec![1, 2]).is_err());
        let e = Offsets::new(vec![0, 4, 3]).unwrap_err();
        assert_eq!(e, KernelError::Offsets { index: 2, found: 3, before: 4 });
        assert_eq!(Offsets::new(vec![0]).unwrap().bags(), 0);
    }

    #[test]
    fn a_device_gets_them_once() {
        let offsets = Offsets::new(vec![0, 2, 3]).unwrap();
        let first = offsets.on(&Device::Cpu).unwrap();
        assert_eq!(first.to_vec1::<u32>().unwrap(), [0, 2, 3]);
        assert_eq!(offsets.clone().on(&Device::Cpu).unwrap().id(), first.id());
    }

    #[test]
    fn rows_know_their_bag() {
        assert_eq!(Offsets::new(vec![0, 2, 2, 3]).unwrap().bag_of_rows(), [0, 0, 2]);
    }
}
