//! Features that need no weights.

mod nucleus;
mod shape;
mod texture;

use ndarray::{Array2, ArrayView3, ArrayView4, Axis};
use rayon::prelude::*;
use scellst_types::{StainMatrix, density};

use crate::encoder::check_crops;
use crate::{EmbedError, Encoder, EncoderSpec, PixelNorm};
use nucleus::Mask;

/// Size, shape, stain and texture of the nucleus in the middle of a crop and of what surrounds it.
///
/// The nucleus is found in the crop itself (Otsu's threshold of the haematoxylin density, the component at or
/// nearest to the middle), so that crops are all that is needed. Lengths are shares of the crop's side and
/// areas shares of its area: at another [`CropSpec`](https://docs.rs/scellst-cells) the features mean other
/// sizes. Stain densities are by [`StainMatrix::ruifrok`]. A crop without a nucleus has zeros in the features
/// of the nucleus.
pub struct Morphology {
    spec: EncoderSpec,
    stains: StainMatrix,
    /// Optical density of each of the 256 values.
    densities: [f32; 256],
}

impl Default for Morphology {
    fn default() -> Self {
        Self::new()
    }
}

impl Morphology {
    /// Its name for [`open`](crate::open).
    pub const NAME: &'static str = "morphology";

    /// The names of the features in the order of the columns.
    pub const FEATURES: &'static [&'static str] = &[
        // whole crop
        "red_mean",
        "green_mean",
        "blue_mean",
        "red_sd",
        "green_sd",
        "blue_sd",
        "haematoxylin_mean",
        "haematoxylin_sd",
        "haematoxylin_p10",
        "haematoxylin_p50",
        "haematoxylin_p90",
        "eosin_mean",
        "eosin_sd",
        "eosin_p10",
        "eosin_p50",
        "eosin_p90",
        "glass_share",
        "edge_mean",
        "edge_sd",
        // rings around the middle, inside to outside
        "haematoxylin_ring0",
        "haematoxylin_ring1",
        "haematoxylin_ring2",
        "haematoxylin_ring3",
        "eosin_ring0",
        "eosin_ring1",
        "eosin_ring2",
        "eosin_ring3",
        // grey-level co-occurrence of haematoxylin
        "contrast",
        "correlation",
        "energy",
        "homogeneity",
        "entropy",
        // nucleus: shape
        "area",
        "perimeter",
        "circularity",
        "major_axis",
        "minor_axis",
        "eccentricity",
        "extent",
        "solidity",
        "offset",
        "cut_off",
        // nucleus: stain
        "nucleus_red",
        "nucleus_green",
        "nucleus_blue",
        "nucleus_haematoxylin",
        "nucleus_haematoxylin_sd",
        "nucleus_haematoxylin_p10",
        "nucleus_haematoxylin_p90",
        "nucleus_eosin",
        "nucleus_eosin_sd",
        "nucleus_edge",
        // a ring of about 1 um around the nucleus
        "rim_red",
        "rim_green",
        "rim_blue",
        "rim_haematoxylin",
        "rim_eosin",
        "rim_contrast",
        // what else is as dark
        "other_nuclei_area",
        "other_nuclei",
    ];

    /// Ready for use.
    pub fn new() -> Self {
        let spec = EncoderSpec {
            name: Self::NAME.into(),
            version: 1,
            dim: Self::FEATURES.len(),
            input_px: 48,
            pixels: PixelNorm::UNIT,
            weights: None,
        };
        Self { spec, stains: StainMatrix::ruifrok(), densities: std::array::from_fn(|v| density(v as u8)) }
    }

    fn features(&self, crop: ArrayView3<'_, u8>) -> Vec<f32> {
        let (height, width, _) = crop.dim();
        let rgb: Vec<[u8; 3]> = crop.rows().into_iter().map(|p| [p[0], p[1], p[2]]).collect();
        let od: Vec<[f32; 3]> = rgb.iter().map(|p| p.map(|v| self.densities[usize::from(v)])).collect();
        let stains: Vec<[f32; 3]> = od.iter().map(|&d| self.stains.separate_density(d)).collect();
        let plane = |s: usize| -> Vec<f32> { stains.iter().map(|v| v[s].clamp(0.0, 4.0)).collect() };
        let image = Image { height, width, haematoxylin: plane(0), eosin: plane(1), rgb, od };
        let edges = texture::gradient(&image.haematoxylin, height, width);
        let mask = Mask::of(&image.haematoxylin, height, width);

        let mut f = Vec::with_capacity(Self::FEATURES.len());
        image.push_whole(&mut f, &edges);
        image.push_rings(&mut f);
        f.extend(texture::co_occurrence(&image.haematoxylin, height, width));
        f.extend(shape::features(&mask));
        image.push_nucleus(&mut f, &mask, &edges);
        image.push_rim(&mut f, &mask);
        f.push(mask.other_area as f32 / (height * width) as f32);
        f.push(mask.others as f32 / 10.0);
        // A texture of one grey level has no correlation: no feature may be other than a number.
        f.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        f
    }
}

impl Encoder for Morphology {
    fn embed(&self, crops: ArrayView4<'_, u8>) -> Result<Array2<f32>, EmbedError> {
        check_crops(Self::NAME, &crops, 16)?;
        let mut out = Array2::zeros((crops.dim().0, Self::FEATURES.len()));
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(crops.axis_iter(Axis(0))).with_min_len(16).for_each(
            |(mut row, crop)| {
                row.iter_mut().zip(self.features(crop)).for_each(|(to, v)| *to = v);
            },
        );
        Ok(out)
    }

    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }
}

/// A crop as planes.
struct Image {
    height: usize,
    width: usize,
    rgb: Vec<[u8; 3]>,
    od: Vec<[f32; 3]>,
    haematoxylin: Vec<f32>,
    eosin: Vec<f32>,
}

/// Below this mean optical density a pixel counts as glass.
const GLASS_DENSITY: f32 = 0.08;

impl Image {
    fn push_whole(&self, f: &mut Vec<f32>, edges: &[f32]) {
        let channels: [(f32, f32); 3] =
            std::array::from_fn(|c| mean_sd(self.rgb.iter().map(|p| f32::from(p[c]) / 255.0)));
        f.extend(channels.map(|c| c.0));
        f.extend(channels.map(|c| c.1));
        for plane in [&self.haematoxylin, &self.eosin] {
            let (mean, sd) = mean_sd(plane.iter().copied());
            f.extend([mean, sd]);
            f.extend(percentiles(plane.clone(), [0.1, 0.5, 0.9]));
        }
        let glass = self.od.iter().filter(|d| d.iter().sum::<f32>() < 3.0 * GLASS_DENSITY).count();
        f.push(glass as f32 / self.od.len() as f32);
        let (mean, sd) = mean_sd(edges.iter().copied());
        f.extend([mean, sd]);
    }

    /// Mean stains in four rings of equal width between the middle and the crop's edge.
    fn push_rings(&self, f: &mut Vec<f32>) {
        let (cy, cx) = (self.height as f32 / 2.0, self.width as f32 / 2.0);
        let outer = cy.min(cx);
        let ring = |i: usize| {
            let (y, x) = ((i / self.width) as f32 + 0.5 - cy, (i % self.width) as f32 + 0.5 - cx);
            (4.0 * y.hypot(x) / outer) as usize
        };
        let mut sums = [[0.0f32; 3]; 4];
        for i in 0..self.rgb.len() {
            if let Some(s) = sums.get_mut(ring(i)) {
                s.iter_mut().zip([self.haematoxylin[i], self.eosin[i], 1.0]).for_each(|(s, v)| *s += v);
            }
        }
        f.extend(sums.map(|s| s[0] / s[2].max(1.0)));
        f.extend(sums.map(|s| s[1] / s[2].max(1.0)));
    }

    fn push_nucleus(&self, f: &mut Vec<f32>, mask: &Mask, edges: &[f32]) {
        if mask.pixels.is_empty() {
            f.extend([0.0; 10]);
            return;
        }
        f.extend(self.mean_rgb(&mask.pixels));
        let values = |plane: &[f32]| -> Vec<f32> { mask.pixels.iter().map(|&i| plane[i]).collect() };
        let haematoxylin = values(&self.haematoxylin);
        let (mean, sd) = mean_sd(haematoxylin.iter().copied());
        f.extend([mean, sd]);
        f.extend(percentiles(haematoxylin, [0.1, 0.9]));
        let (mean, sd) = mean_sd(values(&self.eosin).into_iter());
        f.extend([mean, sd]);
        f.push(mean_sd(values(edges).into_iter()).0);
    }

    fn push_rim(&self, f: &mut Vec<f32>, mask: &Mask) {
        let rim = mask.rim((self.width / 12).max(1));
        if rim.is_empty() {
            f.extend([0.0; 6]);
            return;
        }
        f.extend(self.mean_rgb(&rim));
        let mean = |plane: &[f32], of: &[usize]| of.iter().map(|&i| plane[i]).sum::<f32>() / of.len() as f32;
        let haematoxylin = mean(&self.haematoxylin, &rim);
        f.extend([haematoxylin, mean(&self.eosin, &rim), mean(&self.haematoxylin, &mask.pixels) - haematoxylin]);
    }

    fn mean_rgb(&self, of: &[usize]) -> [f32; 3] {
        std::array::from_fn(|c| of.iter().map(|&i| f32::from(self.rgb[i][c])).sum::<f32>() / (255.0 * of.len() as f32))
    }
}

/// Mean and population standard deviation; zeros of nothing.
fn mean_sd(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let (mut n, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for v in values {
        let v = f64::from(v);
        n += 1.0;
        sum += v;
        squares += v * v;
    }
    if n == 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum / n;
    (mean as f32, (squares / n - mean * mean).max(0.0).sqrt() as f32)
}

/// The values at these shares of the sorted list (nearest rank).
fn percentiles<const N: usize>(mut values: Vec<f32>, shares: [f32; N]) -> [f32; N] {
    values.sort_unstable_by(f32::total_cmp);
    shares.map(|s| values.get(((values.len().saturating_sub(1)) as f32 * s).round() as usize).copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    /// A dark disc of the given radius on pink ground.
    fn disc(radius: f32, dark: u8) -> Array4<u8> {
        Array4::from_shape_fn((1, 48, 48, 3), |(_, y, x, c)| {
            let inside = (y as f32 - 23.5).hypot(x as f32 - 23.5) < radius;
            if inside { [dark, dark / 2, dark + 40][c] } else { [235, 190, 215][c] }
        })
    }

    fn feature(f: &Array2<f32>, name: &str) -> f32 {
        f[(0, Morphology::FEATURES.iter().position(|n| *n == name).unwrap())]
    }

    #[test]
    fn a_disc_has_the_shape_of_a_disc() {
        let f = Morphology::new().embed(disc(10.0, 90).view()).unwrap();
        let area = std::f32::consts::PI * 100.0 / (48.0 * 48.0);
        assert!((feature(&f, "area") / area - 1.0).abs() < 0.03, "{}", feature(&f, "area"));
        assert!((feature(&f, "major_axis") - 20.0 / 48.0).abs() < 0.01);
        assert!(feature(&f, "eccentricity") < 0.15);
        assert!((0.85..1.1).contains(&feature(&f, "circularity")), "{}", feature(&f, "circularity"));
        assert!(feature(&f, "solidity") > 0.93);
        assert!(feature(&f, "offset") < 0.01);
        assert_eq!(feature(&f, "cut_off"), 0.0);
        assert_eq!(feature(&f, "other_nuclei"), 0.0);
        assert!((feature(&f, "nucleus_red") - 90.0 / 255.0).abs() < 0.02);
        assert!(feature(&f, "rim_contrast") > 0.1);
    }

    #[test]
    fn larger_and_darker_nuclei_say_so() {
        let m = Morphology::new();
        let (small, large) = (m.embed(disc(6.0, 90).view()).unwrap(), m.embed(disc(14.0, 90).view()).unwrap());
        let dark = m.embed(disc(6.0, 40).view()).unwrap();
        assert!(feature(&large, "area") > 4.0 * feature(&small, "area"));
        assert!(feature(&dark, "nucleus_haematoxylin") > feature(&small, "nucleus_haematoxylin"));
    }

    #[test]
    fn plain_crops_give_numbers() {
        for v in [0, 128, 255] {
            let f = Morphology::new().embed(Array4::from_elem((2, 48, 48, 3), v).view()).unwrap();
            assert!(f.iter().all(|x| x.is_finite()), "{v}");
        }
        assert_eq!(Morphology::new().embed(Array4::zeros((0, 48, 48, 3)).view()).unwrap().dim().0, 0);
    }

    #[test]
    fn crops_that_are_none_are_refused() {
        let e = Morphology::new().embed(Array4::zeros((1, 8, 48, 3)).view()).unwrap_err();
        assert!(e.to_string().contains("[1, 8, 48, 3]"), "{e}");
        assert!(Morphology::new().embed(Array4::zeros((1, 48, 48, 4)).view()).is_err());
    }
}
