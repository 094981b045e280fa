//! Ink of marker pens and of surgical marking.
//!
//! Haematoxylin absorbs red and green alike and eosin green alone (Ruifrok and Johnston 2001), so that no mixture of
//! the two absorbs red much more than green, or blue as much as green; inks do. On 14 pictures of H&E (HER2ST, CMU-1,
//! TCGA, MoNuSeg) 999 of 1000 pixels of 12 um have a ratio of red to green density below 1.25 and of blue to green
//! below 0.82, surgical ink and dust aside. What colours inks have: the pen filters of IBM CODAIT's deep-histopath
//! (2018). Ink of the colour of haematoxylin (violet) cannot be told apart so.

use std::collections::VecDeque;

use crate::TissueMask;
use crate::tissue::ground::{Ground, is_grey};
use crate::tissue::patches::{flip, grown_from};

/// Red over green density of blue, turquoise and green inks: surely, and beside ink that is sure.
const COLD: (f32, f32) = (1.35, 1.2);
/// Blue over green density of red inks, and red over green at most: surely, and beside ink that is sure, where it lies
/// on tissue.
const RED: [(f32, f32); 2] = [(0.85, 0.35), (0.72, 0.5)];
/// Density of the strongest channel of ink: surely, and beside ink that is sure.
const DENSITY: (f32, f32) = (0.35, 0.15);
/// Mean density of black ink.
const BLACK: f32 = 1.0;

/// Smaller patches, um2, are no strokes.
const LEAST_UM2: f64 = 20_000.0;

pub(super) fn pen(ground: &Ground) -> Vec<bool> {
    let marks = |cold: f32, red: (f32, f32), density: f32, black: f32| -> Vec<bool> {
        (0..ground.texture.len())
            .map(|at| {
                let od @ [r, g, b] = ground.at(at);
                let is_cold = r > density && r > cold * g;
                let is_red = g > density && b > red.0 * g && r < red.1 * g;
                let is_black = is_grey(od) && r + g + b > 3.0 * black;
                is_cold || is_red || is_black
            })
            .collect()
    };
    let seeds = marks(COLD.0, RED[0], DENSITY.0, BLACK);
    let least = ground.pixels(LEAST_UM2);
    let mut ink = grown_from(marks(COLD.1, RED[1], DENSITY.1, BLACK / 2.0), &seeds, ground.size, least);
    // Where two inks cross, the colour is neither's.
    if ink.contains(&true) {
        flip(&mut ink, ground.size, false, |gap| gap.len() < least);
    }
    ink
}

/// The tissue less what is ink on glass: under ink counts what the nearest pixel beside the ink is.
pub(super) fn without_strokes(tissue: &TissueMask, ink: &TissueMask) -> Vec<bool> {
    // The edge of a stroke is part ink, part glass.
    let wide = ink.dilated(ink.step().0);
    let (w, h) = (ink.size().width as usize, ink.size().height as usize);
    let mut known: Vec<bool> = wide.as_slice().iter().map(|&ink| !ink).collect();
    let mut mask = tissue.as_slice().to_vec();
    let mut queue: VecDeque<usize> = (0..mask.len()).filter(|&at| known[at]).collect();
    while let Some(at) = queue.pop_front() {
        let (x, y) = (at % w, at / w);
        for j in y.saturating_sub(1)..(y + 2).min(h) {
            for i in x.saturating_sub(1)..(x + 2).min(w) {
                let next = j * w + i;
                if !known[next] {
                    known[next] = true;
                    mask[next] &= mask[at];
                    queue.push_back(next);
                }
            }
        }
    }
    mask
}
