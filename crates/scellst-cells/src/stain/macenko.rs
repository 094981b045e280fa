use nalgebra::{Matrix2x3, Matrix3, Matrix3x2, SymmetricEigen, Vector3};
use scellst_slide::Slide;
use serde::{Deserialize, Serialize};

use super::sample;
use super::vahadane::VahadaneConfig;
use crate::CellsError;

/// How stains are found (Macenko et al., ISBI 2009, doi 10.1109/ISBI.2009.5193250).
///
/// The optical density of a value v is `-ln((v + 1) / white)`, per channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MacenkoConfig {
    /// What unstained glass is, 0 to 256. Default 240.
    pub white: f64,
    /// Pixels with a channel below this density are no stain. Default 0.15.
    pub min_density: f64,
    /// The stains are at this percentile of the angle in the plane of densities, and at 100 less it, 0 to 50. Default 1.
    pub angle_percentile: f64,
    /// A stain's strength is this percentile of its amounts, 0 to 100. Default 99.
    pub strength_percentile: f64,
}

impl Default for MacenkoConfig {
    fn default() -> Self {
        Self { white: 240.0, min_density: 0.15, angle_percentile: 1.0, strength_percentile: 99.0 }
    }
}

impl MacenkoConfig {
    fn check(&self) -> Result<(), CellsError> {
        let within = |what: &'static str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(CellsError::misuse(what, format!("{low} to {high}"), value))
            }
        };
        within("white", self.white, 1.0, 256.0)?;
        within("min_density", self.min_density, 0.0, 5.0)?;
        within("angle_percentile", self.angle_percentile, 0.0, 49.0)?;
        within("strength_percentile", self.strength_percentile, 1.0, 100.0)
    }
}

/// The stains of a slide: what densities haematoxylin and eosin have in red, green and blue (unit vectors), and how
/// strong they are (optical density along the vector).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StainProfile {
    /// Haematoxylin, then eosin.
    pub vectors: [[f64; 3]; 2],
    /// Of each.
    pub strengths: [f64; 2],
}

/// Fewer stained pixels say nothing of a stain.
pub(super) const FEWEST: usize = 100;

impl StainProfile {
    /// A target that much published work shares: the vectors and strengths that come with Macenko's method as it is
    /// usually implemented.
    pub const REFERENCE: Self =
        Self { vectors: [[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]], strengths: [1.9705, 1.0308] };

    /// From pixels of one slide: `rgb` holds red, green and blue of each, and glass may be among them.
    ///
    /// Densities of stained pixels lie near a plane, in which the two stains are at the extreme angles. Which is
    /// haematoxylin is told by red, of which it takes more.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for bytes that are no whole pixels, for fewer than 100 stained ones, for pixels of a
    /// single stain or colour, and for a setting out of its range.
    pub fn macenko(rgb: &[u8], config: &MacenkoConfig) -> Result<Self, CellsError> {
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
        let (main, side) = plane(&stained)?;
        let mut angles: Vec<f64> = stained.iter().map(|od| od.dot(&main).atan2(od.dot(&side))).collect();
        let ends = [config.angle_percentile, 100.0 - config.angle_percentile].map(|q| percentile(&mut angles, q));
        let mut vectors = ends.map(|angle| side * angle.cos() + main * angle.sin());
        if vectors[0].x < vectors[1].x {
            vectors.swap(0, 1);
        }
        let unmix = unmixing(&vectors.map(Into::into)).ok_or_else(one_stain)?;
        let mut amounts: [Vec<f64>; 2] = Default::default();
        for od in pixels() {
            let both = unmix * od;
            amounts[0].push(both[0]);
            amounts[1].push(both[1]);
        }
        let strengths = amounts.map(|mut amounts| percentile(&mut amounts, config.strength_percentile));
        let profile = Self { vectors: vectors.map(Into::into), strengths };
        profile.check().map(|()| profile)
    }

    /// Of a slide, from about 100 places spread evenly over its tissue, at about 1 um/px.
    ///
    /// # Errors
    /// As [`StainProfile::macenko`], and what reading the slide finds wrong (no mpp among it).
    pub fn of_slide(slide: &Slide, config: &MacenkoConfig) -> Result<Self, CellsError> {
        Self::macenko(&sample::tissue(slide)?, config)
    }

    /// That it can be a profile: vectors apart and not of zero length, strengths positive and finite.
    pub(super) fn check(&self) -> Result<(), CellsError> {
        let sound = self.strengths.iter().all(|s| s.is_finite() && *s > 0.0) && unmixing(&self.vectors).is_some();
        if sound { Ok(()) } else { Err(one_stain()) }
    }
}

pub(super) fn one_stain() -> CellsError {
    CellsError::misuse("stains", "two that differ, of positive strength", "one colour: is it H&E?")
}

/// The direction of the most variance, and the one of most beside it; both so that their sum is not negative.
pub(super) fn plane(stained: &[Vector3<f64>]) -> Result<(Vector3<f64>, Vector3<f64>), CellsError> {
    let n = stained.len() as f64;
    let mean = stained.iter().sum::<Vector3<f64>>() / n;
    let scatter: Matrix3<f64> = stained.iter().map(|od| (od - mean) * (od - mean).transpose()).sum();
    let eigen = SymmetricEigen::new(scatter / (n - 1.0));
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    // All of one colour, or all on a line.
    let spread = eigen.eigenvalues[order[1]];
    if spread.is_nan() || spread <= 1e-9 {
        return Err(one_stain());
    }
    let axis = |i: usize| {
        let axis: Vector3<f64> = eigen.eigenvectors.column(order[i]).into();
        if axis.sum() < 0.0 { -axis } else { axis }
    };
    Ok((axis(0), axis(1)))
}

/// What makes amounts of two stains of densities: the pseudo-inverse; `None` where the stains are one.
fn unmixing(vectors: &[[f64; 3]; 2]) -> Option<Matrix2x3<f64>> {
    let mix = Matrix3x2::from_columns(&vectors.map(Vector3::from));
    let gram = mix.transpose() * mix;
    // Of unit vectors it is the square of the sine between them.
    let apart = gram.determinant() / (gram[(0, 0)] * gram[(1, 1)]);
    let sound = apart.is_finite() && apart > 1e-6;
    Some(gram.try_inverse().filter(|_| sound)? * mix.transpose())
}

/// Density of every value.
pub(super) fn densities(white: f64) -> [f64; 256] {
    std::array::from_fn(|v| -((v as f64 + 1.0) / white).ln())
}

/// As numpy's: linear between the nearest. `q` from 0 to 100; reorders the values, of which there is one at least.
pub(super) fn percentile(values: &mut [f64], q: f64) -> f64 {
    let at = q / 100.0 * (values.len() - 1) as f64;
    let (_, &mut low, above) = values.select_nth_unstable_by(at as usize, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (high - low) * at.fract()
}

/// Gives pixels of one slide the stains of another: amounts stay in proportion, colours and strengths become those of
/// the target. What is neither stain goes.
///
/// ```
/// use scellst_cells::{MacenkoConfig, StainNormaliser, StainProfile};
///
/// let config = MacenkoConfig::default();
/// let slide = StainProfile { vectors: [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], strengths: [1.2, 0.8] };
/// let normaliser = StainNormaliser::new(&slide, &StainProfile::REFERENCE, &config)?;
/// let mut glass = [240, 240, 240];
/// normaliser.apply(&mut glass);
/// assert!(glass.iter().all(|&v| v >= 238));
/// # Ok::<(), scellst_cells::CellsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StainNormaliser {
    /// From densities to densities.
    map: [[f32; 3]; 3],
    /// In place of the map, where amounts may not be negative.
    cone: Option<ConeMap>,
    density: [f32; 256],
    /// The value of every density from [`LIGHTEST`], in steps of 1 / [`STEPS`].
    value: Vec<u8>,
}

/// Densities are told apart to this part of one: half a step is 0.03 of 255.
const STEPS: f32 = 4096.0;
/// Values lighter than glass have densities below 0; beyond these all are 255, or 0.
const LIGHTEST: f32 = -6.0;
const DARKEST: f32 = 6.0;

/// From densities to amounts that are not negative, and to densities again.
#[derive(Debug, Clone)]
struct ConeMap {
    /// Densities to the two amounts, and to what each would be alone.
    both: [[f32; 3]; 2],
    alone: [[f32; 3]; 2],
    /// Squared lengths of the colours.
    lengths: [f32; 2],
    /// The target's colours, each by the ratio of strengths.
    colours: [[f32; 3]; 2],
}

impl ConeMap {
    /// Exact, since of two amounts none, one or both are 0.
    fn apply(&self, od: [f32; 3]) -> [f32; 3] {
        let dot = |row: &[f32; 3]| row[0] * od[0] + row[1] * od[1] + row[2] * od[2];
        let mut amounts = [dot(&self.both[0]), dot(&self.both[1])];
        if amounts[0] < 0.0 || amounts[1] < 0.0 {
            let alone = [dot(&self.alone[0]).max(0.0), dot(&self.alone[1]).max(0.0)];
            let saved = |k: usize| alone[k] * alone[k] * self.lengths[k];
            amounts = if saved(0) >= saved(1) { [alone[0], 0.0] } else { [0.0, alone[1]] };
        }
        std::array::from_fn(|c| amounts[0] * self.colours[0][c] + amounts[1] * self.colours[1][c])
    }
}

impl StainNormaliser {
    /// From a slide's stains to a target's.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for profiles whose two stains are one, or strengths that are not positive.
    pub fn new(from: &StainProfile, to: &StainProfile, config: &MacenkoConfig) -> Result<Self, CellsError> {
        config.check()?;
        Self::of(from, to, config.white)
    }

    /// As [`StainNormaliser::new`] with amounts that are not negative (the least squared error among those), as Vahadane's
    /// method has it: no pixel becomes lighter than glass. For profiles of [`StainProfile::vahadane`].
    ///
    /// # Errors
    /// As [`StainNormaliser::new`].
    pub fn non_negative(from: &StainProfile, to: &StainProfile, config: &VahadaneConfig) -> Result<Self, CellsError> {
        config.check()?;
        let linear = Self::of(from, to, config.white)?;
        let unmix = unmixing(&from.vectors).ok_or_else(one_stain)?;
        let lengths = from.vectors.map(|v| v.iter().map(|x| x * x).sum::<f64>());
        let single = |v: [f64; 3]| v.map(|x| x as f32);
        let cone = ConeMap {
            both: std::array::from_fn(|k| std::array::from_fn(|c| unmix[(k, c)] as f32)),
            alone: std::array::from_fn(|k| single(from.vectors[k].map(|x| x / lengths[k]))),
            lengths: lengths.map(|l| l as f32),
            colours: std::array::from_fn(|k| single(to.vectors[k].map(|x| x * to.strengths[k] / from.strengths[k]))),
        };
        Ok(Self { cone: Some(cone), ..linear })
    }

    fn of(from: &StainProfile, to: &StainProfile, white: f64) -> Result<Self, CellsError> {
        from.check()?;
        to.check()?;
        let unmix = unmixing(&from.vectors).ok_or_else(one_stain)?;
        let scaled = |s: usize| Vector3::from(to.vectors[s]) * (to.strengths[s] / from.strengths[s]);
        let map = Matrix3x2::from_columns(&[scaled(0), scaled(1)]) * unmix;
        let glass = white as f32;
        let value = |i: usize| {
            let density = i as f32 / STEPS + LIGHTEST;
            (glass * (-density).exp() - 1.0).round().clamp(0.0, 255.0) as u8
        };
        Ok(Self {
            map: std::array::from_fn(|r| std::array::from_fn(|c| map[(r, c)] as f32)),
            cone: None,
            density: densities(white).map(|d| d as f32),
            value: (0..((DARKEST - LIGHTEST) * STEPS) as usize).map(value).collect(),
        })
    }

    /// Changes pixels in place, three bytes each (bytes left over at the end stay).
    pub fn apply(&self, rgb: &mut [u8]) {
        for pixel in rgb.chunks_exact_mut(3) {
            let od = [pixel[0], pixel[1], pixel[2]].map(|v| self.density[usize::from(v)]);
            let densities = match &self.cone {
                None => self.map.map(|row| row[0] * od[0] + row[1] * od[1] + row[2] * od[2]),
                Some(cone) => cone.apply(od),
            };
            for (value, density) in pixel.iter_mut().zip(densities) {
                // `as` cuts off below 0.
                let step = ((density - LIGHTEST) * STEPS + 0.5) as usize;
                *value = self.value[step.min(self.value.len() - 1)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        let mut values: Vec<f64> = (0..10).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.0), 0.0);
        assert_eq!(percentile(&mut values, 100.0), 9.0);
        assert!((percentile(&mut values, 99.0) - 8.91).abs() < 1e-12);
        assert!((percentile(&mut values, 50.0) - 4.5).abs() < 1e-12);
        assert_eq!(percentile(&mut [3.0], 70.0), 3.0);
    }
}
