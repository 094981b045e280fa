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
    /// To decide when to stop.
    pub validation: Vec<usize>,
}

impl Split {
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
        for last in (1..bags).rev() {
            // Multiply and shift: a bias of at most bags / 2^64.
            let at = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
            order.swap(last, at as usize);
        }
        let mut validation = order.split_off(train as usize);
        order.sort_unstable();
        validation.sort_unstable();
        Ok(Self { train: order, validation })
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
        Ok(Self { train, validation })
    }
}
