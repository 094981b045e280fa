use serde::{Deserialize, Serialize};

use crate::random::Stream;

/// Crops of one section that train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MocoSection {
    /// Its name, which the trained encoder remembers.
    pub name: String,
    /// Number of its crops.
    pub crops: usize,
}

/// Crops of a step: all of one section, so that sections are not what tells crops apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MocoBatch {
    /// Which of the sections.
    pub section: usize,
    /// Which of its crops, in this order.
    pub crops: Vec<usize>,
}

/// The batches of an epoch: each section's crops in a random order, cut into whole batches (what is left over has its
/// turn in another epoch), and the batches of all sections in a random order.
pub(super) fn batches(sections: &[MocoSection], batch: usize, seed: u64, epoch: usize) -> Vec<MocoBatch> {
    let mut all = Vec::new();
    for (section, of) in sections.iter().enumerate() {
        let mut crops: Vec<usize> = (0..of.crops).collect();
        Stream::of(&[seed, epoch as u64, section as u64]).shuffle(&mut crops);
        all.extend(crops.chunks_exact(batch).map(|crops| MocoBatch { section, crops: crops.to_vec() }));
    }
    Stream::of(&[seed, epoch as u64]).shuffle(&mut all);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn batches_are_of_one_section_and_no_crop_comes_twice() {
        let sections = [("a", 103), ("b", 7), ("c", 64)].map(|(n, crops)| MocoSection { name: n.into(), crops });
        let order = batches(&sections, 16, 5, 0);
        assert_eq!(order.len(), 6 + 4);
        let mut seen = BTreeSet::new();
        for batch in &order {
            assert_eq!(batch.crops.len(), 16);
            for &crop in &batch.crops {
                assert!(crop < sections[batch.section].crops && seen.insert((batch.section, crop)));
            }
        }
        assert_eq!(order, batches(&sections, 16, 5, 0));
        assert_ne!(order, batches(&sections, 16, 5, 1));
        assert_ne!(order, batches(&sections, 16, 6, 0));
    }
}
