//! Discs, lines, rectangles and words on a picture; whatever lies outside of it is left out.

use std::ops::Range;

use image::RgbImage;

use crate::colour::Rgb;
use crate::font;

pub(crate) struct Canvas {
    pub(crate) image: RgbImage,
}

/// Where a word is put.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

impl Canvas {
    pub(crate) fn new(width: u32, height: u32, colour: Rgb) -> Self {
        Self { image: RgbImage::from_pixel(width, height, image::Rgb(colour)) }
    }

    /// Lays a colour over a pixel; `share` 1 covers it.
    fn blend(&mut self, x: u32, y: u32, colour: Rgb, share: f64) {
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            for (to, from) in pixel.0.iter_mut().zip(colour) {
                *to = (f64::from(*to) + (f64::from(from) - f64::from(*to)) * share).round() as u8;
            }
        }
    }

    /// Pixels of a span of positions that lie on the picture.
    fn clip(low: f64, high: f64, end: u32) -> Range<u32> {
        // A NaN becomes 0.
        let low = low.floor().clamp(0.0, f64::from(end)) as u32;
        let high = high.ceil().clamp(0.0, f64::from(end)) as u32;
        low..high.max(low)
    }

    /// Covers every pixel of a box as far as `share` of its centre says.
    fn paint(&mut self, x: (f64, f64), y: (f64, f64), colour: Rgb, share: impl Fn(f64, f64) -> f64) {
        for py in Self::clip(y.0, y.1, self.image.height()) {
            for px in Self::clip(x.0, x.1, self.image.width()) {
                let s = share(f64::from(px) + 0.5, f64::from(py) + 0.5);
                if s > 0.0 {
                    self.blend(px, py, colour, s.min(1.0));
                }
            }
        }
    }

    /// A disc around a position (pixel corners are whole numbers), its edge smoothed.
    pub(crate) fn disc(&mut self, (x, y): (f64, f64), radius: f64, colour: Rgb) {
        let far = radius + 1.0;
        self.paint((x - far, x + far), (y - far, y + far), colour, |px, py| radius + 0.5 - (px - x).hypot(py - y));
    }

    /// A straight line of a width, its edge smoothed.
    pub(crate) fn line(&mut self, p: (f64, f64), q: (f64, f64), width: f64, colour: Rgb) {
        let half = width / 2.0;
        let far = half + 1.0;
        let (dx, dy) = (q.0 - p.0, q.1 - p.1);
        let length = (dx * dx + dy * dy).max(1e-12);
        let x = (p.0.min(q.0) - far, p.0.max(q.0) + far);
        let y = (p.1.min(q.1) - far, p.1.max(q.1) + far);
        self.paint(x, y, colour, |px, py| {
            let along = (((px - p.0) * dx + (py - p.1) * dy) / length).clamp(0.0, 1.0);
            half + 0.5 - (px - p.0 - along * dx).hypot(py - p.1 - along * dy)
        });
    }

    /// A closed ring of lines.
    pub(crate) fn ring(&mut self, corners: &[(f64, f64)], width: f64, colour: Rgb) {
        for (i, &p) in corners.iter().enumerate() {
            self.line(p, corners[(i + 1) % corners.len()], width, colour);
        }
    }

    /// The pixels `[x, x + width) x [y, y + height)`.
    pub(crate) fn rectangle(&mut self, x: i64, y: i64, width: i64, height: i64, colour: Rgb, share: f64) {
        let (x, y) = (x as f64, y as f64);
        self.paint((x, x + width as f64), (y, y + height as f64), colour, |_, _| share);
    }

    /// A word whose upper edge is at `y`, in dots of `dot` pixels.
    pub(crate) fn text(&mut self, (x, y): (i64, i64), text: &str, dot: u32, colour: Rgb, align: Align) {
        let width = i64::from(text_width(text, dot));
        let mut x = match align {
            Align::Left => x,
            Align::Centre => x - width / 2,
            Align::Right => x - width,
        };
        for c in text.chars() {
            for (row, bits) in (0i64..).zip(font::glyph(c)) {
                for column in 0..font::WIDTH {
                    if bits >> (font::WIDTH - 1 - column) & 1 == 1 {
                        let dot = i64::from(dot);
                        self.rectangle(x + i64::from(column) * dot, y + row * dot, dot, dot, colour, 1.0);
                    }
                }
            }
            x += i64::from(font::ADVANCE * dot);
        }
    }

    /// Copies a picture to a place.
    pub(crate) fn put(&mut self, x: u32, y: u32, picture: &RgbImage) {
        for (px, py, pixel) in picture.enumerate_pixels() {
            if let Some(to) = self.image.get_pixel_mut_checked(x.saturating_add(px), y.saturating_add(py)) {
                *to = *pixel;
            }
        }
    }
}

/// Width of a word, px.
pub(crate) fn text_width(text: &str, dot: u32) -> u32 {
    let n = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    n.saturating_mul(font::ADVANCE).saturating_sub(1).saturating_mul(dot)
}

/// Height of a line of words, px.
pub(crate) fn text_height(dot: u32) -> u32 {
    font::HEIGHT * dot
}

/// As much of a text as fits, an omitted end marked with two dots.
pub(crate) fn shortened(text: &str, width: u32, dot: u32) -> String {
    if text_width(text, dot) <= width {
        return text.to_owned();
    }
    let fits = (width / (font::ADVANCE * dot).max(1)).saturating_sub(2) as usize;
    text.chars().take(fits).chain("..".chars()).collect()
}

/// A round length (1, 2 or 5 times a power of ten) of at most `most`, and `most` itself if that is no number above 0.
pub(crate) fn round_length(most: f64) -> f64 {
    if !(most.is_finite() && most > 0.0) {
        return most;
    }
    let power = 10f64.powf(most.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|f| f * power).find(|l| *l <= most).unwrap_or(power)
}

/// A number in few characters: three significant digits.
pub(crate) fn short_number(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{v:.1e}")
    } else if size >= 100.0 {
        format!("{v:.0}")
    } else if size >= 10.0 {
        format!("{v:.1}")
    } else if size >= 1.0 {
        format!("{v:.2}")
    } else {
        format!("{v:.3}")
    }
}

/// A bar of a round length in the lower left corner of an area, with its length in um or mm.
pub(crate) fn scale_bar(canvas: &mut Canvas, left: u32, bottom: u32, width: u32, um_per_px: f64, dot: u32) {
    let length = round_length(f64::from(width) * 0.25 * um_per_px);
    let px = (length / um_per_px).round();
    if !(px >= 1.0 && px <= f64::from(width)) {
        return;
    }
    let label = if length >= 1000.0 { format!("{} mm", length / 1000.0) } else { format!("{length} um") };
    let (bar, text) = (px as i64, i64::from(text_width(&label, dot)));
    let (pad, thick, high) = (3 * i64::from(dot), 2 * i64::from(dot), i64::from(text_height(dot)));
    let full = bar.max(text) + 2 * pad;
    let (x, y) = (i64::from(left) + 2 * pad, i64::from(bottom) - 2 * pad);
    let height = high + thick + 3 * pad;
    canvas.rectangle(x - pad, y - height, full, height, crate::colour::WHITE, 0.8);
    canvas.rectangle(x, y - pad - thick, bar, thick, crate::colour::BLACK, 1.0);
    canvas.text((x, y - 2 * pad - thick - high), &label, dot, crate::colour::BLACK, Align::Left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_lengths_and_short_numbers() {
        let pairs = [(99.0, 50.0), (100.0, 100.0), (0.3, 0.2), (1999.0, 1000.0), (7.0, 5.0)];
        for (most, round) in pairs {
            assert!((round_length(most) - round).abs() < 1e-12 * round, "{most}");
        }
        let all =
            [(0.0, "0"), (0.1234, "0.123"), (-3.456_78, "-3.46"), (56.78, "56.8"), (1234.5, "1234"), (1e7, "1.0e7")];
        for (v, s) in all {
            assert_eq!(short_number(v), s);
        }
    }

    #[test]
    fn nothing_outside_of_the_picture_is_touched() {
        let mut canvas = Canvas::new(8, 8, [255; 3]);
        let before = canvas.image.clone();
        canvas.disc((-1e300, 1e300), 3.0, [0; 3]);
        canvas.disc((f64::NAN, 4.0), 3.0, [0; 3]);
        canvas.line((100.0, 100.0), (1e9, 200.0), 2.0, [0; 3]);
        canvas.rectangle(-20, -20, 5, 5, [0; 3], 1.0);
        canvas.text((-400, 3), "outside", 1, [0; 3], Align::Left);
        canvas.put(8, 0, &RgbImage::new(4, 4));
        assert_eq!(canvas.image, before);
    }

    #[test]
    fn discs_lines_and_words_cover_what_they_should() {
        let mut canvas = Canvas::new(40, 20, [255; 3]);
        canvas.disc((10.0, 10.0), 3.0, [200, 0, 0]);
        assert_eq!(canvas.image.get_pixel(10, 10).0, [200, 0, 0]);
        assert_eq!(canvas.image.get_pixel(10, 14).0, [255; 3]);
        canvas.line((20.5, 2.0), (20.5, 18.0), 1.0, [0, 0, 200]);
        assert_eq!(canvas.image.get_pixel(20, 9).0, [0, 0, 200]);
        assert_eq!(canvas.image.get_pixel(22, 9).0, [255; 3]);
        canvas.text((39, 0), "L", 1, [0; 3], Align::Right);
        assert_eq!(canvas.image.get_pixel(34, 0).0, [0; 3]);
        assert_eq!(canvas.image.get_pixel(38, 6).0, [0; 3]);
        assert_eq!(canvas.image.get_pixel(38, 0).0, [255; 3]);
        assert_eq!((text_width("abc", 2), text_width("", 2)), (34, 0));
        assert_eq!(shortened("A-VERY-LONG-NAME", 48, 1), "A-VERY..");
    }
}
