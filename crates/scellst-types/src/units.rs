use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Level0, Micron, Point, UnitError};

/// Micrometres per level-0 pixel along x and y: positive and finite by construction.
///
/// The only way between [`Point<Level0>`] and [`Point<Micron>`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(f64, f64)", into = "(f64, f64)")]
pub struct MicronsPerPixel {
    x: f64,
    y: f64,
}

impl MicronsPerPixel {
    /// From the two resolutions, um/px.
    ///
    /// # Errors
    /// [`UnitError::Resolution`] unless both are positive and finite.
    pub fn new(x: f64, y: f64) -> Result<Self, UnitError> {
        if x.is_finite() && y.is_finite() && x > 0.0 && y > 0.0 {
            Ok(Self { x, y })
        } else {
            Err(UnitError::Resolution { x, y })
        }
    }

    /// The same resolution along both axes, um/px.
    ///
    /// # Errors
    /// As [`MicronsPerPixel::new`].
    pub fn square(mpp: f64) -> Result<Self, UnitError> {
        Self::new(mpp, mpp)
    }

    /// Along x, um/px.
    pub fn x(self) -> f64 {
        self.x
    }

    /// Along y, um/px.
    pub fn y(self) -> f64 {
        self.y
    }

    /// Geometric mean of both: the side of the square with a pixel's area, um.
    pub fn mean(self) -> f64 {
        (self.x * self.y).sqrt()
    }

    /// Of an image that is coarser by these factors along x and y.
    ///
    /// # Errors
    /// [`UnitError::Resolution`] if a factor is not positive and finite.
    pub fn coarser_by(self, x: f64, y: f64) -> Result<Self, UnitError> {
        Self::new(self.x * x, self.y * y)
    }

    /// Where a pixel position lies on the glass, um.
    pub fn to_micron(self, p: Point<Level0>) -> Point<Micron> {
        Point::new(p.x * self.x, p.y * self.y)
    }

    /// Which level-0 position a place on the glass has, px.
    pub fn to_level0(self, p: Point<Micron>) -> Point<Level0> {
        Point::new(p.x / self.x, p.y / self.y)
    }
}

impl TryFrom<(f64, f64)> for MicronsPerPixel {
    type Error = UnitError;
    fn try_from((x, y): (f64, f64)) -> Result<Self, UnitError> {
        Self::new(x, y)
    }
}

impl From<MicronsPerPixel> for (f64, f64) {
    fn from(mpp: MicronsPerPixel) -> Self {
        (mpp.x, mpp.y)
    }
}

impl fmt::Display for MicronsPerPixel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.x == self.y { write!(f, "{} um/px", self.x) } else { write!(f, "{} x {} um/px", self.x, self.y) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_resolution() {
        for bad in [0.0, -0.25, f64::NAN, f64::INFINITY] {
            assert!(MicronsPerPixel::square(bad).is_err());
            assert!(MicronsPerPixel::new(0.25, bad).is_err());
        }
        assert!(serde_json::from_str::<MicronsPerPixel>("[0.25, 0.0]").is_err());
    }

    proptest! {
        #[test]
        fn there_and_back(x in -1e6..1e6f64, y in -1e6..1e6f64, mx in 0.01..10.0f64, my in 0.01..10.0f64) {
            let mpp = MicronsPerPixel::new(mx, my).unwrap();
            let back = mpp.to_level0(mpp.to_micron(Point::new(x, y)));
            prop_assert!((back.x - x).abs() <= 1e-9 * x.abs().max(1.0));
            prop_assert!((back.y - y).abs() <= 1e-9 * y.abs().max(1.0));
        }
    }
}
