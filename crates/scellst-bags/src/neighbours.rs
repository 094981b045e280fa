use rayon::prelude::*;
use scellst_types::{Micron, Point};

use crate::grid::{check_finite, check_radius};
use crate::{BagsError, PointGrid};

/// For each centre the cells around it: `cells[offsets[i]..offsets[i + 1]]`, rising. A cell may be near many centres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    offsets: Vec<usize>,
    cells: Vec<u32>,
}

impl Neighbours {
    /// Number of centres.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no centre.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells near a centre, rising.
    ///
    /// # Panics
    /// If there is no such centre.
    pub fn of(&self, centre: usize) -> &[u32] {
        &self.cells[self.offsets[centre]..self.offsets[centre + 1]]
    }

    /// Where each centre's cells start in [`Neighbours::cells`], and the end of the last.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The cells of all centres, one after the other.
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }
}

/// The cells at most `radius_um` from each centre (a cell that is itself a centre included).
///
/// All lists are held in memory; for many centres with many neighbours use [`PointGrid::for_each_within`].
///
/// # Errors
/// [`BagsError::NotFinite`], [`BagsError::Setting`] for the radius, [`BagsError::TooMany`].
pub fn neighbours(cells: &[Point<Micron>], centres: &[Point<Micron>], radius_um: f64) -> Result<Neighbours, BagsError> {
    check_radius(radius_um)?;
    check_finite("cell", cells)?;
    check_finite("centre", centres)?;
    let grid = PointGrid::new(cells, radius_um)?;
    let lists: Vec<(Vec<usize>, Vec<u32>)> = centres
        .par_chunks(1024)
        .map(|centres| {
            let (mut counts, mut near) = (Vec::with_capacity(centres.len()), Vec::new());
            for &centre in centres {
                let start = near.len();
                grid.for_each_within(centre, radius_um, |cell, _| near.push(cell));
                near[start..].sort_unstable();
                counts.push(near.len() - start);
            }
            (counts, near)
        })
        .collect();
    let mut out = Neighbours { offsets: vec![0], cells: Vec::new() };
    let mut end = 0;
    for (counts, near) in lists {
        out.cells.extend(near);
        for count in counts {
            end += count;
            out.offsets.push(end);
        }
    }
    Ok(out)
}
