//! Charts as SVG.

use super::text::{escape, number};
use super::{Calibration, Ceilings};

/// Side of a chart and of its margin towards the words.
const SIDE: f64 = 320.0;
const MARGIN: f64 = 46.0;
/// Blue and vermilion of Okabe and Ito.
const BLUE: &str = "#0072b2";
const RED: &str = "#d55e00";

/// Levels of intervals against what they hold, with the diagonal where both are the same.
pub(super) fn calibration(curve: &Calibration) -> String {
    let mut points: Vec<(f64, f64)> = curve.points.iter().copied().filter(|p| inside(p.0) && inside(p.1)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let line: Vec<String> = points.iter().map(|&(x, y)| format!("{:.1},{:.1}", at_x(x), at_y(y))).collect();
    let mut body =
        format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{BLUE}\" stroke-width=\"2\"/>", line.join(" "));
    for (x, y) in points {
        body += &dot(x, y, 4.0, BLUE, &format!("{} held by intervals of {}", number(y), number(x)));
    }
    frame("Share of measurements that intervals hold", "should hold", "hold", &body)
}

/// Ceiling against correlation of each gene; none lies far above the diagonal, and what is below 0 is drawn at 0.
pub(super) fn ceilings(ceilings: &Ceilings) -> String {
    let mut body = String::new();
    for (x, y, gene) in ceilings.genes.iter().filter(|g| inside(g.0) && g.1.is_finite()) {
        body += &dot(*x, y.clamp(0.0, 1.0), 2.5, RED, &format!("{gene}: {} of at most {}", number(*y), number(*x)));
    }
    frame("Pearson of each gene beside its ceiling", "what the counts allow", "reached", &body)
}

fn inside(v: f64) -> bool {
    (0.0..=1.0).contains(&v)
}

fn at_x(v: f64) -> f64 {
    MARGIN + v * SIDE
}

fn at_y(v: f64) -> f64 {
    14.0 + (1.0 - v) * SIDE
}

fn dot(x: f64, y: f64, radius: f64, colour: &str, title: &str) -> String {
    format!(
        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"0.65\">\
         <title>{}</title></circle>",
        at_x(x),
        at_y(y),
        escape(title)
    )
}

/// Axes from 0 to 1, the diagonal, and what is drawn.
fn frame(title: &str, x: &str, y: &str, body: &str) -> String {
    let (width, height) = (SIDE + MARGIN + 14.0, SIDE + MARGIN + 14.0);
    let mut grid = String::new();
    for step in 0..=5 {
        let v = f64::from(step) / 5.0;
        let (gx, gy) = (at_x(v), at_y(v));
        grid += &format!(
            "<path d=\"M{gx:.1} {:.1}V{:.1}M{:.1} {gy:.1}H{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{gx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{v:.1}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{v:.1}</text>",
            at_y(0.0),
            at_y(1.0),
            at_x(0.0),
            at_x(1.0),
            at_y(0.0) + 15.0,
            MARGIN - 6.0,
            gy + 4.0,
        );
    }
    let (middle, left) = (at_x(0.5), at_y(0.5));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"system-ui,sans-serif\" font-size=\"12\" fill=\"#333\"><title>{}</title>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>{grid}\
         <path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#777\" stroke-dasharray=\"5 4\"/>{body}\
         <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(12 {left:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
        escape(title),
        at_x(0.0),
        at_y(0.0),
        at_x(1.0),
        at_y(1.0),
        height - 8.0,
        escape(x),
        escape(y),
    )
}
