//! Tissue that lies double.
//!
//! A fold is about twice as dense as the tissue around and without light gaps (dark and saturated at once: Bautista
//! and Yagi 2009, doi 10.1109/IEMBS.2009.5334529; Kothari et al. 2014, doi 10.1109/JBHI.2013.2277837). Crowded nuclei
//! are dark too, but have gaps between them: the density is opened (least, then greatest of the neighbourhood), so that
//! only what is dark over 36 um counts.

use super::QcConfig;
use crate::TissueMask;
use crate::tissue::ground::Ground;
use crate::tissue::patches::{grown_from, of_neighbours};

/// `ink` is left out.
pub(super) fn fold(ground: &Ground, tissue: &TissueMask, ink: &[bool], config: &QcConfig) -> Vec<bool> {
    let usable: Vec<bool> = tissue.as_slice().iter().zip(ink).map(|(&tissue, &ink)| tissue && !ink).collect();
    let total: Vec<f32> = (0..usable.len()).map(|at| ground.at(at).iter().sum()).collect();
    let opened = of_neighbours(&of_neighbours(&total, ground.size, f32::min), ground.size, f32::max);
    let mut inside: Vec<f32> = opened.iter().zip(&usable).filter(|(_, u)| **u).map(|(&o, _)| o).collect();
    if inside.is_empty() {
        return usable;
    }
    let quarter = inside.len() * 3 / 4;
    let typical = *inside.select_nth_unstable_by(quarter, f32::total_cmp).1;
    let above =
        |times: f32| -> Vec<bool> { opened.iter().zip(&usable).map(|(&o, &u)| u && o > times * typical).collect() };
    // Half way up for what hangs together with it.
    let beside = 1.0 + (config.fold_density - 1.0) / 2.0;
    grown_from(above(beside), &above(config.fold_density), ground.size, ground.pixels(config.min_fold_um2))
}
