use ndarray::Array2;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::random::stream;
use crate::units::check_replicates;
use crate::{MetricsError, Neighbours};

/// Which classes lie beside which, more often than chance would have it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Enrichment {
    /// How often an observation of class `[row]` has a neighbour of class `[column]`.
    pub counts: Array2<u64>,
    /// Standard deviations above the mean of shuffled classes; `None` where shuffling changes nothing.
    pub z_scores: Array2<Option<f64>>,
}

/// Counts neighbours of each pair of classes, and compares with classes shuffled over all observations.
///
/// As squidpy's `gr.nhood_enrichment`. Random numbers differ, so that z-scores agree up to chance: about
/// `sqrt((1 + z^2 / 2) / replicates)`. The same seed gives the same result, for any number of threads. Where labels are
/// laid out in regions, nearly everything is enriched: the shuffle knows no tissue.
///
/// # Errors
/// [`MetricsError::Shape`] unless there is a class for each observation, [`MetricsError::NoSuchGroup`] for a class of
/// `classes` or above, [`MetricsError::Setting`] for no replicate or over 10,000 classes.
pub fn neighbourhood_enrichment(
    neighbours: &Neighbours,
    class_of: &[u32],
    classes: usize,
    replicates: usize,
    seed: u64,
) -> Result<Enrichment, MetricsError> {
    const MOST: usize = 10_000;
    MetricsError::same_length("classes, one an observation", neighbours.len(), class_of.len())?;
    check_replicates(replicates)?;
    if classes > MOST {
        return Err(MetricsError::setting("number of classes", format!("at most {MOST}"), classes));
    }
    if let Some(row) = class_of.iter().position(|&class| class as usize >= classes) {
        return Err(MetricsError::NoSuchGroup { row, group: class_of[row], groups: classes });
    }
    let count = |class_of: &[u32]| {
        let mut counts = vec![0_u64; classes * classes];
        for (near, &class) in neighbours.iter().zip(class_of) {
            near.iter().for_each(|&other| counts[class as usize * classes + class_of[other as usize] as usize] += 1);
        }
        counts
    };
    let observed = count(class_of);
    // Sums of whole numbers: exact, in whatever order the threads come.
    let zero = || (vec![0_i128; classes * classes], vec![0_i128; classes * classes]);
    let (sums, squares) = (0..replicates)
        .into_par_iter()
        .fold(zero, |(mut sums, mut squares), replicate| {
            let mut shuffled = class_of.to_vec();
            shuffled.shuffle(&mut stream(seed, replicate));
            for (at, count) in count(&shuffled).into_iter().enumerate() {
                let apart = i128::from(count) - i128::from(observed[at]);
                sums[at] += apart;
                squares[at] += apart * apart;
            }
            (sums, squares)
        })
        .reduce(zero, |mut a, b| {
            a.0.iter_mut().zip(b.0).for_each(|(a, b)| *a += b);
            a.1.iter_mut().zip(b.1).for_each(|(a, b)| *a += b);
            a
        });
    let n = replicates as i128;
    let z = |at: usize| {
        // n^2 times the variance, exactly.
        let variance = n * squares[at] - sums[at] * sums[at];
        (variance > 0).then(|| -(sums[at] as f64) / (variance as f64).sqrt())
    };
    let shape = (classes, classes);
    Ok(Enrichment {
        counts: Array2::from_shape_fn(shape, |(a, b)| observed[a * classes + b]),
        z_scores: Array2::from_shape_fn(shape, |(a, b)| z(a * classes + b)),
    })
}
