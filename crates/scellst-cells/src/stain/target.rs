use std::fmt;
use std::str::FromStr;

use scellst_slide::Slide;
use serde::{Deserialize, Serialize};

use super::{ColourNormaliser, ColourProfile, MacenkoConfig, StainNormaliser, StainProfile, VahadaneConfig};
use crate::CellsError;

/// A way to make slides look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StainMethod {
    /// [`StainProfile::macenko`], amounts by the pseudo-inverse.
    Macenko,
    /// [`StainProfile::vahadane`], non-negative amounts.
    Vahadane,
    /// [`ColourProfile`].
    Reinhard,
}

impl StainMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Macenko, Self::Vahadane, Self::Reinhard];
}

impl fmt::Display for StainMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Macenko => "macenko",
            Self::Vahadane => "vahadane",
            Self::Reinhard => "reinhard",
        })
    }
}

impl FromStr for StainMethod {
    type Err = CellsError;

    fn from_str(name: &str) -> Result<Self, CellsError> {
        let known = Self::ALL.iter().find(|m| m.to_string() == name).copied();
        known.ok_or_else(|| CellsError::misuse("stain normalisation", "macenko, vahadane or reinhard", name))
    }
}

/// What every slide is to look like, with the method and its settings: all that has to be kept to normalise another
/// slide alike (in JSON by serde, `{"method":"macenko",...}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum StainTarget {
    /// After Macenko.
    Macenko {
        /// The target's stains.
        profile: StainProfile,
        /// Of both fits.
        config: MacenkoConfig,
    },
    /// After Vahadane.
    Vahadane {
        /// The target's stains.
        profile: StainProfile,
        /// Of both fits.
        config: VahadaneConfig,
    },
    /// After Reinhard.
    Reinhard {
        /// The target's colours.
        profile: ColourProfile,
    },
}

impl StainTarget {
    /// The looks of a slide, by the default settings of a method.
    ///
    /// # Errors
    /// Those of the method's fit.
    pub fn of_slide(slide: &Slide, method: StainMethod) -> Result<Self, CellsError> {
        Ok(match method {
            StainMethod::Macenko => {
                let config = MacenkoConfig::default();
                Self::Macenko { profile: StainProfile::of_slide(slide, &config)?, config }
            }
            StainMethod::Vahadane => {
                let config = VahadaneConfig::default();
                Self::Vahadane { profile: StainProfile::vahadane_of_slide(slide, &config)?, config }
            }
            StainMethod::Reinhard => Self::Reinhard { profile: ColourProfile::of_slide(slide)? },
        })
    }

    /// By which method.
    pub fn method(&self) -> StainMethod {
        match self {
            Self::Macenko { .. } => StainMethod::Macenko,
            Self::Vahadane { .. } => StainMethod::Vahadane,
            Self::Reinhard { .. } => StainMethod::Reinhard,
        }
    }

    /// Fits a slide, once for all of it, and gives what turns its pixels into the target's.
    ///
    /// # Errors
    /// Those of the method's fit; [`CellsError::Misuse`] for a target that is none.
    pub fn normaliser(&self, slide: &Slide) -> Result<Normaliser, CellsError> {
        Ok(match self {
            Self::Macenko { profile, config } => {
                let from = StainProfile::of_slide(slide, config)?;
                Normaliser::Stain(StainNormaliser::new(&from, profile, config)?.into())
            }
            Self::Vahadane { profile, config } => {
                let from = StainProfile::vahadane_of_slide(slide, config)?;
                Normaliser::Stain(StainNormaliser::non_negative(&from, profile, config)?.into())
            }
            Self::Reinhard { profile } => {
                Normaliser::Colour(ColourNormaliser::new(&ColourProfile::of_slide(slide)?, profile)?)
            }
        })
    }
}

/// What turns pixels of one slide into those of a target, by whichever method.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Normaliser {
    /// By its stains.
    Stain(Box<StainNormaliser>),
    /// By its colours.
    Colour(ColourNormaliser),
}

impl Normaliser {
    /// Changes pixels in place, three bytes each (bytes left over at the end stay).
    pub fn apply(&self, rgb: &mut [u8]) {
        match self {
            Self::Stain(n) => n.apply(rgb),
            Self::Colour(n) => n.apply(rgb),
        }
    }
}
