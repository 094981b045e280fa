//! One independent generator for each thing that is drawn, so that nothing depends on the order of drawing.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::noise::mix;

/// What a generator is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Programme = 1,
    Tissue = 2,
    Cells = 3,
    Counts = 4,
    Stain = 5,
    Texture = 6,
    Embeddings = 7,
    Clusters = 8,
    Pairing = 9,
    Bags = 10,
    Degradation = 11,
}

/// The generator of a stage, and of one thing in it.
pub(crate) fn generator(seed: u64, stage: Stage, thing: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed_of(seed, stage));
    rng.set_stream(thing);
    rng
}

/// A seed of its own for a stage.
pub(crate) fn seed_of(seed: u64, stage: Stage) -> u64 {
    mix(seed ^ mix(stage as u64))
}

/// From the normal distribution, no further from its mean than 2.5 standard deviations.
pub(crate) fn normal(rng: &mut ChaCha8Rng, mean: f64, sd: f64) -> f64 {
    let z: f64 = StandardNormal.sample(rng);
    mean + sd * z.clamp(-2.5, 2.5)
}
