//! Ink of marker pens and of surgical marking.
//!
//! Haematoxylin absorbs red and green alike and eosin green alone (Ruifrok and Johnston 2001), so that no mixture of
//! the two absorbs red much more than green, or blue as much as green; inks do. On nine laboratories' H&E slides, pixels
//! of 12 um have a ratio of red to green density below 1.25 and of blue to green below 0.8 (999 of 1000). Colours of
//! inks: the pen filters of IBM CODAIT's deep-histopath (2018). Ink of the colour of haematoxylin (violet) cannot be
//! told apart so.

use crate::tissue::ground::{Ground, is_grey};
use crate::tissue::patches::grown_from;

/// Red over green density of blue, turquoise and green inks: surely, and beside ink that is sure.
const COLD: (f32, f32) = (1.35, 1.2);
/// Blue over green density, and red over green at most, of red inks.
const RED: (f32, f32) = (0.85, 0.35);
/// Density of the strongest channel of ink: surely, and beside ink that is sure.
const DENSITY: (f32, f32) = (0.35, 0.15);
/// Mean density of black ink.
const BLACK: f32 = 1.0;

/// Smaller patches, um2, are no strokes.
const LEAST_UM2: f64 = 20_000.0;

pub(super) fn pen(ground: &Ground) -> Vec<bool> {
    let marks = |cold: f32, density: f32, black: f32| -> Vec<bool> {
        (0..ground.texture.len())
            .map(|at| {
                let od @ [r, g, b] = ground.at(at);
                let is_cold = r > density && r > cold * g;
                let is_red = g > density && b > RED.0 * g && r < RED.1 * g;
                let is_black = is_grey(od) && r + g + b > 3.0 * black;
                is_cold || is_red || is_black
            })
            .collect()
    };
    let seeds = marks(COLD.0, DENSITY.0, BLACK);
    grown_from(marks(COLD.1, DENSITY.1, BLACK / 2.0), &seeds, ground.size, ground.pixels(LEAST_UM2))
}
