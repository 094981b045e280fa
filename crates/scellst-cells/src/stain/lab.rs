//! CIE L*a*b* of sRGB under D65 (IEC 61966-2-1, CIE 15), as scikit-image has it.

use std::sync::LazyLock;

const XYZ_FROM_RGB: [[f32; 3]; 3] =
    [[0.412_453, 0.357_58, 0.180_423], [0.212_671, 0.715_16, 0.072_169], [0.019_334, 0.119_193, 0.950_227]];
const RGB_FROM_XYZ: [[f32; 3]; 3] = [
    [3.240_481_3, -1.537_151_5, -0.498_536_33],
    [-0.969_254_9, 1.875_99, 0.041_555_93],
    [0.055_646_64, -0.204_041_34, 1.057_311],
];
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];

static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|v| {
        let v = v as f32 / 255.0;
        if v > 0.040_45 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 }
    })
});

fn times(m: &[[f32; 3]; 3], v: [f32; 3]) -> [f32; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// L* from 0 to 100, a* and b*.
pub(super) fn from_rgb(rgb: [u8; 3]) -> [f32; 3] {
    let xyz = times(&XYZ_FROM_RGB, rgb.map(|v| LINEAR[usize::from(v)]));
    let f: [f32; 3] = std::array::from_fn(|i| {
        let t = xyz[i] / WHITE[i];
        if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 }
    });
    [116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])]
}

/// The nearest colour that there is.
pub(super) fn to_rgb([l, a, b]: [f32; 3]) -> [u8; 3] {
    let y = (l + 16.0) / 116.0;
    let f = [a / 500.0 + y, y, (y - b / 200.0).max(0.0)];
    let xyz: [f32; 3] = std::array::from_fn(|i| {
        let t = if f[i] > 0.206_896_55 { f[i].powi(3) } else { (f[i] - 16.0 / 116.0) / 7.787 };
        t * WHITE[i]
    });
    times(&RGB_FROM_XYZ, xyz).map(|v| {
        let v = if v > 0.003_130_8 { 1.055 * v.powf(1.0 / 2.4) - 0.055 } else { 12.92 * v };
        (v * 255.0).round().clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for r in (0..=255).step_by(17) {
            for g in (0..=255).step_by(17) {
                for b in (0..=255).step_by(17) {
                    let found = to_rgb(from_rgb([r, g, b]));
                    assert!(found.iter().zip([r, g, b]).all(|(x, y)| x.abs_diff(y) <= 1), "{r} {g} {b}: {found:?}");
                }
            }
        }
        let white = from_rgb([255; 3]);
        assert!((white[0] - 100.0).abs() < 0.01 && white[1].abs() < 0.01 && white[2].abs() < 0.02, "{white:?}");
    }
}
