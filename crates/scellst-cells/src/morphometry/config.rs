use std::borrow::Cow;

use crate::CellsError;

/// What is measured, and on which grid.
///
/// | columns | what |
/// |---|---|
/// | `area_mask_um2`, `perimeter_um`, `perimeter_crofton_um`, `major_axis_um`, `minor_axis_um`, `eccentricity`, `orientation_rad`, `equivalent_diameter_um`, `max_diameter_um`, `solidity`, `extent`, `circularity` | shape: see [`RegionShape`](crate::RegionShape) |
/// | `haematoxylin_mean`, `haematoxylin_sd`, `eosin_mean`, `eosin_sd` | mean and standard deviation (divided by n) of [`hed`](crate::hed) over the region's pixels |
/// | `texture_contrast`, `texture_dissimilarity`, `texture_homogeneity`, `texture_energy`, `texture_correlation`, `texture_entropy` | of haematoxylin in 32 levels from 0 to 0.32 (more counts as the last): see [`Texture`](crate::Texture) |
/// | `neighbours_50um` | other cells within the radius (here 50 um) |
/// | `density_50um_per_mm2` | those over the area of the circle, also where it reaches over the tissue's edge |
/// | `nearest_1_um`, ... | distance between the centroid and that of the nearest, second, ... other cell |
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureConfig {
    /// Resolution of the pixels that outlines are turned into, um/px, 0.05 to 4. Measures of pixels, perimeter and texture
    /// above all, compare between slides only where this is the same. Default 0.25.
    pub mpp: f64,
    /// Radius within which neighbours are counted, um, above 0 to 10,000. Default 50.
    pub radius_um: f64,
    /// How many of the nearest cells' distances are columns, at most 20. Default 3.
    pub nearest: u32,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        Self { mpp: 0.25, radius_um: 50.0, nearest: 3 }
    }
}

impl MeasureConfig {
    /// Checks every field; the measuring functions do so too.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] naming the field.
    pub fn validate(&self) -> Result<(), CellsError> {
        let wrong = |name: &str, expected: &str, found: String| {
            Err(CellsError::misuse(format!("MeasureConfig::{name}"), expected, found))
        };
        if !(0.05..=4.0).contains(&self.mpp) {
            return wrong("mpp", "0.05 to 4 um/px", self.mpp.to_string());
        }
        if !(self.radius_um > 0.0 && self.radius_um <= 10_000.0) {
            return wrong("radius_um", "above 0 to 10000 um", self.radius_um.to_string());
        }
        if self.nearest > 20 {
            return wrong("nearest", "at most 20", self.nearest.to_string());
        }
        Ok(())
    }

    /// Columns and labels.
    pub(super) fn neighbour_names(&self) -> impl Iterator<Item = (Cow<'static, str>, Cow<'static, str>)> {
        let radius = self.radius_um;
        // A point is no letter of a column's name.
        let plain = radius.to_string().replace('.', "p");
        let first = [
            (format!("neighbours_{plain}um"), format!("Neighbours within {radius} \u{b5}m")),
            (format!("density_{plain}um_per_mm2"), format!("Density within {radius} \u{b5}m per mm^2")),
        ];
        let nearest = (1..=self.nearest).map(|n| (format!("nearest_{n}_um"), format!("Nearest cell {n} \u{b5}m")));
        first.into_iter().chain(nearest).map(|(column, label)| (column.into(), label.into()))
    }
}
