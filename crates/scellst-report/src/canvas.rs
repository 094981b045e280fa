//! Dots, lines and letters; what falls outside of the picture is left out.

use image::{Rgb, RgbImage};

use crate::font::glyph;

pub(crate) const BLACK: Rgb<u8> = Rgb([20, 20, 20]);
pub(crate) const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

pub(crate) fn put(image: &mut RgbImage, x: i64, y: i64, c: Rgb<u8>) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && x < image.width()
        && y < image.height()
    {
        image.put_pixel(x, y, c);
    }
}

/// A filled disc around a place in pixels (0.5 is the centre of the first); always at least the pixel it lies in.
pub(crate) fn disc(image: &mut RgbImage, x: f64, y: f64, radius: f64, c: Rgb<u8>) {
    if !(x.is_finite() && y.is_finite() && radius.is_finite()) {
        return;
    }
    put(image, x.floor() as i64, y.floor() as i64, c);
    // No larger than the picture, whatever was asked for.
    let radius = radius.min(f64::from(image.width().max(image.height())) * 2.0);
    let within = |v: f64, side: u32| (v.floor() as i64).clamp(0, i64::from(side));
    for j in within(y - radius, image.height())..within(y + radius + 1.0, image.height()) {
        for i in within(x - radius, image.width())..within(x + radius + 1.0, image.width()) {
            if (i as f64 + 0.5 - x).hypot(j as f64 + 0.5 - y) <= radius {
                put(image, i, j, c);
            }
        }
    }
}

/// A line one pixel wide.
pub(crate) fn line(image: &mut RgbImage, from: (f64, f64), to: (f64, f64), c: Rgb<u8>) {
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil();
    if !steps.is_finite() || steps > 1e6 {
        return;
    }
    for k in 0..=steps as usize {
        let t = if steps > 0.0 { k as f64 / steps } else { 0.0 };
        let at = |a: f64, b: f64| (a + (b - a) * t).floor() as i64;
        put(image, at(from.0, to.0), at(from.1, to.1), c);
    }
}

pub(crate) fn fill(image: &mut RgbImage, x: i64, y: i64, width: i64, height: i64, c: Rgb<u8>) {
    for j in y..y + height {
        for i in x..x + width {
            put(image, i, j, c);
        }
    }
}

/// Width of a text, pixels.
pub(crate) fn text_width(text: &str, scale: i64) -> i64 {
    text.chars().count() as i64 * 6 * scale
}

/// A text with its upper left corner there; a letter is five by seven pixels times the scale.
pub(crate) fn text(image: &mut RgbImage, x: i64, y: i64, scale: i64, c: Rgb<u8>, text: &str) {
    for (n, letter) in (0..).zip(text.chars()) {
        for (j, row) in (0..).zip(glyph(letter)) {
            for i in 0..5 {
                if row >> (4 - i) & 1 == 1 {
                    fill(image, x + (n * 6 + i) * scale, y + j * scale, scale, scale, c);
                }
            }
        }
    }
}

/// A number in about three figures.
pub(crate) fn number(v: f32) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}
