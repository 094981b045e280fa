//! Decoded pieces, the latest used, up to a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

/// Level and index of a piece.
pub(crate) type Key = (usize, u64);

/// A least-recently-used cache that counts bytes. The lock is held for look-ups only, never while
/// decoding: two threads that miss the same piece at once decode it twice.
pub(crate) struct PieceCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pieces: HashMap<Key, (Arc<RgbImage>, u64)>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

impl PieceCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; were it so, the worst is a wrong count of bytes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<RgbImage>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (piece, age) = state.pieces.get_mut(&key)?;
        state.clock += 1;
        state.by_age.remove(age);
        state.by_age.insert(state.clock, key);
        *age = state.clock;
        Some(Arc::clone(piece))
    }

    pub(crate) fn put(&self, key: Key, piece: &Arc<RgbImage>) {
        let len = piece.as_raw().len();
        if len > self.capacity {
            return;
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        state.forget(key);
        while state.bytes + len > self.capacity {
            let Some((_, oldest)) = state.by_age.first_key_value() else { break };
            let oldest = *oldest;
            state.forget(oldest);
        }
        state.clock += 1;
        state.by_age.insert(state.clock, key);
        state.pieces.insert(key, (Arc::clone(piece), state.clock));
        state.bytes += len;
    }
}

impl State {
    fn forget(&mut self, key: Key) {
        if let Some((piece, age)) = self.pieces.remove(&key) {
            self.by_age.remove(&age);
            self.bytes -= piece.as_raw().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_by_bytes_and_forgets_the_oldest() {
        let piece = Arc::new(RgbImage::new(10, 10)); // 300 bytes
        let cache = PieceCache::new(1000);
        for i in 0..3 {
            cache.put((0, i), &piece);
        }
        assert!(cache.get((0, 0)).is_some()); // now the youngest
        cache.put((0, 3), &piece);
        assert!(cache.get((0, 1)).is_none());
        assert!(cache.get((0, 0)).is_some() && cache.get((0, 2)).is_some() && cache.get((0, 3)).is_some());
        assert_eq!(cache.lock().bytes, 900);
        cache.put((0, 3), &piece);
        assert_eq!(cache.lock().bytes, 900);
        cache.put((0, 9), &Arc::new(RgbImage::new(100, 100)));
        assert!(cache.get((0, 9)).is_none());
    }
}
