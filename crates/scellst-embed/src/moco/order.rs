use serde::{Deserialize, Serialize};

use super::Neighbours;
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
    /// Which of its crops give the first views, in this order, and which the second ones: the same, or some of their
    /// [`Neighbours`].
    pub crops: [Vec<usize>; 2],
}

/// Tells the draws of second views from others with the same keys.
const SECOND_VIEWS: u64 = 2;

/// Crops that may give each other's second views.
#[derive(Clone, Copy)]
pub(super) struct Pairing<'a> {
    /// Of each section; empty if there are none.
    pub neighbours: &'a [Neighbours],
    /// How many of the second views are of a neighbour.
    pub share: f32,
}

impl Pairing<'_> {
    /// What gives the second view of a crop.
    fn second(self, section: usize, crop: usize, mut random: Stream) -> usize {
        match self.neighbours.get(section) {
            Some(near) if random.chance(self.share) => near.draw(crop, &mut random),
            _ => crop,
        }
    }
}

/// The batches of an epoch: each section's crops in a random order, cut into whole batches (what is left over has its
/// turn in another epoch), and the batches of all sections in a random order.
pub(super) fn batches(
    sections: &[MocoSection],
    pairing: Pairing<'_>,
    batch: usize,
    seed: u64,
    epoch: usize,
) -> Vec<MocoBatch> {
    let mut all = Vec::new();
    for (section, of) in sections.iter().enumerate() {
        let [epoch, number] = [epoch, section].map(|n| n as u64);
        let mut crops: Vec<usize> = (0..of.crops).collect();
        Stream::of(&[seed, epoch, number]).shuffle(&mut crops);
        let second = |&crop: &usize| {
            pairing.second(section, crop, Stream::of(&[seed, epoch, number, crop as u64, SECOND_VIEWS]))
        };
        let batch_of =
            |crops: &[usize]| MocoBatch { section, crops: [crops.to_vec(), crops.iter().map(second).collect()] };
        all.extend(crops.chunks_exact(batch).map(batch_of));
    }
    Stream::of(&[seed, epoch as u64]).shuffle(&mut all);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALONE: Pairing<'_> = Pairing { neighbours: &[], share: 1.0 };

    fn sections() -> [MocoSection; 3] {
        [("a", 103), ("b", 7), ("c", 64)].map(|(n, crops)| MocoSection { name: n.into(), crops })
    }

    #[test]
    fn batches_are_of_one_section_and_no_crop_comes_twice() {
        let sections = sections();
        let order = batches(&sections, ALONE, 16, 5, 0);
        assert_eq!(order.len(), 6 + 4);
        let mut seen = BTreeSet::new();
        for batch in &order {
            assert_eq!(batch.crops[0].len(), 16);
            assert_eq!(batch.crops[0], batch.crops[1]);
            for &crop in &batch.crops[0] {
                assert!(crop < sections[batch.section].crops && seen.insert((batch.section, crop)));
            }
        }
        assert_eq!(order, batches(&sections, ALONE, 16, 5, 0));
        assert_ne!(order, batches(&sections, ALONE, 16, 5, 1));
        assert_ne!(order, batches(&sections, ALONE, 16, 6, 0));
    }

    #[test]
    fn neighbours_give_a_share_of_the_second_views() {
        let sections = sections();
        // In a row, the first alone.
        let near = |of: &MocoSection| {
            let crops = of.crops as u32;
            let near = (0..crops).map(|n| if n == 0 { vec![] } else { vec![n.max(2) - 1, (n + 1).min(crops - 1)] });
            Neighbours::new(near)
        };
        let neighbours: Vec<Neighbours> = sections.iter().map(near).collect();
        let order = |share, epoch| batches(&sections, Pairing { neighbours: &neighbours, share }, 16, 5, epoch);
        for share in [0.0, 0.3, 1.0] {
            let order = order(share, 0);
            let (mut others, mut all) = (0, 0);
            for (batch, alone) in order.iter().zip(batches(&sections, ALONE, 16, 5, 0)) {
                // Neighbours do not change the order.
                assert_eq!(batch.crops[0], alone.crops[0]);
                for (&one, &other) in batch.crops[0].iter().zip(&batch.crops[1]) {
                    let near = neighbours[batch.section].of(one).contains(&(other as u32));
                    assert!(near || one == other, "{one} {other}");
                    others += usize::from(near && one != other);
                    all += 1;
                }
            }
            let found = others as f32 / all as f32;
            assert!((found - share).abs() < 0.1, "{found} of {share}");
        }
        assert_eq!(order(0.5, 3), order(0.5, 3));
        assert_ne!(order(1.0, 0), order(1.0, 1));
    }
}
