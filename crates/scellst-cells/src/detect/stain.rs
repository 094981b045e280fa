use std::sync::LazyLock;

/// Rows: optical density in R, G, B of haematoxylin, eosin and DAB, as scikit-image has them.
const RGB_FROM_HED: [[f64; 3]; 3] = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]];

/// What each value of each channel adds to each stain: `[stain][channel][value]`.
static TABLE: LazyLock<[[[f32; 256]; 3]; 3]> = LazyLock::new(|| {
    let unmix = inverse(&RGB_FROM_HED);
    let mut table = [[[0.0; 256]; 3]; 3];
    for (stain, channels) in table.iter_mut().enumerate() {
        for (channel, values) in channels.iter_mut().enumerate() {
            for (value, entry) in values.iter_mut().enumerate() {
                let density = (value as f64 / 255.0).max(1e-6).ln() / 1e-6f64.ln();
                *entry = (density * unmix[channel][stain]) as f32;
            }
        }
    }
    table
});

fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let det: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    // The adjugate is the transposed matrix of cofactors; cyclic indices carry the signs.
    std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / det))
}

/// Haematoxylin, eosin and DAB in a pixel, by the fixed matrix of Ruifrok and Johnston (Anal Quant Cytol Histol 2001,
/// 23:291), in the units of `skimage.color.rgb2hed` 0.2x: density over `-ln(1e-6)`, negative amounts cut off at 0.
///
/// ```
/// let [h, e, d] = scellst_cells::hed([255, 255, 255]);
/// assert_eq!((h, e, d), (0.0, 0.0, 0.0));
/// assert!(scellst_cells::hed([80, 60, 140])[0] > 0.05);
/// ```
pub fn hed(rgb: [u8; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(usize::from);
    std::array::from_fn(|s| (TABLE[s][0][r] + TABLE[s][1][g] + TABLE[s][2][b]).max(0.0))
}

/// Optical density of one channel, natural logarithm.
pub(crate) fn density(value: u8) -> f32 {
    static DENSITY: LazyLock<[f32; 256]> = LazyLock::new(|| std::array::from_fn(|v| -(v.max(1) as f32 / 255.0).ln()));
    DENSITY[usize::from(value)]
}

/// Haematoxylin of pixels of three bytes, as [`hed`] gives it.
pub(crate) fn haematoxylin(pixels: &[u8], out: &mut [f32]) {
    let [r, g, b] = &TABLE[0];
    for (value, p) in out.iter_mut().zip(pixels.as_chunks::<3>().0) {
        *value = (r[usize::from(p[0])] + g[usize::from(p[1])] + b[usize::from(p[2])]).max(0.0);
    }
}
