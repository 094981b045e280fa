use ndarray::{ArrayView4, Axis};

use crate::{EmbedError, PixelNorm};

/// Mean and deviation of many crops' pixels, added up block by block: of a data set for an encoder that was trained on
/// it without labels, or of one slide. Sums are whole numbers, so that no order of blocks gives another result.
///
/// ```
/// use ndarray::Array4;
/// use scellst_embed::PixelStats;
///
/// let mut stats = PixelStats::default();
/// stats.add(Array4::from_shape_fn((2, 8, 8, 3), |(n, ..)| if n == 0 { 0 } else { 255 }).view());
/// let norm = stats.norm().ok_or("crops of one colour")?;
/// assert_eq!((norm.mean, norm.std), ([0.5; 3], [0.5; 3]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PixelStats {
    pixels: u64,
    sums: [u64; 3],
    squares: [u64; 3],
}

impl PixelStats {
    /// Adds crops `(cells, height, width, 3)`, RGB 0..255; of other channels than three nothing.
    pub fn add(&mut self, crops: ArrayView4<'_, u8>) {
        if crops.dim().3 != 3 {
            return;
        }
        self.pixels += (crops.len() / 3) as u64;
        for (c, channel) in crops.axis_iter(Axis(3)).enumerate() {
            for &v in channel {
                self.sums[c] += u64::from(v);
                self.squares[c] += u64::from(v) * u64::from(v);
            }
        }
    }

    /// Adds what another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for c in 0..3 {
            self.sums[c] += other.sums[c];
            self.squares[c] += other.squares[c];
        }
    }

    /// Mean and (population) standard deviation; `None` where a channel has one value only, or nothing was added.
    pub fn norm(&self) -> Option<PixelNorm> {
        let n = self.pixels as f64;
        let mean = self.sums.map(|s| s as f64 / n);
        // 255^2 n^2 < 2^128: exact.
        let variance = [0, 1, 2].map(|c| {
            let (n, s, q) = (u128::from(self.pixels), u128::from(self.sums[c]), u128::from(self.squares[c]));
            (n * q - s * s) as f64 / (n as f64 * n as f64)
        });
        let norm =
            PixelNorm { mean: mean.map(|m| (m / 255.0) as f32), std: variance.map(|v| (v.sqrt() / 255.0) as f32) };
        norm.is_valid().then_some(norm)
    }
}

impl PixelNorm {
    /// # Errors
    /// [`EmbedError::Pixels`] if it cannot be applied.
    pub(crate) fn check(&self, encoder: &str) -> Result<(), EmbedError> {
        if self.is_valid() {
            return Ok(());
        }
        let problem = "means must be finite and deviations above zero";
        Err(EmbedError::Pixels { encoder: encoder.to_owned(), pixels: *self, problem })
    }

    /// Finite, deviations over zero.
    pub(crate) fn is_valid(&self) -> bool {
        self.mean.iter().all(|m| m.is_finite()) && self.std.iter().all(|s| s.is_finite() && *s > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn blocks_in_any_order_give_the_definition() {
        let crops = Array4::from_shape_fn((5, 4, 3, 3), |(n, y, x, c)| (n * 53 + y * 17 + x * 5 + c * 40) as u8);
        let (mut whole, mut parts, mut rest) = (PixelStats::default(), PixelStats::default(), PixelStats::default());
        whole.add(crops.view());
        rest.add(crops.slice(ndarray::s![..2, .., .., ..]));
        parts.add(crops.slice(ndarray::s![2.., .., .., ..]));
        parts.merge(&rest);
        assert_eq!(whole, parts);
        let norm = whole.norm().unwrap();
        for c in 0..3 {
            let values: Vec<f64> = crops.index_axis(Axis(3), c).iter().map(|v| f64::from(*v) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            assert!((f64::from(norm.mean[c]) - mean).abs() < 1e-6 && (f64::from(norm.std[c]) - sd).abs() < 1e-6);
        }
    }

    #[test]
    fn nothing_and_one_colour_have_no_deviation() {
        assert_eq!(PixelStats::default().norm(), None);
        let mut stats = PixelStats::default();
        stats.add(Array4::from_elem((2, 3, 3, 3), 7).view());
        assert_eq!(stats.norm(), None);
        stats.add(Array4::zeros((1, 2, 2, 4)).view());
        assert_eq!(stats.pixels, 18);
    }
}
