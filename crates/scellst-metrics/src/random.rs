//! Streams of random numbers: each replicate has its own, so that no result depends on the number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) fn stream(seed: u64, replicate: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(replicate as u64);
    random
}
