use serde::{Deserialize, Serialize};

/// Optical densities of haematoxylin, eosin and a residual stain, and how they colour light.
///
/// A pixel's optical density per channel is `-ln(I / 255)` (Beer and Lambert); it is the sum over stains of
/// their density times their unit colour vector. Ruifrok and Johnston 2001, "Quantification of
/// histochemical staining by color deconvolution"; the default vectors are theirs, scaled to length one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StainMatrix {
    /// One row a stain: haematoxylin, eosin, residual; columns red, green, blue; rows of length one.
    colours: [[f32; 3]; 3],
    /// Of `colours`.
    inverse: [[f32; 3]; 3],
}

impl StainMatrix {
    /// Haematoxylin, eosin and DAB as residual, as in scikit-image's `rgb2hed`.
    pub fn ruifrok() -> Self {
        // Its determinant is far from zero, so this always exists.
        Self::new([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]]).unwrap_or(Self::IDENTITY)
    }

    const IDENTITY: Self = {
        let one = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Self { colours: one, inverse: one }
    };

    /// From three colour vectors (rows), scaled here to length one; `None` if they lie in one plane.
    pub fn new(rows: [[f32; 3]; 3]) -> Option<Self> {
        let colours = rows.map(|r| {
            let length = r.iter().map(|v| v * v).sum::<f32>().sqrt();
            r.map(|v| v / length)
        });
        Some(Self { colours, inverse: invert(colours)? })
    }

    /// Densities of the three stains in a pixel; noise and other dyes can make them negative.
    pub fn separate(&self, rgb: [u8; 3]) -> [f32; 3] {
        self.separate_density(rgb.map(density))
    }

    /// As [`StainMatrix::separate`], from optical densities per channel.
    pub fn separate_density(&self, od: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|s| (0..3).map(|c| od[c] * self.inverse[c][s]).sum())
    }

    /// What a pixel's optical densities (a column: red, green, blue) are multiplied with from the left if each stain's
    /// density is multiplied by its number.
    pub fn scaling(&self, by: [f32; 3]) -> [[f32; 3]; 3] {
        let entry = |to: usize, from: usize| -> f32 {
            (0..3).map(|s| self.colours[s][to] * by[s] * self.inverse[from][s]).sum()
        };
        std::array::from_fn(|to| std::array::from_fn(|from| entry(to, from)))
    }

    /// The colour of a pixel with these stain densities.
    pub fn compose(&self, stains: [f32; 3]) -> [u8; 3] {
        std::array::from_fn(|c| {
            let od: f32 = (0..3).map(|s| stains[s] * self.colours[s][c]).sum();
            (255.0 * (-od).exp()).round().clamp(0.0, 255.0) as u8
        })
    }
}

/// Optical density of one channel, `-ln(v / 255)`, black counted as 1 of 255.
pub fn density(v: u8) -> f32 {
    -(f32::from(v.max(1)) / 255.0).ln()
}

fn invert(m: [[f32; 3]; 3]) -> Option<[[f32; 3]; 3]> {
    let minor = |r: usize, c: usize| {
        let (a, b) = ((r + 1) % 3, (r + 2) % 3);
        let (d, e) = ((c + 1) % 3, (c + 2) % 3);
        m[a][d] * m[b][e] - m[a][e] * m[b][d]
    };
    let det: f32 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    (det.abs() > 1e-6).then(|| std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / det)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn glass_has_no_stain_and_a_plane_no_inverse() {
        assert_eq!(StainMatrix::ruifrok().separate([255; 3]), [0.0; 3]);
        assert!(StainMatrix::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]).is_none());
        assert_ne!(StainMatrix::ruifrok(), StainMatrix::IDENTITY);
    }

    proptest! {
        #[test]
        fn scaling_multiplies_each_stain(rgb in [1u8..=255, 1..=255, 1..=255], by in [0.5f32..2.0, 0.5..2.0, 0.5..2.0]) {
            let m = StainMatrix::ruifrok();
            let (od, matrix) = (rgb.map(density), m.scaling(by));
            let other = matrix.map(|row| row.iter().zip(od).map(|(a, d)| a * d).sum());
            let (before, after) = (m.separate_density(od), m.separate_density(other));
            for s in 0..3 {
                // Densities are at most 5.5, the inverse's entries about 2.
                prop_assert!((after[s] - by[s] * before[s]).abs() < 1e-3);
            }
        }

        #[test]
        fn composing_undoes_separating(rgb in [1u8..=255, 1..=255, 1..=255]) {
            let m = StainMatrix::ruifrok();
            let back = m.compose(m.separate(rgb));
            for c in 0..3 {
                prop_assert!(rgb[c].abs_diff(back[c]) <= 1); // f32 rounding near a half
            }
        }
    }
}
