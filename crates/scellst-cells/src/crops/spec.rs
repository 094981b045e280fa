use serde::{Deserialize, Serialize};

use crate::CellsError;

/// What a crop shows where it reaches over the slide's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The slide mirrored at its edge (the edge pixel comes twice), so that statistics of the crop stay those of tissue.
    #[default]
    Mirror,
    /// White, as the glass would be.
    White,
}

/// How a cell's picture is cut out of a slide.
///
/// The window is `size_px * mpp` um wide, centred at the centroid to a fraction of a pixel, brought to `mpp` by a
/// triangle filter (widened by the scale when shrinking) from the coarsest level that is no coarser than `mpp` (else
/// level 0, enlarged); the middle `centre_px` of it is what an encoder sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CropSpec {
    /// Side of the full crop, px.
    pub size_px: u32,
    /// Resolution of the crop, um/px.
    pub mpp: f64,
    /// Side of the middle that is delivered, px: at most `size_px`, and even or odd as that is.
    pub centre_px: u32,
    /// Beyond the slide.
    pub border: Border,
}

impl Default for CropSpec {
    fn default() -> Self {
        Self { size_px: 72, mpp: 0.25, centre_px: 48, border: Border::Mirror }
    }
}

impl CropSpec {
    /// A crop of `side_um` and `px` pixels a side, all of it delivered.
    pub fn spanning(side_um: f64, px: u32) -> Self {
        Self { size_px: px, centre_px: px, mpp: side_um / f64::from(px), border: Border::default() }
    }

    /// The same, but all of the crop is delivered.
    pub fn full(&self) -> Self {
        Self { centre_px: self.size_px, ..self.clone() }
    }

    /// Pixels left out on each side.
    pub fn margin_px(&self) -> u32 {
        self.size_px.saturating_sub(self.centre_px) / 2
    }

    /// Checks every field; [`CropStream`](crate::CropStream) does so too.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] naming the field.
    pub fn validate(&self) -> Result<(), CellsError> {
        let wrong = |name: &str, expected: String, found: String| {
            Err(CellsError::misuse(format!("CropSpec::{name}"), expected, found))
        };
        if !(1..=4096).contains(&self.size_px) {
            return wrong("size_px", "1 to 4096".into(), self.size_px.to_string());
        }
        if !(0.01..=100.0).contains(&self.mpp) {
            return wrong("mpp", "0.01 to 100 um/px".into(), self.mpp.to_string());
        }
        let sound = (1..=self.size_px).contains(&self.centre_px) && (self.size_px - self.centre_px).is_multiple_of(2);
        if !sound {
            let expected = format!("1 to {0}, and even or odd as {0} is", self.size_px);
            return wrong("centre_px", expected, self.centre_px.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_and_stored() {
        let spec = CropSpec::default();
        spec.validate().unwrap();
        assert_eq!((spec.margin_px(), spec.full().margin_px()), (12, 0));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json, r#"{"size_px":72,"mpp":0.25,"centre_px":48,"border":"mirror"}"#);
        assert_eq!(serde_json::from_str::<CropSpec>(&json).unwrap(), spec);
        let bad = [
            ("size_px", CropSpec { size_px: 0, ..spec.clone() }),
            ("mpp", CropSpec { mpp: f64::NAN, ..spec.clone() }),
            ("mpp", CropSpec { mpp: -0.25, ..spec.clone() }),
            ("centre_px", CropSpec { centre_px: 73, ..spec.clone() }),
            ("centre_px", CropSpec { centre_px: 47, ..spec.clone() }),
            ("centre_px", CropSpec { centre_px: 0, ..spec.clone() }),
        ];
        for (field, spec) in bad {
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
