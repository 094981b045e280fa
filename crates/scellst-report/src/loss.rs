use image::RgbImage;

use crate::canvas::{Align, Canvas, short_number, text_height};
use crate::colour::{BLACK, Rgb, WHITE};

const SIZE: (u32, u32) = (720, 440);
const DOT: u32 = 2;
/// Left, top, right and bottom of the chart.
const CHART: (f64, f64, f64, f64) = (90.0, 50.0, 700.0, 380.0);
/// Blue and vermilion of Okabe and Ito: distinct to the colour-blind.
const TRAIN: Rgb = [0, 114, 178];
const VALIDATION: Rgb = [213, 94, 0];
const PALE: Rgb = [220, 220, 220];

/// Training and validation loss, as `(epoch, training, validation)`; the best validation is marked. `axis` says what is
/// counted: `epoch`, or `step`.
///
/// Values that are no number leave gaps; without any value the chart says so.
pub fn loss_curve(points: &[(usize, f32, f32)], axis: &str) -> RgbImage {
    let mut canvas = Canvas::new(SIZE.0, SIZE.1, WHITE);
    let (left, top, right, bottom) = CHART;
    let middle = ((left + right) / 2.0) as i64;
    let finite = || points.iter().flat_map(|p| [p.1, p.2]).map(f64::from).filter(|v| v.is_finite());
    canvas.line((left, top), (left, bottom), 1.0, BLACK);
    canvas.line((left, bottom), (right, bottom), 1.0, BLACK);
    if finite().next().is_none() {
        canvas.text((middle, ((top + bottom) / 2.0) as i64), "no values", DOT, BLACK, Align::Centre);
        return canvas.image;
    }
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |b, v| (b.0.min(v), b.1.max(v)));
    // A constant runs through the middle.
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
    let (first, last) = points.iter().fold((usize::MAX, 0), |b, p| (b.0.min(p.0), b.1.max(p.0)));
    let x = |epoch: usize| left + 10.0 + (right - left - 20.0) * (epoch - first) as f64 / (last - first).max(1) as f64;
    let y = |v: f64| bottom - 10.0 - (bottom - top - 20.0) * ((v - low) / (high - low));

    let half = i64::from(text_height(DOT) / 2);
    for value in [low, (low + high) / 2.0, high] {
        canvas.line((left, y(value)), (right, y(value)), 1.0, PALE);
        canvas.text((left as i64 - 8, y(value) as i64 - half), &short_number(value), DOT, BLACK, Align::Right);
    }
    let ends = if first == last { vec![first] } else { vec![first, last] };
    for epoch in ends {
        canvas.text((x(epoch) as i64, bottom as i64 + 8), &epoch.to_string(), DOT, BLACK, Align::Centre);
    }
    canvas.text((middle, bottom as i64 + 28), axis, DOT, BLACK, Align::Centre);
    type Pick = fn(&(usize, f32, f32)) -> f32;
    let series: [(&str, Rgb, Pick, f64); 2] =
        [("training", TRAIN, |p| p.1, left + 40.0), ("validation", VALIDATION, |p| p.2, left + 200.0)];
    for (name, colour, pick, at) in series {
        canvas.line((at - 36.0, 24.0), (at - 8.0, 24.0), 3.0, colour);
        canvas.text((at as i64, 24 - half), name, DOT, BLACK, Align::Left);
        let place = |p: &(usize, f32, f32)| (x(p.0), y(f64::from(pick(p))));
        for pair in points.windows(2).filter(|pair| pair.iter().all(|p| pick(p).is_finite())) {
            canvas.line(place(&pair[0]), place(&pair[1]), 2.0, colour);
        }
        for point in points.iter().filter(|p| points.len() == 1 && pick(p).is_finite()) {
            canvas.disc(place(point), 3.0, colour);
        }
    }
    let best = points.iter().filter(|p| p.2.is_finite()).min_by(|a, b| a.2.total_cmp(&b.2));
    if let Some(best) = best {
        canvas.disc((x(best.0), y(f64::from(best.2))), 5.0, VALIDATION);
        let label = format!("best {} at {}", short_number(f64::from(best.2)), best.0);
        canvas.text((right as i64, 24 - half), &label, DOT, VALIDATION, Align::Right);
    }
    canvas.image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(image: &RgbImage, colour: Rgb) -> usize {
        // Below the legend.
        image.enumerate_pixels().filter(|(_, y, p)| *y > 45 && p.0 == colour).count()
    }

    #[test]
    fn both_lines_are_drawn_and_the_better_one_lies_lower() {
        let points: Vec<_> = (0..20).map(|i| (i, 1.0 / (i + 1) as f32, 0.4 + 1.0 / (i + 1) as f32)).collect();
        let image = loss_curve(&points, "epoch");
        let mean_y = |colour: Rgb| {
            let rows: Vec<f64> = image
                .enumerate_pixels()
                .filter(|(_, y, p)| *y > 45 && p.0 == colour)
                .map(|(_, y, _)| f64::from(y))
                .collect();
            assert!(rows.len() > 200);
            rows.iter().sum::<f64>() / rows.len() as f64
        };
        assert!(mean_y(TRAIN) > mean_y(VALIDATION) + 20.0);
    }

    #[test]
    fn nothing_gaps_constants_and_single_points_are_no_trouble() {
        assert_eq!(has(&loss_curve(&[], "epoch"), TRAIN), 0);
        assert_eq!(has(&loss_curve(&[(1, f32::NAN, f32::INFINITY)], "step"), VALIDATION), 0);
        assert!(has(&loss_curve(&[(7, 0.5, 0.5)], "epoch"), VALIDATION) > 10);
        assert!(has(&loss_curve(&[(0, 2.0, 2.0), (usize::MAX, 2.0, 2.0)], "step"), VALIDATION) > 100);
        // The middle point is missing, so no line is left.
        let gap = loss_curve(&[(0, 1.0, f32::NAN), (1, f32::NAN, f32::NAN), (2, 0.5, f32::NAN)], "epoch");
        assert_eq!(has(&gap, TRAIN), 0);
    }
}
