use ndarray::ArrayView3;

use super::mask::Mask;
use super::shape::RegionShape;
use super::texture::{Counter, LEVELS};
use crate::hed;

/// Columns and labels, in the order of [`shape`].
pub(super) const SHAPE_MEASURES: [(&str, &str); 12] = [
    ("area_mask_um2", "Mask area \u{b5}m^2"),
    ("perimeter_um", "Perimeter \u{b5}m"),
    ("perimeter_crofton_um", "Perimeter (Crofton) \u{b5}m"),
    ("major_axis_um", "Major axis \u{b5}m"),
    ("minor_axis_um", "Minor axis \u{b5}m"),
    ("eccentricity", "Eccentricity"),
    ("orientation_rad", "Orientation rad"),
    ("equivalent_diameter_um", "Equivalent diameter \u{b5}m"),
    ("max_diameter_um", "Max diameter \u{b5}m"),
    ("solidity", "Solidity"),
    ("extent", "Extent"),
    ("circularity", "Circularity"),
];

/// What comes after them where there is a picture.
pub(super) const PIXEL_MEASURES: [(&str, &str); 10] = [
    ("haematoxylin_mean", "Hematoxylin: Mean"),
    ("haematoxylin_sd", "Hematoxylin: Std.Dev."),
    ("eosin_mean", "Eosin: Mean"),
    ("eosin_sd", "Eosin: Std.Dev."),
    ("texture_contrast", "Texture: Contrast"),
    ("texture_dissimilarity", "Texture: Dissimilarity"),
    ("texture_homogeneity", "Texture: Homogeneity"),
    ("texture_energy", "Texture: Energy"),
    ("texture_correlation", "Texture: Correlation"),
    ("texture_entropy", "Texture: Entropy"),
];

/// Haematoxylin to one level of texture.
const STEP: f32 = 0.01;

pub(super) fn shape(mask: &Mask, um_per_px: f64) -> [f32; SHAPE_MEASURES.len()] {
    let s = RegionShape::of(mask, um_per_px);
    [
        s.area,
        s.perimeter,
        s.perimeter_crofton,
        s.major_axis,
        s.minor_axis,
        s.eccentricity,
        s.orientation,
        s.equivalent_diameter,
        s.max_diameter,
        s.solidity,
        s.extent,
        s.circularity,
    ]
    .map(|v| v as f32)
}

/// Memory that a thread uses again for each region.
#[derive(Default)]
pub(super) struct Region {
    counter: Counter,
    levels: Vec<Option<u8>>,
}

impl Region {
    /// Shape, and stain and texture of the pixels of a picture, `(rows, columns, RGB)`, that the mask covers.
    pub(super) fn with_pixels(&mut self, mask: &Mask, picture: ArrayView3<'_, u8>, um_per_px: f64) -> Vec<f32> {
        let mut row = shape(mask, um_per_px).to_vec();
        self.levels.clear();
        self.levels.resize(mask.as_slice().len(), None);
        let (mut n, mut sums, mut squares) = (0.0f64, [0.0f64; 2], [0.0f64; 2]);
        for (x, y) in mask.pixels() {
            let column = usize::try_from(mask.left + x as i64 - 1);
            let line = usize::try_from(mask.top + y as i64 - 1);
            let (Ok(column), Ok(line)) = (column, line) else { continue };
            let channel = |c: usize| picture.get((line, column, c)).copied();
            let (Some(r), Some(g), Some(b)) = (channel(0), channel(1), channel(2)) else { continue };
            let [h, e, _] = hed([r, g, b]);
            self.levels[y * mask.width + x] = Some(((h / STEP) as usize).min(LEVELS - 1) as u8);
            n += 1.0;
            for (k, v) in [f64::from(h), f64::from(e)].into_iter().enumerate() {
                sums[k] += v;
                squares[k] += v * v;
            }
        }
        for k in 0..2 {
            let mean = sums[k] / n;
            row.extend([mean as f32, (squares[k] / n - mean * mean).max(0.0).sqrt() as f32]);
        }
        let texture = self.counter.texture(&self.levels, mask.width);
        row.extend(texture.map_or([f32::NAN; 6], |t| {
            [t.contrast, t.dissimilarity, t.homogeneity, t.energy, t.correlation, t.entropy].map(|v| v as f32)
        }));
        row
    }
}
