use std::path::Path;

use scellst_types::{Level0, MicronsPerPixel, Point};

use crate::CellsError;

/// Where a file's coordinates lie on the slide: an affine map from them to level-0 px.
///
/// ```
/// use scellst_cells::Placement;
/// use scellst_types::Point;
///
/// // A crop that begins at (1000, 2000) and was segmented at half the slide's resolution.
/// let crop = Placement::scaled(2.0, Point::new(1000.0, 2000.0))?;
/// assert_eq!(crop.apply([10.0, 20.0]), [1020.0, 2040.0]);
/// assert_eq!(crop.inverse().apply([1020.0, 2040.0]), [10.0, 20.0]);
/// # Ok::<(), scellst_cells::CellsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    rows: [[f64; 3]; 2],
}

impl Placement {
    /// The map `x' = a x + b y + c`, `y' = d x + e y + f` of the rows `[a, b, c]` and `[d, e, f]`; c and f in level-0 px.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] if an entry is not finite or the map has no inverse.
    pub fn new(rows: [[f64; 3]; 2]) -> Result<Self, CellsError> {
        let map = Self { rows };
        let sizes = rows.iter().flat_map(|r| &r[..2]).fold(0.0, |m: f64, v| m.max(v.abs()));
        let whole = rows.iter().flatten().all(|v| v.is_finite()) && sizes > 0.0;
        // Relative to its entries, so that the unit does not matter.
        if whole && map.area_factor().is_normal() && map.area_factor() / sizes / sizes > 1e-12 {
            Ok(map)
        } else {
            Err(CellsError::misuse("placement", "six finite numbers of a map with an inverse", format!("{rows:?}")))
        }
    }

    /// `scale` level-0 px for each unit of the file, whose origin lies at `origin`.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] if the scale is not positive and finite or the origin not finite.
    pub fn scaled(scale: f64, origin: Point<Level0>) -> Result<Self, CellsError> {
        if scale <= 0.0 {
            return Err(CellsError::misuse("scale of a placement", "above 0", scale));
        }
        Self::new([[scale, 0.0, origin.x], [0.0, scale, origin.y]])
    }

    /// Of um from the slide's own corner.
    pub fn microns(mpp: MicronsPerPixel) -> Self {
        Self { rows: [[1.0 / mpp.x(), 0.0, 0.0], [0.0, 1.0 / mpp.y(), 0.0]] }
    }

    /// Of Xenium's um, by the alignment that Xenium Explorer exports for an H&E picture (`*_imagealignment.csv`).
    ///
    /// That file holds a 3 x 3 matrix that takes pixels of the **H&E picture to pixels of the morphology picture**;
    /// morphology pixels times `morphology_um_per_px` are the um of `cells.csv.gz` and of the boundaries
    /// (`pixel_size` in `experiment.xenium`, 0.2125 on all instruments so far). Here the way back is needed: um are
    /// divided by that size and go through the matrix's inverse.
    /// Source: 10x Genomics knowledge base, "How can I convert coordinates between H&E image and Xenium data".
    ///
    /// # Errors
    /// [`CellsError::Io`]; [`CellsError::Broken`] for what is not three rows of three numbers with an inverse and a last
    /// row of 0, 0, 1; [`CellsError::Misuse`] for a pixel size that is not positive and finite.
    pub fn xenium(alignment: impl AsRef<Path>, morphology_um_per_px: f64) -> Result<Self, CellsError> {
        let path = alignment.as_ref();
        if !(morphology_um_per_px.is_finite() && morphology_um_per_px > 0.0) {
            return Err(CellsError::misuse("um per px of the morphology picture", "above 0", morphology_um_per_px));
        }
        let text = super::open::small_text(path, 1 << 16)?;
        let broken = |found: String| CellsError::broken(path, "the matrix", "three rows of three numbers", found);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split(',').map(|v| v.trim().parse().map_err(|_| broken(line.into()))).collect())
            .collect::<Result<_, _>>()?;
        let [a, b, c] = rows.as_slice() else { return Err(broken(format!("{} rows", rows.len()))) };
        let row = |r: &[f64]| <[f64; 3]>::try_from(r).map_err(|_| broken(format!("a row of {}", r.len())));
        let (first, second, last) = (row(a)?, row(b)?, row(c)?);
        if last != [0.0, 0.0, 1.0] {
            return Err(CellsError::broken(path, "the matrix", "a last row of 0, 0, 1", format!("{last:?}")));
        }
        let to_morphology = Self::new([first, second]).map_err(|e| broken(e.to_string()))?;
        let scale = 1.0 / morphology_um_per_px;
        let to_pixels = Self { rows: [[scale, 0.0, 0.0], [0.0, scale, 0.0]] };
        Ok(to_pixels.then(&to_morphology.inverse()))
    }

    /// This map, then the other.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        let [p, q] = self.rows;
        let row = |[a, b, c]: [f64; 3]| [a * p[0] + b * q[0], a * p[1] + b * q[1], a * p[2] + b * q[2] + c];
        Self { rows: other.rows.map(row) }
    }

    /// The way back: from level-0 px to the file's coordinates.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let [[a, b, c], [d, e, f]] = self.rows;
        let det = a * e - b * d;
        Self { rows: [[e / det, -b / det, (b * f - c * e) / det], [-d / det, a / det, (c * d - a * f) / det]] }
    }

    /// Where a point of the file lies, level-0 px.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.rows.map(|[a, b, c]| a * x + b * y + c)
    }

    /// Square level-0 px for each square unit of the file.
    pub fn area_factor(&self) -> f64 {
        let [[a, b, _], [d, e, _]] = self.rows;
        (a * e - b * d).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_without_inverse_are_refused() {
        let bad = [
            [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
            [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]],
            [[1.0, f64::NAN, 0.0], [0.0, 1.0, 0.0]],
            [[1.0, 0.0, f64::INFINITY], [0.0, 1.0, 0.0]],
        ];
        for rows in bad {
            assert!(Placement::new(rows).is_err(), "{rows:?}");
        }
        assert!(Placement::new([[1e-6, 0.0, 0.0], [0.0, 1e-6, 0.0]]).is_ok());
        assert!(Placement::scaled(0.0, Point::new(0.0, 0.0)).is_err());
        assert!(Placement::scaled(f64::NAN, Point::new(0.0, 0.0)).is_err());
    }
}
