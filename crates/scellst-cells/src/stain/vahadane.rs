use nalgebra::{Matrix2, Matrix3x2, Vector2, Vector3};
use scellst_slide::Slide;
use serde::{Deserialize, Serialize};

use super::StainProfile;
use super::macenko::{FEWEST, densities, one_stain, percentile, plane};
use super::sample;
use crate::CellsError;

/// How stains are found after Vahadane et al. (IEEE Trans Med Imaging 2016, 35:1962, doi 10.1109/TMI.2016.2529665): two
/// non-negative colours of which every pixel's density is a sparse non-negative mixture.
///
/// The optical density of a value v is `-ln((v + 1) / white)`, per channel, as for
/// [`MacenkoConfig`](crate::MacenkoConfig).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VahadaneConfig {
    /// What unstained glass is, 1 to 256. Default 240.
    pub white: f64,
    /// Pixels with a channel below this density are no stain, 0 to 5. Default 0.15.
    pub min_density: f64,
    /// Weight of the amounts' sum beside half the squared error, 0 to 1: the larger, the fewer pixels hold both stains.
    /// Default 0.1.
    pub sparsity: f64,
    /// A stain's strength is this percentile of its amounts, 1 to 100. Default 99.
    pub strength_percentile: f64,
}

impl Default for VahadaneConfig {
    fn default() -> Self {
        Self { white: 240.0, min_density: 0.15, sparsity: 0.1, strength_percentile: 99.0 }
    }
}

impl VahadaneConfig {
    pub(super) fn check(&self) -> Result<(), CellsError> {
        for (what, value, low, high) in [
            ("white", self.white, 1.0, 256.0),
            ("min_density", self.min_density, 0.0, 5.0),
            ("sparsity", self.sparsity, 0.0, 1.0),
            ("strength_percentile", self.strength_percentile, 1.0, 100.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(CellsError::misuse(what, format!("{low} to {high}"), value));
            }
        }
        Ok(())
    }
}

/// Rounds of amounts and colours; most slides settle in a tenth of them.
const ROUNDS: usize = 500;
/// Colours that move less than this in a round have settled.
const SETTLED: f64 = 1e-7;

impl StainProfile {
    /// From pixels of one slide, as [`StainProfile::macenko`]: by dictionary learning with the amounts' sum penalised.
    ///
    /// Colours and amounts are found in turn, each exactly given the other, from the extreme colours in the plane of
    /// densities on; the same pixels in any order give the same colours to rounding. Strengths are percentiles of the
    /// non-negative amounts without the penalty, which [`StainNormaliser::non_negative`](crate::StainNormaliser::non_negative)
    /// uses too. Which stain is haematoxylin is told by red, of which it takes more.
    ///
    /// # Errors
    /// As [`StainProfile::macenko`].
    pub fn vahadane(rgb: &[u8], config: &VahadaneConfig) -> Result<Self, CellsError> {
        config.check()?;
        if !rgb.len().is_multiple_of(3) {
            return Err(CellsError::misuse("pixels", "three bytes each", format!("{} bytes", rgb.len())));
        }
        let density = densities(config.white);
        let pixels = || rgb.chunks_exact(3).map(|p| Vector3::from_fn(|c, _| density[usize::from(p[c])]));
        let stained: Vec<Vector3<f64>> = pixels().filter(|od| od.min() >= config.min_density).collect();
        if stained.len() < FEWEST {
            let expected = format!("at least {FEWEST} stained pixels (no channel below {})", config.min_density);
            return Err(CellsError::misuse("pixels", expected, format!("{} of {}", stained.len(), rgb.len() / 3)));
        }
        let mut colours = learn(&stained, config.sparsity)?;
        if colours[0].x < colours[1].x {
            colours.swap(0, 1);
        }
        let vectors = colours.map(Into::into);
        let cone = Cone::new(&vectors).ok_or_else(one_stain)?;
        let mut amounts: [Vec<f64>; 2] = Default::default();
        for od in pixels() {
            let both = cone.amounts(&od, 0.0);
            amounts[0].push(both[0]);
            amounts[1].push(both[1]);
        }
        let strengths = amounts.map(|mut amounts| percentile(&mut amounts, config.strength_percentile));
        let profile = Self { vectors, strengths };
        profile.check().map(|()| profile)
    }

    /// Of a slide, from about 100 places spread evenly over its tissue, at about 1 um/px.
    ///
    /// # Errors
    /// As [`StainProfile::vahadane`], and what reading the slide finds wrong (no mpp among it).
    pub fn vahadane_of_slide(slide: &Slide, config: &VahadaneConfig) -> Result<Self, CellsError> {
        Self::vahadane(&sample::tissue(slide)?, config)
    }
}

/// Two colours of length 1 without negative parts, of which densities are mixtures.
pub(super) struct Cone {
    colours: Matrix3x2<f64>,
    gram: Matrix2<f64>,
    inverse: Matrix2<f64>,
}

impl Cone {
    /// `None` if they are one.
    pub(super) fn new(vectors: &[[f64; 3]; 2]) -> Option<Self> {
        let colours = Matrix3x2::from_columns(&vectors.map(Vector3::from));
        let gram = colours.transpose() * colours;
        let apart = gram.determinant() / (gram[(0, 0)] * gram[(1, 1)]);
        let sound = apart.is_finite() && apart > 1e-6;
        Some(Self { colours, gram, inverse: gram.try_inverse().filter(|_| sound)? })
    }

    /// The amounts, not negative, with the least of half the squared error plus `penalty` times their sum: exact, since
    /// of two amounts none, one or both are 0.
    pub(super) fn amounts(&self, od: &Vector3<f64>, penalty: f64) -> Vector2<f64> {
        let wanted = self.colours.transpose() * od - Vector2::repeat(penalty);
        let both = self.inverse * wanted;
        if both.min() >= 0.0 {
            return both;
        }
        // What one alone saves is the square of its amount times the length, halved.
        let alone = |k: usize| (wanted[k] / self.gram[(k, k)]).max(0.0);
        let saved = |k: usize| alone(k).powi(2) * self.gram[(k, k)];
        if saved(0) >= saved(1) { Vector2::new(alone(0), 0.0) } else { Vector2::new(0.0, alone(1)) }
    }
}

/// The two colours; error if the densities are of one.
fn learn(stained: &[Vector3<f64>], sparsity: f64) -> Result<[Vector3<f64>; 2], CellsError> {
    let (main, side) = plane(stained)?;
    let mut angles: Vec<f64> = stained.iter().map(|od| od.dot(&main).atan2(od.dot(&side))).collect();
    let mut colours = [1.0, 99.0].map(|q| {
        let angle = percentile(&mut angles, q);
        onto(side * angle.cos() + main * angle.sin())
    });
    for _ in 0..ROUNDS {
        let cone = Cone::new(&colours.map(Into::into)).ok_or_else(one_stain)?;
        let (mut products, mut mixed) = (Matrix2::zeros(), Matrix3x2::zeros());
        for od in stained {
            let amounts = cone.amounts(od, sparsity);
            products += amounts * amounts.transpose();
            mixed += od * amounts.transpose();
        }
        let before = colours;
        // Mairal et al., JMLR 2010, 11:19, algorithm 2: one colour after the other until they stay.
        for _ in 0..100 {
            let mut moved = 0.0f64;
            for k in 0..2 {
                let weight = products[(k, k)];
                if weight <= 0.0 {
                    return Err(one_stain());
                }
                let other = colours[1 - k] * products[(1 - k, k)];
                let better = onto((mixed.column(k) - other) / weight);
                moved = moved.max((better - colours[k]).amax());
                colours[k] = better;
            }
            if moved < SETTLED / 10.0 {
                break;
            }
        }
        if (0..2).all(|k| (colours[k] - before[k]).amax() < SETTLED) {
            break;
        }
    }
    Ok(colours)
}

/// The nearest colour of length 1 without a negative part. (The error's least is on the ball's surface: a shorter colour
/// would need larger amounts, which are penalised.)
fn onto(colour: Vector3<f64>) -> Vector3<f64> {
    let positive = colour.map(|v| v.max(0.0));
    positive.try_normalize(1e-12).unwrap_or(positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPAMS's lasso at a penalty of 0.1; see `tests/data/vahadane.py`.
    #[test]
    fn amounts_are_those_of_spams() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/data/vahadane.json")).unwrap();
        let vectors: [[f64; 3]; 2] = serde_json::from_value(golden["a"]["vectors"].clone()).unwrap();
        let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(golden[key].clone()).unwrap();
        let cone = Cone::new(&vectors).unwrap();
        let (densities, amounts) = (numbers("densities"), numbers("amounts"));
        for (od, expected) in densities.chunks_exact(3).zip(amounts.chunks_exact(2)) {
            let found = cone.amounts(&Vector3::from_column_slice(od), 0.1);
            assert!((found - Vector2::from_column_slice(expected)).amax() < 1e-9, "{od:?}: {found:?}, {expected:?}");
        }
        let zeros = amounts.iter().filter(|a| **a == 0.0).count();
        assert!((5..amounts.len() - 5).contains(&zeros), "{zeros}");
    }
}
