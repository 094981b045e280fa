use scellst_slide::Slide;
use serde::{Deserialize, Serialize};

use super::{lab, sample};
use crate::CellsError;

/// Mean and standard deviation of a slide's colours in CIE L*a*b* (D65).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColourProfile {
    /// Of L* (0 to 100), a*, b*.
    pub mean: [f64; 3],
    /// The same, divided by n.
    pub deviation: [f64; 3],
}

impl ColourProfile {
    /// From pixels, three bytes each; leave glass out, it would count as a colour.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for no pixels, bytes that are no whole pixels, or pixels of one colour.
    pub fn of_pixels(rgb: &[u8]) -> Result<Self, CellsError> {
        let n = rgb.len() / 3;
        if n == 0 || !rgb.len().is_multiple_of(3) {
            return Err(CellsError::misuse("pixels", "some, of three bytes each", format!("{} bytes", rgb.len())));
        }
        let colours: Vec<[f32; 3]> = rgb.chunks_exact(3).map(|p| lab::from_rgb([p[0], p[1], p[2]])).collect();
        let mean: [f64; 3] = std::array::from_fn(|c| colours.iter().map(|v| f64::from(v[c])).sum::<f64>() / n as f64);
        let deviation: [f64; 3] = std::array::from_fn(|c| {
            let squares = colours.iter().map(|v| (f64::from(v[c]) - mean[c]).powi(2)).sum::<f64>();
            (squares / n as f64).sqrt()
        });
        let profile = Self { mean, deviation };
        profile.check().map(|()| profile)
    }

    /// Of a slide, from about 100 places spread evenly over its tissue, at about 1 um/px.
    ///
    /// # Errors
    /// As [`ColourProfile::of_pixels`], and what reading the slide finds wrong (no mpp among it).
    pub fn of_slide(slide: &Slide) -> Result<Self, CellsError> {
        Self::of_pixels(&sample::tissue(slide)?)
    }

    fn check(&self) -> Result<(), CellsError> {
        let sound =
            self.mean.iter().all(|v| v.is_finite()) && self.deviation.iter().all(|v| v.is_finite() && *v > 1e-6);
        if sound {
            return Ok(());
        }
        Err(CellsError::misuse("colours", "finite means and deviations above 0", format!("{self:?}")))
    }
}

/// Gives pixels of one slide the mean and deviation of another's colours (Reinhard et al., IEEE CG&A 2001,
/// doi 10.1109/38.946629; in CIE L*a*b* as is usual in pathology, where the paper has l-alpha-beta).
///
/// Simpler than [`StainNormaliser`](crate::StainNormaliser), and it colours glass too.
#[derive(Debug, Clone)]
pub struct ColourNormaliser {
    scale: [f32; 3],
    shift: [f32; 3],
}

impl ColourNormaliser {
    /// From a slide's colours to a target's.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for profiles that are not finite or have no deviation.
    pub fn new(from: &ColourProfile, to: &ColourProfile) -> Result<Self, CellsError> {
        from.check()?;
        to.check()?;
        let scale: [f64; 3] = std::array::from_fn(|c| to.deviation[c] / from.deviation[c]);
        let shift: [f64; 3] = std::array::from_fn(|c| to.mean[c] - from.mean[c] * scale[c]);
        Ok(Self { scale: scale.map(|v| v as f32), shift: shift.map(|v| v as f32) })
    }

    /// Changes pixels in place, three bytes each (bytes left over at the end stay).
    pub fn apply(&self, rgb: &mut [u8]) {
        for pixel in rgb.chunks_exact_mut(3) {
            let colour = lab::from_rgb([pixel[0], pixel[1], pixel[2]]);
            pixel.copy_from_slice(&lab::to_rgb(std::array::from_fn(|c| colour[c] * self.scale[c] + self.shift[c])));
        }
    }
}
