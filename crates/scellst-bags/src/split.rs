use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::BagsError;

/// Which bags train and which validate: positions among the bags, each rising, none in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Split {
    /// To fit on.
    pub train: Vec<usize>,
    /// To decide when to stop, or to test on.
    pub validation: Vec<usize>,
    /// In neither, for they lie too near to the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<usize>,
}

impl Split {
    /// From positions among the bags, in any order.
    ///
    /// # Errors
    /// [`BagsError::BrokenSplit`] if one is there twice, or on both sides.
    pub fn new(mut train: Vec<usize>, mut validation: Vec<usize>) -> Result<Self, BagsError> {
        train.sort_unstable();
        validation.sort_unstable();
        let split = Self { train, validation, dropped: Vec::new() };
        split.check(usize::MAX)?;
        Ok(split)
    }

    /// Whether it is a split of so many bags: positions rise, none is beyond them, none is on two sides.
    ///
    /// # Errors
    /// [`BagsError::BrokenSplit`].
    pub fn check(&self, bags: usize) -> Result<(), BagsError> {
        let mut all = Vec::new();
        for (side, positions) in [("train", &self.train), ("validation", &self.validation), ("dropped", &self.dropped)]
        {
            if let Some(pair) = positions.windows(2).find(|pair| pair[0] >= pair[1]) {
                let problem = format!("bag {} follows bag {} in {side}; positions must rise", pair[1], pair[0]);
                return Err(BagsError::BrokenSplit(problem));
            }
            if let Some(last) = positions.last().filter(|&&last| last >= bags) {
                return Err(BagsError::BrokenSplit(format!("{side} names bag {last}, but there are {bags}")));
            }
            all.extend_from_slice(positions);
        }
        all.sort_unstable();
        match all.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(BagsError::BrokenSplit(format!("bag {} is on two sides", pair[0]))),
            None => Ok(()),
        }
    }

    /// At random: `floor(train_share * bags)` train (the published method: 0.8), the rest validate.
    ///
    /// Neighbouring spots look alike, so that a validation score from such a split flatters; prefer
    /// [`Split::by_section`] where there is more than one section. The same seed gives the same split on every
    /// machine (ChaCha8, Fisher-Yates).
    ///
    /// # Errors
    /// [`BagsError::Setting`] unless both sides get a bag.
    pub fn random(bags: usize, train_share: f64, seed: u64) -> Result<Self, BagsError> {
        let train = (train_share * bags as f64).floor();
        if !(train >= 1.0 && train < bags as f64) {
            return Err(BagsError::Setting {
                setting: "share of the bags to train on",
                expected: "such that training and validation get at least one bag each",
                found: format!("{train_share} of {bags} bags"),
            });
        }
        let mut order: Vec<usize> = (0..bags).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        shuffle(&mut order, &mut rng);
        let mut validation = order.split_off(train as usize);
        order.sort_unstable();
        validation.sort_unstable();
        Ok(Self { train: order, validation, dropped: Vec::new() })
    }

    /// Whole sections apart: `section_of[bag]` is the section of each bag, those in `validate_on` validate.
    ///
    /// # Errors
    /// [`BagsError::Setting`] if either side is left without a bag.
    pub fn by_section(section_of: &[usize], validate_on: &[usize]) -> Result<Self, BagsError> {
        let (validation, train): (Vec<usize>, Vec<usize>) =
            (0..section_of.len()).partition(|&bag| validate_on.contains(&section_of[bag]));
        if train.is_empty() || validation.is_empty() {
            return Err(BagsError::Setting {
                setting: "sections to validate on",
                expected: "such that training and validation get at least one bag each",
                found: format!(
                    "sections {validate_on:?}: {} bags to train, {} to validate",
                    train.len(),
                    validation.len()
                ),
            });
        }
        Ok(Self { train, validation, dropped: Vec::new() })
    }
}

/// Fisher and Yates: the same order for the same generator on every machine.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        // Multiply and shift: a bias of at most items / 2^64.
        let at = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        items.swap(last, at as usize);
    }
}
