use image::{Rgb, RgbImage};

use crate::canvas::{BLACK, WHITE, fill, line, number, text, text_width};

const SIZE: (u32, u32) = (640, 400);
const TRAIN: Rgb<u8> = Rgb([38, 70, 148]);
const VALIDATION: Rgb<u8> = Rgb([214, 110, 20]);

/// Training (blue) and validation (orange) loss by epoch: `(epoch, training, validation)`; values that are no numbers
/// are gaps.
pub fn loss_curve(points: &[(usize, f32, f32)]) -> RgbImage {
    let mut image = RgbImage::from_pixel(SIZE.0, SIZE.1, WHITE);
    let (left, top, right, bottom) = (70.0, 30.0, f64::from(SIZE.0) - 20.0, f64::from(SIZE.1) - 40.0);
    line(&mut image, (left, top), (left, bottom), BLACK);
    line(&mut image, (left, bottom), (right, bottom), BLACK);
    let losses = || points.iter().flat_map(|p| [p.1, p.2]).filter(|v| v.is_finite());
    let (low, high) = losses().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        text(&mut image, left as i64 + 20, top as i64 + 20, 2, BLACK, "no epochs");
        return image;
    }
    let range = if high > low { high - low } else { 1.0 };
    let last = points.iter().map(|p| p.0).max().unwrap_or(1).max(2);
    let place = |epoch: usize, loss: f32| {
        let x = left + (right - left) * (epoch.saturating_sub(1)) as f64 / (last - 1) as f64;
        (x, bottom - (bottom - top) * f64::from((loss - low) / range))
    };
    for (value, c) in [(0, TRAIN), (1, VALIDATION)] {
        let of = |p: &(usize, f32, f32)| if value == 0 { p.1 } else { p.2 };
        for pair in points.windows(2) {
            if of(&pair[0]).is_finite() && of(&pair[1]).is_finite() {
                line(&mut image, place(pair[0].0, of(&pair[0])), place(pair[1].0, of(&pair[1])), c);
            }
        }
    }
    let label = |image: &mut RgbImage, y: f64, v: f32| {
        let words = number_of_loss(v);
        text(image, left as i64 - text_width(&words, 1) - 6, y as i64 - 3, 1, BLACK, &words);
    };
    label(&mut image, top, low + range);
    label(&mut image, bottom, low);
    text(&mut image, left as i64, bottom as i64 + 12, 1, BLACK, "1");
    let words = last.to_string();
    text(&mut image, right as i64 - text_width(&words, 1), bottom as i64 + 12, 1, BLACK, &words);
    text(&mut image, (left + right) as i64 / 2 - 20, bottom as i64 + 12, 1, BLACK, "epoch");
    for (x, words, c) in
        [(left as i64 + 20, "training loss", TRAIN), (left as i64 + 220, "validation loss", VALIDATION)]
    {
        fill(&mut image, x, 10, 12, 8, c);
        text(&mut image, x + 18, 11, 1, BLACK, words);
    }
    image
}

fn number_of_loss(v: f32) -> String {
    if v.abs() < 1.0 { format!("{v:.4}") } else { number(v) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_both_and_survives_anything() {
        let has = |image: &RgbImage, c: Rgb<u8>| image.pixels().filter(|p| **p == c).count();
        let curve = loss_curve(&[(1, 1.0, 2.0), (2, 0.5, 1.5), (3, 0.4, 1.6)]);
        // More than the two marks of the legend.
        assert!(has(&curve, TRAIN) > 96 + 300 && has(&curve, VALIDATION) > 96 + 300);
        for points in [vec![], vec![(1, f32::NAN, f32::NAN)], vec![(1, 1.0, 1.0)], vec![(7, f32::INFINITY, 1.0)]] {
            loss_curve(&points);
        }
    }
}
