use rayon::prelude::*;
use scellst_types::{Micron, Point};

use crate::bags::fits_u32;
use crate::grid::{bounds, check_finite};
use crate::{Bags, BagsError, Qc, SpotAreas};

/// Puts every cell into the disc that holds it: distance of centroid and centre at most half the diameter.
///
/// Where discs overlap the nearest centre has it, of equally near ones the spot that comes first. Only spots with a
/// cell become bags, ordered by spot, then cell. The result does not depend on the number of threads.
///
/// # Units
/// Cells' centroids, spots' centres and the diameter in um on the slide.
///
/// # Errors
/// [`BagsError::Empty`] without cells or spots, [`BagsError::NotFinite`], [`BagsError::Setting`] for the diameter,
/// [`BagsError::TooMany`], and [`BagsError::NoCellInAnySpot`] with both bounding boxes.
pub fn assign(cells: &[Point<Micron>], spots: &[Point<Micron>], diameter_um: f64) -> Result<(Bags, Qc), BagsError> {
    assign_to(cells, &SpotAreas::discs(spots, diameter_um)?)
}

/// As [`assign`], into spots of any shape and sizes.
///
/// # Errors
/// As [`assign`].
pub fn assign_to(cells: &[Point<Micron>], spots: &SpotAreas<'_>) -> Result<(Bags, Qc), BagsError> {
    if cells.is_empty() {
        return Err(BagsError::Empty { what: "cells" });
    }
    fits_u32("cells", cells.len())?;
    check_finite("cell", cells)?;

    const PART: usize = 1 << 14;
    let mut spot_of = vec![OUTSIDE; cells.len()];
    let find = |(cells, spot_of): (&[Point<Micron>], &mut [u32])| {
        let mut in_several = 0;
        for (&cell, to) in cells.iter().zip(spot_of) {
            if let Some((spot, several)) = spots.spot_at(cell) {
                *to = spot;
                in_several += usize::from(several);
            }
        }
        in_several
    };
    let in_several: usize = cells.par_chunks(PART).zip(spot_of.par_chunks_mut(PART)).map(find).sum();

    let mut per_spot = vec![0_u32; spots.len()];
    for &spot in spot_of.iter().filter(|&&spot| spot != OUTSIDE) {
        per_spot[spot as usize] += 1;
    }
    if per_spot.iter().all(|&count| count == 0) {
        return Err(BagsError::NoCellInAnySpot {
            cells: cells.len(),
            spots: spots.len(),
            diameter_um: 2.0 * spots.largest_half_um(),
            cell_box: describe_box(cells),
            spot_box: describe_box(spots.centres()),
        });
    }
    let bags = by_spot(&spot_of, &per_spot);
    let qc = Qc::new(cells.len(), &per_spot, in_several);
    Ok((bags, qc))
}

/// The mark of a cell that no spot holds.
const OUTSIDE: u32 = u32::MAX;

/// Cells counted into their spots: each spot's cells rise since the cells are passed in order.
fn by_spot(spot_of: &[u32], per_spot: &[u32]) -> Bags {
    let mut next = Vec::with_capacity(per_spot.len());
    let (mut offsets, mut spots) = (vec![0], Vec::new());
    let mut total = 0;
    for (spot, &count) in (0..).zip(per_spot) {
        next.push(total);
        total += count;
        if count > 0 {
            spots.push(spot);
            offsets.push(total);
        }
    }
    let mut cells = vec![0; total as usize];
    for (cell, &spot) in (0..).zip(spot_of).filter(|(_, spot)| **spot != OUTSIDE) {
        let at = &mut next[spot as usize];
        cells[*at as usize] = cell;
        *at += 1;
    }
    Bags::from_sorted(offsets, cells, spots)
}

fn describe_box(points: &[Point<Micron>]) -> String {
    match bounds(points) {
        Some((low, high)) => format!("x {:.1} to {:.1}, y {:.1} to {:.1}", low.x, high.x, low.y, high.y),
        None => "nothing".to_owned(),
    }
}
